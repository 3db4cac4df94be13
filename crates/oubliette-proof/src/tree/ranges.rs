//! Which ranges of leaves a proof is made of.

use super::{empty_root, node_hash, split};
use crate::hash::Hash;

/// The leaves `start..end` of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeafRange {
    /// First leaf.
    pub start: u64,
    /// One past the last leaf.
    pub end: u64,
}

/// Source of the hashes of ranges of one tree.
pub trait Ranges {
    /// What can go wrong when hashes are fetched.
    type Error;

    /// Number of leaves.
    fn size(&self) -> u64;

    /// Hash of the *complete* sub-tree of `2^level` leaves that begins at leaf `index << level`. Asked only for sub-trees
    /// that lie wholly within [`Ranges::size`].
    fn subtree(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;

    /// Hash of a range as it comes up in a proof: `MTH(D[start:end])`, where `start` is a multiple of the largest power of
    /// two that is not above the range's length.
    fn range(&self, range: LeafRange) -> Result<Hash, Self::Error> {
        // Complete sub-trees from left (large) to right (small), folded from the right. Mostly there is but one.
        let level = |length: u64| 63 - length.leading_zeros() as u8;
        let length = range.end.saturating_sub(range.start);
        if length.is_power_of_two() {
            return self.subtree(level(length), range.start >> level(length));
        }
        let (mut at, mut parts) = (range.start, Vec::new());
        while at < range.end {
            let level = level(range.end - at);
            parts.push(self.subtree(level, at >> level)?);
            at += 1 << level;
        }
        let last = parts.pop();
        Ok(last.map_or_else(empty_root, |last| parts.iter().rev().fold(last, |right, left| node_hash(left, &right))))
    }

    /// Root of the tree's first `size` leaves. `size` must not be above [`Ranges::size`].
    fn root_at(&self, size: u64) -> Result<Hash, Self::Error> {
        self.range(LeafRange { start: 0, end: size })
    }

    /// Root of the tree.
    fn root(&self) -> Result<Hash, Self::Error> {
        self.root_at(self.size())
    }

    /// RFC 6962 §2.1.1: the audit path of a leaf in the tree of the first `size` leaves, from the leaf's sibling up.
    /// `None` when there is no such leaf or no such tree.
    fn prove_inclusion(&self, index: u64, size: u64) -> Result<Option<Vec<Hash>>, Self::Error> {
        let Some(ranges) = inclusion_ranges(index, size).filter(|_| size <= self.size()) else { return Ok(None) };
        ranges.into_iter().map(|range| self.range(range)).collect::<Result<_, _>>().map(Some)
    }

    /// RFC 6962 §2.1.2: the proof that the first `old` leaves of the tree of `new` leaves are the tree of `old` leaves.
    /// Empty for equal sizes and for `old` = 0 (tlog-witness, add-checkpoint). `None` when there are no such trees.
    fn prove_consistency(&self, old: u64, new: u64) -> Result<Option<Vec<Hash>>, Self::Error> {
        let Some(ranges) = consistency_ranges(old, new).filter(|_| new <= self.size()) else { return Ok(None) };
        ranges.into_iter().map(|range| self.range(range)).collect::<Result<_, _>>().map(Some)
    }
}

/// The ranges whose hashes are the audit path of leaf `index` in a tree of `size` leaves: `PATH(m, D[n])` of RFC 6962
/// §2.1.1. `None` when there is no such leaf.
pub fn inclusion_ranges(index: u64, size: u64) -> Option<Vec<LeafRange>> {
    if index >= size {
        return None;
    }
    let (mut start, mut end, mut ranges) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            ranges.push(LeafRange { start: middle, end });
            end = middle;
        } else {
            ranges.push(LeafRange { start, end: middle });
            start = middle;
        }
    }
    ranges.reverse();
    Some(ranges)
}

/// The ranges whose hashes are the consistency proof: `PROOF(m, D[n])` of RFC 6962 §2.1.2. `None` when `old` is above
/// `new`.
pub fn consistency_ranges(old: u64, new: u64) -> Option<Vec<LeafRange>> {
    if old > new {
        return None;
    }
    let (mut start, mut end, mut ranges, mut whole) = (0, new, Vec::new(), true);
    if old == 0 || old == new {
        return Some(ranges);
    }
    // SUBPROOF(m, D[start:end], whole), with m counted from the beginning of the tree.
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            ranges.push(LeafRange { start: middle, end });
            end = middle;
        } else {
            ranges.push(LeafRange { start, end: middle });
            start = middle;
            whole = false;
        }
    }
    if !whole {
        ranges.push(LeafRange { start, end });
    }
    ranges.reverse();
    Some(ranges)
}
