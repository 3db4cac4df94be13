//! Following a log over time: whether a newer state continues an older one, from the log's files.

mod copy;
mod succession;

pub use copy::{LogCopy, bring_up_to};
pub use succession::Succession;

use std::collections::BTreeMap;

use crate::entry::Entry;
use crate::hash::Hash;
use crate::tree::{
    MemoryTree, Ranges, TILE_WIDTH, Tile, TileError, TileKind, TileReader, TileTree, TreeHead, empty_root,
    entries_of_bundle, leaf_hash, node_hash, verify_consistency,
};

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError<E> {
    /// The newer state has fewer entries.
    #[error("the log SHRANK: it had {old} entries, and has {new}")]
    Shrunk {
        /// Entries before.
        old: u64,
        /// Entries after.
        new: u64,
    },
    /// The newer state does not continue the older one.
    #[error("the log was FORKED: its first {0} entries are not those that were signed before")]
    Forked(u64),
    /// The files are not those of the newer state.
    #[error("the files of the log do not lead to the root that was signed for {0} entries")]
    NotTheRoot(u64),
    /// A file cannot be read or is damaged.
    #[error(transparent)]
    Tile(#[from] TileError<E>),
    /// The copy of the log cannot be read or written.
    #[error("the copy's file {0} cannot be read or written")]
    Copy(Tile, #[source] E),
}

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// Entries by kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Entries of no kind or version that is known here.
    pub unknown: u64,
}

impl AuditReport {
    /// Counts an entry; gives it when it is of a kind that is known here.
    pub fn count(&mut self, entry: &[u8]) -> Option<Entry> {
        let entry = Entry::decode(entry).inspect_err(|_| self.unknown += 1).ok()?;
        *self.kinds.entry(entry.body.name()).or_default() += 1;
        Some(entry)
    }
}

/// Whether `newer` continues `older`, shown by hashes of the tiles alone: enough for two signed states, in a few reads.
///
/// # Errors
/// [`AuditError::Forked`] only when the tiles prove it: they lead to the newer root, and from another older one. Damaged tiles
/// prove nothing.
pub fn continues<R: TileReader>(reader: &R, older: &TreeHead, newer: &TreeHead) -> Result<(), AuditError<R::Error>> {
    compare(older, newer)?;
    let tree = TileTree::new(reader, newer.size);
    let proof = tree.prove_consistency(older.size, newer.size)?.unwrap_or_default();
    if verify_consistency(older, newer, &proof) {
        return Ok(());
    }
    let then = TreeHead { size: older.size, root: tree.root_at(older.size)? };
    if then != *older && verify_consistency(&then, newer, &proof) {
        Err(AuditError::Forked(older.size))
    } else {
        Err(AuditError::NotTheRoot(newer.size))
    }
}

/// Reads what `newer` has from the last entry of `older` on, and shows each entry with its number: with those before, whose
/// hashes the tiles have, they lead to both roots.
///
/// # Errors
/// Nothing that was shown is to be believed, but after [`AuditError::Forked`]: then it is all of `newer`.
pub fn read_on<R: TileReader>(
    reader: &R,
    older: &TreeHead,
    newer: &TreeHead,
    mut seen: impl FnMut(u64, &[u8]),
) -> Result<(), AuditError<R::Error>> {
    compare(older, newer)?;
    let first = older.size.saturating_sub(1);
    let mut peaks = Peaks::before(first / TILE_WIDTH * TILE_WIDTH, &TileTree::new(reader, newer.size))?;
    let mut then = empty_root();
    for index in first / TILE_WIDTH..newer.size.div_ceil(TILE_WIDTH) {
        let Some(tile) = Tile::at(TileKind::Entries, index, newer.size) else { break };
        let bundle = reader.read(tile).map_err(|error| TileError::Read(tile, error))?;
        for entry in entries_of_bundle(&bundle, tile.width).ok_or(TileError::Damaged(tile))? {
            if peaks.size >= first {
                seen(peaks.size, entry);
            }
            peaks.push(leaf_hash(entry));
            if peaks.size == older.size {
                then = peaks.root();
            }
        }
    }
    if peaks.root() != newer.root {
        return Err(AuditError::NotTheRoot(newer.size));
    }
    if then == older.root { Ok(()) } else { Err(AuditError::Forked(older.size)) }
}

/// Reads the whole log once: every entry hashes to its tile, every tile to the one above, the first `older.size` entries to
/// the older root, all of them to the newer one. Keeps a few kilobytes in memory.
///
/// # Errors
/// [`AuditError::Forked`] only when the files are those of `newer`, and another tree's than `older`.
pub fn audit<R: TileReader>(
    reader: &R,
    older: &TreeHead,
    newer: &TreeHead,
) -> Result<AuditReport, AuditError<R::Error>> {
    audit_with(reader, older, newer, |_, _| {})
}

/// As [`audit`], and shows each entry that is of a kind known here, with its number. They are the log's when the audit ends
/// well, or with [`AuditError::Forked`].
pub fn audit_with<R: TileReader>(
    reader: &R,
    older: &TreeHead,
    newer: &TreeHead,
    mut seen: impl FnMut(u64, &Entry),
) -> Result<AuditReport, AuditError<R::Error>> {
    compare(older, newer)?;
    let mut report = AuditReport::default();
    let mut levels = Levels { reader, size: newer.size, pending: Vec::new() };
    let mut peaks = Peaks::default();
    let mut forked = older.size == 0 && older.root != empty_root();
    for index in 0..newer.size.div_ceil(TILE_WIDTH) {
        let Some(tile) = Tile::at(TileKind::Entries, index, newer.size) else { break };
        let bundle = reader.read(tile).map_err(|error| TileError::Read(tile, error))?;
        for entry in entries_of_bundle(&bundle, tile.width).ok_or(TileError::Damaged(tile))? {
            if let Some(entry) = report.count(entry) {
                seen(peaks.size, &entry);
            }
            let hash = leaf_hash(entry);
            levels.push(0, hash)?;
            peaks.push(hash);
            forked |= peaks.size == older.size && peaks.root() != older.root;
        }
    }
    levels.finish()?;
    // Files that are not those of the newer root show nothing about the older one.
    if peaks.root() != newer.root {
        return Err(AuditError::NotTheRoot(newer.size));
    }
    if forked { Err(AuditError::Forked(older.size)) } else { Ok(report) }
}

/// What needs no files.
fn compare<E>(older: &TreeHead, newer: &TreeHead) -> Result<(), AuditError<E>> {
    if newer.size < older.size {
        return Err(AuditError::Shrunk { old: older.size, new: newer.size });
    }
    if newer.size == older.size && newer.root != older.root {
        return Err(AuditError::Forked(older.size));
    }
    Ok(())
}

/// Hash tiles as they should be, compared with those there are.
struct Levels<'a, R> {
    reader: &'a R,
    size: u64,
    /// For each level: tiles done, and the hashes of the one that is being filled.
    pending: Vec<(u64, Vec<Hash>)>,
}

impl<R: TileReader> Levels<'_, R> {
    fn push(&mut self, level: usize, hash: Hash) -> Result<(), TileError<R::Error>> {
        if self.pending.len() == level {
            self.pending.push((0, Vec::new()));
        }
        let (index, hashes) = &mut self.pending[level];
        hashes.push(hash);
        if hashes.len() as u64 == TILE_WIDTH {
            let (index, hashes) = (*index, std::mem::take(hashes));
            self.pending[level].0 += 1;
            self.same(level, index, &hashes)?;
            let Ok(above) = MemoryTree::new(hashes).root();
            self.push(level + 1, above)?;
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), TileError<R::Error>> {
        let partial = self.pending.iter().enumerate().filter(|(_, (_, hashes))| !hashes.is_empty());
        partial.into_iter().try_for_each(|(level, (index, hashes))| self.same(level, *index, hashes))
    }

    fn same(&self, level: usize, index: u64, hashes: &[Hash]) -> Result<(), TileError<R::Error>> {
        let kind = TileKind::Hashes(u8::try_from(level).unwrap_or(u8::MAX));
        let tile = Tile::at(kind, index, self.size).unwrap_or(Tile { kind, index, width: hashes.len() as u16 });
        let bytes = self.reader.read(tile).map_err(|error| TileError::Read(tile, error))?;
        let expected: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
        if bytes.starts_with(&expected) { Ok(()) } else { Err(TileError::Damaged(tile)) }
    }
}

/// The complete sub-trees of a growing tree, largest first.
#[derive(Default)]
struct Peaks {
    size: u64,
    hashes: Vec<Hash>,
}

impl Peaks {
    /// Those of the tree of `size` entries, a multiple of a tile's width, by the hashes of another tree's tiles.
    fn before<R: TileReader>(size: u64, tree: &TileTree<R>) -> Result<Self, TileError<R::Error>> {
        let mut peaks = Self::default();
        for level in (0..64_u8).rev().filter(|level| size >> level & 1 == 1) {
            peaks.hashes.push(tree.subtree(level, peaks.size >> level)?);
            peaks.size += 1 << level;
        }
        Ok(peaks)
    }

    fn push(&mut self, mut hash: Hash) {
        // As many merges as the number of leaves has ones at its end.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.hashes.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.hashes.push(hash);
        self.size += 1;
    }

    fn root(&self) -> Hash {
        let last = self.hashes.split_last();
        last.map_or_else(empty_root, |(last, rest)| {
            rest.iter().rev().fold(*last, |right, left| node_hash(left, &right))
        })
    }
}
