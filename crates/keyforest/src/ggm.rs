//! Derivation within a bucket, and puncturing it.
//!
//! A bucket is a binary tree over 1024 leaves. Nodes carry heap numbers: 1 is the whole bucket, `2i` and `2i + 1` are the
//! children of `i`, and `1024 + s` is leaf `s`. A node's seed yields its children's seeds through SHA-256, never the reverse.
//! A punctured bucket is its *frontier*: the smallest set of nodes that reaches every live leaf and no erased one.
//!
//! ```text
//! child(seed, bit) = SHA-256("kf/ggm/1" || bit || seed)
//! leaf key         = SHA-256("kf/leaf1" || 02  || seed of leaf)
//! ```

use zeroize::Zeroize;

use crate::LeafKey;
use crate::secret::{Key, sha256};

/// Leaves of a bucket.
pub(crate) const BUCKET: u64 = 1024;
const DEPTH: u32 = 10;

/// Seed of the left (`0`) or right (`1`) child.
pub(crate) fn child(seed: &[u8; 32], bit: u8) -> Key {
    Key(step(b"kf/ggm/1", bit, seed))
}

/// The key that callers get for a leaf whose seed is `seed`.
pub(crate) fn leaf_key(seed: &[u8; 32]) -> LeafKey {
    LeafKey::new(step(b"kf/leaf1", 2, seed))
}

fn step(label: &[u8; 8], bit: u8, seed: &[u8; 32]) -> [u8; 32] {
    let mut message = [0; 41];
    message[..8].copy_from_slice(label);
    message[8] = bit;
    message[9..].copy_from_slice(seed);
    let out = sha256(&message);
    message.zeroize();
    out
}

/// One node of a frontier.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Heap number, 1 to 2047.
    pub(crate) index: u16,
    pub(crate) seed: [u8; 32],
}

impl Node {
    /// First leaf and number of leaves below the node, relative to the bucket.
    pub(crate) fn span(&self) -> (u64, u64) {
        span(self.index)
    }
}

/// First leaf and number of leaves below heap number `index`.
pub(crate) fn span(index: u16) -> (u64, u64) {
    let below = DEPTH - index.ilog2();
    ((u64::from(index) << below) - BUCKET, 1 << below)
}

/// What is left of a bucket: nodes in order of their leaves. Wiped when dropped.
#[derive(Clone)]
pub(crate) struct Frontier {
    nodes: Vec<Node>,
}

impl Frontier {
    /// A bucket in which nothing is punctured.
    pub(crate) fn whole(seed: &[u8; 32]) -> Self {
        Self { nodes: vec![Node { index: 1, seed: *seed }] }
    }

    /// Takes nodes as they are; `None` unless they are in order, disjoint and minimal.
    pub(crate) fn from_nodes(nodes: Vec<Node>) -> Option<Self> {
        let frontier = Self { nodes };
        let mut free_from = 0;
        for node in &frontier.nodes {
            if node.index == 0 || node.index > 2047 {
                return None;
            }
            let (start, len) = node.span();
            if start < free_from {
                return None;
            }
            free_from = start + len;
        }
        // Two whole siblings would be one node: every frontier has exactly one form.
        let siblings =
            frontier.nodes.windows(2).any(|pair| pair[0].index.is_multiple_of(2) && pair[1].index == pair[0].index + 1);
        (!siblings).then_some(frontier)
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Number of live leaves.
    pub(crate) fn live(&self) -> u64 {
        self.nodes.iter().map(|node| node.span().1).sum()
    }

    /// Whether leaf `slot` (0..1024) is live.
    pub(crate) fn covers(&self, slot: u64) -> bool {
        self.find(slot).is_some()
    }

    /// The key of leaf `slot`, `None` when it is punctured.
    pub(crate) fn leaf(&self, slot: u64) -> Option<LeafKey> {
        let node = self.find(slot)?;
        let below = DEPTH - node.index.ilog2();
        let mut seed = Key(node.seed);
        for level in (0..below).rev() {
            seed = child(&seed.0, (slot >> level & 1) as u8);
        }
        Some(leaf_key(&seed.0))
    }

    fn find(&self, slot: u64) -> Option<&Node> {
        let after = self.nodes.partition_point(|node| node.span().0 <= slot);
        let node = self.nodes.get(after.checked_sub(1)?)?;
        let (start, len) = node.span();
        (slot < start + len).then_some(node)
    }

    /// The frontier without `slots` (ascending, relative to the bucket). Slots already punctured change nothing.
    pub(crate) fn puncture(&self, slots: &[u64]) -> Self {
        let mut count = 0;
        self.each(slots, |_, (start, len), inside| count += remaining(start, start + len, inside));
        let mut nodes = Vec::with_capacity(count);
        self.each(slots, |node, (start, len), inside| {
            descend(node.index, &node.seed, start, start + len, inside, &mut nodes);
        });
        Self { nodes }
    }

    fn each(&self, slots: &[u64], mut visit: impl FnMut(&Node, (u64, u64), &[u64])) {
        let mut rest = slots;
        for node in &self.nodes {
            let (start, len) = node.span();
            let skip = rest.partition_point(|slot| *slot < start);
            let take = rest[skip..].partition_point(|slot| *slot < start + len);
            visit(node, (start, len), &rest[skip..skip + take]);
            rest = &rest[skip + take..];
        }
    }
}

impl Drop for Frontier {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.seed.zeroize();
        }
    }
}

/// How many nodes [`descend`] will leave.
fn remaining(lo: u64, hi: u64, slots: &[u64]) -> usize {
    if slots.is_empty() {
        return 1;
    }
    if slots.len() as u64 == hi - lo {
        return 0;
    }
    let middle = u64::midpoint(lo, hi);
    let split = slots.partition_point(|slot| *slot < middle);
    remaining(lo, middle, &slots[..split]) + remaining(middle, hi, &slots[split..])
}

fn descend(index: u16, seed: &[u8; 32], lo: u64, hi: u64, slots: &[u64], out: &mut Vec<Node>) {
    if slots.is_empty() {
        out.push(Node { index, seed: *seed });
        return;
    }
    if slots.len() as u64 == hi - lo {
        return;
    }
    let middle = u64::midpoint(lo, hi);
    let split = slots.partition_point(|slot| *slot < middle);
    // A child that is wholly erased is never derived.
    if (split as u64) < middle - lo {
        descend(2 * index, &child(seed, 0).0, lo, middle, &slots[..split], out);
    }
    if ((slots.len() - split) as u64) < hi - middle {
        descend(2 * index + 1, &child(seed, 1).0, middle, hi, &slots[split..], out);
    }
}

#[cfg(test)]
#[path = "ggm_tests.rs"]
mod tests;
