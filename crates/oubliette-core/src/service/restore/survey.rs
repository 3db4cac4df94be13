//! What an older copy holds, row by row, beside the key state as it is now.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use keyforest::{Group, Leaf};

use super::super::VaultError;
use super::super::attached::Attachment;
use super::super::hidden::Hidden;
use super::super::vault::Inner;
use super::super::walk::Walk;
use super::RestoreView;
use crate::crypto::layout::{PREFIX, commitment_of};
use crate::model::TenantId;
use crate::ports::{BlobRef, ContentRow, InteractionRow, PortError, PortErrorKind, PurgeSet};

/// Interactions looked at together.
const ROWS: usize = 500;
/// Contents whose bytes are looked for at the same time.
const PARALLEL: usize = 32;
/// Interactions named of those with missing bytes.
const NAMED: usize = 20;

/// The result. Takes 24 bytes an interaction and 8 a content in memory.
#[derive(Default)]
pub struct Survey {
    /// Leaves of what is live in the copy, ascending.
    pub referenced: Vec<u64>,
    /// Directory block and group of every live interaction, ascending.
    pub blocks: Vec<(u64, u64)>,
    /// By tenant: rows whose keys are destroyed and which no erasure covers that the copy knows.
    pub gone: BTreeMap<TenantId, Gone>,
    interactions: u64,
    contents: u64,
    erased_interactions: u64,
    erased_contents: u64,
    missing: Vec<Missing>,
}

/// A content whose bytes are not where its row says.
struct Missing {
    tenant: TenantId,
    group: Group,
    blob: BlobRef,
    commitment: [u8; 32],
}

/// Rows without a key.
#[derive(Default)]
pub struct Gone {
    interactions: Vec<Leaf>,
    groups: Vec<Leaf>,
    leaves: Vec<Leaf>,
}

impl Gone {
    /// As what an erasure covers.
    pub fn set(&self) -> PurgeSet {
        let all = |leaves: &Vec<Leaf>| leaves.iter().copied().collect();
        PurgeSet { interactions: all(&self.interactions), groups: all(&self.groups), leaves: all(&self.leaves) }
    }
}

impl Survey {
    /// Goes through all rows.
    pub async fn make(inner: &Arc<Inner>) -> Result<Self, VaultError> {
        let known = known_erasures(inner).await?;
        let mut survey = Self::default();
        let mut walk = Walk::new(inner);
        while let Some(rows) = walk.next(inner).await? {
            for rows in rows.chunks(ROWS) {
                survey.look_at(inner, &known, rows).await?;
            }
        }
        survey.referenced.sort_unstable();
        survey.blocks.sort_unstable();
        survey.look_for_missing(inner).await?;
        Ok(survey)
    }

    /// Told in counts.
    pub fn view(&self, inner: &Inner, mark: &Attachment, doomed: u64) -> Result<RestoreView, VaultError> {
        let due = inner.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).len() as u64;
        let mut named: Vec<(TenantId, Group)> = self.missing.iter().map(|one| (one.tenant, one.group)).collect();
        named.sort_unstable();
        named.dedup();
        named.truncate(NAMED);
        let missing = named.into_iter().map(|(tenant, group)| Ok((tenant, inner.public_id(tenant, group)?)));
        Ok(RestoreView {
            id: mark.id,
            attached_at: mark.at,
            found: mark.found,
            pinned: mark.pinned,
            interactions: self.interactions,
            contents: self.contents,
            erased_interactions: self.erased_interactions,
            erased_contents: self.erased_contents,
            due,
            missing_contents: self.missing.len() as u64,
            missing: missing.collect::<Result<_, VaultError>>()?,
            doomed,
        })
    }

    /// Small contents may lie elsewhere since the copy was made: their commitments tell them. Their rows are set right.
    async fn look_for_missing(&mut self, inner: &Arc<Inner>) -> Result<(), VaultError> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let wanted: HashSet<[u8; 32]> = self.missing.iter().map(|one| one.commitment).collect();
        let mut found = HashMap::new();
        let mut look = |blob: BlobRef, head: Bytes| {
            if let Some(commitment) = commitment_of(&head).filter(|commitment| wanted.contains(commitment)) {
                // The first is where it lies; others are where it lay.
                found.entry(commitment).or_insert(blob);
            }
        };
        inner.blobs.look_through(PREFIX, &mut look).await.map_err(|error| inner.port(error))?;
        let mut missing = Vec::new();
        for one in std::mem::take(&mut self.missing) {
            let switched = match found.get(&one.commitment) {
                Some(to) => inner.metadata.switch_blob(&one.blob, to).await.map_err(|error| inner.port(error))?,
                None => false,
            };
            missing.extend((!switched).then_some(one));
        }
        self.missing = missing;
        Ok(())
    }

    async fn look_at(&mut self, inner: &Arc<Inner>, known: &Hidden, rows: &[InteractionRow]) -> Result<(), VaultError> {
        let groups: Vec<_> = rows.iter().map(|row| row.group).collect();
        let contents = inner.metadata.contents(&groups).await.map_err(|error| inner.port(error))?;
        let (work, leaves) = (Arc::clone(inner), leaves_of(rows, &contents));
        // Whether a leaf is live may have to be read from a page.
        let readable = tokio::task::spawn_blocking(move || {
            leaves.into_iter().map(|leaf| work.is_readable(leaf)).collect::<Result<Vec<bool>, _>>()
        });
        let mut readable = readable.await.map_err(VaultError::internal)??.into_iter();
        let mut live_rows = BTreeMap::new();
        for row in rows {
            if readable.next().unwrap_or_default() {
                self.interactions += 1;
                self.referenced.push(row.group.leaf(0).0);
                self.blocks.push((row.directory_block, row.group.0));
                live_rows.insert(row.group, row.tenant);
                continue;
            }
            self.erased_interactions += 1;
            if known.covering(row.group.leaf(0)).is_none() {
                let set = self.gone.entry(row.tenant).or_default();
                set.interactions.push(Leaf(row.group.0));
                set.groups.extend(row.extra_groups.iter().map(|group| Leaf(group.0)));
            }
        }
        let mut live = Vec::new();
        for content in contents {
            let readable = readable.next().unwrap_or_default();
            match live_rows.get(&content.interaction) {
                Some(tenant) if readable => live.push((*tenant, content)),
                Some(tenant) => {
                    self.erased_contents += 1;
                    if known.covering(content.leaf).is_none() {
                        self.gone.entry(*tenant).or_default().leaves.push(content.leaf);
                    }
                }
                None => self.erased_contents += 1,
            }
        }
        self.contents += live.len() as u64;
        self.referenced.extend(live.iter().map(|(_, content)| content.leaf.0));
        let looked = stream::iter(live).map(|(tenant, content)| async move {
            let there = is_there(inner, &content).await?;
            let ContentRow { interaction: group, blob, commitment, .. } = content;
            Ok::<_, VaultError>((!there).then_some(Missing { tenant, group, blob, commitment }))
        });
        let missing: Vec<_> = looked.buffered(PARALLEL).try_collect().await?;
        self.missing.extend(missing.into_iter().flatten());
        Ok(())
    }
}

fn leaves_of(rows: &[InteractionRow], contents: &[ContentRow]) -> Vec<Leaf> {
    let of_rows = rows.iter().map(|row| row.group.leaf(0));
    of_rows.chain(contents.iter().map(|content| content.leaf)).collect()
}

/// What erasures cover that the copy knows and whose rows it still has: the sweeper comes to these by itself.
async fn known_erasures(inner: &Arc<Inner>) -> Result<Hidden, VaultError> {
    let known = Hidden::default();
    let port = |error| inner.port(error);
    let unsealed = inner.metadata.unsealed_purges().await.map_err(port)?;
    let unswept = inner.metadata.unswept_purges(None, usize::MAX).await.map_err(port)?;
    for purge in unsealed.into_iter().chain(unswept) {
        known.insert(purge.id, &Arc::new(purge.set));
    }
    Ok(known)
}

/// Whether a content's bytes lie where its row says: what stands in front of them names the row's commitment, and they go on
/// to their end.
async fn is_there(inner: &Inner, content: &ContentRow) -> Result<bool, VaultError> {
    let look = async {
        let length = inner.blobs.length(&content.blob).await?;
        if length == 0 {
            return Ok(false);
        }
        inner.blobs.read(&content.blob, length - 1..length).await?;
        let head = inner.blobs.read(&content.blob, 0..length.min(PREFIX as u64)).await?;
        Ok(commitment_of(&head) == Some(content.commitment))
    };
    match look.await {
        Ok(there) => Ok(there),
        Err(PortError { kind: PortErrorKind::Corrupt | PortErrorKind::Refused, .. }) => Ok(false),
        Err(error) => Err(inner.port(error)),
    }
}
