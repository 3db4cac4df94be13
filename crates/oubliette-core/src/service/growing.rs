//! Groups that interactions grow by, for as long as an erasure could miss them.
//!
//! What must hold: an erasure that is durable names every group in which a leaf was ever issued for an interaction that it
//! erases. The interaction's row names them; but the row is read before the erasure is planned, at times long before, and the
//! transaction that takes the erasure in does not look at it again. Therefore:
//!
//! 1. A group is listed here before the row names it, and the row names it before a leaf of it is issued.
//! 2. From when an erasure is planned until it is durable, or came to nothing, no group is listed for what it erases.
//! 3. A listed group is forgotten once the row names it *and* every erasure is planned that began to read rows before that
//!    ([`Reading`]); or once it is certain that the row does not come to name it.
//!
//! An erasure takes along what its rows named and what is listed when it is planned. Say that a group is in neither. If it
//! was forgotten before that, no leaf of it was issued, or the row named it before this erasure read it. If it was listed
//! after that, the erasure was durable by then (2), so that the row can no longer come to name it, and no leaf of it is
//! issued (1).
//!
//! So what is kept here is what is being named at this moment, and what was named since the oldest erasure that is on its way
//! began to read: nothing stays of an upload, be it stored or broken off.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyforest::{Group, Leaf, LeafSet};
use tokio::sync::Notify;

type Listed = HashMap<Group, Vec<Group>>;

/// See the module.
#[derive(Default)]
pub struct Growing {
    books: Mutex<Books>,
    /// Told when what was planned is durable, or came to nothing.
    settled: Notify,
}

#[derive(Default)]
struct Books {
    /// By interaction.
    listed: Listed,
    /// Numbers of the interactions whose erasure is planned and not durable yet.
    planned: LeafSet,
    /// Counts groups that rows came to name.
    round: u64,
    /// How many erasures read rows, by the round in which they began to.
    reading: BTreeMap<u64, usize>,
    /// Interaction and group that is named since this round, oldest first.
    named: VecDeque<(u64, Group, Group)>,
}

/// The right to plan erasures from rows that are read while it is held. Every target of an erasure holds one.
#[derive(Clone)]
pub struct Reading {
    _turn: Arc<Turn>,
}

struct Turn {
    growing: Arc<Growing>,
    round: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut books = self.growing.books();
        if let Some(count) = books.reading.get_mut(&self.round) {
            *count -= 1;
            if *count == 0 {
                books.reading.remove(&self.round);
            }
        }
        books.forget_what_all_know();
    }
}

/// A batch of erasures that is being planned and taken in. Dropped when it is durable, or came to nothing.
pub struct Planning<'a> {
    growing: &'a Growing,
    listed: Listed,
}

impl Planning<'_> {
    /// What is listed of an interaction that is erased by this batch.
    pub fn listed(&self, interaction: Group) -> impl Iterator<Item = Group> {
        self.listed.get(&interaction).into_iter().flatten().copied()
    }
}

impl Drop for Planning<'_> {
    fn drop(&mut self) {
        self.growing.books().planned = LeafSet::new();
        self.growing.settled.notify_waiters();
    }
}

impl Growing {
    /// To be called before rows are read that an erasure is planned from.
    pub fn read_rows(self: &Arc<Self>) -> Reading {
        let mut books = self.books();
        let round = books.round;
        *books.reading.entry(round).or_default() += 1;
        Reading { _turn: Arc::new(Turn { growing: Arc::clone(self), round }) }
    }

    /// Lists a group before its interaction's row can name it. Waits while an erasure of the interaction is being taken in.
    pub async fn list(&self, interaction: Group, group: Group) {
        loop {
            let settled = self.settled.notified();
            if self.try_list(interaction, group) {
                return;
            }
            settled.await;
        }
    }

    fn try_list(&self, interaction: Group, group: Group) -> bool {
        let mut books = self.books();
        let may_be_missed = books.planned.contains(Leaf(interaction.0));
        if !may_be_missed {
            books.listed.entry(interaction).or_default().push(group);
        }
        !may_be_missed
    }

    /// The row names it, durably.
    pub fn named(&self, interaction: Group, group: Group) {
        let mut books = self.books();
        books.round += 1;
        let round = books.round;
        books.named.push_back((round, interaction, group));
        books.forget_what_all_know();
    }

    /// The row does not name it, and never will.
    pub fn not_named(&self, interaction: Group, group: Group) {
        self.books().forget(interaction, group);
    }

    /// Begins to plan a batch that erases interactions of these numbers. Only the committer does, one batch after the other.
    pub fn plan(&self, interactions: LeafSet) -> Planning<'_> {
        let mut books = self.books();
        books.planned = interactions;
        Planning { growing: self, listed: books.listed.clone() }
    }

    /// How many groups are listed.
    #[cfg(any(test, feature = "testing"))]
    pub fn len(&self) -> usize {
        self.books().listed.values().map(Vec::len).sum()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn forget_what_all_know(&mut self) {
        let oldest = self.reading.keys().next().copied().unwrap_or(self.round);
        while let Some((round, interaction, group)) = self.named.front().copied()
            && round <= oldest
        {
            self.named.pop_front();
            self.forget(interaction, group);
        }
    }

    fn forget(&mut self, interaction: Group, group: Group) {
        if let Some(groups) = self.listed.get_mut(&interaction) {
            groups.retain(|listed| *listed != group);
            if groups.is_empty() {
                self.listed.remove(&interaction);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(growing: &Growing, interaction: u64) -> Planning<'_> {
        growing.plan(LeafSet::from_iter([Leaf(interaction)]))
    }

    fn listed(growing: &Growing, interaction: u64) -> Vec<u64> {
        planned(growing, interaction).listed(Group(interaction)).map(|group| group.0).collect()
    }

    #[test]
    fn a_group_is_listed_for_every_erasure_that_began_before_its_row_named_it_and_no_longer() {
        let growing = Arc::new(Growing::default());
        let early = growing.read_rows();
        assert!(growing.try_list(Group(8), Group(80)));
        let meanwhile = growing.read_rows();
        growing.named(Group(8), Group(80));
        let late = growing.read_rows();
        assert!(growing.try_list(Group(8), Group(88)));
        growing.named(Group(8), Group(88));
        assert_eq!(listed(&growing, 8), [80, 88]);
        drop(early.clone());
        drop(early);
        assert_eq!(listed(&growing, 8), [80, 88]);
        drop(meanwhile);
        assert_eq!(listed(&growing, 8), [88], "the last one began when the first group was named");
        drop(late);
        assert_eq!((listed(&growing, 8), growing.len()), (Vec::new(), 0));
    }

    #[test]
    fn nothing_stays_of_groups_that_are_named_one_after_the_other_nor_of_those_that_are_not() {
        let growing = Arc::new(Growing::default());
        for number in 0..1_000 {
            let (interaction, group) = (Group(number), Group(10_000 + number));
            assert!(growing.try_list(interaction, group));
            assert_eq!(growing.len(), 1);
            if number % 2 == 0 {
                growing.named(interaction, group)
            } else {
                growing.not_named(interaction, group)
            }
            assert_eq!(growing.len(), 0);
        }
        let books = growing.books();
        assert!(books.listed.is_empty() && books.named.is_empty() && books.reading.is_empty());
    }

    #[test]
    fn erasures_that_overlap_for_ever_hold_nothing_for_ever() {
        let growing = Arc::new(Growing::default());
        let mut reading = growing.read_rows();
        for number in 0..1_000 {
            assert!(growing.try_list(Group(number), Group(10_000 + number)));
            growing.named(Group(number), Group(10_000 + number));
            // The next one begins before the one before it has ended.
            reading = growing.read_rows();
            assert!(growing.len() <= 1, "{}", growing.len());
        }
        drop(reading);
        assert_eq!(growing.len(), 0);
    }

    #[tokio::test]
    async fn a_group_is_listed_only_once_the_erasure_that_was_planned_is_through() {
        let growing = Arc::new(Growing::default());
        let planning = planned(&growing, 8);
        assert!(!growing.try_list(Group(8), Group(80)));
        assert!(growing.try_list(Group(16), Group(160)), "others go on");
        let mut waiting = Box::pin(growing.list(Group(8), Group(80)));
        let at_once = std::time::Duration::ZERO;
        assert!(tokio::time::timeout(at_once, &mut waiting).await.is_err());
        drop(planning);
        waiting.await;
        assert_eq!(listed(&growing, 8), [80]);
    }
}
