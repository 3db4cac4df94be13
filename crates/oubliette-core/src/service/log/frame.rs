//! Bytes of the log's files.
//!
//! ```text
//! name     log-<ordinal of the log, 4 digits>-<number of the file, 8 digits>.olf
//! head     "OBLOG001" | ordinal u32 | number u32 | first entry u64 | sum before it 32 | SHA-256(these 56) 32
//! frame    "OLGE" | length u32 | entry's number u64 | sum 32 | entry
//! sum      SHA-256("oubliette/log/frame/v1" | 00 | sum before 32 | entry's number u64 | length u32 | entry)
//! ```
//! Numbers are big-endian; the sum before entry 0 is 32 zeros. Sums make a chain, through files as well: a frame that a flush
//! which failed left behind, or one that was replaced by a shorter one, follows nothing and is not believed.

use oubliette_proof::sha256;

pub(super) type Sum = [u8; 32];

/// The sum before the first entry.
pub(super) const NO_SUM: Sum = [0; 32];
/// Bytes of a file's head.
pub(super) const FILE_HEAD: usize = 88;
/// Bytes of a frame before its entry.
pub(super) const FRAME_HEAD: usize = 48;

const FILE_MAGIC: &[u8; 8] = b"OBLOG001";
const FRAME_MAGIC: &[u8; 4] = b"OLGE";
const CHAIN: &[u8] = b"oubliette/log/frame/v1\0";

/// Which file of which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId {
    /// The vault's first log is 0; each that was opened after a loss is one more.
    pub(super) ordinal: u32,
    pub(super) number: u32,
}

impl FileId {
    pub(super) fn name(self) -> String {
        format!("log-{:04}-{:08}.olf", self.ordinal, self.number)
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let (ordinal, number) = name.strip_prefix("log-")?.strip_suffix(".olf")?.split_once('-')?;
        let id = Self { ordinal: ordinal.parse().ok()?, number: number.parse().ok()? };
        (id.name() == name).then_some(id)
    }
}

/// What a file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHead {
    pub(super) id: FileId,
    pub(super) first: u64,
    pub(super) before: Sum,
}

impl FileHead {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FILE_HEAD);
        out.extend_from_slice(FILE_MAGIC);
        out.extend_from_slice(&self.id.ordinal.to_be_bytes());
        out.extend_from_slice(&self.id.number.to_be_bytes());
        out.extend_from_slice(&self.first.to_be_bytes());
        out.extend_from_slice(&self.before);
        let sum = sha256(&[&out]);
        out.extend_from_slice(&sum.0);
        out
    }

    /// The head of the file `id`; `None` when it is none, or another file's.
    pub(super) fn decode(id: FileId, bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..FILE_HEAD)?;
        let (first, before) = (bytes[16..24].try_into().ok()?, bytes[24..56].try_into().ok()?);
        let head = Self { id, first: u64::from_be_bytes(first), before };
        (head.encode() == bytes).then_some(head)
    }
}

/// The sum of an entry's frame.
pub(super) fn sum_after(before: &Sum, number: u64, entry: &[u8]) -> Sum {
    sha256(&[CHAIN, before, &number.to_be_bytes(), &(entry.len() as u32).to_be_bytes(), entry]).0
}

/// Appends an entry's frame; its sum.
pub(super) fn write_frame(out: &mut Vec<u8>, before: &Sum, number: u64, entry: &[u8]) -> Sum {
    let sum = sum_after(before, number, entry);
    out.extend_from_slice(FRAME_MAGIC);
    out.extend_from_slice(&(entry.len() as u32).to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(&sum);
    out.extend_from_slice(entry);
    sum
}

/// A frame as it stands there: whether it is believed is for its sum to say.
pub(super) struct Frame<'a> {
    pub(super) entry: &'a [u8],
    pub(super) sum: Sum,
    /// Its length in bytes.
    pub(super) len: usize,
}

/// The frame of entry `number` at the front of some bytes.
pub(super) fn read_frame(bytes: &[u8], number: u64) -> Option<Frame<'_>> {
    let head = bytes.get(..FRAME_HEAD)?;
    let length = u32::from_be_bytes(head[4..8].try_into().ok()?) as usize;
    if &head[..4] != FRAME_MAGIC || head[8..16] != number.to_be_bytes() {
        return None;
    }
    let len = FRAME_HEAD.checked_add(length)?;
    Some(Frame { entry: bytes.get(FRAME_HEAD..len)?, sum: head[16..48].try_into().ok()?, len })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_was_changed_or_follows_another_is_not_believed() {
        let mut bytes = Vec::new();
        let sum = write_frame(&mut bytes, &NO_SUM, 0, b"first");
        let after = write_frame(&mut bytes, &sum, 1, b"second");
        let first = read_frame(&bytes, 0).unwrap();
        assert_eq!((first.entry, first.sum), (&b"first"[..], sum));
        let second = read_frame(&bytes[first.len..], 1).unwrap();
        assert_eq!((second.entry, second.sum), (&b"second"[..], after));
        assert!(read_frame(&bytes[first.len..], 0).is_none(), "another number");
        assert_ne!(sum_after(&NO_SUM, 1, b"second"), after, "another one before it");
        for length in 0..first.len {
            assert!(read_frame(&bytes[..length], 0).is_none());
        }
        for place in 0..first.len {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let read = read_frame(&changed, 0);
            assert!(read.is_none_or(|frame| sum_after(&NO_SUM, 0, frame.entry) != frame.sum), "byte {place}");
        }
    }

    #[test]
    fn a_head_is_of_its_own_file_alone() {
        let id = FileId { ordinal: 1, number: 7 };
        assert_eq!(FileId::parse(&id.name()), Some(id));
        assert_eq!(FileId::parse("log-0001-7.olf"), None);
        let head = FileHead { id, first: 9, before: [3; 32] };
        let bytes = head.encode();
        assert_eq!(bytes.len(), FILE_HEAD);
        assert_eq!(FileHead::decode(id, &bytes), Some(head));
        assert_eq!(FileHead::decode(FileId { number: 8, ..id }, &bytes), None);
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_eq!(FileHead::decode(id, &changed), None, "byte {place}");
        }
    }
}
