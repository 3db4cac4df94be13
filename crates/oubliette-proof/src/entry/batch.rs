//! Kinds 2 and 3: what was taken in, or removed, within an interval.
//!
//! ```text
//! from time ‖ to time ‖ count u64 (not 0) ‖ Merkle root over `count` commitments
//! ```

use super::codec::{Reader, Writer};
use crate::hash::Hash;
use crate::time::Seconds;

/// Many receipts at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEntry {
    /// The interval: first second.
    pub from: Seconds,
    /// Last second, not before the first.
    pub to: Seconds,
    /// Number of receipts, at least one.
    pub count: u64,
    /// Merkle root over their commitments.
    pub root: Hash,
}

impl BatchEntry {
    pub(super) fn write(&self, out: &mut Writer) {
        out.time(self.from);
        out.time(self.to);
        out.u64(self.count);
        out.hash(&self.root);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let entry = Self { from: from.time()?, to: from.time()?, count: from.u64()?, root: from.hash()? };
        (entry.from <= entry.to && entry.count > 0).then_some(entry)
    }
}
