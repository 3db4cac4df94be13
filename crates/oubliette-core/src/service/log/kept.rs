//! What of a log is durable, to be read.

use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use oubliette_proof::Hash;
use oubliette_proof::tree::{
    Ranges as _, TILE_WIDTH, Tile, TileError, TileKind, TileReader, TileTree, TreeHead, leaf_hash, write_bundle_entry,
};

use super::LogError;
use super::files::{Files, Leaves};
use super::frame::Sum;
use super::places::{Placed, Places, Segment};

/// The entries and hashes of one log.
pub(super) struct Kept {
    pub(super) files: Files,
    shown: RwLock<Shown>,
    leaves: Leaves,
}

struct Shown {
    places: Places,
    head: TreeHead,
}

impl Kept {
    pub(super) fn new(files: Files, places: Places) -> Result<Self, LogError> {
        let head = head_of(&places)?;
        Ok(Self { files, shown: RwLock::new(Shown { places, head }), leaves: Leaves::default() })
    }

    pub(super) fn head(&self) -> TreeHead {
        self.shown().head
    }

    /// The sum of the last entry.
    pub(super) fn sum(&self) -> Sum {
        self.shown().places.sum()
    }

    /// Makes durable entries count; the new head.
    pub(super) fn push(&self, placed: &[(Placed, Sum)]) -> Result<TreeHead, LogError> {
        let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        placed.iter().for_each(|(placed, sum)| shown.places.push(placed, *sum));
        shown.head = head_of(&shown.places)?;
        Ok(shown.head)
    }

    /// What an index says of a whole segment.
    pub(super) fn segment(&self, number: u32) -> Option<Segment> {
        self.shown().places.segment(number)
    }

    pub(super) fn entry(&self, number: u64) -> Result<Vec<u8>, LogError> {
        let mut entries = self.entries(number / TILE_WIDTH, (number % TILE_WIDTH) as usize + 1)?;
        entries.pop().ok_or(LogError::Absent)
    }

    /// Entries a tile at a time, from either end: the number of the first of a tile's, and their bytes. No more than a tile of
    /// them is in memory.
    pub(super) fn tiles(
        &self,
        entries: Range<u64>,
    ) -> impl DoubleEndedIterator<Item = Result<(u64, Vec<Vec<u8>>), LogError>> + '_ {
        let tiles = match entries.is_empty() {
            true => 0..0,
            false => entries.start / TILE_WIDTH..entries.end.div_ceil(TILE_WIDTH),
        };
        tiles.map(move |tile| {
            let first = tile * TILE_WIDTH;
            let mut found = self.entries(tile, (entries.end - first).min(TILE_WIDTH) as usize)?;
            let before = entries.start.saturating_sub(first);
            found.drain(..before as usize);
            Ok((first + before, found))
        })
    }

    /// The root over the first entries.
    pub(super) fn root_at(&self, size: u64) -> Result<Hash, LogError> {
        if size > self.head().size {
            return Err(LogError::Absent);
        }
        Ok(TileTree::new(self, self.head().size).root_at(size)?)
    }

    /// The first entries of a tile, checked against its hash.
    fn entries(&self, tile: u64, width: usize) -> Result<Vec<Vec<u8>>, LogError> {
        let pieces = {
            let shown = self.shown();
            if tile.saturating_mul(TILE_WIDTH).saturating_add(width as u64) > shown.places.size() {
                return Err(LogError::Absent);
            }
            shown.places.pieces(tile)
        };
        let good = |entries: &[Vec<u8>]| {
            let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
            entries.len() >= width && self.shown().places.are_of(tile, &leaves)
        };
        let mut entries = self.files.entries(tile, &pieces, good)?;
        entries.truncate(width);
        Ok(entries)
    }

    fn shown(&self) -> RwLockReadGuard<'_, Shown> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TileReader for Kept {
    type Error = LogError;

    fn read(&self, tile: Tile) -> Result<Vec<u8>, LogError> {
        let there = Tile::at(tile.kind, tile.index, self.head().size).is_some_and(|there| there.width >= tile.width);
        if !there || tile.width == 0 {
            return Err(LogError::Absent);
        }
        let width = usize::from(tile.width);
        if tile.kind == TileKind::Entries {
            let mut bundle = Vec::new();
            for entry in self.entries(tile.index, width)? {
                if !write_bundle_entry(&mut bundle, &entry) {
                    return Err(LogError::TooLong(entry.len()));
                }
            }
            return Ok(bundle);
        }
        if let Some(hashes) = self.shown().places.hashes(tile) {
            return Ok(bytes_of(hashes));
        }
        let leaves: Arc<Vec<Hash>> = self.leaves.get(tile.index, || {
            let entries = self.entries(tile.index, TILE_WIDTH as usize)?;
            Ok(entries.iter().map(|entry| leaf_hash(entry)).collect())
        })?;
        Ok(bytes_of(&leaves[..width]))
    }
}

fn bytes_of(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The head over everything in memory: of the last tile only the hashes at its edge are needed.
fn head_of(places: &Places) -> Result<TreeHead, LogError> {
    struct Edge<'a>(&'a Places);
    impl TileReader for Edge<'_> {
        type Error = LogError;

        fn read(&self, tile: Tile) -> Result<Vec<u8>, LogError> {
            self.0.hashes(tile).map(bytes_of).ok_or(LogError::Absent)
        }
    }
    let size = places.size();
    Ok(TreeHead { size, root: TileTree::new(Edge(places), size).root()? })
}

impl From<TileError<Self>> for LogError {
    fn from(error: TileError<Self>) -> Self {
        match error {
            TileError::Read(_, cause) => cause,
            TileError::Damaged(_) => Self::Damaged("a tile"),
            TileError::EntryTooLong(length) => Self::TooLong(length),
        }
    }
}
