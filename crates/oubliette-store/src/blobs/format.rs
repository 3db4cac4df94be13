//! How small contents lie in a segment, wherever the segment lies.
//!
//! ```text
//! segment: header 64 B: "OUBS", version u32, lane u64, zeros, SHA-256 of the first 32 bytes; then entries
//! entry:   "OUBE", length u32, state u8 (0 = there, 1 = removed, 2 = moved), 7 zeros; then the blob
//! ```
//! Numbers are big-endian. Only a local segment has entries marked removed or moved: an object cannot be changed in place.
//! Of a moved one there is a copy elsewhere, and its row names that; a row of an older copy may name this one.

use aws_lc_rs::digest::{SHA256, digest};

/// Bytes in front of a segment's first entry.
pub(super) const SEGMENT_HEADER: u64 = 64;
/// Bytes in front of an entry's blob.
pub(super) const ENTRY_HEADER: u64 = 16;

const SEGMENT_MAGIC: &[u8; 8] = b"OUBS\0\0\0\x01";
const ENTRY_MAGIC: &[u8; 4] = b"OUBE";

/// The header of a segment of this lane.
pub(super) fn segment_header(lane: u64) -> [u8; SEGMENT_HEADER as usize] {
    let mut header = [0; SEGMENT_HEADER as usize];
    header[..8].copy_from_slice(SEGMENT_MAGIC);
    header[8..16].copy_from_slice(&lane.to_be_bytes());
    let sum = digest(&SHA256, &header[..32]);
    header[32..].copy_from_slice(sum.as_ref());
    header
}

/// The lane that a segment's header names; `None` when these bytes are no header.
pub(super) fn parse_segment_header(header: &[u8; SEGMENT_HEADER as usize]) -> Option<u64> {
    let lane: [u8; 8] = std::array::from_fn(|i| header[8 + i]);
    let lane = u64::from_be_bytes(lane);
    (*header == segment_header(lane)).then_some(lane)
}

/// The header of an entry that is there.
pub(super) fn entry_header(length: u64) -> [u8; ENTRY_HEADER as usize] {
    let mut header = [0; ENTRY_HEADER as usize];
    header[..4].copy_from_slice(ENTRY_MAGIC);
    header[4..8].copy_from_slice(&(length as u32).to_be_bytes());
    header
}

/// What stands in front of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// A blob of this length.
    There(u64),
    /// A blob of this length that was removed.
    Removed(u64),
    /// A blob of this length that lies elsewhere, too.
    Moved(u64),
}

impl Entry {
    /// How long its blob is.
    pub(super) fn length(self) -> u64 {
        let (Self::There(length) | Self::Removed(length) | Self::Moved(length)) = self;
        length
    }
}

/// Reads an entry's header.
pub(super) fn parse_entry(header: &[u8]) -> Option<Entry> {
    let (magic, rest) = header.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = u64::from(u32::from_be_bytes(*length));
    if magic != ENTRY_MAGIC || rest.get(1..8)? != [0; 7] {
        return None;
    }
    match rest[0] {
        0 => Some(Entry::There(length)),
        1 => Some(Entry::Removed(length)),
        2 => Some(Entry::Moved(length)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden bytes: stored segments are read for ever.
    #[test]
    fn the_format_of_segments_stays_as_it_is() {
        assert_eq!(
            hex::encode(segment_header(0x0102_0304_0506_0708)),
            "4f554253000000010102030405060708000000000000000000000000000000004d537b21".to_owned()
                + "077fd8ea881141542eb29f4915f747ddde6ab99a1fb60aa83974123c"
        );
        assert_eq!(hex::encode(entry_header(300)), "4f5542450000012c0000000000000000");
        assert!(parse_segment_header(&segment_header(7)) == Some(7));
        assert!(parse_entry(&entry_header(300)) == Some(Entry::There(300)));
        for (state, entry) in [(1, Entry::Removed(300)), (2, Entry::Moved(300))] {
            let mut header = entry_header(300);
            header[8] = state;
            assert!(parse_entry(&header) == Some(entry));
        }
    }
}
