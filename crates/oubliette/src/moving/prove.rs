//! Proof that the copy is whole, from what lies at the new place: samples opened under both key states must give the same.

use std::sync::Arc;

use keyforest::Group;
use oubliette_core::model::ContentKind;
use oubliette_core::ports::{ContentRow, DirectoryRow, InteractionRow, Metadata};
use oubliette_core::service::{Inspection, LookedUp};
use serde::{Deserialize, Serialize};

use super::MoveError;
use super::rows::STEP;

/// Interactions and directory blocks opened, spread over all of them.
const SAMPLES: u64 = 200;
/// Contents opened of each kind, and interactions found by each kind of look-up key.
const OF_EACH: u64 = 25;
/// Nothing longer is opened as a sample: the cut-over waits for it.
const LONGEST: u64 = 8 << 20;

/// What was opened at the new place and compared with the old one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// Interactions whose metadata opened.
    pub interactions: u64,
    /// Contents that opened, bytes and description.
    pub contents: u64,
    /// Directory blocks that opened.
    pub blocks: u64,
    /// Look-up keys that were followed.
    pub lookups: u64,
}

/// Compares what opens under the new key state with what opens under the old one.
pub async fn prove(old: &Inspection, new: &Inspection) -> Result<Proof, MoveError> {
    same_state(old, new).await?;
    let mut proof = Proof::default();
    let groups = old.forest.high_water().0 / Group::SIZE;
    let mut of_kind: Vec<(ContentKind, u64)> = Vec::new();
    for row in spread(&*new.metadata, groups).await? {
        let mine = old.metadata.interaction(row.group).await?;
        let mine = mine.ok_or(MoveError::Differs("an interaction is at the new place alone"))?;
        if old.interaction(&mine).await? != new.interaction(&row).await? {
            return Err(MoveError::Differs("an interaction opens as something else"));
        }
        proof.interactions += 1;
        for content in new.metadata.contents(&[row.group]).await? {
            let count = count_of(&mut of_kind, content.kind);
            if *count == OF_EACH || content.size_class.0 > 64 - LONGEST.leading_zeros() as u8 {
                continue;
            }
            *count += 1;
            same_content(old, new, &row, &content).await?;
            proof.contents += 1;
        }
    }
    let blocks = spread_blocks(&*new.metadata).await?;
    let (mine, theirs) = (old.lookups(&blocks, OF_EACH).await?, new.lookups(&blocks, OF_EACH).await?);
    if mine != theirs {
        return Err(MoveError::Differs("look-up keys find something else"));
    }
    proof.blocks = blocks.len() as u64;
    proof.lookups = confirmed(&theirs);
    Ok(proof)
}

/// High-water mark, secrets and what is closed must be the old ones.
async fn same_state(old: &Inspection, new: &Inspection) -> Result<(), MoveError> {
    let (a, b) = (Arc::clone(&old.forest), Arc::clone(&new.forest));
    super::blocking(move || {
        if a.high_water() != b.high_water() {
            return Err(MoveError::Differs("the high-water mark of leaves is another one"));
        }
        if *a.attachment() != *b.attachment() || a.pins().instance != b.pins().instance {
            return Err(MoveError::Differs("the vault's secrets are others"));
        }
        Ok(())
    })
    .await?
}

async fn same_content(
    old: &Inspection,
    new: &Inspection,
    row: &InteractionRow,
    content: &ContentRow,
) -> Result<(), MoveError> {
    let mine = old.metadata.contents_by_leaf(&[content.leaf]).await?;
    let mine = mine.first().ok_or(MoveError::Differs("a content is at the new place alone"))?;
    if old.content(row.tenant, mine).await? != new.content(row.tenant, content).await? {
        return Err(MoveError::Differs("a content opens as something else"));
    }
    Ok(())
}

fn count_of(counts: &mut Vec<(ContentKind, u64)>, kind: ContentKind) -> &mut u64 {
    let at = counts.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
        counts.push((kind, 0));
        counts.len() - 1
    });
    &mut counts[at].1
}

/// Interactions from all over: stretches of groups are looked at, and from all that is there as many taken as are wanted.
async fn spread(metadata: &dyn Metadata, groups: u64) -> Result<Vec<InteractionRow>, MoveError> {
    let stretch = (groups / SAMPLES).max(STEP as u64);
    let mut found = Vec::new();
    let mut from = 0;
    while from < groups {
        let some: Vec<Group> = (from..(from + STEP as u64).min(groups)).map(Group).collect();
        found.extend(metadata.interactions(&some).await?.iter().map(|row| row.group));
        from += stretch;
    }
    let step = found.len().div_ceil(SAMPLES as usize).max(1);
    let chosen: Vec<Group> = found.into_iter().step_by(step).collect();
    Ok(metadata.interactions(&chosen).await?)
}

async fn spread_blocks(metadata: &dyn Metadata) -> Result<Vec<DirectoryRow>, MoveError> {
    let all = metadata.next_directory_block().await?;
    let step = (all / SAMPLES).max(1);
    let wanted: Vec<u64> = (0..all).step_by(usize::try_from(step).unwrap_or(usize::MAX)).take(STEP).collect();
    Ok(metadata.directory_blocks(&wanted).await?)
}

fn confirmed(looked: &LookedUp) -> u64 {
    looked.values().map(|looked| looked.confirmed).sum()
}
