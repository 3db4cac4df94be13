//! Seals on their way to the metadata: taken along by the committer's transactions, or noted by themselves a moment later.
//!
//! A seal leaves the list when the transaction that notes it is durable, so none is lost with one that comes to nothing. One at
//! a time notes all there are: they reach the metadata in the order in which they were made, and the log is told of them in
//! that order.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use uuid::Uuid;

use super::shared::Shared;
use crate::ports::{SealRow, Write};
use crate::proof::SealFacts;

/// A seal that the metadata has not heard of yet.
pub struct Unmarked {
    /// The erasures it sealed; none of a seal that only adds keys or secrets.
    pub ids: Vec<Uuid>,
    /// Its epoch.
    pub epoch: u64,
    /// When.
    pub at: Timestamp,
    /// What the log is to tell of it.
    pub facts: SealFacts,
}

impl Unmarked {
    /// What tells the metadata; `told` when the log is to hear of it.
    pub fn writes(&self, told: bool) -> Vec<Write> {
        let mut writes = Vec::with_capacity(3);
        if !self.ids.is_empty() {
            writes.push(Write::SealPurges(self.ids.clone(), self.epoch, self.at));
        }
        if told {
            writes.push(Write::InsertSeal(SealRow { epoch: self.epoch, at: self.at, facts: self.facts.encode() }));
        }
        writes.push(Write::SetEpoch(self.epoch));
        writes
    }
}

/// Seals that the metadata has not heard of yet, oldest first.
#[derive(Default)]
pub struct Unnoted {
    seals: Mutex<Vec<Unmarked>>,
    /// Held by who notes them.
    turn: tokio::sync::Mutex<()>,
}

impl Unnoted {
    /// Takes in a seal that was made.
    pub fn push(&self, seal: Unmarked) {
        self.seals().push(seal);
    }

    /// Time and epoch of the seal of an erasure, if it is one of these.
    pub fn seal_of(&self, erasure: Uuid) -> Option<(Timestamp, u64)> {
        self.seals().iter().find(|seal| seal.ids.contains(&erasure)).map(|seal| (seal.at, seal.epoch))
    }

    fn seals(&self) -> MutexGuard<'_, Vec<Unmarked>> {
        self.seals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to note all seals there were when it was taken.
pub struct Noting<'a> {
    shared: &'a Shared,
    count: usize,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl Shared {
    /// Takes the right to note seals, once nobody else has it.
    pub async fn note(&self) -> Noting<'_> {
        let turn = self.unmarked.turn.lock().await;
        Noting { shared: self, count: self.unmarked.seals().len(), _turn: turn }
    }

    /// The same for who does not wait; `None` while somebody else is at it.
    pub fn try_note(&self) -> Option<Noting<'_>> {
        let turn = self.unmarked.turn.try_lock().ok()?;
        Some(Noting { shared: self, count: self.unmarked.seals().len(), _turn: turn })
    }
}

impl Noting<'_> {
    /// What notes them; `told` when the log is to hear of them. May be applied twice.
    pub fn writes(&self, told: bool) -> Vec<Write> {
        self.shared.unmarked.seals()[..self.count].iter().flat_map(|seal| seal.writes(told)).collect()
    }

    /// The transaction with [`Noting::writes`] is durable.
    pub fn done(mut self) {
        self.shared.unmarked.seals().drain(..std::mem::take(&mut self.count));
    }
}

impl Drop for Noting<'_> {
    fn drop(&mut self) {
        if self.count > 0 {
            self.shared.sealed.notify_one();
        }
    }
}
