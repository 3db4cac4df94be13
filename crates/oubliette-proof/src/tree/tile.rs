//! The files of a log: C2SP tlog-tiles, sections "Merkle Tree" (hash tiles), "Partial Tiles" and "Log entries" (entry
//! bundles).
//!
//! ```text
//! hash tile     1 to 256 hashes of one level, 32 bytes each, one after the other
//! entry bundle  1 to 256 entries, each: u16 length (big-endian), bytes
//! path          tile/<level>/<index>[.p/<width>]   tile/entries/<index>[.p/<width>]
//! index         groups of three digits, all but the last after an `x`: 1234067 is x001/x234/067
//! ```

use std::fmt;

use crate::hash::Hash;

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;

/// What lies in a file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Hashes of this level (0 to 63): each spans `256^level` leaves.
    Hashes(u8),
    /// The entries themselves.
    Entries,
}

/// Names one file of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// What lies in it.
    pub kind: TileKind,
    /// Its number within its level.
    pub index: u64,
    /// Hashes or entries in it: 1 to 256; below 256 it is *partial*.
    pub width: u16,
}

impl Tile {
    /// The tile `index` of a kind in a log of `size` entries, as wide as it is there; `None` when it is empty there.
    pub fn at(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let level = match kind {
            TileKind::Hashes(level) => level,
            TileKind::Entries => 0,
        };
        let hashes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        let width = hashes.checked_sub(index.checked_mul(TILE_WIDTH)?)?.min(TILE_WIDTH);
        (width > 0).then_some(Self { kind, index, width: width as u16 })
    }

    /// Whether it may still grow.
    pub fn is_partial(&self) -> bool {
        u64::from(self.width) < TILE_WIDTH
    }

    /// The same tile, full.
    pub fn full(self) -> Self {
        Self { width: TILE_WIDTH as u16, ..self }
    }

    /// Reads a path as it is displayed, and nothing else.
    pub fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("tile/")?;
        let (kind, rest) = rest.split_once('/')?;
        let kind = if kind == "entries" { TileKind::Entries } else { TileKind::Hashes(kind.parse().ok()?) };
        let (digits, width) = rest.split_once(".p/").map_or((rest, None), |(digits, width)| (digits, Some(width)));
        let width =
            width.map_or(Some(TILE_WIDTH as u16), |width| width.parse().ok().filter(|w| (1..256).contains(w)))?;
        let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
        let tile = Self { kind, index: digits.parse().ok()?, width };
        // Whatever was read leniently shows when it is written again.
        (tile.to_string() == path && !matches!(kind, TileKind::Hashes(64..))).then_some(tile)
    }
}

impl fmt::Display for Tile {
    /// The path below the log's prefix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut index = self.index / 1000;
        while index > 0 {
            groups.push(index % 1000);
            index /= 1000;
        }
        for group in groups.iter().skip(1).rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{:03}", groups.first().copied().unwrap_or_default())?;
        if self.is_partial() { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

/// The hash at `place` of a hash tile's bytes.
pub(super) fn hash_in(bytes: &[u8], place: usize) -> Option<Hash> {
    bytes.as_chunks::<32>().0.get(place).copied().map(Hash)
}

/// The first `width` entries of a bundle, which may be fuller; `None` when it has fewer, or is no bundle up to there.
pub fn entries_of_bundle(mut bundle: &[u8], width: u16) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::with_capacity(usize::from(width).min(TILE_WIDTH as usize));
    for _ in 0..width {
        let (length, rest) = bundle.split_first_chunk::<2>()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        bundle = rest;
    }
    Some(entries)
}

/// Appends an entry to a bundle's bytes; `false`, with nothing appended, when it is longer than 65,535 bytes.
#[must_use]
pub fn write_bundle_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> bool {
    let Ok(length) = u16::try_from(entry.len()) else { return false };
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    true
}
