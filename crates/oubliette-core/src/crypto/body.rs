//! Streams in, streams out: contents between a client and the blob store.
//!
//! Bounds: an upload holds one batch ([`WRITE_CHUNKS`] chunks) beside what the store's writer holds; a download holds one batch
//! of ciphertext being used, one being read ahead ([`READ_CHUNKS`] chunks each, under 256 KiB) and one piece of plain bytes
//! ([`PIECE_CHUNKS`] chunks), whatever the size of the content.
//!
//! Plain bytes of an upload are copied once, into the buffer where they are sealed in place; an unsealed rest is wiped. Plain
//! bytes of a download are opened piece by piece when the client asks, never ahead, and wiped when the client's side drops
//! them. Both end with `Revoked` when the [`KeyCell`] is revoked; an upload even while its client stalls.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use thiserror::Error;
use tokio::task::JoinHandle;

use super::chunked::{CHUNK, COMMITMENT, HEADER, MAX_CHUNKS, SALT, SEALED_CHUNK, TAG, chunk_span};
use super::key_cell::{CellError, CellOpener, CellSealer, KeyCell, Revoked};
use super::layout::{BLOB_HEADER, BlobContext, PREFIX, stored_length, stored_span};
use super::padding::padded_length;
use super::plaintext::{Plaintext, wipe};
use crate::model::SizeClass;
use crate::ports::{BlobRef, BlobWriter, Blobs, PortError, PortErrorKind};

/// Chunks sealed before they are handed to the store: 112 KiB, below the size from which the system's allocator maps and
/// unmaps fresh pages for each buffer, which would cost more than the cipher.
const WRITE_CHUNKS: usize = 7;
/// Chunks read from the store at once: 240 KiB.
const READ_CHUNKS: u64 = 15;
/// Chunks opened at once: 64 KiB.
const PIECE_CHUNKS: u64 = 4;

/// Why a content was not sealed. Nothing of it is referred to; the caller drops the writer.
#[derive(Debug, Error)]
pub enum SealError {
    /// The content was erased meanwhile.
    #[error(transparent)]
    Revoked(#[from] Revoked),
    /// More bytes than allowed.
    #[error("the content is too large")]
    TooLarge,
    /// The client's stream broke off.
    #[error("the body broke off")]
    Interrupted(#[source] std::io::Error),
    /// The store did not take the bytes.
    #[error("the blob was not written")]
    Store(#[from] PortError),
}

/// Why a content was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The content was erased meanwhile.
    #[error(transparent)]
    Revoked(#[from] Revoked),
    /// The stored bytes are not what was sealed here: damaged, cut, or another blob.
    #[error("the stored bytes do not open")]
    Corrupt,
    /// The asked range lies outside the content: an error of the caller.
    #[error("the range lies outside the content")]
    Range,
    /// The store did not give the bytes.
    #[error("the blob was not read")]
    Store(#[from] PortError),
}

/// What is known of a content once its bytes are with the writer (not yet durable: the caller finishes the writer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedBody {
    /// Exact length in bytes. Personal enough to be sealed.
    pub length: u64,
    /// Bytes handed to the store.
    pub stored: u64,
    /// The commitment to pin in the content's row.
    pub commitment: [u8; COMMITMENT],
    /// Class of the padded length.
    pub size_class: SizeClass,
}

/// Seals a body into a blob being written. The caller calls [`BlobWriter::finish`] after `Ok`, and drops the writer after an
/// error.
pub async fn seal_stream(
    cell: &Arc<KeyCell>,
    context: &BlobContext,
    mut body: impl Stream<Item = Result<Bytes, std::io::Error>> + Send + Unpin,
    max_bytes: u64,
    writer: &mut dyn BlobWriter,
) -> Result<SealedBody, SealError> {
    let mut salt = [0; SALT];
    aws_lc_rs::rand::fill(&mut salt)
        .map_err(|_| PortError::bare(PortErrorKind::Unavailable, "draw a salt for a blob"))?;
    let (sealer, header, commitment) = cell.sealer(&context.encode(), salt)?;
    let mut batch = Batch::new(sealer);
    batch.buffer.extend_from_slice(&context.header());
    batch.buffer.extend_from_slice(&header);
    batch.chunk_at = PREFIX;

    let mut length = 0_u64;
    let mut stored = 0_u64;
    loop {
        let next = tokio::select! {
            biased;
            () = cell.revoked() => return Err(Revoked.into()),
            next = body.next() => next,
        };
        let Some(piece) = next else { break };
        let piece = Piece(piece.map_err(SealError::Interrupted)?);
        length = length.saturating_add(piece.0.len() as u64);
        if length > max_bytes || stored_length(length).is_none() {
            return Err(SealError::TooLarge);
        }
        let mut rest = &piece.0[..];
        while let Some(full) = batch.fill(&mut rest)? {
            stored += full.len() as u64;
            writer.write(full).await?;
        }
    }

    let padded = padded_length(length);
    let mut left = padded - length;
    while left > 0 {
        let zeros = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let mut rest = &[0; CHUNK][..zeros];
        while let Some(full) = batch.fill(&mut rest)? {
            stored += full.len() as u64;
            writer.write(full).await?;
        }
        left -= zeros as u64;
    }
    let last = batch.last()?;
    stored += last.len() as u64;
    writer.write(last).await?;
    debug_assert_eq!(Some(stored), stored_length(length), "the layout's arithmetic is what was written");
    Ok(SealedBody { length, stored, commitment, size_class: SizeClass::of(padded) })
}

/// Plain bytes of a body. Wiped when dropped where the buffer is ours alone; a slice of the transport's own buffer cannot be.
struct Piece(Bytes);

impl Drop for Piece {
    fn drop(&mut self) {
        if let Ok(mut own) = std::mem::take(&mut self.0).try_into_mut() {
            wipe(&mut own);
        }
    }
}

/// Sealed chunks waiting to be written, and behind them the plain bytes of the chunk being filled.
struct Batch {
    sealer: CellSealer,
    buffer: Plaintext,
    /// Where in the buffer the chunk being filled begins.
    chunk_at: usize,
    chunks: usize,
}

impl Batch {
    fn new(sealer: CellSealer) -> Self {
        Self { sealer, buffer: Self::empty(), chunk_at: 0, chunks: 0 }
    }

    fn empty() -> Plaintext {
        Plaintext::with_capacity(PREFIX + WRITE_CHUNKS * SEALED_CHUNK)
    }

    /// Takes bytes from `input` and seals each chunk that is full. Gives the batch when it is full; `None` when the input is
    /// used up.
    fn fill(&mut self, input: &mut &[u8]) -> Result<Option<Bytes>, Revoked> {
        while !input.is_empty() {
            let room = CHUNK - (self.buffer.as_ref().len() - self.chunk_at);
            let (taken, rest) = input.split_at(room.min(input.len()));
            self.buffer.extend_from_slice(taken);
            *input = rest;
            if taken.len() == room {
                self.seal()?;
                if self.chunks == WRITE_CHUNKS {
                    self.chunks = 0;
                    self.chunk_at = 0;
                    return Ok(Some(std::mem::replace(&mut self.buffer, Self::empty()).into_sealed()));
                }
            }
        }
        Ok(None)
    }

    /// Seals the last chunk, which is short or empty, and gives what is left.
    fn last(mut self) -> Result<Bytes, Revoked> {
        self.seal()?;
        Ok(self.buffer.into_sealed())
    }

    fn seal(&mut self) -> Result<(), Revoked> {
        let tag = match self.sealer.chunk(&mut self.buffer.as_mut()[self.chunk_at..]) {
            Ok(tag) => tag,
            Err(CellError::Revoked(revoked)) => return Err(revoked),
            Err(CellError::Chunk(error)) => {
                unreachable!("chunks are cut to size and their number was checked with the length: {error}")
            }
        };
        self.buffer.extend_from_slice(&tag);
        self.chunk_at = self.buffer.as_ref().len();
        self.chunks += 1;
        Ok(())
    }
}

/// A stored content to be read.
#[derive(Clone)]
pub struct BlobRead {
    /// The store.
    pub blobs: Arc<dyn Blobs>,
    /// Where it lies.
    pub blob: BlobRef,
    /// What it belongs to.
    pub context: BlobContext,
    /// The commitment pinned in its row.
    pub commitment: [u8; COMMITMENT],
    /// Its exact length, from its sealed description.
    pub length: u64,
}

/// Plain bytes in order. After an error nothing follows.
pub type RangeStream = Pin<Box<dyn Stream<Item = Result<Bytes, OpenError>> + Send>>;

/// Opens the bytes `range` of a content. Header and commitment are checked before it returns, so that a wrong blob is an
/// error and not a broken stream. Reads only the chunks that hold the range.
///
/// Must be called on a Tokio runtime: it reads ahead in a task of its own.
pub async fn open_range(cell: &Arc<KeyCell>, read: BlobRead, range: Range<u64>) -> Result<RangeStream, OpenError> {
    if range.start > range.end || range.end > read.length || stored_length(read.length).is_none() {
        return Err(OpenError::Range);
    }
    let chunks = chunk_span(&range);
    let first = chunks.start..chunks.end.min(chunks.start + READ_CHUNKS);
    let span = stored_span(&first, read.length);

    // From the start of the content, header and first chunks are one read.
    let joined = chunks.start == 0;
    let head_end = if joined { span.end.max(PREFIX as u64) } else { PREFIX as u64 };
    let mut head = read_exactly(&read, 0..head_end).await?;
    let header: [u8; HEADER] = head[BLOB_HEADER..PREFIX].try_into().map_err(|_| OpenError::Corrupt)?;
    if head[..BLOB_HEADER] != read.context.header() {
        return Err(OpenError::Corrupt);
    }
    let opener = cell.opener(&read.context.encode(), &header, &read.commitment).map_err(open_error)?;
    let batch = if joined { head.split_off(PREFIX) } else { read_exactly(&read, span).await? };

    let mut open = Open { read, opener, range, chunks: first, batch, end: chunks.end, ahead: None };
    open.read_ahead();
    Ok(Box::pin(stream::try_unfold(open, |mut open| async move { Ok(open.piece().await?.map(|piece| (piece, open))) })))
}

fn open_error(error: CellError) -> OpenError {
    match error {
        CellError::Revoked(revoked) => OpenError::Revoked(revoked),
        CellError::Chunk(_) => OpenError::Corrupt,
    }
}

async fn read_exactly(read: &BlobRead, span: Range<u64>) -> Result<Bytes, OpenError> {
    let wanted = span.end - span.start;
    if wanted == 0 {
        return Ok(Bytes::new());
    }
    let bytes = read.blobs.read(&read.blob, span).await?;
    if bytes.len() as u64 == wanted { Ok(bytes) } else { Err(OpenError::Corrupt) }
}

/// A download under way.
struct Open {
    read: BlobRead,
    opener: CellOpener,
    /// Plain bytes still to be given.
    range: Range<u64>,
    /// Chunks in `batch`.
    chunks: Range<u64>,
    /// Their ciphertext.
    batch: Bytes,
    /// One past the last chunk of the whole range.
    end: u64,
    ahead: Option<Ahead>,
}

/// A read in its own task, given up when dropped.
struct Ahead {
    chunks: Range<u64>,
    task: JoinHandle<Result<Bytes, OpenError>>,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Open {
    /// The next plain bytes; `None` at the end.
    async fn piece(&mut self) -> Result<Option<Bytes>, OpenError> {
        if self.range.is_empty() {
            return Ok(None);
        }
        if self.chunks.is_empty() {
            self.next_batch().await?;
        }
        let piece = self.chunks.start..self.chunks.end.min(self.chunks.start + PIECE_CHUNKS);
        let plain_at = piece.start * CHUNK as u64;
        let plain_end = (piece.end * CHUNK as u64).min(padded_length(self.read.length));
        let mut plain = Plaintext::zeroed(usize::try_from(plain_end - plain_at).map_err(|_| OpenError::Corrupt)?);
        for (index, plain) in piece.clone().zip(plain.as_mut().chunks_mut(CHUNK)) {
            let sealed_length = plain.len() + TAG;
            if self.batch.len() < sealed_length {
                return Err(OpenError::Corrupt);
            }
            let sealed = self.batch.split_to(sealed_length);
            self.opener.open_chunk(index, &sealed, plain).map_err(open_error)?;
        }
        self.chunks.start = piece.end;

        let from = usize::try_from(self.range.start - plain_at).map_err(|_| OpenError::Corrupt)?;
        let to = usize::try_from(self.range.end.min(plain_end) - plain_at).map_err(|_| OpenError::Corrupt)?;
        self.range.start = plain_at + to as u64;
        Ok(Some(plain.into_bytes().slice(from..to)))
    }

    async fn next_batch(&mut self) -> Result<(), OpenError> {
        let Some(mut ahead) = self.ahead.take() else { return Err(OpenError::Corrupt) };
        self.batch = match (&mut ahead.task).await {
            Ok(read) => read?,
            Err(error) => return Err(PortError::new(PortErrorKind::Unavailable, "read ahead", error).into()),
        };
        self.chunks = ahead.chunks.clone();
        self.read_ahead();
        Ok(())
    }

    /// Starts reading the batch after the one at hand.
    fn read_ahead(&mut self) {
        let chunks = self.chunks.end..self.end.min(self.chunks.end + READ_CHUNKS).min(MAX_CHUNKS);
        if chunks.is_empty() {
            return;
        }
        let span = stored_span(&chunks, self.read.length);
        let read = self.read.clone();
        let task = tokio::spawn(async move { read_exactly(&read, span).await });
        self.ahead = Some(Ahead { chunks, task });
    }
}

#[cfg(test)]
mod tests;
