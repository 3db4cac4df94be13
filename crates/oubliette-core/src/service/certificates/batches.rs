//! Trees over the receipts of ingest batches that were asked for lately.
//!
//! A batch has some ten thousand receipts, and whoever asks for certificates one after the other or at once mostly asks for what
//! came in together. Kept are hashes of salted commitments, about a megabyte each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use oubliette_proof::receipt::ReceiptTree;

use super::trees::{KEEP, now};

/// So many are kept.
const KEPT: usize = 32;

/// A tree that is there, or is built by who holds the lock.
type Slot = Mutex<Option<Arc<ReceiptTree>>>;

/// See the module.
#[derive(Default)]
pub struct BatchTrees(Mutex<Vec<Kept>>);

struct Kept {
    at: Instant,
    entry: u64,
    slot: Arc<Slot>,
}

impl BatchTrees {
    /// The tree of a batch; when it is not there the first who asks makes it, and others wait. Blocks.
    pub(super) fn get<E>(
        &self,
        entry: u64,
        make: impl FnOnce() -> Result<ReceiptTree, E>,
    ) -> Result<Arc<ReceiptTree>, E> {
        let slot = self.slot(entry);
        let mut there = lock(&slot);
        if let Some(tree) = &*there {
            return Ok(Arc::clone(tree));
        }
        let made = Arc::new(make()?);
        *there = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Lets trees go that nobody asked for lately.
    pub fn tidy(&self) {
        lock(&self.0).retain(|kept| now().duration_since(kept.at) <= KEEP);
    }

    pub(super) fn forget(&self) {
        lock(&self.0).clear();
    }

    fn slot(&self, entry: u64) -> Arc<Slot> {
        let mut all = lock(&self.0);
        let slot = match all.iter().position(|kept| kept.entry == entry) {
            Some(at) => all.remove(at).slot,
            None => Arc::default(),
        };
        if all.len() == KEPT {
            // The one that was asked for longest ago.
            all.remove(0);
        }
        all.push(Kept { at: now(), entry, slot: Arc::clone(&slot) });
        slot
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_asks_at_once_waits_for_one_tree_and_old_ones_are_let_go() {
        let (trees, made) = (BatchTrees::default(), AtomicUsize::new(0));
        let ask = |entry| {
            let tree = trees.get(entry, || {
                std::thread::sleep(Duration::from_millis(20));
                made.fetch_add(1, Ordering::Relaxed);
                Ok::<_, ()>(ReceiptTree::new([]))
            });
            tree.unwrap();
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| ask(7));
            }
        });
        assert_eq!(made.load(Ordering::Relaxed), 1);
        assert_eq!(trees.get(8, || Err("no")).err(), Some("no"));
        for entry in 0..KEPT as u64 {
            trees.get(100 + entry, || Ok::<_, ()>(ReceiptTree::new([]))).unwrap();
        }
        assert_eq!(trees.0.lock().unwrap().len(), KEPT);
        ask(7);
        assert_eq!(made.load(Ordering::Relaxed), 2, "it was asked for longest ago");
    }
}
