//! Which leaf comes next. Memory only: after a start, nothing is issued from buckets of earlier runs, so that a number can
//! never be issued twice whatever the database remembers.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use crate::ggm::BUCKET;
use crate::{Group, Lane, Leaf};

/// Where a lane stands in the bucket it has open.
struct Cursor {
    next: u64,
    end: u64,
}

/// Open buckets by lane, and the supply of unopened ones.
#[derive(Default)]
pub(crate) struct Lanes {
    open: HashMap<Lane, Cursor>,
    supply: Range<u64>,
    /// Unopened buckets something was punctured in: never opened.
    spoiled: BTreeSet<u64>,
}

impl Lanes {
    pub(crate) fn new(supply: Range<u64>) -> Self {
        Self { open: HashMap::new(), supply, spoiled: BTreeSet::new() }
    }

    pub(crate) fn supply(&self) -> u64 {
        self.supply.end - self.supply.start - self.spoiled.len() as u64
    }

    /// A seal has made buckets up to `end` durable.
    pub(crate) fn provisioned(&mut self, end: u64) {
        self.supply.end = self.supply.end.max(end);
    }

    pub(crate) fn group(&mut self, lane: Lane) -> Option<Group> {
        self.take(lane, Group::SIZE).map(|leaf| Group::of(Leaf(leaf)))
    }

    pub(crate) fn leaf(&mut self, lane: Lane) -> Option<Leaf> {
        self.take(lane, 1).map(Leaf)
    }

    fn take(&mut self, lane: Lane, count: u64) -> Option<u64> {
        let cursor = self.open.get(&lane).map_or(0..0, |cursor| cursor.next..cursor.end);
        let mut first = cursor.start.next_multiple_of(count);
        let mut end = cursor.end;
        if first + count > end {
            let bucket = self.open_bucket()?;
            first = bucket * BUCKET;
            end = first + BUCKET;
        }
        self.open.insert(lane, Cursor { next: first + count, end });
        Some(first)
    }

    fn open_bucket(&mut self) -> Option<u64> {
        while !self.supply.is_empty() {
            let bucket = self.supply.start;
            self.supply.start += 1;
            if !self.spoiled.remove(&bucket) {
                return Some(bucket);
            }
        }
        None
    }

    /// Leaves were punctured: whatever of them was not issued yet never will be.
    pub(crate) fn punctured(&mut self, leaves: &[u64]) {
        self.open.retain(|_, cursor| {
            let after = leaves.partition_point(|leaf| *leaf < cursor.next);
            leaves.get(after).is_none_or(|leaf| *leaf >= cursor.end)
        });
        let from = leaves.partition_point(|leaf| *leaf < self.supply.start * BUCKET);
        for leaf in &leaves[from..] {
            if self.supply.contains(&(leaf / BUCKET)) {
                self.spoiled.insert(leaf / BUCKET);
            }
        }
    }
}
