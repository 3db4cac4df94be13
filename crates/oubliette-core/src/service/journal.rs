//! What the journal in the key state says of an erasure: enough to do it again over an older database.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use keyforest::{Forest, Group, LeafStatus, SealError};
use uuid::Uuid;

use super::VaultError;
use super::shared::Shared;
use crate::model::TenantId;
use crate::ports::{PurgeRow, PurgeSet};

const VERSION: u8 = 2;

/// Without what is to be stated; still read.
const UNSTATED: u8 = 1;

/// One accepted erasure. Leaf numbers, counts and ids only: nothing personal.
pub struct Record {
    /// Its id.
    pub id: Uuid,
    /// Its tenant.
    pub tenant: TenantId,
    /// The credential that ordered it.
    pub credential: Option<Uuid>,
    /// Interactions erased wholly.
    pub interactions: u64,
    /// Contents erased.
    pub contents: u64,
    /// When it was accepted.
    pub at: Timestamp,
    /// What it covers.
    pub set: Arc<PurgeSet>,
    /// What the log is to state of it beyond the counts.
    pub stated: Vec<u8>,
}

impl Record {
    /// What is said of an erasure whose row is there; `None` of upkeep, which is nobody's.
    pub fn of(row: PurgeRow) -> Option<Self> {
        Some(Self {
            id: row.id,
            tenant: row.tenant?,
            credential: row.credential,
            interactions: row.interactions,
            contents: row.contents,
            at: row.accepted_at,
            set: Arc::new(row.set),
            stated: row.stated,
        })
    }

    /// Version (2) ‖ id 16 ‖ tenant u32 ‖ credential 16 (nil for none) ‖ interactions u64 ‖ contents u64 ‖ time u64 (µs) ‖
    /// length u32 of what is stated ‖ what is stated ‖ set. (Version 1 has nothing between time and set.)
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(&self.tenant.0.to_be_bytes());
        out.extend_from_slice(self.credential.unwrap_or(Uuid::nil()).as_bytes());
        out.extend_from_slice(&self.interactions.to_be_bytes());
        out.extend_from_slice(&self.contents.to_be_bytes());
        out.extend_from_slice(&self.at.as_microsecond().to_be_bytes());
        out.extend_from_slice(&(self.stated.len() as u32).to_be_bytes());
        out.extend_from_slice(&self.stated);
        out.extend_from_slice(&self.set.encode());
        out
    }

    /// Reads what [`Record::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(61)?;
        let number = |from: usize, to: usize| head[from..to].iter().fold(0_u64, |v, byte| (v << 8) | u64::from(*byte));
        let (stated, set) = match head[0] {
            VERSION => {
                let (length, rest) = rest.split_first_chunk::<4>()?;
                rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?
            }
            UNSTATED => (&[][..], rest),
            _ => return None,
        };
        let credential = Uuid::from_slice(&head[21..37]).ok()?;
        Some(Self {
            id: Uuid::from_slice(&head[1..17]).ok()?,
            tenant: TenantId(number(17, 21) as u32),
            credential: (!credential.is_nil()).then_some(credential),
            interactions: number(37, 45),
            contents: number(45, 53),
            at: Timestamp::from_microsecond(number(53, 61) as i64).ok()?,
            set: Arc::new(PurgeSet::decode(set)?),
            stated: stated.to_vec(),
        })
    }
}

/// The records that may still be needed, by position. Reads the medium.
pub async fn records(forest: &Arc<Forest>) -> Result<Vec<(u64, Record)>, VaultError> {
    let forest = Arc::clone(forest);
    let records = tokio::task::spawn_blocking(move || forest.journal()).await.map_err(VaultError::internal)?;
    let records = records.map_err(VaultError::internal)?.into_iter().map(|(position, bytes)| {
        let record = Record::decode(&bytes);
        record.map(|record| (position, record)).ok_or_else(|| VaultError::internal(Unreadable { position }))
    });
    records.collect()
}

#[derive(Debug, thiserror::Error)]
#[error("journal record {position} is unreadable")]
struct Unreadable {
    position: u64,
}

/// Which records are still needed: those of erasures that are not sealed.
#[derive(Default)]
pub struct Journaled(Mutex<Needed>);

#[derive(Default)]
struct Needed {
    /// Erasures by the positions of their records.
    records: BTreeMap<u64, Uuid>,
    newest: u64,
    /// Records being written, by the newest position that was known when they were begun: theirs are higher.
    behind: BTreeMap<u64, usize>,
}

impl Journaled {
    /// Remembers a record until its erasure is sealed.
    pub fn note(&self, position: u64, id: Uuid) {
        let mut needed = self.needed();
        needed.records.insert(position, id);
        needed.newest = needed.newest.max(position);
    }

    /// Writes a record with `append`, which gives its position, and remembers it. From before it is written no seal of another
    /// erasure says that it is no longer needed.
    ///
    /// # Errors
    /// Those of `append`.
    pub fn write<E>(&self, id: Uuid, append: impl FnOnce() -> Result<u64, E>) -> Result<(), E> {
        let behind = {
            let mut needed = self.needed();
            let behind = needed.newest;
            *needed.behind.entry(behind).or_default() += 1;
            behind
        };
        let appended = append();
        let mut needed = self.needed();
        if let Some(writing) = needed.behind.get_mut(&behind) {
            *writing -= 1;
            if *writing == 0 {
                needed.behind.remove(&behind);
            }
        }
        let position = appended?;
        needed.records.insert(position, id);
        needed.newest = needed.newest.max(position);
        Ok(())
    }

    /// Forgets a record whose erasure will be sealed before anything is served.
    pub fn forget(&self, position: u64) {
        self.needed().records.remove(&position);
    }

    /// Whether the journal has this erasure.
    pub fn has(&self, id: Uuid) -> bool {
        self.needed().records.values().any(|of| *of == id)
    }

    /// Forgets the records of an erasure: it is sealed.
    pub fn forget_of(&self, id: Uuid) {
        self.needed().records.retain(|_, of| *of != id);
    }

    /// Up to where records are no longer needed: before the oldest one whose erasure is not sealed, or that is being written.
    pub fn done(&self) -> Option<u64> {
        let needed = self.needed();
        let noted = needed.records.keys().next().map(|oldest| oldest.saturating_sub(1));
        let behind = needed.behind.keys().next().copied();
        let done = noted.into_iter().chain(behind).min().unwrap_or(needed.newest);
        (done > 0).then_some(done)
    }

    fn needed(&self) -> MutexGuard<'_, Needed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Writes the record of an erasure that is not sealed; durable on return. Waits for the disk.
    ///
    /// # Errors
    /// `Unavailable` when it was not written.
    pub fn journal(&self, record: &Record) -> Result<(), VaultError> {
        let bytes = record.encode();
        let written = self.journaled.write(record.id, || self.forest.journal_append(&bytes));
        if let Err(error) = written {
            if matches!(error, SealError::Unknown(_)) {
                self.poison();
            }
            tracing::error!(error = &error as &dyn std::error::Error, "the purge journal could not be written");
            return Err(VaultError::Unavailable(None));
        }
        if self.awaiting(record.id).is_none() && self.is_punctured(&record.set) {
            // Sealed meanwhile, and looked for before it was noted.
            self.journaled.forget_of(record.id);
        }
        Ok(())
    }

    /// Whether an erasure is in force: its leaves are punctured all at once, so one tells of all. It is not when that cannot be
    /// told. May read a page: blocks.
    pub fn is_punctured(&self, set: &PurgeSet) -> bool {
        let first = set.interactions.iter().next().map(|group| Group(group.0).leaf(0));
        let first = first.or_else(|| set.leaves.iter().next());
        first.is_some_and(|leaf| matches!(self.forest.status(leaf), Ok(LeafStatus::Punctured)))
    }
}

#[cfg(test)]
mod tests {
    use keyforest::Leaf;

    use super::*;

    #[test]
    fn a_record_survives_its_encoding() {
        let record = Record {
            id: Uuid::new_v4(),
            tenant: TenantId(3),
            credential: None,
            interactions: 2,
            contents: 9,
            at: Timestamp::UNIX_EPOCH,
            set: Arc::new(PurgeSet {
                interactions: [Leaf(4), Leaf(9)].into_iter().collect(),
                groups: [Leaf(11)].into_iter().collect(),
                leaves: [Leaf(1_000)].into_iter().collect(),
            }),
            stated: vec![7; 90],
        };
        let bytes = record.encode();
        let again = Record::decode(&bytes).unwrap();
        assert_eq!((again.id, again.tenant, again.credential, again.contents), (record.id, TenantId(3), None, 9));
        assert_eq!((&*again.set, &again.stated), (&*record.set, &record.stated));
        for length in 0..bytes.len() {
            assert!(Record::decode(&bytes[..length]).is_none());
        }
        let mut first = bytes[..61].to_vec();
        first[0] = 1;
        first.extend_from_slice(&record.set.encode());
        let again = Record::decode(&first).unwrap();
        assert_eq!((*again.set == *record.set, again.stated.is_empty()), (true, true));
    }

    #[test]
    fn no_record_is_done_with_that_is_still_being_written() {
        let (journaled, [one, two, three]) = (Journaled::default(), [1, 2, 3].map(Uuid::from_u128));
        assert_eq!(journaled.done(), None);
        journaled.write(one, || Ok::<_, ()>(1)).unwrap();
        journaled.forget_of(one);
        assert_eq!(journaled.done(), Some(1));
        // Written at the same time; the later one is noted first, and sealed.
        let later = || {
            journaled.write(three, || Ok::<_, ()>(3)).unwrap();
            assert_eq!(journaled.done(), Some(1));
            journaled.forget_of(three);
            assert_eq!(journaled.done(), Some(1));
            Ok::<_, ()>(2)
        };
        journaled.write(two, later).unwrap();
        assert_eq!((journaled.done(), journaled.has(two)), (Some(1), true));
        journaled.forget_of(two);
        assert_eq!(journaled.done(), Some(3));
        // One that is not written holds nothing back.
        assert!(journaled.write(two, || Err(())).is_err());
        assert_eq!((journaled.done(), journaled.has(two)), (Some(3), false));
    }
}
