//! The bytes of a content on their way out: opened here, or by another node with a key lent to it.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, Stream, StreamExt as _};
use keyforest::{Leaf, LeafKey};
use thiserror::Error;

use super::VaultError;
use super::hidden::ActiveKey;
use super::vault::Inner;
use crate::crypto::{BlobContext, BlobRead, KeyCell, OpenError, RangeStream, open_range};
use crate::ports::{BlobRef, Blobs};

/// Plain bytes of a content in order; ends with an error when the content is erased meanwhile. Keeps its key registered until
/// it is dropped, so that an erasure finds it.
pub struct ContentStream {
    inner: Arc<Inner>,
    state: State,
    // Last: whatever uses the key goes before its registration.
    active: ActiveKey,
}

enum State {
    /// Nothing was read from the store.
    Waiting(Box<(BlobRead, Range<u64>)>),
    Opening(BoxFuture<'static, Result<RangeStream, OpenError>>),
    Open(RangeStream),
    Ended,
}

/// What another node needs to open one stretch of one content, and nothing else: neither `Debug` nor `Clone`.
pub struct Loan {
    /// The key of the content's leaf. It opens this content and its description only.
    pub key: LeafKey,
    /// What it opens.
    pub place: LoanPlace,
}

/// A stretch of a content that was lent, without its key.
#[derive(Clone, PartialEq, Eq)]
pub struct LoanPlace {
    /// Where the sealed bytes lie.
    pub blob: BlobRef,
    /// What they belong to.
    pub context: BlobContext,
    /// The commitment pinned in the content's row.
    pub commitment: [u8; 32],
    /// The content's exact length.
    pub length: u64,
    /// The plain bytes to give.
    pub range: Range<u64>,
}

/// Why a content was not lent.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LoanError {
    /// It was erased meanwhile, or this process lost the right to use keys.
    #[error("the key was taken away")]
    Revoked,
    /// It is being read here already.
    #[error("the content is being read")]
    Begun,
    /// Whoever was to take it may not.
    #[error("the borrower has no lease")]
    NoLease,
}

impl ContentStream {
    pub(super) fn new(inner: Arc<Inner>, active: ActiveKey, read: BlobRead, range: Range<u64>) -> Self {
        Self { inner, state: State::Waiting(Box::new((read, range))), active }
    }

    /// Reads header and first bytes, unless that was done.
    pub(super) async fn open(&mut self) -> Result<(), VaultError> {
        if let State::Waiting(what) = std::mem::replace(&mut self.state, State::Ended) {
            let (read, range) = *what;
            let opened = open_range(self.active.cell(), read, range).await;
            self.state = State::Open(opened.map_err(|error| self.inner.opened(error))?);
        }
        Ok(())
    }

    /// What it gives; `None` once it is being read.
    pub fn place(&self) -> Option<LoanPlace> {
        let State::Waiting(what) = &self.state else { return None };
        let (BlobRead { blob, context, commitment, length, .. }, range) = &**what;
        let (blob, range) = (blob.clone(), range.clone());
        Some(LoanPlace { blob, context: *context, commitment: *commitment, length: *length, range })
    }

    /// Gives the key away instead of reading here. `register` notes that the leaf's key is lent, and says whether it may be;
    /// it is asked before the key is copied, so that an erasure finds either the note or a key that is wiped already.
    ///
    /// # Errors
    /// Nothing was lent, but `register` may have been asked.
    pub fn lend(self, register: impl FnOnce(Leaf) -> bool) -> Result<Loan, LoanError> {
        let place = self.place().ok_or(LoanError::Begun)?;
        if !register(place.context.leaf) {
            return Err(LoanError::NoLease);
        }
        let key = self.active.cell().with_key(|key| LeafKey::new(*key)).map_err(|_| LoanError::Revoked)?;
        Ok(Loan { key, place })
    }
}

impl LoanPlace {
    /// Opens it from `blobs` under a cell that was made from the lent key. Header and commitment are checked before this
    /// returns. Must be called on a Tokio runtime.
    pub async fn open(self, blobs: Arc<dyn Blobs>, cell: &Arc<KeyCell>) -> Result<RangeStream, OpenError> {
        let Self { blob, context, commitment, length, range } = self;
        open_range(cell, BlobRead { blobs, blob, context, commitment, length }, range).await
    }
}

impl Stream for ContentStream {
    type Item = Result<Bytes, VaultError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Waiting(_) => {
                    let State::Waiting(what) = std::mem::replace(&mut this.state, State::Ended) else { continue };
                    let cell = Arc::clone(this.active.cell());
                    this.state = State::Opening(async move { open_range(&cell, what.0, what.1).await }.boxed());
                }
                State::Opening(opening) => match ready!(opening.poll_unpin(context)) {
                    Ok(stream) => this.state = State::Open(stream),
                    Err(error) => {
                        this.state = State::Ended;
                        return Poll::Ready(Some(Err(this.inner.opened(error))));
                    }
                },
                State::Open(stream) => {
                    let next = ready!(stream.poll_next_unpin(context));
                    return Poll::Ready(next.map(|piece| piece.map_err(|error| this.inner.opened(error))));
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }
}
