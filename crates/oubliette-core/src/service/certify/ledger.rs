//! What the log holds of the certifier's entries, and how far the metadata knows of them.

use std::collections::HashMap;
use std::sync::Arc;

use oubliette_proof::Hash;
use oubliette_proof::entry::{Body, Entry};
use serde::{Deserialize, Serialize};

use crate::ports::{Metadata, Write};
use crate::service::VaultError;
use crate::service::vault::Inner;

/// Named value: how far the log is accounted for.
pub const LOG_TOLD: &str = "log.told";

/// A value this module wrote cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the metadata's word of how far the log is accounted for cannot be read")]
struct Unreadable;

/// How far the log is accounted for. Stored as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Entries up to this number (as rows know them) are.
    size: u64,
    /// Epoch and state hash that the last seal entry ended with.
    state: Option<(u64, Hash)>,
    /// After the last entry over arrivals or removals that is noted: nothing before it is news. Seals before it may still be to
    /// be noted. `None` in rows of before this was kept.
    #[serde(default)]
    batches: Option<u64>,
}

impl Told {
    /// What these rows know.
    async fn read(metadata: &dyn Metadata) -> Result<Self, VaultError> {
        let value = metadata.value(LOG_TOLD).await.map_err(|error| VaultError::Unavailable(Some(error)))?;
        match value {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|_| VaultError::internal(Unreadable)),
            None => Ok(Self { batches: Some(0), ..Self::default() }),
        }
    }
}

/// Where in the log there is nothing any more over arrivals and removals that these rows noted, as rows number entries. `None`
/// when they do not say.
pub async fn batches_noted(metadata: &dyn Metadata) -> Result<Option<u64>, VaultError> {
    let told = Told::read(metadata).await?;
    Ok(told.batches.map(|batches| batches.max(told.size)))
}

/// What an entry is recognised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// A seal: its last epoch and the root over its receipts.
    Seal(u64, Hash),
    /// An ingest batch: the root.
    Ingest(Hash),
    /// Removals: the root.
    Removal(Hash),
}

impl Mark {
    /// That of an entry; `None` for those that others write.
    pub fn of(body: &Body) -> Option<Self> {
        match body {
            Body::Seal(seal) => Some(Self::Seal(seal.epochs[1], seal.receipts_root)),
            Body::Ingest(batch) => Some(Self::Ingest(batch.root)),
            Body::Removal(batch) => Some(Self::Removal(batch.root)),
            _ => None,
        }
    }

    /// Whether it is of a seal before this epoch.
    fn is_before(&self, epoch: u64) -> bool {
        matches!(self, Self::Seal(own, _) if *own < epoch)
    }

    /// Whether its entry may still be noted once something was that left it out: seals are noted in order, and what came in
    /// and what was removed with what was settled together. What is left then (after a restore: all that the copy knows
    /// nothing of) is noted by nobody.
    fn may_be_noted(&self, told: Option<(u64, Hash)>) -> bool {
        matches!(self, Self::Seal(own, _) if told.is_none_or(|(epoch, _)| *own > epoch))
    }
}

/// See the module.
pub struct Ledger {
    told: Told,
    /// In the log, but not noted.
    open: HashMap<Mark, Open>,
}

/// An entry that is not noted.
struct Open {
    /// That rows are to know it by.
    number: u64,
    /// The state that a seal entry ends with.
    state: Option<(u64, Hash)>,
    /// Receipts of a seal.
    receipts: u64,
}

impl Open {
    fn new(number: u64, body: &Body) -> Self {
        match body {
            Body::Seal(seal) => Self { number, state: Some((seal.epochs[1], seal.states[1])), receipts: seal.receipts },
            _ => Self { number, state: None, receipts: 0 },
        }
    }
}

impl Ledger {
    /// Reads how far the metadata knows of the log, and the entries beyond that.
    pub async fn read(inner: &Inner) -> Result<Self, VaultError> {
        let told = Told::read(&*inner.metadata).await?;
        let log = Arc::clone(&inner.log);
        // Of another log nothing is told yet.
        let from = log.entry_in_rows(told.size).unwrap_or(0);
        let read = move || {
            let mut open = HashMap::new();
            for tile in log.tiles_from(from) {
                let (first, entries) = tile?;
                for (bytes, number) in entries.iter().zip(first..) {
                    // Entries of a newer program are none of ours.
                    let Ok(Entry { body, .. }) = Entry::decode(bytes) else { continue };
                    open.extend(Mark::of(&body).map(|mark| (mark, Open::new(log.number_in_rows(number), &body))));
                }
            }
            Ok::<_, crate::service::log::LogError>(open)
        };
        let open = tokio::task::spawn_blocking(read).await.map_err(VaultError::internal)?;
        Ok(Self { told, open: open.map_err(VaultError::internal)? })
    }

    fn states(&self) -> impl Iterator<Item = (u64, Hash)> {
        self.open.values().filter_map(|open| open.state).chain(self.told.state)
    }

    /// The state that the last seal entry before this epoch ended with: one of this epoch begins there.
    pub fn state_before(&self, epoch: u64) -> Option<(u64, Hash)> {
        self.states().filter(|(known, _)| *known < epoch).max_by_key(|(known, _)| *known)
    }

    /// Whether the log tells of this epoch or a later one.
    pub fn is_past(&self, epoch: u64) -> bool {
        self.states().any(|(known, _)| known >= epoch)
    }

    /// The number, as rows know it, of an entry that is in the log already.
    pub fn number(&self, body: &Body) -> Option<u64> {
        self.open.get(&Mark::of(body)?).map(|open| open.number)
    }

    /// Whether there is an entry of an earlier seal, not noted, that has so many receipts.
    pub fn has_before(&self, epoch: u64, receipts: u64) -> bool {
        let of_seal = |mark: &Mark, open: &Open| matches!(mark, Mark::Seal(..)) && open.receipts == receipts;
        self.open.iter().any(|(mark, open)| of_seal(mark, open) && mark.is_before(epoch))
    }

    /// The number of an entry of an earlier seal that has these receipts.
    pub fn before(&self, epoch: u64, receipts: Hash) -> Option<u64> {
        let found = self.open.iter().find(|(mark, _)| match mark {
            Mark::Seal(_, root) => *root == receipts && mark.is_before(epoch),
            _ => false,
        });
        found.map(|(_, open)| open.number)
    }

    /// Takes in what was appended, with the number that rows are to know it by.
    pub fn appended(&mut self, body: &Body, number: u64) {
        self.open.extend(Mark::of(body).map(|mark| (mark, Open::new(number, body))));
    }

    /// How far the log is accounted for once these entries are noted.
    fn told(&self, noted: &[Mark]) -> Told {
        let states = noted.iter().filter_map(|mark| self.open.get(mark)).filter_map(|open| open.state);
        let state = states.chain(self.told.state).max_by_key(|(epoch, _)| *epoch);
        let open = self.open.iter().filter(|(mark, _)| !noted.contains(mark) && mark.may_be_noted(state));
        let left = open.map(|(_, open)| open.number).min();
        let last = noted.iter().filter_map(|mark| self.open.get(mark)).map(|open| open.number + 1).max();
        let batches =
            noted.iter().filter(|mark| !matches!(mark, Mark::Seal(..))).filter_map(|mark| self.open.get(mark));
        let batches = batches.map(|open| open.number + 1).chain(self.told.batches).max();
        Told { size: left.or(last).unwrap_or(0).max(self.told.size), state, batches }
    }

    /// What notes these entries.
    pub fn note(&self, noted: &[Mark]) -> Write {
        let told = self.told(noted);
        Write::PutValue(LOG_TOLD.to_owned(), Some(serde_json::to_vec(&told).unwrap_or_default()))
    }

    /// The transaction with [`Ledger::note`] is durable.
    pub fn noted(&mut self, noted: &[Mark]) {
        self.told = self.told(noted);
        let state = self.told.state;
        self.open.retain(|mark, _| !noted.contains(mark) && mark.may_be_noted(state));
    }
}
