//! The algebra of puncturing, as properties.

use std::collections::BTreeSet;

use proptest::collection::btree_set;
use proptest::prelude::*;

use super::*;
use crate::page::{open_page, read_bucket, seal_bucket};
use crate::secret::Key;

fn slots() -> impl Strategy<Value = Vec<u64>> {
    // Scattered leaves and long runs: runs are what makes whole sub-trees vanish.
    let run = (0..1024_u64, 1..400_u64).prop_map(|(from, len)| (from..(from + len).min(1024)).collect::<BTreeSet<_>>());
    (btree_set(0..1024_u64, 0..60), proptest::collection::vec(run, 0..3)).prop_map(|(mut all, runs)| {
        runs.into_iter().for_each(|run| all.extend(run));
        all.into_iter().collect()
    })
}

fn whole() -> Frontier {
    Frontier::whole(&[42; 32])
}

fn same(a: &Frontier, b: &Frontier) -> bool {
    a.nodes() == b.nodes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_batch_is_the_same_as_its_parts_in_any_order(a in slots(), b in slots()) {
        let both: Vec<u64> = a.iter().chain(&b).copied().collect::<BTreeSet<_>>().into_iter().collect();
        let batch = whole().puncture(&both);
        prop_assert!(same(&batch, &whole().puncture(&a).puncture(&b)));
        prop_assert!(same(&batch, &whole().puncture(&b).puncture(&a)));
        prop_assert!(same(&batch, &batch.puncture(&a)));
    }

    #[test]
    fn what_is_left_reaches_every_live_leaf_with_its_key_and_no_punctured_one(a in slots()) {
        let (before, after) = (whole(), whole().puncture(&a));
        prop_assert_eq!(after.live(), 1024 - a.len() as u64);
        for slot in 0..1024 {
            let punctured = a.binary_search(&slot).is_ok();
            prop_assert_eq!(after.covers(slot), !punctured);
            match after.leaf(slot) {
                None => prop_assert!(punctured),
                Some(key) => prop_assert_eq!(*key.expose(), *before.leaf(slot).unwrap().expose()),
            }
        }
    }

    #[test]
    fn no_node_is_an_ancestor_of_a_punctured_leaf(a in slots()) {
        let after = whole().puncture(&a);
        for node in after.nodes() {
            for slot in &a {
                let leaf = 1024 + *slot as u16;
                prop_assert_ne!(leaf >> (leaf.ilog2() - node.index.ilog2()), node.index);
            }
        }
    }

    #[test]
    fn the_frontier_is_the_smallest_there_is(a in slots()) {
        // The smallest cover consists of the maximal live sub-trees: count them from the leaves up.
        let mut live: Vec<bool> = (0..1024).map(|slot| a.binary_search(&slot).is_err()).collect();
        let mut maximal = 0;
        while live.len() > 1 {
            maximal += live.chunks(2).map(|pair| if pair[0] != pair[1] { 1 } else { 0 }).sum::<usize>();
            live = live.chunks(2).map(|pair| pair[0] && pair[1]).collect();
        }
        // A node whose sibling has some dead leaf below it, but which is live itself, is maximal.
        maximal += usize::from(live[0]);
        prop_assert_eq!(whole().puncture(&a).nodes().len(), maximal);
    }

    #[test]
    fn a_bucket_page_reads_back_and_any_changed_byte_is_refused(a in slots(), at in 0..4096_usize, bit in 0..8_u8) {
        let frontier = whole().puncture(&a);
        prop_assume!(!frontier.is_empty() && frontier.nodes()[0].index != 1);
        let sealed = seal_bucket(Key([7; 32]), 9, &frontier);
        let reference = crate::page::PageRef {
            key: sealed.key.clone(), hash: sealed.hash, pack: 1, len: (sealed.frame.len() - 8) as u32, offset: 0,
        };
        let plain = open_page(&reference, 0, 9, &sealed.frame).unwrap();
        prop_assert!(same(&frontier, &read_bucket(&plain).unwrap()));
        prop_assert!(open_page(&reference, 0, 10, &sealed.frame).is_none());
        prop_assert!(open_page(&reference, 1, 9, &sealed.frame).is_none());
        let mut spoiled = sealed.frame.clone();
        let at = at % spoiled.len();
        spoiled[at] ^= 1 << bit;
        prop_assert!(open_page(&reference, 0, 9, &spoiled).is_none());
    }
}

#[test]
fn a_frontier_that_is_not_canonical_is_refused() {
    let node = |index: u16| Node { index, seed: [1; 32] };
    assert!(Frontier::from_nodes(vec![node(2), node(6)]).is_some());
    assert!(Frontier::from_nodes(vec![node(2), node(3)]).is_none(), "two whole siblings");
    assert!(Frontier::from_nodes(vec![node(6), node(2)]).is_none(), "out of order");
    assert!(Frontier::from_nodes(vec![node(2), node(4)]).is_none(), "overlapping");
    assert!(Frontier::from_nodes(vec![node(0)]).is_none());
    assert!(Frontier::from_nodes(vec![node(2048)]).is_none());
}
