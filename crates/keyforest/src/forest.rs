//! The forest: derive, allocate, puncture, seal, recover.

use std::ops::Range;
use std::sync::Arc;

use thiserror::Error;

use crate::media::{Medium, SlotDevice};
use crate::{Group, Leaf, LeafKey, LeafSet, Probe};

/// Where the forest keeps its bytes.
pub struct Stores {
    /// Page packs and the journal (files beside the database).
    pub packs: Arc<dyn Medium>,
    /// The register.
    pub register: Arc<dyn SlotDevice>,
    /// Told of every crash point.
    pub probe: Arc<dyn Probe>,
}

/// Limits of the forest. All sizes in bytes.
#[derive(Clone, Debug)]
pub struct ForestConfig {
    /// Memory for punctured buckets; above it they are paged in on demand.
    pub page_memory: usize,
    /// Size at which a pack is closed and the next one begun.
    pub pack_bytes: u64,
    /// Disk space kept back so that erasing works on a full disk.
    pub reserve_bytes: u64,
    /// Buckets provisioned ahead when the supply runs low.
    pub provision_buckets: u64,
}

impl Default for ForestConfig {
    fn default() -> Self {
        Self { page_memory: 256 << 20, pack_bytes: 256 << 20, reserve_bytes: 16 << 20, provision_buckets: 64 }
    }
}

/// Who shares a bucket: opaque to the forest. Different lanes never share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(pub u64);

/// What the state root pins of the world outside, so that a rolled-back database or register is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    /// The vault's instance id.
    pub instance: [u8; 16],
    /// The database's commit counter at the seal.
    pub commit_counter: u64,
    /// Head of the proof log (zero while there is none).
    pub log_head: [u8; 32],
}

/// One seal's work.
#[derive(Default)]
pub struct Change {
    /// Leaves to erase. Leaves already punctured are allowed (a repeated seal) and change nothing.
    pub puncture: LeafSet,
    /// Buckets to add to the supply.
    pub provision: u64,
    /// Replaces the caller's sealed attachment (tenant secrets and the like) when given.
    pub attachment: Option<Vec<u8>>,
    /// Values to pin.
    pub pins: Pins,
    /// Leaves that must open before and after, checked from the written bytes before the old root dies.
    pub canaries: LeafSet,
    /// Buckets of earlier runs below this number have had their unused groups punctured.
    pub closed_below: Option<u64>,
    /// Journal records up to and including this position are no longer needed after the seal.
    pub journal_done: Option<u64>,
}

/// What a seal did.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The epoch now in force.
    pub epoch: u64,
    /// Leaves that were live before and are punctured now.
    pub punctured: u64,
    /// Bytes written to packs and register.
    pub bytes_written: u64,
    /// Durable flushes made.
    pub flushes: u32,
    /// SHA-256 of the old and the new state root page's ciphertext.
    pub state_hashes: [[u8; 32]; 2],
}

/// Whether a leaf can be derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafStatus {
    /// Its key can be derived.
    Live,
    /// It was erased.
    Punctured,
    /// It lies above the high-water mark.
    NeverIssued,
}

/// Why a key could not be had.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The leaf was erased.
    #[error("the leaf was erased")]
    Punctured,
    /// The leaf was never issued.
    #[error("the leaf was never issued")]
    NeverIssued,
    /// A paged bucket could not be read.
    #[error("a key page could not be read")]
    Page(#[source] ForestError),
}

/// Errors of opening and of the media below.
#[derive(Debug, Error)]
pub enum ForestError {
    /// The medium failed.
    #[error("key state {operation}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The register holds no valid slot.
    #[error("the register holds no valid root")]
    NoRoot,
    /// The highest valid slot's pages do not open. Nothing was overwritten.
    #[error("the pages of epoch {epoch} do not open: {reason}")]
    PagesDoNotOpen {
        /// The slot's epoch.
        epoch: u64,
        /// What failed, without key material.
        reason: &'static str,
    },
    /// There already is a state where a new one was to be made.
    #[error("there already is a key state here")]
    Exists,
    /// No provisioned bucket is left; provision and try again.
    #[error("no provisioned bucket is left")]
    Unprovisioned,
}

/// Why a seal did not happen.
#[derive(Debug, Error)]
pub enum SealError {
    /// Certainly not done: the old epoch is in force and the state in memory is unchanged. May be tried again.
    #[error("the seal was not made")]
    NotDone(#[source] ForestError),
    /// A flush failed at or after the point where the disk's state is unknown. The process must end and recover.
    #[error("a flush failed during the seal: the process must end and recover")]
    Unknown(#[source] ForestError),
}

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenReport {
    /// The epoch in force.
    pub epoch: u64,
    /// Both slots were valid, or the other one was damaged: it was overwritten before returning.
    pub overwrote_slot: bool,
}

/// The key forest of one vault. Cheap to share; reads run beside a seal.
pub struct Forest {}

impl Forest {
    /// Makes a fresh state of epoch 1 with `attachment`; refuses when one exists.
    pub fn create(
        _stores: Stores,
        _config: ForestConfig,
        _attachment: &[u8],
        _pins: Pins,
    ) -> Result<Self, ForestError> {
        todo!()
    }

    /// Opens and recovers (design §4.3): highest valid slot wins; if its pages do not open nothing is overwritten.
    pub fn open(_stores: Stores, _config: ForestConfig) -> Result<(Self, OpenReport), ForestError> {
        todo!()
    }

    /// The epoch in force.
    pub fn epoch(&self) -> u64 {
        todo!()
    }

    /// First leaf number that was never provisioned.
    pub fn high_water(&self) -> Leaf {
        todo!()
    }

    /// Values pinned by the seal in force.
    pub fn pins(&self) -> Pins {
        todo!()
    }

    /// The caller's sealed attachment.
    pub fn attachment(&self) -> zeroize::Zeroizing<Vec<u8>> {
        todo!()
    }

    /// Derives a leaf's key. May read a page: blocks.
    pub fn key(&self, _leaf: Leaf) -> Result<LeafKey, KeyError> {
        todo!()
    }

    /// Whether a leaf is live, punctured or never issued. May read a page: blocks.
    pub fn status(&self, _leaf: Leaf) -> Result<LeafStatus, ForestError> {
        todo!()
    }

    /// Issues the next unused group of the lane, opening a provisioned bucket for it when needed. No I/O.
    ///
    /// # Errors
    /// [`ForestError::Unprovisioned`] when the supply is used up.
    pub fn allocate_group(&self, _lane: Lane) -> Result<Group, ForestError> {
        todo!()
    }

    /// Issues the next single leaf of a lane that is used leaf by leaf (directory blocks, orders). No I/O.
    pub fn allocate_leaf(&self, _lane: Lane) -> Result<Leaf, ForestError> {
        todo!()
    }

    /// Provisioned buckets not yet opened by any lane.
    pub fn supply(&self) -> u64 {
        todo!()
    }

    /// Leaves of buckets that earlier runs opened or provisioned and this run will not issue from.
    /// Unused whole groups among them may be punctured; then say so with [`Change::closed_below`].
    pub fn unclosed(&self) -> Range<u64> {
        todo!()
    }

    /// Appends a record to the journal; durable on return. Gives its position.
    pub fn journal_append(&self, _record: &[u8]) -> Result<u64, SealError> {
        todo!()
    }

    /// Records after the last position done, oldest first.
    pub fn journal(&self) -> Result<Vec<(u64, Vec<u8>)>, ForestError> {
        todo!()
    }

    /// Seals one change (design §4.3 step 4). One at a time; readers go on meanwhile. On `Ok` the old root is destroyed
    /// and no memory of the process holds a seed above a punctured leaf.
    pub fn seal(&self, _change: &Change) -> Result<Sealed, SealError> {
        todo!()
    }

    /// Register class named in status and certificates.
    pub fn register_class(&self) -> &'static str {
        todo!()
    }
}
