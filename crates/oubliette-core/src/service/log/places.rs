//! What of the log is in memory: where entries lie, and the hashes of what is complete. About 40 bytes for each 256 entries.

use std::ops::Range;

use oubliette_proof::Hash;
use oubliette_proof::tree::{MemoryTree, Ranges as _, TILE_WIDTH, Tile, TileKind};

use super::frame::{NO_SUM, Sum};

/// Entries in a row in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first of them.
    pub(super) first: u64,
    pub(super) file: u32,
    /// Where its frame begins, and where the last one's ends.
    pub(super) begin: u64,
    pub(super) end: u64,
}

/// Where a new entry lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) leaf: Hash,
    pub(super) file: u32,
    pub(super) span: (u64, u64),
}

/// A part of a file that holds some of a tile's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) file: u32,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// Entries that an index covers.
pub(super) const SEGMENT: u64 = 1 << 16;

/// What an index says of a segment's entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Hash of each tile, and where its first entry's frame is.
    pub(super) tiles: Vec<(Hash, u64)>,
    pub(super) runs: Vec<Run>,
    /// Of its last entry.
    pub(super) sum: Sum,
}

/// Where everything is.
#[derive(Clone, Debug)]
pub(super) struct Places {
    size: u64,
    /// Of the last entry.
    sum: Sum,
    /// `levels[l][i]` is the hash of the complete sub-tree of `256^(l + 1)` leaves at place `i`.
    levels: Vec<Vec<Hash>>,
    /// For each tile that has begun, where the frame of its first entry is in that entry's file.
    offsets: Vec<u64>,
    /// Leaf hashes of the tile that is not full.
    edge: Vec<Hash>,
    runs: Vec<Run>,
    /// The sum at the end of each whole segment.
    sums: Vec<Sum>,
}

impl Places {
    pub(super) fn new() -> Self {
        let (levels, offsets, edge) = (Vec::new(), Vec::new(), Vec::new());
        Self { size: 0, sum: NO_SUM, levels, offsets, edge, runs: Vec::new(), sums: Vec::new() }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn sum(&self) -> Sum {
        self.sum
    }

    /// Adds the next entry.
    pub(super) fn push(&mut self, placed: &Placed, sum: Sum) {
        let Placed { leaf, file, span: (begin, end) } = *placed;
        self.reach(file, begin, end);
        if self.edge.is_empty() {
            self.offsets.push(begin);
        }
        self.edge.push(leaf);
        self.size += 1;
        self.sum = sum;
        if self.edge.len() as u64 == TILE_WIDTH {
            let leaves = std::mem::take(&mut self.edge);
            self.complete(root_of(leaves));
        }
        if self.size.is_multiple_of(SEGMENT) {
            self.sums.push(sum);
        }
    }

    /// File and offset behind the last entry.
    pub(super) fn end(&self) -> Option<(u32, u64)> {
        self.runs.last().map(|run| (run.file, run.end))
    }

    /// What an index says of a whole segment; `None` when it is not whole.
    pub(super) fn segment(&self, segment: u32) -> Option<Segment> {
        let (number, tiles) = (segment as usize, (SEGMENT / TILE_WIDTH) as usize);
        let sum = *self.sums.get(number)?;
        let tiles = number * tiles..(number + 1) * tiles;
        let hashes = self.levels.first()?.get(tiles.clone())?;
        let tiles = hashes.iter().copied().zip(self.offsets.get(tiles)?.iter().copied()).collect();
        let first = u64::from(segment) * SEGMENT;
        Some(Segment { tiles, runs: self.runs_of(first..first + SEGMENT), sum })
    }

    /// Whole segments.
    pub(super) fn segments(&self) -> u32 {
        self.sums.len() as u32
    }

    fn reach(&mut self, file: u32, begin: u64, end: u64) {
        match self.runs.last_mut() {
            Some(run) if run.file == file && run.end == begin => run.end = end,
            _ => self.runs.push(Run { first: self.size, file, begin, end }),
        }
    }

    fn complete(&mut self, tile: Hash) {
        let (mut hash, mut level) = (tile, 0);
        loop {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(hash);
            let width = TILE_WIDTH as usize;
            if !self.levels[level].len().is_multiple_of(width) {
                return;
            }
            hash = root_of(self.levels[level][self.levels[level].len() - width..].to_vec());
            level += 1;
        }
    }

    /// Adds the next segment as its index describes it.
    pub(super) fn adopt(&mut self, segment: &Segment) {
        for (hash, offset) in &segment.tiles {
            self.offsets.push(*offset);
            self.complete(*hash);
        }
        for run in &segment.runs {
            match self.runs.last_mut() {
                Some(last) if last.file == run.file && last.end == run.begin => last.end = run.end,
                _ => self.runs.push(*run),
            }
        }
        self.size += SEGMENT;
        self.sum = segment.sum;
        self.sums.push(segment.sum);
    }

    /// The runs that hold some entries, cut to the entries of whole tiles.
    pub(super) fn runs_of(&self, entries: Range<u64>) -> Vec<Run> {
        let mut runs: Vec<Run> =
            self.runs[self.run_of(entries.start)..].iter().copied().take_while(|run| run.first < entries.end).collect();
        if let (Some(first), Some(begin)) = (runs.first_mut(), self.offset_of(entries.start)) {
            *first = Run { first: entries.start, begin, ..*first };
        }
        if let (Some(last), Some(end)) = (runs.last_mut(), self.end_of(entries.end)) {
            last.end = end;
        }
        runs
    }

    fn run_of(&self, entry: u64) -> usize {
        self.runs.partition_point(|run| run.first <= entry).saturating_sub(1)
    }

    fn offset_of(&self, entry: u64) -> Option<u64> {
        self.offsets.get(usize::try_from(entry / TILE_WIDTH).ok()?).copied()
    }

    /// Where the tile before `entry` ends, when the next one lies in the same run.
    fn end_of(&self, entry: u64) -> Option<u64> {
        let next = self.offset_of(entry).filter(|_| entry < self.size)?;
        (self.runs.get(self.run_of(entry))?.first < entry).then_some(next)
    }

    /// Where the entries of a tile lie.
    pub(super) fn pieces(&self, tile: u64) -> Vec<Piece> {
        let first = tile * TILE_WIDTH;
        let runs = self.runs_of(first..(first + TILE_WIDTH).min(self.size));
        runs.into_iter().map(|run| Piece { file: run.file, from: run.begin, to: run.end }).collect()
    }

    /// A hash tile that needs no reading; `None` for a full one of level 0, and for what is not there.
    pub(super) fn hashes(&self, tile: Tile) -> Option<&[Hash]> {
        let (first, width) = (usize::try_from(tile.index.checked_mul(TILE_WIDTH)?).ok()?, usize::from(tile.width));
        match tile.kind {
            TileKind::Hashes(0) if tile.index == self.size / TILE_WIDTH => self.edge.get(..width),
            TileKind::Hashes(level) if level > 0 => {
                self.levels.get(usize::from(level) - 1)?.get(first..first.checked_add(width)?)
            }
            _ => None,
        }
    }

    /// Whether these leaf hashes, from a tile's first on, are the tile's.
    pub(super) fn are_of(&self, tile: u64, leaves: &[Hash]) -> bool {
        if tile == self.size / TILE_WIDTH {
            return self.edge.starts_with(leaves);
        }
        let known = self.levels.first().zip(usize::try_from(tile).ok()).and_then(|(level, tile)| level.get(tile));
        leaves.len() as u64 == TILE_WIDTH && known == Some(&root_of(leaves.to_vec()))
    }
}

fn root_of(hashes: Vec<Hash>) -> Hash {
    let Ok(root) = MemoryTree::new(hashes).root();
    root
}
