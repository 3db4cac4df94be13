//! Everything that is no interaction: directory blocks, erasures, tenants, credentials, named values.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use keyforest::{Group, Leaf};
use oubliette_core::ports::{Certified, DirectoryRow, Metadata, PortError, PortErrorKind, PurgeRow, PurgeState, Write};
use oubliette_core::proof::{Manifest, batch_places, purge_places, read_arrivals};
use oubliette_core::service::{LOG_PLAN, LOG_TOLD, RESTORE_UNTOLD, TransparencyLog, has_noted_all};
use uuid::Uuid;

use super::MoveError;
use super::rows::apply;

/// Directory blocks looked at together.
const BLOCKS: usize = 256;
/// Erasures looked at together: each may name many leaves.
const PURGES: usize = 200;
/// Named values of the program that go along. What the log is to be told next (`LOG_PLAN`) does not: arrivals have other numbers
/// there.
const VALUES: &[&str] = &[crate::demo::LOADS, LOG_TOLD];
/// Ingest batches looked at together: each may have half a megabyte.
const BATCHES: usize = 32;
/// How long the metadata may take to note what the log took, and how often that is looked at.
pub const NOTED_WITHIN: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Seals and commits whose rows wait for the log, at most: it is told every minute.
const WAITING: usize = 100_000;

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
        if !writes.is_empty() {
            apply(&*self.to, writes).await?;
        }
        self.batches().await?;
        self.waiting().await
    }

    /// Copies ingest batches of the log that are not there yet; none of them ever changes.
    async fn batches(&self) -> Result<(), MoveError> {
        let mut from = 0;
        loop {
            let there = self.to.batches(from, BATCHES).await?;
            from = there.last().map_or(from, |batch| batch.entry + 1);
            if there.len() < BATCHES {
                break;
            }
        }
        loop {
            let here = self.from.batches(from, BATCHES).await?;
            let Some(last) = here.last().map(|batch| batch.entry) else { return Ok(()) };
            from = last + 1;
            let mut writes = Vec::with_capacity(here.len());
            for batch in here {
                let items = read_arrivals(&batch.items).ok_or_else(|| unreadable("read an ingest batch"))?;
                writes.push(Write::InsertBatch(batch, batch_places(&items)));
            }
            apply(&*self.to, writes).await?;
        }
    }

    /// Makes what waits for the log there what it is here.
    async fn waiting(&self) -> Result<(), MoveError> {
        let (here, there) = (self.from.seals(WAITING).await?, self.to.seals(WAITING).await?);
        let mut writes = Vec::new();
        if here != there {
            writes.extend(there.last().map(|seal| Write::DeleteSeals(seal.epoch)));
            writes.extend(here.into_iter().map(Write::InsertSeal));
        }
        let (here, there) = (self.from.arrivals(WAITING).await?, self.to.arrivals(WAITING).await?);
        let items = |rows: &[oubliette_core::ports::ArrivalRow]| {
            rows.iter().flat_map(|row| row.items.iter().copied()).collect::<Vec<u8>>()
        };
        let arrived = items(&here);
        if arrived != items(&there) {
            writes.push(Write::DeleteArrivals(there.iter().map(|row| row.serial).collect()));
            writes.push(Write::NoteArrivals(arrived));
        }
        if writes.is_empty() { Ok(()) } else { apply(&*self.to, writes).await }
    }

    /// Whether everything that was erased here has its certificate, and nothing is on its way into the log.
    pub async fn is_certified(&self) -> Result<bool, MoveError> {
        Ok(self.from.uncertified_purges(u64::MAX, 1).await?.is_empty()
            && self.from.seals(1).await?.is_empty()
            && self.from.value(RESTORE_UNTOLD).await?.is_none()
            && self.from.value(LOG_PLAN).await?.is_none())
    }

    /// The log takes nothing more: what it took last is noted in a moment. What it did not take stays to be told, there.
    ///
    /// # Errors
    /// [`MoveError::Unnoted`] when it is not: beside that log the new rows would be taken for an older copy.
    pub async fn wait_for_notes(&self, log: &TransparencyLog) -> Result<(), MoveError> {
        let waited = async {
            while !has_noted_all(&*self.from, log).await.map_err(MoveError::Log)? {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Ok(())
        };
        tokio::time::timeout(NOTED_WITHIN, waited).await.unwrap_or(Err(MoveError::Unnoted))
    }

    /// Whether the new rows know what this log tells of, as a vault's rows must when it is opened.
    pub async fn fits(&self, log: &TransparencyLog) -> Result<bool, MoveError> {
        has_noted_all(&*self.to, log).await.map_err(MoveError::Log)
    }

    /// An erasure's place in the log with all that belongs to it.
    async fn certified(&self, row: &PurgeRow) -> Result<Option<Write>, MoveError> {
        let Some(place) = row.place else { return Ok(None) };
        let bytes = self.from.manifest(row.id).await?.ok_or_else(|| unreadable("read a manifest"))?;
        let manifest = Manifest::decode(&bytes).ok_or_else(|| unreadable("read a manifest"))?;
        let found_at = purge_places(&row.set, &manifest);
        Ok(Some(Write::CertifyPurge(Box::new(Certified { id: row.id, place, manifest: bytes, found_at }))))
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
        let (mut inserts, mut marks, mut late) = (Vec::new(), Vec::new(), Vec::new());
        for row in here {
            if row.state != PurgeState::Sealed {
                settled.unsealed.push(row.id);
                continue;
            }
            settled.purges += 1;
            let known = there.get(&row.id);
            if known.is_none_or(|known| known.place.is_none()) {
                late.extend(self.certified(&row).await?);
            }
            if known.is_none_or(|known| known.removal.is_none()) {
                late.extend(row.removal.map(|place| Write::LogRemoval(row.id, place)));
            }
            match known {
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
        for writes in [inserts, marks, late] {
            if !writes.is_empty() {
                apply(&*self.to, writes).await?;
            }
        }
        Ok(())
    }
}

fn unreadable(operation: &'static str) -> MoveError {
    PortError::bare(PortErrorKind::Corrupt, operation).into()
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
