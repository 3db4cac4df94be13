//! Checking proofs: needs the proof and what it is about, nothing else.

use super::{TreeHead, empty_root, node_hash};
use crate::hash::Hash;

/// Whether the proof shows `leaf` (a *leaf hash*) at `index` of the tree: RFC 9162 §2.1.3.2.
pub fn verify_inclusion(leaf: &Hash, index: u64, tree: &TreeHead, proof: &[Hash]) -> bool {
    root_from_inclusion(leaf, index, tree.size, proof) == Some(tree.root)
}

/// The root that follows from a leaf hash and its audit path; `None` when the path cannot belong to that index and size.
pub fn root_from_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// Whether the proof shows that `old` is the beginning of `new`: RFC 9162 §2.1.4.2. For equal sizes and for the empty tree
/// the proof is empty, the roots are equal, or `old`'s is that of no leaves.
pub fn verify_consistency(old: &TreeHead, new: &TreeHead, proof: &[Hash]) -> bool {
    if old.size == 0 || old.size == new.size {
        let expected = if old.size == 0 { empty_root() } else { new.root };
        let empty_is_empty = new.size != 0 || new.root == empty_root();
        return proof.is_empty() && old.root == expected && empty_is_empty;
    }
    if old.size > new.size {
        return false;
    }
    let (mut node, mut last) = (old.size - 1, new.size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    // When the old tree is a complete sub-tree of the new one, its root is the first hash, and not part of the proof.
    let mut rest = proof.iter();
    let first = if old.size.is_power_of_two() { Some(&old.root) } else { rest.next() };
    let Some(first) = first else { return false };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == old.root && new_hash == new.root
}
