//! All receipts of an order, as a stream.
//!
//! Each is written by a thread that holds the order's tree. So only a few are written at a time, and who reads too slowly loses
//! theirs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use oubliette_proof::certificate::write_bulk_item;
use oubliette_proof::receipt::SubjectKind;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use uuid::Uuid;

use super::{Drifted, Told};
use crate::ids::IdCipherError;
use crate::model::Actor;
use crate::service::vault::Inner;
use crate::service::{Vault, VaultError};

/// Pieces made ahead of the reader.
const AHEAD: usize = 4;

/// Bounds of bulk files.
#[derive(Clone, Debug)]
pub struct BulkLimits {
    /// So many are written at a time.
    pub at_once: usize,
    /// About so many bytes are handed out together.
    pub piece: usize,
    /// The reader takes so many bytes within this time.
    pub stalled: Duration,
    /// The reader takes the whole file within this time.
    pub longest: Duration,
}

impl Default for BulkLimits {
    /// A million receipts are a gigabyte, which has to be read with 300 kB a second.
    fn default() -> Self {
        Self { at_once: 4, piece: 1 << 20, stalled: Duration::from_secs(30), longest: Duration::from_secs(3_600) }
    }
}

impl Vault {
    /// The bulk file of an order: its certificate, then one line an item; in pieces of about 1 MiB. Scope and errors as
    /// [`Vault::certificate`]; `Busy` when enough of them are being read, and at the end of a file that is read too slowly.
    pub async fn receipts(
        &self,
        actor: &Actor,
        erasure: Uuid,
    ) -> Result<BoxStream<'static, Result<Bytes, VaultError>>, VaultError> {
        let inner = &self.inner;
        let row = inner.told_of(actor, erasure).await?;
        let turn = Arc::clone(&inner.bulk_files).try_acquire_owned().map_err(|_| VaultError::Busy)?;
        let told = inner.with_tree(row).await?;
        let first = inner.order_certificate(&told, None).await?.to_json();
        let (pieces, made) = mpsc::channel(AHEAD);
        let (end, ended) = oneshot::channel();
        let reader = Reader::new(pieces, &inner.settings.bulk);
        let inner = Arc::clone(inner);
        tokio::task::spawn_blocking(move || {
            let outcome = inner.write_bulk(first, &told, reader);
            drop((told, turn));
            let _ = end.send(outcome);
        });
        Ok(Read { made, ended: Some(ended) }.stream())
    }
}

/// Turns of those who write bulk files.
pub(in crate::service) fn turns(limits: &BulkLimits) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(limits.at_once))
}

/// The file as it is read. One that was not written to its end ends with an error.
struct Read {
    made: mpsc::Receiver<Bytes>,
    ended: Option<oneshot::Receiver<Result<(), Stop>>>,
}

impl Read {
    fn stream(self) -> BoxStream<'static, Result<Bytes, VaultError>> {
        let next = async |mut read: Self| {
            if let Some(piece) = read.made.recv().await {
                return Some((Ok(piece), read));
            }
            match read.ended.take()?.await {
                Ok(Ok(()) | Err(Stop::Unread)) => None,
                Ok(Err(Stop::Failed(error))) => Some((Err(error), read)),
                Err(panicked) => Some((Err(VaultError::internal(panicked)), read)),
            }
        };
        futures::stream::unfold(self, next).boxed()
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

/// Who reads, as the writing thread sees it.
struct Reader {
    pieces: mpsc::Sender<Bytes>,
    runtime: Handle,
    piece: usize,
    stalled: Duration,
    until: Instant,
}

impl Reader {
    fn new(pieces: mpsc::Sender<Bytes>, limits: &BulkLimits) -> Self {
        let BulkLimits { piece, stalled, longest, .. } = *limits;
        Self { pieces, runtime: Handle::current(), piece, stalled, until: now() + longest }
    }

    /// Waits until the reader takes a piece.
    fn send(&self, piece: Vec<u8>) -> Result<(), Stop> {
        let wait = self.stalled.min(self.until.saturating_duration_since(now()));
        let taken = async { tokio::time::timeout(wait, self.pieces.send(piece.into())).await };
        match self.runtime.block_on(taken) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Stop::Unread),
            Err(_) => Err(Stop::Failed(VaultError::Busy)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "measures a duration, not a date")]
fn now() -> Instant {
    Instant::now()
}

impl Inner {
    fn write_bulk(&self, first: Vec<u8>, told: &Told, reader: Reader) -> Result<(), Stop> {
        let cipher = told.whole.tenant().and_then(|tenant| self.cipher_of(tenant)).map_err(Stop::Failed)?;
        let receipts = told.whole.receipts(&self.salts, &cipher);
        let (mut piece, mut index) = (first, told.place.first);
        receipts.each(|some| {
            for receipt in some.iter().filter(|receipt| receipt.kind != SubjectKind::Order) {
                if !write_bulk_item(&mut piece, receipt, index, told.tree.tree()) {
                    return Err(Stop::Failed(VaultError::internal(Drifted)));
                }
                index += 1;
                if piece.len() >= reader.piece {
                    reader
                        .send(std::mem::replace(&mut piece, Vec::with_capacity(reader.piece + (reader.piece >> 3))))?;
                }
            }
            Ok(())
        })?;
        reader.send(piece)
    }
}
