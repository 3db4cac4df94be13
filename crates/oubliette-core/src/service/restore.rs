//! Committing a restore (design §6): an older copy becomes the vault's database.
//!
//! One seal destroys every key that the copy does not refer to. Whoever holds newer copies, of states that are no more, then
//! opens nothing with them that the restored vault erases later; and no leaf of such a state is ever used again, because the
//! restored interactions take no further content in the groups they have. Before that seal the copy is made ready in steps
//! that may be repeated; after it nothing but two notes in the copy is missing, which the next start makes up for.

mod survey;
mod whole;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use keyforest::{Group, Leaf, LeafSet};
use uuid::Uuid;

use self::survey::{Gone, Survey};
pub(in crate::service) use self::whole::holds_whole;
use super::VaultError;
use super::attached::{self, Committing};
use super::recovery::hide_what_is_due;
use super::shared::Pending;
use super::vault::{Inner, Vault, lanes};
use crate::directory::Block;
use crate::model::TenantId;
use crate::ports::{DirectoryRow, InteractionRow, PurgeKind, PurgeRow, PurgeState, Write};
use crate::proof::Stated;

/// Named moments of a restore's commit. Apart from those a vault passes by itself.
pub const RESTORE_CRASH_POINTS: &[&str] = &[
    "restore.rows",
    "restore.prepared",
    "restore.committing",
    "restore.sealed",
    "restore.marked",
    "restore.done",
    "restore.told",
];

/// Rows changed in one transaction.
const ROWS: usize = 900;
/// Leaves of the copy that are tried before the old root dies.
const CANARIES: usize = 64;
/// Leaves whose state is asked for at once.
const LEAVES: u64 = 1 << 20;

/// What commits a restore.
pub struct Restore {
    /// What the copy does not refer to, and what is due.
    pub doomed: LeafSet,
    /// Leaves of the copy that must open afterwards.
    pub canaries: LeafSet,
    /// The end of the leaves of earlier runs.
    pub closed_below: u64,
    /// The erasures that are due.
    pub due: Vec<Pending>,
}

/// An older copy beside the key state as it is now. Counts; the ids are opaque.
#[derive(Clone, Debug)]
pub struct RestoreView {
    /// The restore.
    pub id: Uuid,
    /// When the copy was attached.
    pub attached_at: Timestamp,
    /// The copy's commit counter then.
    pub found: u64,
    /// The counter that the key state had seen.
    pub pinned: u64,
    /// Interactions of the copy that open.
    pub interactions: u64,
    /// Contents of them that open.
    pub contents: u64,
    /// Interactions of the copy that were erased since, or are due.
    pub erased_interactions: u64,
    /// Contents erased since, or due, those of erased interactions included.
    pub erased_contents: u64,
    /// Erasures that were accepted and are not sealed: the commit seals them.
    pub due: u64,
    /// Contents that open and whose bytes are not there.
    pub missing_contents: u64,
    /// The first interactions with such contents.
    pub missing: Vec<(TenantId, super::PublicId)>,
    /// Keys that the copy does not refer to: the commit destroys them.
    pub doomed: u64,
}

impl Vault {
    /// What the attached copy holds and what committing it would destroy; `None` when no copy is attached. Goes through all
    /// rows and looks for every content's bytes.
    pub async fn restore_view(&self) -> Result<Option<RestoreView>, VaultError> {
        let inner = &self.inner;
        if inner.attached.is_none() {
            return Ok(None);
        }
        let survey = Survey::make(inner).await?;
        let doomed = doomed(inner, &survey.referenced).await?.len() as u64;
        inner.attached.as_ref().map(|mark| survey.view(inner, mark, doomed)).transpose()
    }

    /// Makes the attached copy the vault's database for good. The vault must be closed and opened again after it.
    ///
    /// # Errors
    /// `Conflict` when no copy is attached. After any error the copy is attached still, or the next opening finishes this.
    pub async fn commit_restore(&self) -> Result<RestoreView, VaultError> {
        let inner = &self.inner;
        let Some(mark) = &inner.attached else { return Err(VaultError::Conflict("no older copy is attached")) };
        let reached = |point| inner.shared.probe.reached(point);
        let survey = Survey::make(inner).await?;
        order_what_is_gone(inner, &survey.gone).await?;
        reached("restore.rows");
        rewrite_directory(inner, &survey.blocks).await?;
        reached("restore.prepared");
        let due = hide_what_is_due(inner).await?;
        let doomed = doomed(inner, &survey.referenced).await?;
        let view = survey.view(inner, mark, doomed.len() as u64)?;
        let step = survey.referenced.len().div_ceil(CANARIES).max(1);
        let canaries = survey.referenced.iter().step_by(step).map(|leaf| Leaf(*leaf)).collect();
        let committing = Committing {
            counter: inner.shared.forest.pins().commit_counter,
            live: view.interactions,
            dropped: view.erased_interactions + view.erased_contents,
            punctured: view.doomed,
            logged: inner.log.head().size,
        };
        let mark = attached::begin_commit(&*inner.metadata, committing).await?;
        reached("restore.committing");
        inner.shared.note_commit(mark.committing.as_ref().map_or(0, |committing| committing.counter));
        let closed_below = inner.shared.forest.unclosed().end;
        inner.sealer.restore(Restore { doomed, canaries, closed_below, due }).await?;
        reached("restore.sealed");
        inner.mark_unmarked().await?;
        reached("restore.marked");
        attached::finish(&*inner.metadata, &mark, inner.shared.forest.epoch(), inner.clock.now()).await?;
        reached("restore.done");
        if let Err(error) = inner.tell_of_restore().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the log was not told of the restore yet; the next start tells it");
        }
        Ok(view)
    }
}

/// Every live leaf of earlier runs that the copy does not refer to.
async fn doomed(inner: &Arc<Inner>, referenced: &[u64]) -> Result<LeafSet, VaultError> {
    let end = inner.shared.forest.unclosed().end;
    let mut doomed = Vec::new();
    for from in (0..end).step_by(LEAVES as usize) {
        let forest = Arc::clone(&inner.shared.forest);
        let live = tokio::task::spawn_blocking(move || forest.live(from..end.min(from + LEAVES)));
        let live = live.await.map_err(VaultError::internal)?.map_err(VaultError::internal)?;
        doomed.extend(live.iter().filter(|leaf| referenced.binary_search(&leaf.0).is_err()));
    }
    Ok(doomed.into_iter().collect())
}

/// Rows whose keys were destroyed without an erasure that the copy knows: one erasure a tenant lets them be swept like others.
async fn order_what_is_gone(inner: &Arc<Inner>, gone: &BTreeMap<TenantId, Gone>) -> Result<(), VaultError> {
    for (tenant, gone) in gone {
        let set = gone.set();
        let row = PurgeRow {
            id: Uuid::new_v4(),
            tenant: Some(*tenant),
            credential: None,
            kind: PurgeKind::Upkeep,
            state: PurgeState::Planned,
            interactions: set.interactions.len() as u64,
            contents: set.leaves.len() as u64,
            set,
            order_leaf: None,
            sealed_order: Vec::new(),
            accepted_at: inner.clock.now(),
            sealed_at: None,
            sealed_epoch: None,
            removed_at: None,
            retained_until: None,
            stated: Stated::default().encode(),
            place: None,
            removal: None,
        };
        inner.apply_unchecked("restore.gone", vec![Write::InsertPurge(row)]).await?;
    }
    Ok(())
}

/// Seals the look-up entries of all live interactions anew under fresh leaves, in the blocks they were in, and closes the
/// interactions' groups: a later content takes a group of its own.
async fn rewrite_directory(inner: &Arc<Inner>, places: &[(u64, u64)]) -> Result<(), VaultError> {
    remove_empty_blocks(inner, places).await?;
    let mut rest = places;
    while !rest.is_empty() {
        // Whole blocks only.
        let mut end = rest.len().min(ROWS);
        if end < rest.len() {
            let cut = rest[end].0;
            end = match rest[..end].partition_point(|(block, _)| *block < cut) {
                0 => return Err(VaultError::internal(Overfull { block: cut })),
                end => end,
            };
        }
        let (now, later) = rest.split_at(end);
        rest = later;
        let groups: Vec<Group> = now.iter().map(|(_, group)| Group(*group)).collect();
        let rows = inner.metadata.interactions(&groups).await.map_err(|error| inner.port(error))?;
        let mut rows: BTreeMap<u64, InteractionRow> = rows.into_iter().map(|row| (row.group.0, row)).collect();
        let mut writes = Vec::new();
        for members in now.chunk_by(|one, next| one.0 == next.0) {
            let number = members[0].0;
            let leaf = inner.allocate_leaf(lanes::DIRECTORY).await?;
            let mut block = Block { number, leaf, entries: Vec::with_capacity(members.len()) };
            for (_, group) in members {
                let Some(row) = rows.remove(group) else { continue };
                block.entries.extend(inner.entry_of(&row)?);
                if u64::from(row.next_leaf) < Group::SIZE {
                    writes.push(Write::UpdateInteraction(InteractionRow { next_leaf: Group::SIZE as u8, ..row }));
                }
            }
            let entries =
                u8::try_from(block.entries.len()).map_err(|_| VaultError::internal(Overfull { block: number }))?;
            let sealed = inner.with_key(leaf, |key| block.seal(key))?.map_err(VaultError::internal)?;
            writes.push(Write::PutDirectory(DirectoryRow { block: number, leaf, entries, sealed }));
        }
        inner.apply_unchecked("restore.directory", writes).await?;
    }
    Ok(())
}

/// Blocks none of whose interactions is live any more.
async fn remove_empty_blocks(inner: &Arc<Inner>, places: &[(u64, u64)]) -> Result<(), VaultError> {
    let mut from = 0;
    loop {
        let rows = inner.metadata.directory(from, ROWS).await.map_err(|error| inner.port(error))?;
        let Some(last) = rows.last() else { return Ok(()) };
        from = last.block + 1;
        let empty = rows.iter().filter(|row| places.binary_search_by_key(&row.block, |place| place.0).is_err());
        let writes: Vec<Write> = empty.map(|row| Write::DeleteDirectory(row.block)).collect();
        if !writes.is_empty() {
            inner.apply_unchecked("restore.directory", writes).await?;
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("directory block {block} has more entries than a block can have")]
struct Overfull {
    block: u64,
}
