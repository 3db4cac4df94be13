//! A tree whose leaf hashes are all in memory: for the receipts of one seal, and for tests.

use std::convert::Infallible;

use super::{Ranges, node_hash};
use crate::hash::Hash;

/// All complete sub-trees of a list of leaves: two hashes of memory a leaf.
pub struct MemoryTree {
    /// `levels[l][i]` is the hash of the complete sub-tree of `2^l` leaves at `i << l`.
    levels: Vec<Vec<Hash>>,
}

impl MemoryTree {
    /// The tree over these *leaf hashes*.
    pub fn new(leaves: Vec<Hash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|below| below.len() > 1) {
            let (pairs, _) = below.as_chunks::<2>();
            let level = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
            levels.push(level);
        }
        Self { levels }
    }

    fn known(&self, level: u8, index: u64) -> Hash {
        let hash = usize::try_from(index).ok().and_then(|index| self.levels.get(usize::from(level))?.get(index));
        // The trait asks only for sub-trees within the size.
        hash.copied().unwrap_or_default()
    }
}

impl Ranges for MemoryTree {
    type Error = Infallible;

    fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        Ok(self.known(level, index))
    }
}
