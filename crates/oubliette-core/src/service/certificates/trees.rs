//! Trees over the receipts of seal entries: built once for all who ask at the same time, and kept for a while.
//!
//! Of a large order a tree takes seconds and a hundred bytes an item. So whoever asks while one is built waits for that one;
//! the building goes on when whoever asked first goes away; large ones are built one at a time; and what is kept is bounded by
//! bytes. Kept are hashes of salted commitments, and of the orders numbers and classes: nothing personal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use oubliette_proof::Hash;
use oubliette_proof::entry::{Body, Entry, SealEntry};
use oubliette_proof::receipt::ReceiptTree;
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use super::Drifted;
use crate::ports::{PortError, PortErrorKind};
use crate::proof::Manifest;
use crate::service::certify::Whole;
use crate::service::vault::Inner;
use crate::service::{Vault, VaultError};

/// A tree is made anew when it was not asked for this long.
pub(super) const KEEP: Duration = Duration::from_secs(30);
/// Bytes that are kept: two orders of a million items.
const KEPT: usize = 192 << 20;
/// Bytes of a tree for each receipt.
const RECEIPT: usize = 64;
/// Trees of more receipts are built one at a time.
const SMALL: u64 = 16_384;
/// Smaller ones are built so many at a time.
const AT_ONCE: usize = 16;
/// How long somebody waits for a tree.
const PATIENCE: Duration = Duration::from_secs(60);

/// The tree over the receipts of one seal entry, with the erasures they are of.
pub struct EntryTree {
    /// As rows know it.
    entry: u64,
    tree: ReceiptTree,
    erasures: HashMap<Uuid, Arc<Whole>>,
    size: usize,
}

impl EntryTree {
    fn new(entry: u64, tree: ReceiptTree, erasures: Vec<Whole>) -> Self {
        let receipts = usize::try_from(tree.head().size).unwrap_or(usize::MAX);
        let size = receipts.saturating_mul(RECEIPT) + erasures.iter().map(Whole::size).sum::<usize>();
        let erasures = erasures.into_iter().map(|whole| (whole.row.id, Arc::new(whole))).collect();
        Self { entry, tree, erasures, size }
    }

    /// The tree itself.
    pub fn tree(&self) -> &ReceiptTree {
        &self.tree
    }

    /// The path of a receipt.
    pub fn path(&self, index: u64) -> Option<Vec<Hash>> {
        self.tree.path(index)
    }

    /// An erasure that the entry tells of.
    pub fn erasure(&self, id: Uuid) -> Option<Arc<Whole>> {
        self.erasures.get(&id).cloned()
    }
}

/// What became of building a tree; `None` while it is built.
type Built = Option<Result<Arc<EntryTree>, Arc<VaultError>>>;

/// See the module.
pub struct Trees {
    state: Mutex<State>,
    small: Semaphore,
    large: Semaphore,
}

#[derive(Default)]
struct State {
    /// Those asked for last at the end.
    kept: Vec<(Instant, Arc<EntryTree>)>,
    built: HashMap<u64, watch::Receiver<Built>>,
}

/// Where a tree is to be had.
enum Where {
    Here(Arc<EntryTree>),
    /// Somebody builds it.
    Soon(watch::Receiver<Built>),
    /// Whoever asked builds it.
    Nowhere(Building, watch::Receiver<Built>),
}

/// The duty to build a tree. Whoever waits is told when it is dropped, too.
struct Building {
    inner: Arc<Inner>,
    entry: u64,
    done: watch::Sender<Built>,
}

impl Drop for Building {
    fn drop(&mut self) {
        self.inner.trees.lock().built.remove(&self.entry);
    }
}

impl Default for Trees {
    fn default() -> Self {
        Self { state: Mutex::default(), small: Semaphore::new(AT_ONCE), large: Semaphore::new(1) }
    }
}

impl Trees {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets trees go that nobody asked for lately.
    pub fn tidy(&self) {
        self.lock().tidy();
    }

    fn find(&self, inner: &Arc<Inner>, entry: u64) -> Where {
        let mut state = self.lock();
        state.tidy();
        if let Some(tree) = state.get(entry) {
            return Where::Here(tree);
        }
        if let Some(built) = state.built.get(&entry) {
            return Where::Soon(built.clone());
        }
        let (done, built) = watch::channel(None);
        state.built.insert(entry, built.clone());
        Where::Nowhere(Building { inner: Arc::clone(inner), entry, done }, built)
    }
}

impl State {
    fn tidy(&mut self) {
        self.kept.retain(|(at, _)| now().duration_since(*at) <= KEEP);
    }

    fn get(&mut self, entry: u64) -> Option<Arc<EntryTree>> {
        let at = self.kept.iter().position(|(_, tree)| tree.entry == entry)?;
        let (_, tree) = self.kept.remove(at);
        self.kept.push((now(), Arc::clone(&tree)));
        Some(tree)
    }

    /// Keeps a tree, and as many of the others as there is room for; one that is too large for itself is not kept.
    fn keep(&mut self, tree: &Arc<EntryTree>) {
        let mut size = tree.size;
        if size > KEPT {
            return;
        }
        let fits = |(_, other): &&(Instant, Arc<EntryTree>)| {
            size += other.size;
            size <= KEPT
        };
        let fitting = self.kept.iter().rev().take_while(fits).count();
        self.kept.drain(..self.kept.len() - fitting);
        self.kept.push((now(), Arc::clone(tree)));
    }
}

#[expect(clippy::disallowed_methods, reason = "measures a duration, not a date")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// What somebody else's question came to.
#[derive(Debug, thiserror::Error)]
#[error("building a tree of receipts failed for all who waited for it")]
struct Shared(#[source] Arc<VaultError>);

fn shared(error: &Arc<VaultError>) -> VaultError {
    let cause = Shared(Arc::clone(error));
    match **error {
        VaultError::Unavailable(_) => {
            VaultError::Unavailable(Some(PortError::new(PortErrorKind::Unavailable, "build a tree of receipts", cause)))
        }
        VaultError::Busy => VaultError::Busy,
        _ => VaultError::internal(cause),
    }
}

impl Vault {
    /// Lets go what is kept for certificates that are asked for soon, so that a measurement begins from nothing.
    pub fn forget_trees(&self) {
        self.inner.trees.lock().kept.clear();
        self.inner.batch_trees.forget();
    }
}

impl Inner {
    /// The tree of a seal entry, by the number that rows know it by.
    ///
    /// # Errors
    /// `NoReceipt` for one of a log before this one, `Busy` when too many others are built before it.
    pub(in crate::service) async fn tree_of(self: &Arc<Self>, entry: u64) -> Result<Arc<EntryTree>, VaultError> {
        let number = self.log.entry_in_rows(entry).ok_or(VaultError::NoReceipt)?;
        let mut built = match self.trees.find(self, entry) {
            Where::Here(tree) => return Ok(tree),
            Where::Soon(built) => built,
            Where::Nowhere(building, built) => {
                // On its own: whoever asked first may go away.
                tokio::spawn(building.build(number));
                built
            }
        };
        let done = tokio::time::timeout(PATIENCE, built.wait_for(Option::is_some)).await;
        let done = done.map_err(|_| VaultError::Busy)?.map_err(VaultError::internal)?;
        match &*done {
            Some(Ok(tree)) => Ok(Arc::clone(tree)),
            Some(Err(error)) => Err(shared(error)),
            None => Err(VaultError::Internal(None)),
        }
    }
}

impl Building {
    async fn build(self, number: u64) {
        let built = self.tree(number).await.map_err(Arc::new);
        if let Ok(tree) = &built {
            self.inner.trees.lock().keep(tree);
        }
        self.done.send_replace(Some(built));
    }

    async fn tree(&self, number: u64) -> Result<Arc<EntryTree>, VaultError> {
        let (inner, entry) = (&self.inner, self.entry);
        let log = Arc::clone(&inner.log);
        let bytes = tokio::task::spawn_blocking(move || log.entry(number)).await;
        let bytes = bytes.map_err(VaultError::internal)?.map_err(VaultError::internal)?;
        let Entry { body: Body::Seal(seal), .. } = Entry::decode(&bytes).map_err(VaultError::internal)? else {
            return Err(VaultError::internal(Drifted));
        };
        let turns = if seal.receipts > SMALL { &inner.trees.large } else { &inner.trees.small };
        let _turn = turns.acquire().await.map_err(VaultError::internal)?;
        // One receiver is kept for those still to come. Who comes just now is asked to come again.
        if self.done.receiver_count() <= 1 {
            return Err(VaultError::Busy);
        }
        let all = inner.erasures_in(entry).await?;
        let inner = Arc::clone(inner);
        let make = move || make(&inner, entry, &seal, all).map(Arc::new);
        tokio::task::spawn_blocking(make).await.map_err(VaultError::internal)?
    }
}

fn make(inner: &Inner, entry: u64, seal: &SealEntry, all: Vec<Whole>) -> Result<EntryTree, VaultError> {
    let count: u64 = all.iter().map(|whole| whole.manifest.receipts()).sum();
    if count != seal.receipts {
        return Err(VaultError::internal(Drifted));
    }
    let mut commitments = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    inner.commitments(&all, |commitment| commitments.push(*commitment))?;
    let tree = ReceiptTree::new(commitments);
    if tree.head().root != seal.receipts_root {
        return Err(VaultError::internal(Drifted));
    }
    Ok(EntryTree::new(entry, tree, all))
}

impl Inner {
    /// The erasures that an entry tells of, with their manifests.
    async fn erasures_in(&self, entry: u64) -> Result<Vec<Whole>, VaultError> {
        let port = |error| self.port(error);
        let rows = self.metadata.purges_in_entry(entry).await.map_err(port)?;
        let mut manifests: HashMap<Uuid, Vec<u8>> =
            self.metadata.manifests_in_entry(entry).await.map_err(port)?.into_iter().collect();
        let whole = |row: crate::ports::PurgeRow| {
            let manifest = manifests.remove(&row.id).and_then(|bytes| Manifest::decode(&bytes));
            Whole::new(row, manifest.ok_or_else(|| VaultError::internal(Drifted))?)
        };
        rows.into_iter().map(whole).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entry: u64, size: usize) -> Arc<EntryTree> {
        Arc::new(EntryTree { size, ..EntryTree::new(entry, ReceiptTree::new([]), Vec::new()) })
    }

    fn kept(state: &State) -> Vec<u64> {
        state.kept.iter().map(|(_, tree)| tree.entry).collect()
    }

    #[test]
    fn what_is_kept_is_bounded_by_bytes_and_what_was_asked_for_last_stays() {
        let mut state = State::default();
        for entry in 0..4 {
            state.keep(&tree(entry, KEPT / 4));
        }
        assert_eq!(kept(&state), [0, 1, 2, 3]);
        assert!(state.get(0).is_some() && state.get(9).is_none());
        state.keep(&tree(4, KEPT / 2));
        assert_eq!(kept(&state), [3, 0, 4]);
        state.keep(&tree(5, KEPT + 1));
        assert_eq!(kept(&state), [3, 0, 4], "what is too large for itself pushes nothing out");
        state.keep(&tree(6, KEPT));
        assert_eq!(kept(&state), [6]);
    }
}
