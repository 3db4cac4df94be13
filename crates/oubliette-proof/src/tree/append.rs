//! What must be written when entries join a log.

use super::stored::TileError;
use super::{
    MemoryTree, Ranges, TILE_WIDTH, Tile, TileKind, TileReader, TileTree, TreeHead, entries_of_bundle, leaf_hash,
    write_bundle_entry,
};

/// New state of a log, and the files that bring it about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The head over old and new entries: what the next checkpoint says.
    pub head: TreeHead,
    /// Files to write, bundles before the hash tiles over them, each level before the next. None of them changes a file that
    /// is there: a fuller tile has another name.
    pub files: Vec<(Tile, Vec<u8>)>,
}

/// The files to write when `entries` join the log whose first `size` entries the reader has.
///
/// Reads the partial tiles and the partial bundle at the right edge only. Checks what it can of them: the bundle's entries
/// must hash to the partial tile of level 0. The caller compares the old root ([`TileTree`]) with the one it pinned before
/// it signs anything over the result, and makes `files` durable before it publishes a checkpoint.
pub fn extend<R: TileReader>(reader: &R, size: u64, entries: &[&[u8]]) -> Result<Extension, TileError<R::Error>> {
    let old = TileTree::new(reader, size);
    let mut files = Vec::new();
    append_bundles(&old, reader, size, entries, &mut files)?;

    let mut fresh: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let (mut level, mut before) = (0, size);
    let mut kept = Files(Vec::new());
    while !fresh.is_empty() {
        // Hashes of this level from the beginning of the tile in which the first new one falls.
        let (first, partial) = (before / TILE_WIDTH, before % TILE_WIDTH);
        let kind = TileKind::Hashes(level);
        let mut bytes =
            if partial == 0 { Vec::new() } else { old.tile(Tile { kind, index: first, width: partial as u16 })? };
        bytes.extend(fresh.iter().flat_map(|hash| hash.0));
        let chunks = bytes.chunks(TILE_WIDTH as usize * 32);
        let mut above = Vec::new();
        for (number, chunk) in chunks.enumerate() {
            let tile = Tile { kind, index: first + number as u64, width: (chunk.len() / 32) as u16 };
            if !tile.is_partial() {
                let hashes = chunk.as_chunks::<32>().0.iter().copied().map(crate::Hash).collect();
                above.extend(MemoryTree::new(hashes).root().ok());
            }
            kept.0.push((tile, chunk.to_vec()));
        }
        fresh = above;
        before = first;
        level += 1;
    }
    let size = size + entries.len() as u64;
    let root = TileTree::new(Overlay { new: &kept, old: reader }, size).root()?;
    files.extend(kept.0);
    Ok(Extension { head: TreeHead { size, root }, files })
}

fn append_bundles<R: TileReader>(
    old: &TileTree<&R>,
    reader: &R,
    size: u64,
    entries: &[&[u8]],
    files: &mut Vec<(Tile, Vec<u8>)>,
) -> Result<(), TileError<R::Error>> {
    let (mut index, mut width) = (size / TILE_WIDTH, (size % TILE_WIDTH) as u16);
    let mut bundle = Vec::new();
    if width > 0 && !entries.is_empty() {
        let tile = Tile { kind: TileKind::Entries, index, width };
        bundle = reader.read(tile).map_err(|error| TileError::Read(tile, error))?;
        let kept = entries_of_bundle(&bundle, width).ok_or(TileError::Damaged(tile))?;
        let length = kept.iter().map(|entry| entry.len() + 2).sum();
        let hashes = old.tile(Tile { kind: TileKind::Hashes(0), ..tile })?;
        if kept.iter().flat_map(|entry| leaf_hash(entry).0).ne(hashes) {
            return Err(TileError::Damaged(tile));
        }
        bundle.truncate(length);
    }
    for entry in entries {
        if !write_bundle_entry(&mut bundle, entry) {
            return Err(TileError::EntryTooLong(entry.len()));
        }
        width += 1;
        if u64::from(width) == TILE_WIDTH {
            files.push((Tile { kind: TileKind::Entries, index, width }, std::mem::take(&mut bundle)));
            (index, width) = (index + 1, 0);
        }
    }
    if width > 0 && !entries.is_empty() {
        files.push((Tile { kind: TileKind::Entries, index, width }, bundle));
    }
    Ok(())
}

/// Files not yet written.
struct Files(Vec<(Tile, Vec<u8>)>);

/// A log as it will be when they are.
struct Overlay<'a, R> {
    new: &'a Files,
    old: &'a R,
}

impl<R: TileReader> TileReader for Overlay<'_, R> {
    type Error = R::Error;

    fn read(&self, tile: Tile) -> Result<Vec<u8>, R::Error> {
        match self.new.0.iter().find(|(name, _)| *name == tile) {
            Some((_, bytes)) => Ok(bytes.clone()),
            None => self.old.read(tile),
        }
    }
}
