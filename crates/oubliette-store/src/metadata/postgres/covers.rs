//! What erasures cover, cut into pieces that can be looked up by leaf.
//!
//! A small erasure has a row for each group it touches; a check finds exactly those of its leaf's group, however many small
//! erasures wait to be swept. A large one has a row for each run of 8,192 neighbouring groups (65,536 leaves) it touches: a
//! million scattered leaves are some ten thousand rows, and a check reads those of one run.

use std::collections::BTreeMap;

use keyforest::{Group, Leaf};
use oubliette_core::ports::PurgeSet;

use super::ledger::Ledger;

/// Leaves in a piece, as a power of two.
const LEAF_BITS: u32 = 16;

/// Groups in a piece, as a power of two.
const GROUP_BITS: u32 = LEAF_BITS - Group::SIZE.ilog2();

/// Numbers in an erasure from which on it is cut into runs.
const SMALL: usize = 64;

/// Under which pieces a leaf may be covered: of its group alone, and of the run it lies in.
pub(super) fn pieces_of(leaf: Leaf) -> [i64; 2] {
    [alone(Group::of(leaf).0), run(Group::of(leaf).0)]
}

/// The piece of one group: below zero, so that it is no run's.
fn alone(group: u64) -> i64 {
    // 61 bits.
    -1 - i64::try_from(group).unwrap_or(i64::MAX - 1)
}

/// The run a group lies in.
fn run(group: u64) -> i64 {
    i64::try_from(group >> GROUP_BITS).unwrap_or(i64::MAX)
}

/// One piece of an erasure, as stored: ascending 16-bit offsets in the run.
#[derive(Default)]
pub(super) struct Piece {
    pub(super) groups: Vec<u8>,
    pub(super) leaves: Vec<u8>,
}

/// An erasure in pieces.
pub(super) fn cut(set: &PurgeSet) -> BTreeMap<i64, Piece> {
    let mut pieces: BTreeMap<i64, Piece> = BTreeMap::new();
    let whole = set.interactions.union(&set.groups);
    let small = whole.len() + set.leaves.len() <= SMALL;
    let piece = |group| if small { alone(group) } else { run(group) };
    for group in whole.as_slice() {
        let offset = (group & ((1 << GROUP_BITS) - 1)) as u16;
        pieces.entry(piece(*group)).or_default().groups.extend_from_slice(&offset.to_be_bytes());
    }
    for leaf in set.leaves.iter() {
        let offset = (leaf.0 & ((1 << LEAF_BITS) - 1)) as u16;
        pieces.entry(piece(Group::of(leaf).0)).or_default().leaves.extend_from_slice(&offset.to_be_bytes());
    }
    pieces
}

/// Whether the ascending offsets hold one.
fn holds(offsets: &[u8], wanted: u16) -> bool {
    let (pairs, _) = offsets.as_chunks::<2>();
    pairs.binary_search_by(|pair| u16::from_be_bytes(*pair).cmp(&wanted)).is_ok()
}

impl Piece {
    /// Whether the leaf, which lies in this piece, is covered.
    fn contains(&self, leaf: Leaf) -> bool {
        let group = (Group::of(leaf).0 & ((1 << GROUP_BITS) - 1)) as u16;
        let single = (leaf.0 & ((1 << LEAF_BITS) - 1)) as u16;
        holds(&self.groups, group) || holds(&self.leaves, single)
    }
}

/// The stored pieces a batch asks about.
#[derive(Default)]
pub(super) struct Covers {
    pieces: BTreeMap<i64, Vec<(i64, Piece)>>,
    /// Erasures, by serial, that cover nothing any more.
    pub(super) removed: Ledger<i64, ()>,
}

impl Covers {
    /// Takes in a stored piece.
    pub(super) fn load(&mut self, chunk: i64, serial: i64, piece: Piece) {
        self.pieces.entry(chunk).or_default().push((serial, piece));
    }

    /// Whether an erasure in the database covers the leaf, and still does.
    pub(super) fn contain(&self, leaf: Leaf) -> bool {
        let mut pieces = pieces_of(leaf).into_iter().filter_map(|piece| self.pieces.get(&piece)).flatten();
        pieces.any(|(serial, piece)| self.removed.get(serial).is_none() && piece.contains(leaf))
    }
}

#[cfg(test)]
mod tests {
    use keyforest::LeafSet;
    use proptest::prelude::*;

    use super::*;

    fn set(numbers: impl IntoIterator<Item = u64>) -> LeafSet {
        numbers.into_iter().map(Leaf).collect()
    }

    proptest! {
        /// Cut and searched, an erasure covers what it covered.
        #[test]
        fn pieces_cover_what_the_set_covers(
            interactions in prop::collection::vec(0_u64..40_000, 0..60),
            groups in prop::collection::vec(8_100_u64..8_300, 0..30),
            leaves in prop::collection::vec(0_u64..320_000, 0..60),
            asked in prop::collection::vec(0_u64..320_000, 0..200),
        ) {
            let purge = PurgeSet {
                interactions: set(interactions.clone()),
                groups: set(groups.clone()),
                leaves: set(leaves.clone()),
            };
            let mut covers = Covers::default();
            for (chunk, piece) in cut(&purge) {
                covers.load(chunk, 5, piece);
            }
            let near = interactions.iter().chain(&groups).flat_map(|group| [group * 8, group * 8 + 7, group * 8 + 8]);
            for leaf in asked.into_iter().chain(leaves).chain(near).map(Leaf) {
                prop_assert_eq!(covers.contain(leaf), purge.contains(leaf));
            }
            covers.removed.put(5, Some(()));
            prop_assert!(purge.expand().iter().all(|leaf| !covers.contain(leaf)));
        }
    }

    #[test]
    fn a_small_erasure_is_found_by_its_groups_alone() {
        let purge = PurgeSet { interactions: set([9_000]), leaves: set([17, 70_000]), ..PurgeSet::default() };
        assert_eq!(cut(&purge).into_keys().collect::<Vec<_>>(), [alone(9_000), alone(8_750), alone(2)]);
    }

    #[test]
    fn a_million_scattered_leaves_are_some_thousand_rows() {
        let purge = PurgeSet { leaves: set((0..1_000_000).map(|number| number * 997)), ..PurgeSet::default() };
        let pieces = cut(&purge);
        assert!(pieces.len() < 16_000, "{}", pieces.len());
        assert_eq!(pieces.values().map(|piece| piece.leaves.len() / 2).sum::<usize>(), 1_000_000);
    }
}
