//! The Merkle root over commitments that are not kept: in memory for one hash a level.

use oubliette_proof::Hash;
use oubliette_proof::tree::{TreeHead, empty_root, leaf_hash, node_hash};

/// Takes commitments one by one.
#[derive(Default)]
pub struct RootBuilder {
    size: u64,
    /// Roots of complete sub-trees by level; one is there for each bit of the size.
    complete: Vec<Option<Hash>>,
}

impl RootBuilder {
    /// The next commitment.
    pub fn push(&mut self, commitment: &Hash) {
        self.size += 1;
        let mut node = leaf_hash(&commitment.0);
        for place in &mut self.complete {
            match place.take() {
                Some(left) => node = node_hash(&left, &node),
                None => {
                    *place = Some(node);
                    return;
                }
            }
        }
        self.complete.push(Some(node));
    }

    /// Number of commitments and their root.
    pub fn head(&self) -> TreeHead {
        let root = self.complete.iter().flatten().copied().reduce(|right, left| node_hash(&left, &right));
        TreeHead { size: self.size, root: root.unwrap_or_else(empty_root) }
    }
}

#[cfg(test)]
mod tests {
    use oubliette_proof::receipt::ReceiptTree;

    use super::*;

    #[test]
    fn the_root_is_that_of_the_tree_for_every_size() {
        let mut builder = RootBuilder::default();
        let commitments: Vec<Hash> = (0..130_u8).map(|number| Hash([number; 32])).collect();
        for size in 0..commitments.len() {
            let head = ReceiptTree::new(commitments[..size].iter().copied()).head();
            assert_eq!(builder.head(), head, "{size}");
            builder.push(&commitments[size]);
        }
    }
}
