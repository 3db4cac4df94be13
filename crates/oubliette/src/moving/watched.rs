//! The rows of a vault that may be moved: who changes what is noted while somebody copies, and changes can be held off.
//!
//! Transactions are data (ADR 0001), so what one touches is read from it. While nobody copies, a transaction passes through
//! with a look at a flag.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use oubliette_core::ports::{
    Applied, BlobRef, Lease, Metadata, MetadataLayer, PortError, PortErrorKind, Transaction, Write,
};
use oubliette_core::service::{LOG_PLAN, LOG_TOLD, RESTORE_UNTOLD};
use tokio::sync::RwLock;
use uuid::Uuid;

/// What was touched since it was last asked. Numbers and ids only.
#[derive(Clone, Default)]
pub struct Touched {
    /// Interactions.
    pub groups: BTreeSet<u64>,
    /// Contents whose interaction the transaction did not name.
    pub leaves: BTreeSet<u64>,
    /// Directory blocks.
    pub blocks: BTreeSet<u64>,
    /// Erasures.
    pub purges: HashSet<Uuid>,
    /// Tenants, credentials or named values.
    pub books: bool,
}

impl Touched {
    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much it is.
    pub fn len(&self) -> usize {
        let rows = self.groups.len() + self.leaves.len() + self.blocks.len() + self.purges.len();
        rows + usize::from(self.books)
    }

    fn of(transaction: &Transaction) -> Self {
        let mut touched = Self::default();
        for write in &transaction.writes {
            match write {
                Write::InsertInteraction(row) | Write::UpdateInteraction(row) => {
                    touched.groups.insert(row.group.0);
                }
                Write::SetState(group, _) => {
                    touched.groups.insert(group.0);
                }
                Write::InsertContent(row) => {
                    touched.groups.insert(row.interaction.0);
                }
                Write::DeleteContents(leaves) => touched.leaves.extend(leaves.iter().map(|leaf| leaf.0)),
                Write::DeleteInteractions(groups) => touched.groups.extend(groups.iter().map(|group| group.0)),
                Write::PutDirectory(row) => {
                    touched.blocks.insert(row.block);
                }
                Write::DeleteDirectory(block) => {
                    touched.blocks.insert(*block);
                }
                Write::InsertPurge(row) => {
                    touched.purges.insert(row.id);
                }
                Write::PlanPurges(ids) | Write::SealPurges(ids, _, _) => touched.purges.extend(ids),
                Write::RemovedPurge(id, _) | Write::RetainPurge(id, _) | Write::LogRemoval(id, _) => {
                    touched.purges.insert(*id);
                }
                Write::CertifyPurge(certified) => {
                    touched.purges.insert(certified.id);
                }
                Write::InsertSeal(_)
                | Write::DeleteSeals(_)
                | Write::NoteArrivals(_)
                | Write::DeleteArrivals(_)
                | Write::InsertBatch(..)
                | Write::InsertCredential(_)
                | Write::RevokeCredential(..)
                | Write::InsertTenant(..)
                | Write::PutValue(..) => touched.books = true,
                Write::SetEpoch(_) => {}
            }
        }
        touched
    }

    fn add(&mut self, other: Self) {
        self.groups.extend(other.groups);
        self.leaves.extend(other.leaves);
        self.blocks.extend(other.blocks);
        self.purges.extend(other.purges);
        self.books |= other.books;
    }
}

/// Whether changes are let through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    Closed,
}

/// See the module.
pub struct Watched {
    inner: Arc<dyn Metadata>,
    gate: Arc<RwLock<Gate>>,
    watching: AtomicBool,
    touched: Arc<Mutex<Touched>>,
}

impl Watched {
    /// Around a store.
    pub fn new(inner: Arc<dyn Metadata>) -> Self {
        let gate = Arc::new(RwLock::new(Gate::Open));
        Self { inner, gate, watching: AtomicBool::new(false), touched: Arc::default() }
    }

    /// The store itself, past the gate: for who closed it.
    pub fn inner(&self) -> &Arc<dyn Metadata> {
        &self.inner
    }

    /// Notes from now on what is changed. What was handed in before is not noted: it is there as soon as a transaction that
    /// is applied after this call was answered.
    pub async fn watch(&self) {
        // Nobody stands between looking at the flag and handing in.
        let _nobody = self.gate.write().await;
        self.watching.store(true, Ordering::SeqCst);
    }

    /// Takes what was noted.
    pub fn take(&self) -> Touched {
        std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes something again.
    pub fn note(&self, touched: Touched) {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).add(touched);
    }

    /// How much is noted.
    pub fn noted(&self) -> usize {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Holds every change off, with *unavailable*, but for the marks that an erasure is sealed. When this returns nothing that
    /// was let through is under way any more.
    pub async fn close_gate(&self) {
        *self.gate.write().await = Gate::Closed;
    }

    /// Lets changes through again and notes nothing.
    pub async fn open_gate(&self) {
        self.watching.store(false, Ordering::SeqCst);
        *self.gate.write().await = Gate::Open;
        drop(self.take());
    }
}

/// A seal that was made is told also while changes are held off, and so is what the log tells of it: nobody decides anything
/// by that.
fn only_marks(transaction: &Transaction) -> bool {
    let mark = |write: &Write| match write {
        Write::SealPurges(..)
        | Write::SetEpoch(_)
        | Write::InsertSeal(_)
        | Write::DeleteSeals(_)
        | Write::DeleteArrivals(_)
        | Write::InsertBatch(..)
        | Write::CertifyPurge(_)
        | Write::LogRemoval(..) => true,
        Write::PutValue(name, _) => [LOG_TOLD, LOG_PLAN, RESTORE_UNTOLD].contains(&name.as_str()),
        _ => false,
    };
    transaction.checks.is_empty() && transaction.writes.iter().all(mark)
}

fn held_off() -> PortError {
    PortError::bare(PortErrorKind::Unavailable, "change a vault that is being moved")
}

/// The right to use keys of a vault whose data folder one process has, until it hands the vault over to another place.
#[derive(Default)]
pub struct UntilHandedOver(AtomicBool);

impl UntilHandedOver {
    /// From now on this process uses no key any more.
    pub fn hand_over(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Lease for UntilHandedOver {
    fn holds(&self) -> bool {
        !self.0.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl MetadataLayer for Watched {
    fn below(&self) -> &dyn Metadata {
        &*self.inner
    }

    async fn change(&self, transaction: Transaction) -> Result<Applied, PortError> {
        let gate = Arc::clone(&self.gate).read_owned().await;
        if *gate == Gate::Closed && !only_marks(&transaction) {
            return Err(held_off());
        }
        if !self.watching.load(Ordering::SeqCst) {
            return self.inner.apply(transaction).await;
        }
        let touched = Touched::of(&transaction);
        let (inner, all) = (Arc::clone(&self.inner), Arc::clone(&self.touched));
        // On its own: whoever waits may go away, and what is done all the same must be noted after it is done.
        let applied = tokio::spawn(async move {
            let applied = inner.apply(transaction).await;
            all.lock().unwrap_or_else(PoisonError::into_inner).add(touched);
            drop(gate);
            applied
        });
        applied.await.map_err(|error| PortError::new(PortErrorKind::Unknown, "apply a transaction", error))?
    }

    async fn switch(&self, from: &BlobRef, to: &BlobRef) -> Result<bool, PortError> {
        // Where the bytes lie here is nothing that is copied, so it is not noted.
        let gate = self.gate.read().await;
        if *gate == Gate::Closed { Err(held_off()) } else { self.inner.switch_blob(from, to).await }
    }
}
