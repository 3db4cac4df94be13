//! Directory blocks within one batch of the committer: opened, changed, sealed again.

use std::collections::BTreeMap;
use std::sync::Arc;

use keyforest::{Group, Leaf};

use super::VaultError;
use super::vault::{Inner, lanes};
use crate::directory::{BLOCK_ENTRIES, Block, Entry};
use crate::ports::{Check, DirectoryRow, Write};

/// The block that takes new entries, kept between batches.
pub struct OpenBlock {
    next_block: u64,
    current: Option<Block>,
}

impl OpenBlock {
    /// `next_block`: one more than the newest block there is.
    pub fn new(next_block: u64) -> Self {
        Self { next_block, current: None }
    }

    /// After a batch that was not committed: what is in memory may hold entries that were not stored.
    pub fn forget(&mut self) {
        self.current = None;
    }
}

/// A block changed in this batch.
struct Touched {
    block: Block,
    /// The leaf it has in the database; `None` for a new one.
    stored: Option<Leaf>,
    /// Erasures that took an entry out of it.
    removed_by: Vec<usize>,
}

impl Touched {
    fn stored(block: Block) -> Self {
        Self { stored: Some(block.leaf), block, removed_by: Vec::new() }
    }
}

/// What a batch has to check, write and puncture for its blocks.
#[derive(Default)]
pub struct Resealed {
    /// Every changed block is still as it was read.
    pub checks: Vec<Check>,
    /// The blocks as they are now.
    pub writes: Vec<Write>,
    /// By erasure: the leaves that its entries were ever under.
    pub puncture: Vec<Vec<Leaf>>,
}

/// The blocks of one batch.
pub struct Blocks<'a> {
    inner: &'a Arc<Inner>,
    open: &'a mut OpenBlock,
    touched: BTreeMap<u64, Touched>,
}

impl<'a> Blocks<'a> {
    /// Opens every block the batch takes entries out of or changes. One whose key is gone is left as it is: nobody reads an entry
    /// of it any more, and the look-ups of what it names are made from the rows at every start.
    pub async fn load(
        inner: &'a Arc<Inner>,
        open: &'a mut OpenBlock,
        mut wanted: Vec<u64>,
    ) -> Result<Self, VaultError> {
        wanted.sort_unstable();
        wanted.dedup();
        let mut touched = BTreeMap::new();
        if let Some(current) = open.current.take_if(|block| wanted.binary_search(&block.number).is_ok()) {
            wanted.retain(|number| *number != current.number);
            touched.insert(current.number, Touched::stored(current));
        }
        for numbers in wanted.chunks(1_000) {
            let rows = inner.metadata.directory_blocks(numbers).await.map_err(|error| inner.port(error))?;
            for row in rows {
                match inner.open_block(&row) {
                    Ok(block) => drop(touched.insert(row.block, Touched::stored(block))),
                    Err(VaultError::Gone) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(Self { inner, open, touched })
    }

    /// Takes out the entry of `group` for the erasure at place `by` of the batch; `None` when it is not there.
    pub fn remove(&mut self, block: u64, group: Group, by: usize) -> Option<Entry> {
        let touched = self.touched.get_mut(&block)?;
        let entry = touched.block.remove(group)?;
        if touched.removed_by.last() != Some(&by) {
            touched.removed_by.push(by);
        }
        Some(entry)
    }

    /// Puts a changed entry in the place of its former self.
    pub fn replace(&mut self, block: u64, entry: Entry) {
        if let Some(touched) = self.touched.get_mut(&block) {
            touched.block.entries.retain(|former| former.group != entry.group);
            touched.block.entries.push(entry);
        }
    }

    /// Puts an entry into the block that takes new ones; gives its number.
    pub async fn place(&mut self, entry: &Entry) -> Result<u64, VaultError> {
        if let Some(current) = self.open.current.take() {
            self.touched.insert(current.number, Touched::stored(current));
        }
        if let Some(newest) = self.open.next_block.checked_sub(1)
            && let Some(last) = self.touched.get_mut(&newest)
            && last.block.entries.len() < BLOCK_ENTRIES
        {
            last.block.entries.push(entry.clone());
            return Ok(newest);
        }
        let number = self.open.next_block;
        let leaf = self.inner.allocate_leaf(lanes::DIRECTORY).await?;
        let block = Block { number, leaf, entries: vec![entry.clone()] };
        self.touched.insert(number, Touched { block, stored: None, removed_by: Vec::new() });
        self.open.next_block += 1;
        Ok(number)
    }

    /// Seals every changed block. One that an entry was taken out of moves to a fresh leaf, and the leaf it had dies with
    /// the erasures that took it: the others must not stay readable under a key that once opened the erased entry.
    pub async fn reseal(&mut self, erasures: usize) -> Result<Resealed, VaultError> {
        let mut out = Resealed { puncture: vec![Vec::new(); erasures], ..Resealed::default() };
        for (number, touched) in &mut self.touched {
            if let Some(leaf) = touched.stored {
                out.checks.push(Check::DirectoryLeaf(*number, leaf));
            }
            if !touched.removed_by.is_empty() {
                for erasure in &touched.removed_by {
                    out.puncture[*erasure].push(touched.block.leaf);
                }
                if touched.block.entries.is_empty() {
                    out.writes.push(Write::DeleteDirectory(*number));
                    continue;
                }
                touched.block.leaf = self.inner.allocate_leaf(lanes::DIRECTORY).await?;
            }
            let block = &touched.block;
            let sealed = self.inner.with_key(block.leaf, |key| block.seal(key))?.map_err(VaultError::internal)?;
            out.writes.push(Write::PutDirectory(DirectoryRow {
                block: *number,
                leaf: block.leaf,
                entries: block.entries.len() as u8,
                sealed,
            }));
        }
        Ok(out)
    }

    /// Keeps the newest block at hand for the next batch if it takes more entries.
    pub fn keep_newest(mut self) {
        if let Some(newest) = self.open.next_block.checked_sub(1)
            && let Some(last) = self.touched.remove(&newest)
            && !last.block.entries.is_empty()
            && last.block.entries.len() < BLOCK_ENTRIES
        {
            self.open.current = Some(last.block);
        }
    }
}

impl Inner {
    /// Opens a stored directory block.
    pub fn open_block(&self, row: &DirectoryRow) -> Result<Block, VaultError> {
        self.with_key(row.leaf, |key| Block::open(row.block, row.leaf, key, &row.sealed))?.map_err(VaultError::internal)
    }
}
