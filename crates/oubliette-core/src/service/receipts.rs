//! All receipts of an order, and the trees that their paths are taken from.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use oubliette_proof::Hash;
use oubliette_proof::certificate::write_bulk_item;
use oubliette_proof::entry::{Body, Entry};
use oubliette_proof::receipt::{ReceiptTree, SubjectKind};
use uuid::Uuid;

use super::certificates::Drifted;
use super::certify::Whole;
use super::vault::Inner;
use super::{Vault, VaultError};
use crate::ids::IdCipherError;
use crate::model::Actor;
use crate::ports::ReceiptPlace;
use crate::proof::Receipts;

/// A tree is made anew when it was not asked for this long.
const KEEP: Duration = Duration::from_secs(30);
/// Bytes of one piece of a bulk file.
const PIECE: usize = 1 << 20;
/// Pieces made ahead of the reader.
const AHEAD: usize = 4;

/// The tree over the receipts of one seal entry.
pub struct EntryTree {
    /// As rows know it.
    entry: u64,
    tree: ReceiptTree,
}

impl EntryTree {
    /// The path of a receipt.
    pub fn path(&self, index: u64) -> Option<Vec<Hash>> {
        self.tree.path(index)
    }
}

/// The tree that was asked for last: whoever fetches a certificate fetches the receipts next.
#[derive(Default)]
pub struct Recent(Mutex<Option<(Instant, Arc<EntryTree>)>>);

impl Recent {
    fn get(&self, entry: u64) -> Option<Arc<EntryTree>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take_if(|(at, _)| now().duration_since(*at) > KEEP);
        let (at, tree) = kept.as_mut()?;
        (tree.entry == entry).then(|| {
            *at = now();
            Arc::clone(tree)
        })
    }

    fn put(&self, tree: &Arc<EntryTree>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now(), Arc::clone(tree)));
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Lets a tree go that nobody asked for lately.
    pub fn tidy(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take_if(|(at, _)| now().duration_since(*at) > KEEP);
    }
}

#[expect(clippy::disallowed_methods, reason = "measures a duration, not a date")]
fn now() -> Instant {
    Instant::now()
}

impl Vault {
    /// Lets go what is kept for certificates that are asked for soon, so that a measurement begins from nothing.
    pub fn forget_trees(&self) {
        self.inner.recent_trees.forget();
    }

    /// The bulk file of an order: its certificate, then one line an item; in pieces of about 1 MiB. Scope and errors as
    /// [`Vault::certificate`].
    pub async fn receipts(
        &self,
        actor: &Actor,
        erasure: Uuid,
    ) -> Result<BoxStream<'static, Result<Bytes, VaultError>>, VaultError> {
        let inner = &self.inner;
        let (whole, place, tree) = inner.erasure_with_tree(actor, erasure).await?;
        let first = inner.order_certificate(&whole, place, &tree, None).await?.to_json();
        let (pieces, made) = tokio::sync::mpsc::channel(AHEAD);
        let inner = Arc::clone(inner);
        tokio::task::spawn_blocking(move || {
            if let Err(Stop::Failed(error)) = inner.write_bulk(first, &whole, place, &tree, &pieces) {
                let _ = pieces.blocking_send(Err(error));
            }
        });
        Ok(futures::stream::unfold(made, |mut made| async move { Some((made.recv().await?, made)) }).boxed())
    }
}

/// Why a bulk file is not written to its end.
enum Stop {
    /// Nobody reads it any more.
    Unread,
    Failed(VaultError),
}

impl From<IdCipherError> for Stop {
    fn from(error: IdCipherError) -> Self {
        Self::Failed(VaultError::internal(error))
    }
}

type Pieces = tokio::sync::mpsc::Sender<Result<Bytes, VaultError>>;

impl Inner {
    fn write_bulk(
        &self,
        first: Vec<u8>,
        whole: &Whole,
        place: ReceiptPlace,
        tree: &EntryTree,
        pieces: &Pieces,
    ) -> Result<(), Stop> {
        let cipher = whole.tenant().and_then(|tenant| self.cipher_of(tenant)).map_err(Stop::Failed)?;
        let receipts = Receipts::new(&whole.row, &whole.stated, &whole.manifest, &self.salts, &cipher);
        let send = |piece: Vec<u8>| pieces.blocking_send(Ok(piece.into())).map_err(|_| Stop::Unread);
        let (mut piece, mut index) = (first, place.first);
        receipts.each(|some| {
            for receipt in some.iter().filter(|receipt| receipt.kind != SubjectKind::Order) {
                if !write_bulk_item(&mut piece, receipt, index, &tree.tree) {
                    return Err(Stop::Failed(VaultError::internal(Drifted)));
                }
                index += 1;
                if piece.len() >= PIECE {
                    send(std::mem::replace(&mut piece, Vec::with_capacity(PIECE + (PIECE >> 3))))?;
                }
            }
            Ok(())
        })?;
        send(piece)
    }

    /// The tree of a seal entry, by the number that rows know it by.
    ///
    /// # Errors
    /// `NoReceipt` for one of a log before this one.
    pub(super) async fn tree_of(self: &Arc<Self>, entry: u64) -> Result<Arc<EntryTree>, VaultError> {
        let number = self.log.entry_in_rows(entry).ok_or(VaultError::NoReceipt)?;
        if let Some(tree) = self.recent_trees.get(entry) {
            return Ok(tree);
        }
        let rows = self.metadata.purges_in_entry(entry).await.map_err(|error| self.port(error))?;
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            all.push(self.whole(row).await?);
        }
        let inner = Arc::clone(self);
        let make = move || {
            let mut commitments = Vec::new();
            inner.commitments(&all, |commitment| commitments.push(*commitment))?;
            let tree = ReceiptTree::new(commitments);
            let bytes = inner.log.entry(number).map_err(VaultError::internal)?;
            let Entry { body: Body::Seal(seal), .. } = Entry::decode(&bytes).map_err(VaultError::internal)? else {
                return Err(VaultError::internal(Drifted));
            };
            let head = tree.head();
            if (head.size, head.root) != (seal.receipts, seal.receipts_root) {
                return Err(VaultError::internal(Drifted));
            }
            Ok(Arc::new(EntryTree { entry, tree }))
        };
        let tree = tokio::task::spawn_blocking(make).await.map_err(VaultError::internal)??;
        self.recent_trees.put(&tree);
        Ok(tree)
    }
}
