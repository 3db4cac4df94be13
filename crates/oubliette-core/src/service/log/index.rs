//! Indexes: what opening has to know of 65,536 entries without reading them. An index that is missing or unreadable costs
//! time at the next start, and nothing else: it is made again from the entries.
//!
//! ```text
//! name     log-<ordinal of the log, 4 digits>-index-<segment, 8 digits>.oli
//! index    "OBLIDX01" | ordinal u32 | segment u32 | 256 x (tile's hash 32 | offset of its first frame u64) | last sum 32
//!          | count u32 | count x (first entry u64 | file u32 | begin u64 | end u64) | SHA-256(all before) 32
//! ```

use std::io;

use keyforest::media::Medium;
use oubliette_proof::tree::TILE_WIDTH;
use oubliette_proof::{Hash, sha256};

use super::places::{Run, SEGMENT, Segment};

const MAGIC: &[u8; 8] = b"OBLIDX01";
const TILES: usize = (SEGMENT / TILE_WIDTH) as usize;
/// Longest index that is read: one with a run for every entry.
const MAX: u64 = 1 << 21;

pub(super) fn name(ordinal: u32, segment: u32) -> String {
    format!("log-{ordinal:04}-index-{segment:08}.oli")
}

pub(super) fn is_name(text: &str) -> bool {
    let parts = text.strip_prefix("log-").and_then(|rest| rest.strip_suffix(".oli")?.split_once("-index-"));
    parts.and_then(|(ordinal, segment)| Some(name(ordinal.parse().ok()?, segment.parse().ok()?) == text)) == Some(true)
}

fn encode(ordinal: u32, number: u32, segment: &Segment) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&ordinal.to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
    for (hash, offset) in &segment.tiles {
        out.extend_from_slice(&hash.0);
        out.extend_from_slice(&offset.to_be_bytes());
    }
    out.extend_from_slice(&segment.sum);
    out.extend_from_slice(&(segment.runs.len() as u32).to_be_bytes());
    for run in &segment.runs {
        out.extend_from_slice(&run.first.to_be_bytes());
        out.extend_from_slice(&run.file.to_be_bytes());
        out.extend_from_slice(&run.begin.to_be_bytes());
        out.extend_from_slice(&run.end.to_be_bytes());
    }
    let sum = sha256(&[&out]);
    out.extend_from_slice(&sum.0);
    out
}

fn decode(ordinal: u32, number: u32, bytes: &[u8]) -> Option<Segment> {
    let mut from = bytes.strip_prefix(MAGIC)?;
    if take::<4>(&mut from)? != ordinal.to_be_bytes() || take::<4>(&mut from)? != number.to_be_bytes() {
        return None;
    }
    let mut tiles = Vec::with_capacity(TILES);
    for _ in 0..TILES {
        tiles.push((Hash(take(&mut from)?), u64::from_be_bytes(take(&mut from)?)));
    }
    let sum = take(&mut from)?;
    let mut runs = Vec::new();
    for _ in 0..u32::from_be_bytes(take(&mut from)?) {
        let (first, file) = (u64::from_be_bytes(take(&mut from)?), u32::from_be_bytes(take(&mut from)?));
        let (begin, end) = (u64::from_be_bytes(take(&mut from)?), u64::from_be_bytes(take(&mut from)?));
        runs.push(Run { first, file, begin, end });
    }
    let segment = Segment { tiles, runs, sum };
    // The sum at its end too.
    (encode(ordinal, number, &segment) == bytes).then_some(segment)
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*array)
}

/// Reads the index of a segment; `None` when there is none that is whole.
pub(super) fn read(medium: &dyn Medium, ordinal: u32, segment: u32, listed: &[(String, u64)]) -> Option<Segment> {
    let name = name(ordinal, segment);
    let (_, len) = listed.iter().find(|(file, len)| *file == name && *len <= MAX)?;
    let read = |bytes: io::Result<Vec<u8>>| decode(ordinal, segment, &bytes.ok()?);
    let len = usize::try_from(*len).ok()?;
    read(medium.read_at(&name, 0, len)).or_else(|| read(medium.read_back(&name, 0, len)))
}

/// Writes the index of a segment, in place of what is there.
pub(super) fn write(medium: &dyn Medium, ordinal: u32, number: u32, segment: &Segment) -> io::Result<()> {
    let name = name(ordinal, number);
    match medium.remove(&name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => medium.create(&name, 0)?,
    }
    medium.write_at(&name, 0, &encode(ordinal, number, segment))?;
    medium.flush(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_whole_or_none() {
        let tiles = (0..TILES as u64).map(|n| (sha256(&[&n.to_be_bytes()]), n * 100)).collect();
        let runs =
            vec![Run { first: 0, file: 1, begin: 88, end: 5_000 }, Run { first: 300, file: 2, begin: 88, end: 90_000 }];
        let segment = Segment { tiles, runs, sum: [4; 32] };
        let bytes = encode(0, 3, &segment);
        assert_eq!(decode(0, 3, &bytes), Some(segment));
        assert!(is_name(&name(0, 3)) && !is_name("log-0000-00000003.olf") && !is_name("log-0-index-3.oli"));
        assert_eq!(decode(0, 4, &bytes), None);
        assert_eq!(decode(1, 3, &bytes), None);
        for place in (0..bytes.len()).step_by(97) {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_eq!(decode(0, 3, &changed), None, "byte {place}");
            assert_eq!(decode(0, 3, &bytes[..place]), None);
        }
    }
}
