//! Everything that is no interaction: directory blocks, erasures, tenants, credentials, named values.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use keyforest::{Group, Leaf};
use oubliette_core::ports::{DirectoryRow, Metadata, PurgeRow, PurgeState, Write};
use uuid::Uuid;

use super::MoveError;
use super::rows::apply;

/// Directory blocks looked at together.
const BLOCKS: usize = 256;
/// Erasures looked at together: each may name many leaves.
const PURGES: usize = 200;
/// Named values of the program that go along.
const VALUES: &[&str] = &[crate::demo::LOADS];

/// From where to where.
pub struct BookCopier {
    /// The old rows.
    pub from: Arc<dyn Metadata>,
    /// The new ones.
    pub to: Arc<dyn Metadata>,
}

/// What erasures came to.
#[derive(Default)]
pub struct Settled {
    /// Erasures that are the same in both places now.
    pub purges: u64,
    /// Those that are not sealed yet: to be looked at again.
    pub unsealed: Vec<Uuid>,
    /// Interactions they erase, wholly or some contents of: to be brought into line.
    pub groups: HashSet<u64>,
    /// Contents they erase.
    pub leaves: HashSet<u64>,
}

impl BookCopier {
    /// Brings tenants, credentials and values into line.
    pub async fn books(&self) -> Result<(), MoveError> {
        let mut writes = Vec::new();
        let known: HashSet<_> = self.to.tenants().await?.into_iter().collect();
        writes.extend(
            self.from
                .tenants()
                .await?
                .into_iter()
                .filter(|tenant| !known.contains(tenant))
                .map(|(id, name)| Write::InsertTenant(id, name)),
        );
        let known: HashMap<_, _> = self.to.credentials().await?.into_iter().map(|row| (row.id, row)).collect();
        for row in self.from.credentials().await? {
            match known.get(&row.id) {
                None => writes.push(Write::InsertCredential(row)),
                Some(there) => {
                    let revoked = row.revoked_at.filter(|_| there.revoked_at.is_none());
                    writes.extend(revoked.map(|at| Write::RevokeCredential(row.id, at)));
                }
            }
        }
        for name in VALUES {
            let (here, there) = (self.from.value(name).await?, self.to.value(name).await?);
            if here != there {
                writes.push(Write::PutValue((*name).to_owned(), here));
            }
        }
        if writes.is_empty() { Ok(()) } else { apply(&*self.to, writes).await }
    }

    /// Brings every directory block into line; how many there are.
    pub async fn directory(&self) -> Result<u64, MoveError> {
        let (mut from, mut count) = (0, 0);
        loop {
            let here = self.from.directory(from, BLOCKS).await?;
            // The last page reaches to the end of both.
            let last = if here.len() < BLOCKS { u64::MAX } else { here.last().map_or(u64::MAX, |row| row.block) };
            let mut there = Vec::new();
            let mut at = from;
            loop {
                let some = self.to.directory(at, BLOCKS).await?;
                let full = some.len() == BLOCKS;
                at = some.last().map_or(u64::MAX, |row| row.block.saturating_add(1));
                there.extend(some.into_iter().filter(|row| row.block <= last));
                if !full || at > last {
                    break;
                }
            }
            count += here.len() as u64;
            self.line_up(here, there).await?;
            if last == u64::MAX {
                return Ok(count);
            }
            from = last + 1;
        }
    }

    /// Brings these directory blocks into line.
    pub async fn blocks(&self, blocks: &[u64]) -> Result<(), MoveError> {
        for some in blocks.chunks(BLOCKS) {
            let (here, there) = (self.from.directory_blocks(some).await?, self.to.directory_blocks(some).await?);
            self.line_up(here, there).await?;
        }
        Ok(())
    }

    async fn line_up(&self, here: Vec<DirectoryRow>, there: Vec<DirectoryRow>) -> Result<(), MoveError> {
        let mut there: BTreeMap<u64, DirectoryRow> = there.into_iter().map(|row| (row.block, row)).collect();
        let mut writes = Vec::new();
        for row in here {
            let same = |known: DirectoryRow| {
                known.leaf == row.leaf && known.entries == row.entries && known.sealed == row.sealed
            };
            if !there.remove(&row.block).is_some_and(same) {
                writes.push(Write::PutDirectory(row));
            }
        }
        writes.extend(there.into_keys().map(Write::DeleteDirectory));
        if writes.is_empty() { Ok(()) } else { apply(&*self.to, writes).await }
    }

    /// Brings every erasure into line that is sealed.
    pub async fn purges(&self) -> Result<Settled, MoveError> {
        let mut settled = Settled::default();
        for (tenant, _) in self.from.tenants().await? {
            let mut before = None;
            loop {
                let here = self.from.purges(tenant, before, PURGES).await?;
                let Some(last) = here.last() else { break };
                // What is there is among what is here, so as many of there reach at least as far.
                let there = self.to.purges(tenant, before, PURGES).await?;
                before = Some((last.accepted_at, last.id));
                self.settle(here, there, &mut settled).await?;
            }
        }
        Ok(settled)
    }

    /// Brings these erasures into line as far as they are sealed, and says what they erase.
    pub async fn these_purges(&self, ids: &HashSet<Uuid>) -> Result<Settled, MoveError> {
        let mut settled = Settled::default();
        for id in ids {
            let (here, there) = (self.from.purge(*id).await?, self.to.purge(*id).await?);
            if let Some(row) = here.as_ref().filter(|row| row.state == PurgeState::Sealed) {
                settled.groups.extend(row.set.interactions.iter().map(|group| group.0));
                settled.leaves.extend(row.set.leaves.iter().map(|leaf| leaf.0));
            }
            self.settle(here.into_iter().collect(), there.into_iter().collect(), &mut settled).await?;
        }
        Ok(settled)
    }

    async fn settle(&self, here: Vec<PurgeRow>, there: Vec<PurgeRow>, settled: &mut Settled) -> Result<(), MoveError> {
        let there: HashMap<Uuid, PurgeRow> = there.into_iter().map(|row| (row.id, row)).collect();
        let (mut inserts, mut marks) = (Vec::new(), Vec::new());
        for row in here {
            if row.state != PurgeState::Sealed {
                settled.unsealed.push(row.id);
                continue;
            }
            settled.purges += 1;
            match there.get(&row.id) {
                None => inserts.push(Write::InsertPurge(row)),
                Some(known) => {
                    if known.retained_until != row.retained_until {
                        marks.extend(row.retained_until.map(|until| Write::RetainPurge(row.id, until)));
                    }
                    if known.removed_at.is_none() {
                        marks.extend(row.removed_at.map(|at| Write::RemovedPurge(row.id, at)));
                    }
                }
            }
        }
        for writes in [inserts, marks] {
            if !writes.is_empty() {
                apply(&*self.to, writes).await?;
            }
        }
        Ok(())
    }
}

/// Groups by number.
pub fn groups(numbers: impl IntoIterator<Item = u64>) -> Vec<Group> {
    let mut groups: Vec<u64> = numbers.into_iter().collect();
    groups.sort_unstable();
    groups.dedup();
    groups.into_iter().map(Group).collect()
}

/// Leaves by number.
pub fn leaves(numbers: impl IntoIterator<Item = u64>) -> Vec<Leaf> {
    numbers.into_iter().map(Leaf).collect()
}
