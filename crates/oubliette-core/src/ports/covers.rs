//! What erasures cover, as it is stored: to be looked through without being made into sets.

use keyforest::{Group, Leaf, LeafSet};
use uuid::Uuid;

use super::PurgeKind;
use crate::model::TenantId;

/// What an erasure covers, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoverRow {
    /// The erasure.
    pub id: Uuid,
    /// Its tenant; `None` for upkeep.
    pub tenant: Option<TenantId>,
    /// What led to it.
    pub kind: PurgeKind,
    /// What it covers.
    pub set: StoredSet,
}

/// A [`PurgeSet`](super::PurgeSet) in its stored form: two bytes an interaction where the set has eight. What is asked of it
/// is `None` when the bytes are no such set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSet(Vec<u8>);

impl StoredSet {
    /// Of bytes that [`PurgeSet::encode`](super::PurgeSet::encode) wrote.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// How long it is.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// Whether the interaction goes wholly.
    pub fn has_interaction(&self, group: Group) -> Option<bool> {
        let wanted = LeafSet::from_iter([Leaf(group.0)]);
        Some(!wanted.common_with_encoded(self.part(0)?)?.is_empty())
    }

    /// Those of some leaves that go by themselves.
    pub fn single_leaves(&self, among: &LeafSet) -> Option<LeafSet> {
        among.common_with_encoded(self.part(2)?)
    }

    /// All leaves that go by themselves.
    pub fn all_single_leaves(&self) -> Option<LeafSet> {
        LeafSet::decode(self.part(2)?)
    }

    /// Interactions, their extra groups, single leaves.
    fn part(&self, number: usize) -> Option<&[u8]> {
        let mut rest = self.0.as_slice();
        for _ in 0..number {
            rest = take(rest)?.1;
        }
        Some(take(rest)?.0)
    }
}

fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::PurgeSet;

    fn leaves(numbers: impl IntoIterator<Item = u64>) -> LeafSet {
        numbers.into_iter().map(Leaf).collect()
    }

    #[test]
    fn a_stored_set_tells_of_itself_what_the_set_does() {
        let set = PurgeSet {
            interactions: leaves((0..4_000).map(|number| number * 3)),
            groups: leaves([7, 100_000]),
            leaves: leaves((0..500).map(|number| 1 + number * 977)),
        };
        let stored = StoredSet::new(set.encode());
        for number in (0..50).chain(11_990..12_010) {
            let there = set.interactions.contains(Leaf(number));
            assert_eq!(stored.has_interaction(Group(number)), Some(there), "{number}");
        }
        let among = leaves((0..2_000).map(|number| number * 489));
        let common = among.iter().filter(|leaf| set.leaves.contains(*leaf)).collect();
        assert_eq!(stored.single_leaves(&among), Some(common));
        assert_eq!(stored.single_leaves(&LeafSet::new()), Some(LeafSet::new()));
        assert_eq!(stored.all_single_leaves(), Some(set.leaves));
        let empty = StoredSet::new(PurgeSet::default().encode());
        assert_eq!(empty.has_interaction(Group(0)), Some(false));
    }

    #[test]
    fn bytes_that_are_no_set_tell_nothing() {
        let stored = StoredSet::new(vec![0, 0, 0, 9, 1]);
        assert_eq!((stored.has_interaction(Group(0)), stored.all_single_leaves()), (None, None));
        let cut = PurgeSet { interactions: leaves([300, 900]), ..PurgeSet::default() }.encode();
        let mut cut = cut;
        cut[4] = 200;
        assert_eq!(StoredSet::new(cut).has_interaction(Group(900)), None);
    }
}
