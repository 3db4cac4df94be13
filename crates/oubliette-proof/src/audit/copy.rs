//! A copy of a log that grows with it.
//!
//! Nothing is put into the copy that does not lead to the signed root: first the partial tiles at the tree's right edge,
//! which are its root; then from the top down each full tile, whose root stands in the tile above; then the bundles, whose
//! entries' hashes stand in the lowest tiles. So a copy that was broken off goes on where it was, and what is damaged in
//! it is fetched again.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::AuditError;
use crate::hash::Hash;
use crate::tree::{
    MemoryTree, Ranges, TILE_WIDTH, Tile, TileError, TileKind, TileReader, TileTree, TreeHead, entries_of_bundle,
    leaf_hash,
};

/// Where a copy of a log's files lies.
pub trait LogCopy {
    /// What can go wrong.
    type Error;

    /// A file as [`LogCopy::put`] was given it; `None` when there is none of exactly this width. Whether it is whole is
    /// looked at by who asked.
    fn get(&self, tile: Tile) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Puts a file there, in place of what is there of this name.
    fn put(&self, tile: Tile, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// Brings a copy that has the first `from` entries of a log up to `head`, and shows each further entry with its number. Whether
/// `head` continues what the copy had is for the caller to have checked ([`super::continues`]).
///
/// # Errors
/// The copy is as good as it was, and perhaps further.
pub fn bring_up_to<R: TileReader, C: LogCopy<Error = R::Error>>(
    source: &R,
    copy: &C,
    from: u64,
    head: &TreeHead,
    mut seen: impl FnMut(u64, &[u8]),
) -> Result<(), AuditError<R::Error>> {
    let edge = Edge::read(source, head)?;
    let copying = Copying { source, copy, edge, size: head.size };
    for (tile, bytes) in &copying.edge.0 {
        copying.put(*tile, bytes)?;
    }
    let levels = (0..8).take_while(|level| head.size >> (8 * level) > 0).last();
    for level in levels.map_or(0..0, |last| 0..last + 1).rev() {
        copying.full_tiles(level, from)?;
    }
    for index in from / TILE_WIDTH..head.size.div_ceil(TILE_WIDTH) {
        let bundle = copying.bundle(index)?;
        let numbered = (index * TILE_WIDTH..).zip(entries_of_bundle(&bundle.0, bundle.1).unwrap_or_default());
        numbered.filter(|(number, _)| *number >= from).for_each(|(number, entry)| seen(number, entry));
    }
    Ok(())
}

/// The partial tiles of a tree: its right edge, from which its root follows.
struct Edge(BTreeMap<Tile, Vec<u8>>);

impl Edge {
    fn read<R: TileReader>(source: &R, head: &TreeHead) -> Result<Self, AuditError<R::Error>> {
        let mut edge = Self(BTreeMap::new());
        for level in 0..8_u8 {
            let kind = TileKind::Hashes(level);
            let last = (head.size >> (8 * level)) / TILE_WIDTH;
            let Some(tile) = Tile::at(kind, last, head.size) else { continue };
            edge.0.insert(tile, hashes(source, tile)?);
        }
        let root = TileTree::new(&edge, head.size).root();
        if root.is_ok_and(|root| root == head.root) { Ok(edge) } else { Err(AuditError::NotTheRoot(head.size)) }
    }
}

impl TileReader for Edge {
    type Error = Infallible;

    fn read(&self, tile: Tile) -> Result<Vec<u8>, Infallible> {
        Ok(self.0.get(&tile).cloned().unwrap_or_default())
    }
}

/// The bytes of a tile of hashes, cut to its width.
fn hashes<R: TileReader>(source: &R, tile: Tile) -> Result<Vec<u8>, AuditError<R::Error>> {
    let mut bytes = source.read(tile).map_err(|error| TileError::Read(tile, error))?;
    let length = usize::from(tile.width) * Hash::LEN;
    if bytes.len() < length {
        return Err(TileError::Damaged(tile).into());
    }
    bytes.truncate(length);
    Ok(bytes)
}

struct Copying<'a, R, C> {
    source: &'a R,
    copy: &'a C,
    edge: Edge,
    size: u64,
}

impl<R: TileReader, C: LogCopy<Error = R::Error>> Copying<'_, R, C> {
    fn get(&self, tile: Tile) -> Result<Option<Vec<u8>>, AuditError<R::Error>> {
        self.copy.get(tile).map_err(|error| AuditError::Copy(tile, error))
    }

    fn put(&self, tile: Tile, bytes: &[u8]) -> Result<(), AuditError<R::Error>> {
        self.copy.put(tile, bytes).map_err(|error| AuditError::Copy(tile, error))
    }

    /// A tile of hashes that was checked already: of the edge, or put into the copy before.
    fn known(&self, level: u8, index: u64) -> Result<Vec<Hash>, AuditError<R::Error>> {
        let kind = TileKind::Hashes(level);
        let absent = TileError::Damaged(Tile { kind, index, width: 1 });
        let tile = Tile::at(kind, index, self.size).ok_or(absent)?;
        let bytes = match self.edge.0.get(&tile) {
            Some(bytes) => bytes.clone(),
            None => self.get(tile)?.ok_or(TileError::Damaged(tile))?,
        };
        Ok(bytes.as_chunks::<32>().0.iter().copied().map(Hash).collect())
    }

    /// The full tiles of a level that have an entry from `from` on below them.
    fn full_tiles(&self, level: u8, from: u64) -> Result<(), AuditError<R::Error>> {
        let full = (self.size >> (8 * level)) / TILE_WIDTH;
        let first = (from >> (8 * level)) / TILE_WIDTH;
        let mut above = None;
        for index in first..full {
            let parent = index / TILE_WIDTH;
            if above.as_ref().is_none_or(|(number, _)| *number != parent) {
                above = Some((parent, self.known(level + 1, parent)?));
            }
            let place = (index % TILE_WIDTH) as usize;
            let expected = above.as_ref().and_then(|(_, hashes)| hashes.get(place));
            let tile = Tile { kind: TileKind::Hashes(level), index, width: TILE_WIDTH as u16 };
            let leads = |bytes: &[u8]| {
                let hashes: Vec<Hash> = bytes.as_chunks::<32>().0.iter().copied().map(Hash).collect();
                hashes.len() as u64 == TILE_WIDTH && MemoryTree::new(hashes).root().ok().as_ref() == expected
            };
            if self.get(tile)?.is_some_and(|bytes| leads(&bytes)) {
                continue;
            }
            let bytes = hashes(self.source, tile)?;
            if !leads(&bytes) {
                return Err(TileError::Damaged(tile).into());
            }
            self.put(tile, &bytes)?;
        }
        Ok(())
    }

    /// A bundle with its width, checked against the lowest tile.
    fn bundle(&self, index: u64) -> Result<(Vec<u8>, u16), AuditError<R::Error>> {
        let absent = TileError::Damaged(Tile { kind: TileKind::Entries, index, width: 1 });
        let tile = Tile::at(TileKind::Entries, index, self.size).ok_or(absent)?;
        let expected = self.known(0, index)?;
        // The bundle's length, when its first entries are the expected ones.
        let leads = |bytes: &[u8]| {
            let entries = entries_of_bundle(bytes, tile.width)?;
            let same = entries.len() == expected.len()
                && entries.iter().zip(&expected).all(|(entry, hash)| leaf_hash(entry) == *hash);
            same.then(|| entries.iter().map(|entry| 2 + entry.len()).sum::<usize>())
        };
        if let Some(bytes) = self.get(tile)?.filter(|bytes| leads(bytes) == Some(bytes.len())) {
            return Ok((bytes, tile.width));
        }
        let mut bytes = self.source.read(tile).map_err(|error| TileError::Read(tile, error))?;
        bytes.truncate(leads(&bytes).ok_or(TileError::Damaged(tile))?);
        self.put(tile, &bytes)?;
        Ok((bytes, tile.width))
    }
}
