//! What rows of the metadata call an entry. A vault may have had several logs, each of which counts from 0; rows of all of them
//! lie in the same tables, in the order in which they were told of.

use std::cmp::Ordering;

use super::TransparencyLog;

/// Entries that one log may have.
const ENTRIES: u64 = 1 << 40;

/// The entry of the log `ordinal` from which on rows know none that they know `number` of, or less: 0 in a log that began
/// later; `None` in one before it.
pub(super) fn entry_from(ordinal: u32, number: u64) -> Option<u64> {
    match (number / ENTRIES).cmp(&u64::from(ordinal)) {
        Ordering::Less => Some(0),
        Ordering::Equal => Some(number % ENTRIES),
        Ordering::Greater => None,
    }
}

impl TransparencyLog {
    /// The number that rows know an entry of this log by: greater than that of any entry of the logs before it.
    pub(in crate::service) fn number_in_rows(&self, entry: u64) -> u64 {
        u64::from(self.kept.files.ordinal) * ENTRIES + entry
    }

    /// The entry that rows know by this number; `None` for one of another log.
    pub(in crate::service) fn entry_in_rows(&self, number: u64) -> Option<u64> {
        (number / ENTRIES == u64::from(self.kept.files.ordinal)).then_some(number % ENTRIES)
    }
}
