//! A tree whose hashes lie in tiles.

use std::cell::RefCell;
use std::collections::HashMap;

use super::tile::hash_in;
use super::{Ranges, TILE_WIDTH, Tile, TileKind, node_hash};
use crate::hash::Hash;

/// Gives the bytes of tiles and bundles.
pub trait TileReader {
    /// What can go wrong.
    type Error;

    /// The bytes of a file of the log. `tile.width` is what is needed: a reader that has the same tile fuller may give that
    /// one, because what lies in a tile never changes.
    fn read(&self, tile: Tile) -> Result<Vec<u8>, Self::Error>;
}

impl<R: TileReader + ?Sized> TileReader for &R {
    type Error = R::Error;

    fn read(&self, tile: Tile) -> Result<Vec<u8>, R::Error> {
        (**self).read(tile)
    }
}

/// Why a hash or an entry could not be had from the tiles.
#[derive(Debug, thiserror::Error)]
pub enum TileError<E> {
    /// The reader failed.
    #[error("the log's file {0} cannot be read")]
    Read(Tile, #[source] E),
    /// The file is too short, or not what its name says.
    #[error("the log's file {0} is damaged")]
    Damaged(Tile),
    /// An entry is longer than a bundle can hold (65,535 bytes).
    #[error("a log entry of {0} bytes is too long")]
    EntryTooLong(usize),
}

/// The tree of `size` leaves in the tiles of a reader. Each tile is read once and kept (8 KiB); a proof needs at most two of
/// each level.
///
/// What a tile says is *not* checked here: a proof made from wrong tiles does not lead to the signed root, and a caller who
/// publishes one checks it first ([`super::verify_inclusion`], [`super::verify_consistency`]).
pub struct TileTree<R> {
    reader: R,
    size: u64,
    kept: RefCell<HashMap<Tile, Vec<u8>>>,
}

impl<R: TileReader> TileTree<R> {
    /// The tree of the first `size` leaves.
    pub fn new(reader: R, size: u64) -> Self {
        Self { reader, size, kept: RefCell::default() }
    }

    /// Bytes of a tile, cut to its width.
    pub(super) fn tile(&self, tile: Tile) -> Result<Vec<u8>, TileError<R::Error>> {
        let mut bytes = self.reader.read(tile).map_err(|error| TileError::Read(tile, error))?;
        let length = usize::from(tile.width) * Hash::LEN;
        if bytes.len() < length {
            return Err(TileError::Damaged(tile));
        }
        bytes.truncate(length);
        Ok(bytes)
    }
}

impl<R: TileReader> Ranges for TileTree<R> {
    type Error = TileError<R::Error>;

    fn size(&self) -> u64 {
        self.size
    }

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        // 2^level leaves are 2^(level mod 8) hashes of tile level level/8.
        let kind = TileKind::Hashes(level / 8);
        let (count, first) = (1_u64 << (level % 8), index << (level % 8));
        let number = first / TILE_WIDTH;
        let absent = Tile { kind, index: number, width: 1 };
        let tile = Tile::at(kind, number, self.size).ok_or(TileError::Damaged(absent))?;
        if !self.kept.borrow().contains_key(&tile) {
            let bytes = self.tile(tile)?;
            self.kept.borrow_mut().insert(tile, bytes);
        }
        let kept = self.kept.borrow();
        let bytes = kept.get(&tile).map(Vec::as_slice).unwrap_or_default();
        let place = (first % TILE_WIDTH) as usize;
        let mut hashes = (place..place + count as usize)
            .map(|place| hash_in(bytes, place))
            .collect::<Option<Vec<_>>>()
            .ok_or(TileError::Damaged(tile))?;
        while hashes.len() > 1 {
            hashes = hashes.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
        }
        hashes.pop().ok_or(TileError::Damaged(tile))
    }
}
