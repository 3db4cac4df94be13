//! Where sealed bytes lie. The port sees ciphertext only.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use super::PortError;

/// Where one blob lies: an opaque text of the backend, stored with the content. Holds no personal datum.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlobRef(pub String);

/// What is known when a blob is begun.
#[derive(Clone, Copy, Debug)]
pub struct BlobHint {
    /// Contents of one lane may share a segment and are dropped together.
    pub lane: u64,
    /// The length in bytes if it is known; a hint, not a promise.
    pub length: Option<u64>,
}

/// One blob being written. Dropping it without `finish` discards it.
#[async_trait]
pub trait BlobWriter: Send {
    /// Appends bytes. Waits while the backend is busy, so memory stays bounded.
    async fn write(&mut self, bytes: Bytes) -> Result<(), PortError>;
    /// Makes the blob durable (data, name and folder) and says where it lies. Not durable before this returned `Ok`.
    async fn finish(self: Box<Self>) -> Result<BlobRef, PortError>;
}

/// The outcome of removing one blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is not there (any more).
    Removed,
    /// The backend keeps it and lets nobody remove it before this time (a write-once bucket). Ask again then, not before.
    Retained {
        /// The backend's own promise; it may be prolonged there.
        until: Timestamp,
    },
    /// It could not be removed now; try again.
    Failed(&'static str),
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Files or objects removed that nothing referred to.
    pub orphans: u64,
    /// Segments dropped or compacted.
    pub segments: u64,
    /// Bytes given back.
    pub bytes: u64,
    /// References whose bytes are not there, or not all of them: damage, seen while looking for orphans.
    pub missing: u64,
    /// What could not be removed because the backend retains it.
    pub retained: u64,
    /// More is left to be looked at: call again soon.
    pub unfinished: bool,
}

/// A store of sealed blobs.
///
/// Contract: a blob whose `finish` returned `Ok` survives a power cut; reads give exactly what was written; removing is
/// idempotent; a removed blob reads as an error of kind `Corrupt` or `Refused`, never as other bytes.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Begins a blob.
    async fn create(&self, hint: BlobHint) -> Result<Box<dyn BlobWriter>, PortError>;

    /// Reads exactly `range` (bytes of the stored blob). The caller keeps ranges small (≤ 4 MiB).
    async fn read(&self, blob: &BlobRef, range: Range<u64>) -> Result<Bytes, PortError>;

    /// The length in bytes of a stored blob. That its bytes are there is not said by this.
    async fn length(&self, blob: &BlobRef) -> Result<u64, PortError>;

    /// Removes blobs; one outcome each, in order. Small contents may only be marked dead in their segment; their bytes go
    /// with the segment or its compaction ([`Blobs::compact`]).
    async fn remove(&self, blobs: &[BlobRef]) -> Result<Vec<Removal>, PortError>;

    /// Rewrites segments that are mostly dead. `moved` is told (old, new) for each blob moved and answers whether the
    /// reference was switched; only then the old place is given up. Does a bounded amount of work.
    async fn compact(&self, live: &dyn LiveBlobs) -> Result<SweepReport, PortError>;

    /// Removes what no content refers to: leftovers of crashes. `live` tells what is referred to. Never touches a blob of
    /// this process, nor one that another process sharing the backend may still be about to refer to. Does a bounded amount
    /// of work and says when more is left.
    async fn sweep_orphans(&self, live: &dyn LiveBlobs) -> Result<SweepReport, PortError>;

    /// Tells where every blob lies now that shares a segment with others, with up to `head` of its first bytes. Compaction
    /// moves these, so that a row of an older copy may name a place that is no more. Reads every segment.
    async fn look_through(&self, head: usize, found: &mut (dyn FnMut(BlobRef, Bytes) + Send)) -> Result<(), PortError> {
        // A backend that moves nothing has nothing to tell.
        let _ = (head, found);
        Ok(())
    }
}

/// What the metadata says of blobs; given to the sweeps.
#[async_trait]
pub trait LiveBlobs: Send + Sync {
    /// Which of these are referred to by a live content row.
    async fn live(&self, blobs: &[BlobRef]) -> Result<Vec<bool>, PortError>;
    /// Switches a content row from one place to another; `false` when no row refers to `from` any more.
    async fn switch(&self, from: &BlobRef, to: &BlobRef) -> Result<bool, PortError>;
    /// All live references that begin with `prefix` (a segment's name).
    async fn with_prefix(&self, prefix: &str) -> Result<Vec<BlobRef>, PortError>;
}
