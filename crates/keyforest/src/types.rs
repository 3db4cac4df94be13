//! What goes into the forest and what comes out of it.

use std::sync::Arc;

use crate::media::{Medium, SlotDevice};
use crate::{LeafSet, Probe};

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
    /// Earlier runs' leaves below this number have had their unused groups punctured: the end of
    /// [`Forest::unclosed`](crate::Forest::unclosed). Never goes back.
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

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenReport {
    /// The epoch in force.
    pub epoch: u64,
    /// The other slot still held an older root: a crash had come between the two writes. Whatever it held, it was
    /// overwritten before returning.
    pub overwrote_slot: bool,
}
