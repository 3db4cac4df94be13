//! Leaf numbers, groups of eight, sets of them, and the keys they stand for.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Number of a key in the forest. Numbers are issued in order and never re-issued once acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leaf(pub u64);

/// An aligned run of [`Group::SIZE`] leaves, named by its number (first leaf divided by the size).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(pub u64);

impl Group {
    /// Leaves in a group.
    pub const SIZE: u64 = 8;

    /// The group a leaf belongs to.
    pub fn of(leaf: Leaf) -> Self {
        Self(leaf.0 / Self::SIZE)
    }

    /// The leaf at `index` (0..8) of the group.
    ///
    /// # Panics
    /// When `index` is not below [`Group::SIZE`]: a caller's arithmetic error that would touch a neighbour's key.
    pub fn leaf(self, index: u64) -> Leaf {
        assert!(index < Self::SIZE, "leaf index {index} outside its group");
        Leaf(self.0 * Self::SIZE + index)
    }

    /// All leaves of the group.
    pub fn leaves(self) -> impl Iterator<Item = Leaf> {
        (0..Self::SIZE).map(move |index| self.leaf(index))
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The key of one leaf. Wiped when dropped; neither `Debug` nor `Clone`, so that it cannot wander into a log or a copy.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct LeafKey([u8; 32]);

impl LeafKey {
    /// Wraps derived bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key bytes, for deriving data keys.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A set of leaves: sorted, without repetition. Encodes as delta varints (10^6 random of 10^9: about 1.9 MB).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeafSet(Vec<u64>);

impl LeafSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of leaves.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no leaf is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `leaf` is in the set (binary search).
    pub fn contains(&self, leaf: Leaf) -> bool {
        self.0.binary_search(&leaf.0).is_ok()
    }

    /// The leaves in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Leaf> + '_ {
        self.0.iter().map(|leaf| Leaf(*leaf))
    }

    /// The raw numbers in ascending order.
    pub fn as_slice(&self) -> &[u64] {
        &self.0
    }

    /// The union of both sets.
    pub fn union(&self, other: &Self) -> Self {
        let mut all = Vec::with_capacity(self.0.len() + other.0.len());
        all.extend_from_slice(&self.0);
        all.extend_from_slice(&other.0);
        Self::from_unsorted(all)
    }

    /// Whether the sets share no leaf.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        let (small, large) = if self.len() < other.len() { (self, other) } else { (other, self) };
        small.iter().all(|leaf| !large.contains(leaf))
    }

    /// Delta varints (LEB128): count, first leaf, then differences.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.len() * 2 + 8);
        put_varint(&mut out, self.0.len() as u64);
        let mut last = 0;
        for leaf in &self.0 {
            put_varint(&mut out, leaf - last);
            last = *leaf;
        }
        out
    }

    /// Reads what [`LeafSet::encode`] wrote; `None` for anything else (truncated, unsorted, repeated, trailing bytes).
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let count = take_varint(&mut bytes)?;
        if count > bytes.len() as u64 {
            return None;
        }
        let mut leaves = Vec::with_capacity(usize::try_from(count).ok()?);
        let mut last = 0_u64;
        for position in 0..count {
            last = take_next(&mut bytes, position, last)?;
            leaves.push(last);
        }
        bytes.is_empty().then_some(Self(leaves))
    }

    /// The leaves of this set that are in an encoded one too, without making a set of that: it is read as far as it has to
    /// be. `None` when what is read was not written by [`LeafSet::encode`].
    pub fn common_with_encoded(&self, mut bytes: &[u8]) -> Option<Self> {
        let count = take_varint(&mut bytes)?;
        let (mut wanted, mut common) = (self.0.as_slice(), Vec::new());
        let mut last = 0_u64;
        for position in 0..count {
            let Some(largest) = wanted.last() else { break };
            if position > 0 && last >= *largest {
                break;
            }
            last = take_next(&mut bytes, position, last)?;
            wanted = &wanted[wanted.partition_point(|leaf| *leaf < last)..];
            if wanted.first() == Some(&last) {
                common.push(last);
            }
        }
        Some(Self(common))
    }

    fn from_unsorted(mut leaves: Vec<u64>) -> Self {
        leaves.sort_unstable();
        leaves.dedup();
        Self(leaves)
    }
}

impl FromIterator<Leaf> for LeafSet {
    fn from_iter<I: IntoIterator<Item = Leaf>>(leaves: I) -> Self {
        Self::from_unsorted(leaves.into_iter().map(|leaf| leaf.0).collect())
    }
}

impl Extend<Leaf> for LeafSet {
    fn extend<I: IntoIterator<Item = Leaf>>(&mut self, leaves: I) {
        let mut all = std::mem::take(&mut self.0);
        all.extend(leaves.into_iter().map(|leaf| leaf.0));
        *self = Self::from_unsorted(all);
    }
}

/// The next leaf of an encoding.
fn take_next(bytes: &mut &[u8], position: u64, last: u64) -> Option<u64> {
    let delta = take_varint(bytes)?;
    if position > 0 && delta == 0 { None } else { last.checked_add(delta) }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(first & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        value |= part << shift;
        if first & 0x80 == 0 {
            // A longer encoding of the same number is refused: one set, one byte string.
            return (shift == 0 || *first != 0).then_some(value);
        }
    }
    None
}
