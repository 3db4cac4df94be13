//! Which leaves are covered by erasures that are not yet swept, held in memory so that a check costs two look-ups.
//!
//! The rows are the truth: this is rebuilt from them at open and follows each transaction, undone with it when it fails.

use std::collections::HashMap;
use std::sync::Arc;

use keyforest::{Group, Leaf};
use oubliette_core::ports::PurgeSet;
use uuid::Uuid;

/// Sets with at most this many numbers are spread into maps shared by all; larger ones stay as they are and are searched one
/// by one. So neither many small erasures nor one of a million leaves makes a check slow or the maps large.
const SPREAD: usize = 64;

/// Covered leaves with an undo log.
#[derive(Default)]
pub(in crate::metadata) struct Erased {
    sets: HashMap<Uuid, Arc<PurgeSet>>,
    large: HashMap<Uuid, Arc<PurgeSet>>,
    /// How many small sets name the group.
    groups: HashMap<u64, u32>,
    /// How many small sets name the leaf.
    leaves: HashMap<u64, u32>,
    undo: Vec<Change>,
}

enum Change {
    Added(Uuid),
    Removed(Uuid, Arc<PurgeSet>),
}

/// A place in the undo log.
#[derive(Clone, Copy)]
pub(in crate::metadata) struct Mark(usize);

impl Erased {
    /// Whether any erasure covers the leaf.
    pub(in crate::metadata) fn contains(&self, leaf: Leaf) -> bool {
        self.groups.contains_key(&Group::of(leaf).0)
            || self.leaves.contains_key(&leaf.0)
            || self.large.values().any(|set| set.contains(leaf))
    }

    /// Takes an erasure in.
    pub(in crate::metadata) fn add(&mut self, id: Uuid, set: Arc<PurgeSet>) {
        self.insert(id, set);
        self.undo.push(Change::Added(id));
    }

    /// Lets an erasure go; one that is not known changes nothing.
    pub(in crate::metadata) fn remove(&mut self, id: Uuid) {
        if let Some(set) = self.take(id) {
            self.undo.push(Change::Removed(id, set));
        }
    }

    /// Where the undo log stands.
    pub(in crate::metadata) fn mark(&self) -> Mark {
        Mark(self.undo.len())
    }

    /// Undoes everything since the mark.
    pub(in crate::metadata) fn undo_to(&mut self, mark: Mark) {
        while self.undo.len() > mark.0 {
            match self.undo.pop() {
                Some(Change::Added(id)) => drop(self.take(id)),
                Some(Change::Removed(id, set)) => self.insert(id, set),
                None => break,
            }
        }
    }

    /// Undoes everything that was not settled.
    pub(in crate::metadata) fn undo_all(&mut self) {
        self.undo_to(Mark(0));
    }

    /// Makes everything so far final.
    pub(in crate::metadata) fn settle(&mut self) {
        self.undo.clear();
    }

    fn insert(&mut self, id: Uuid, set: Arc<PurgeSet>) {
        if small(&set) {
            for group in set.interactions.iter().chain(set.groups.iter()) {
                *self.groups.entry(group.0).or_default() += 1;
            }
            for leaf in set.leaves.iter() {
                *self.leaves.entry(leaf.0).or_default() += 1;
            }
        } else {
            self.large.insert(id, Arc::clone(&set));
        }
        self.sets.insert(id, set);
    }

    fn take(&mut self, id: Uuid) -> Option<Arc<PurgeSet>> {
        let set = self.sets.remove(&id)?;
        if self.large.remove(&id).is_none() {
            for group in set.interactions.iter().chain(set.groups.iter()) {
                release(&mut self.groups, group.0);
            }
            for leaf in set.leaves.iter() {
                release(&mut self.leaves, leaf.0);
            }
        }
        Some(set)
    }
}

fn small(set: &PurgeSet) -> bool {
    set.interactions.len() + set.groups.len() + set.leaves.len() <= SPREAD
}

fn release(counts: &mut HashMap<u64, u32>, number: u64) {
    if let Some(count) = counts.get_mut(&number) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(interactions: &[u64], groups: &[u64], leaves: &[u64]) -> Arc<PurgeSet> {
        let collect = |numbers: &[u64]| numbers.iter().map(|number| Leaf(*number)).collect();
        Arc::new(PurgeSet { interactions: collect(interactions), groups: collect(groups), leaves: collect(leaves) })
    }

    #[test]
    fn a_leaf_named_by_two_erasures_stays_covered_until_both_are_gone() {
        let mut erased = Erased::default();
        let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
        erased.add(first, set(&[1], &[], &[80]));
        erased.add(second, set(&[], &[1], &[80]));
        erased.remove(first);
        assert!(erased.contains(Leaf(9)) && erased.contains(Leaf(80)));
        erased.remove(second);
        assert!(!erased.contains(Leaf(9)) && !erased.contains(Leaf(80)));
    }

    proptest! {
        /// Whatever is added, removed and undone, the answer is that of searching the sets one by one.
        #[test]
        fn answers_are_those_of_the_sets(
            steps in prop::collection::vec((0_u8..3, 0_u128..6, prop::collection::vec(0_u64..40, 0..90)), 1..30)
        ) {
            let mut erased = Erased::default();
            let mut model: HashMap<Uuid, Arc<PurgeSet>> = HashMap::new();
            let mut saved = (erased.mark(), model.clone());
            for (step, id, numbers) in steps {
                let id = Uuid::from_u128(id);
                match step {
                    0 if !model.contains_key(&id) => {
                        let (groups, leaves) = numbers.split_at(numbers.len() / 3);
                        // Beyond 64 different numbers a set counts as large.
                        let spread: Vec<u64> = leaves.iter().enumerate().map(|(at, leaf)| leaf + at as u64 * 7).collect();
                        let set = set(groups, &[], &spread);
                        erased.add(id, Arc::clone(&set));
                        model.insert(id, set);
                    }
                    1 => {
                        erased.remove(id);
                        model.remove(&id);
                    }
                    _ => {
                        if id.as_u128().is_multiple_of(2) {
                            erased.undo_to(saved.0);
                            model.clone_from(&saved.1);
                        } else {
                            erased.settle();
                        }
                        saved = (erased.mark(), model.clone());
                    }
                }
                for leaf in (0..700).map(Leaf) {
                    prop_assert_eq!(erased.contains(leaf), model.values().any(|set| set.contains(leaf)));
                }
            }
        }
    }
}
