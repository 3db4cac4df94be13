//! Punctured buckets kept in memory, up to a budget, by second chance.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::ggm::Frontier;

struct Held {
    frontier: Arc<Frontier>,
    used: bool,
}

/// Frontiers by bucket number. What is dropped is wiped.
pub(crate) struct Cache {
    budget: usize,
    bytes: usize,
    held: HashMap<u64, Held>,
    /// Order of examination; may name buckets that are no longer held.
    ring: VecDeque<u64>,
}

fn cost(frontier: &Frontier) -> usize {
    size_of_val(frontier.nodes()) + 128
}

impl Cache {
    pub(crate) fn new(budget: usize) -> Self {
        Self { budget, bytes: 0, held: HashMap::new(), ring: VecDeque::new() }
    }

    pub(crate) fn find(&mut self, bucket: u64) -> Option<Arc<Frontier>> {
        let held = self.held.get_mut(&bucket)?;
        held.used = true;
        Some(held.frontier.clone())
    }

    pub(crate) fn insert(&mut self, bucket: u64, frontier: Arc<Frontier>) {
        self.remove(bucket);
        let cost = cost(&frontier);
        while self.bytes + cost > self.budget {
            let Some(candidate) = self.ring.pop_front() else { break };
            match self.held.get_mut(&candidate) {
                Some(held) if held.used => {
                    held.used = false;
                    self.ring.push_back(candidate);
                }
                Some(_) => self.remove(candidate),
                None => {}
            }
        }
        if self.bytes + cost <= self.budget {
            self.bytes += cost;
            self.ring.push_back(bucket);
            self.held.insert(bucket, Held { frontier, used: false });
        }
        if self.ring.len() > 2 * self.held.len() + 1024 {
            self.ring = self.held.keys().copied().collect();
        }
    }

    pub(crate) fn remove(&mut self, bucket: u64) {
        if let Some(held) = self.held.remove(&bucket) {
            self.bytes -= cost(&held.frontier);
        }
    }

    /// Bytes held, for tests and metrics.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}
