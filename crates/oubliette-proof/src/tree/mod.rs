//! Merkle trees as RFC 6962 §2.1 (and RFC 9162 §2.1, which hashes alike) defines them, over SHA-256.
//!
//! ```text
//! leaf hash   SHA-256(0x00 ‖ entry)
//! node hash   SHA-256(0x01 ‖ left ‖ right)
//! empty tree  SHA-256("")
//! split       a tree of n > 1 leaves divides at the largest power of two below n
//! ```
//!
//! A proof is a list of hashes of *ranges* of leaves. Which ranges they are is told by [`inclusion_ranges`] and
//! [`consistency_ranges`] alone; where their hashes come from is behind [`Ranges`]: leaves in memory ([`MemoryTree`]) or
//! stored tiles ([`TileTree`]). Checking a proof needs neither.

mod append;
mod memory;
mod ranges;
mod stored;
mod tile;
mod verify;

pub use append::{Extension, extend};
pub use memory::MemoryTree;
pub use ranges::{LeafRange, Ranges, consistency_ranges, inclusion_ranges};
pub use stored::{TileError, TileReader, TileTree};
pub use tile::{TILE_WIDTH, Tile, TileKind, entries_of_bundle, write_bundle_entry};
pub use verify::{root_from_inclusion, verify_consistency, verify_inclusion};

use crate::hash::{Hash, sha256};

/// Hash of a leaf: RFC 6962 §2.1.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256(&[&[0], entry])
}

/// Hash of an inner node: RFC 6962 §2.1.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    sha256(&[&bytes])
}

/// Root of the tree without leaves.
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// What a checkpoint says of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// Number of leaves.
    pub size: u64,
    /// Root over all of them.
    pub root: Hash,
}

impl TreeHead {
    /// The head of the tree without leaves.
    pub fn empty() -> Self {
        Self { size: 0, root: empty_root() }
    }
}

/// The largest power of two below `n`; `n` is at least 2.
fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}
