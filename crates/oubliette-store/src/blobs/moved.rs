//! Where compaction moved blobs: for readers and removals that still hold the old reference.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Moves remembered; older ones are forgotten. A reader that still holds an older reference fails and reads its row again.
const MOVES: usize = 1 << 18;

/// Old places and the new ones, in memory.
pub(super) struct Moved<P>(Mutex<Moves<P>>);

struct Moves<P> {
    to: HashMap<P, P>,
    order: VecDeque<P>,
}

impl<P> Default for Moved<P> {
    fn default() -> Self {
        Self(Mutex::new(Moves { to: HashMap::new(), order: VecDeque::new() }))
    }
}

impl<P: Copy + Eq + Hash> Moved<P> {
    fn lock(&self) -> MutexGuard<'_, Moves<P>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a move.
    pub(super) fn insert(&self, from: P, to: P) {
        let mut moves = self.lock();
        if moves.to.insert(from, to).is_none() {
            moves.order.push_back(from);
        }
        if moves.order.len() > MOVES
            && let Some(oldest) = moves.order.pop_front()
        {
            moves.to.remove(&oldest);
        }
    }

    /// The move did not happen after all.
    pub(super) fn forget(&self, from: P) {
        let mut moves = self.lock();
        moves.to.remove(&from);
        moves.order.retain(|other| *other != from);
    }

    /// Where it lies now, if it was moved.
    pub(super) fn follow(&self, from: P) -> Option<P> {
        let moves = self.lock();
        let mut at = *moves.to.get(&from)?;
        while let Some(next) = moves.to.get(&at) {
            at = *next;
        }
        Some(at)
    }
}
