//! What a caller sees: paging, packs, lanes, readers beside a seal, cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keyforest::{Change, Forest, ForestConfig, KeyError, Lane, Leaf, LeafSet, LeafStatus, Pins};

use crate::sim::{Dice, Sim};

fn grown(sim: &Sim, config: ForestConfig, buckets: u64) -> Forest {
    let config = ForestConfig { provision_buckets: buckets, ..config };
    Forest::create(sim.stores(), config, b"", Pins::default()).unwrap()
}

fn random_leaves(dice: &mut Dice, below: u64, count: usize) -> LeafSet {
    (0..count).map(|_| Leaf(dice.roll(below))).collect()
}

#[test]
fn one_puncture_takes_three_flushes_and_few_bytes_in_a_tree_of_three_levels() {
    let sim = Sim::new(1);
    let forest = grown(&sim, ForestConfig { reserve_bytes: 0, ..ForestConfig::default() }, 5000);
    let mut dice = Dice::new(1);
    for _ in 0..20 {
        let puncture = random_leaves(&mut dice, 5000 * 1024, 1);
        let before = sim.flushes();
        let sealed = forest.seal(&Change { puncture, ..Change::default() }).unwrap();
        assert_eq!((sealed.flushes, sim.flushes() - before), (3, 3));
        assert!(sealed.bytes_written < 8192 + 12_500, "{}", sealed.bytes_written);
    }
}

#[test]
fn whole_buckets_that_expire_together_cost_next_to_nothing_and_vanish() {
    let sim = Sim::new(2);
    let forest = grown(&sim, ForestConfig { reserve_bytes: 0, ..ForestConfig::default() }, 500);
    let puncture: LeafSet = (0..300 * 1024).map(Leaf).collect();
    let sealed = forest.seal(&Change { puncture: puncture.clone(), ..Change::default() }).unwrap();
    assert_eq!(sealed.punctured, 300 * 1024);
    assert!(sealed.bytes_written < 8192 + 6000, "{}", sealed.bytes_written);
    assert_eq!(forest.status(Leaf(0)).unwrap(), LeafStatus::Punctured);
    assert_eq!(forest.status(Leaf(300 * 1024)).unwrap(), LeafStatus::Live);
    // Sealed once more: nothing is left to die.
    assert_eq!(forest.seal(&Change { puncture, ..Change::default() }).unwrap().punctured, 0);
    drop(forest);
    let (forest, _) = Forest::open(sim.stores(), ForestConfig::default()).unwrap();
    assert_eq!(forest.status(Leaf(299 * 1024)).unwrap(), LeafStatus::Punctured);
    assert_eq!(forest.status(Leaf(499 * 1024)).unwrap(), LeafStatus::Live);
    // The tree grows on over the empty part.
    forest.seal(&Change { provision: 100, ..Change::default() }).unwrap();
    assert_eq!(forest.high_water(), Leaf(600 * 1024));
    assert!(forest.key(Leaf(599 * 1024)).is_ok());
}

#[test]
fn the_live_leaves_of_a_range_are_those_that_can_be_derived() {
    let sim = Sim::new(9);
    let forest = grown(&sim, ForestConfig::default(), 5);
    let mut dice = Dice::new(9);
    // One bucket is left whole, one goes wholly.
    let mut puncture = random_leaves(&mut dice, 3 * 1024, 700);
    puncture.extend((4 * 1024..5 * 1024).map(Leaf));
    forest.seal(&Change { puncture, ..Change::default() }).unwrap();
    for (from, to) in
        [(0, 5 * 1024), (0, u64::MAX), (1000, 1030), (3 * 1024 - 1, 3 * 1024 + 1), (4 * 1024, 6 * 1024), (9, 9)]
    {
        let live = forest.live(from..to).unwrap();
        let expected: LeafSet = (from..to.min(5 * 1024)).map(Leaf).filter(|leaf| forest.key(*leaf).is_ok()).collect();
        assert_eq!(live, expected, "{from}..{to}");
    }
}

#[test]
fn punctured_buckets_are_paged_in_within_the_budget() {
    let sim = Sim::new(3);
    let config = ForestConfig { page_memory: 8000, ..ForestConfig::default() };
    let forest = grown(&sim, config, 200);
    let mut dice = Dice::new(3);
    let keys: Vec<[u8; 32]> = (0..200).map(|b| *forest.key(Leaf(b * 1024 + 1000)).unwrap().expose()).collect();
    let puncture: LeafSet = (0..200).flat_map(|b| [Leaf(b * 1024 + 3), Leaf(b * 1024 + 500)]).collect();
    forest.seal(&Change { puncture, ..Change::default() }).unwrap();
    for _ in 0..2000 {
        let bucket = dice.roll(200);
        assert_eq!(*forest.key(Leaf(bucket * 1024 + 1000)).unwrap().expose(), keys[bucket as usize]);
        assert!(matches!(forest.key(Leaf(bucket * 1024 + 500)), Err(KeyError::Punctured)));
        assert!(forest.paged_in_bytes() <= 8000);
    }
    assert!(forest.paged_in_bytes() > 4000);
}

#[test]
fn packs_roll_are_rewritten_when_mostly_dead_and_then_removed() {
    let sim = Sim::new(4);
    let config = ForestConfig { pack_bytes: 16 << 10, page_memory: 2000, ..ForestConfig::default() };
    let forest = grown(&sim, config.clone(), 100);
    let mut dice = Dice::new(4);
    let mut live: Vec<u64> = (0..100 * 1024).collect();
    for _ in 0..150 {
        let puncture: LeafSet = (0..6).map(|_| Leaf(live.swap_remove(dice.roll(live.len() as u64) as usize))).collect();
        forest.seal(&Change { puncture, ..Change::default() }).unwrap();
    }
    let packs: Vec<(String, u64)> = sim.files().into_iter().filter(|(name, _)| name.starts_with("pack-")).collect();
    let total: u64 = packs.iter().map(|(_, len)| len).sum();
    assert!(packs.iter().all(|(_, len)| *len <= 16 << 10), "{packs:?}");
    assert!(packs[0].0.as_str() > "pack-00000020.kfp", "the first packs are gone: {packs:?}");
    // About 900 leaves died at random in 100 buckets: some 300 bytes each are live, and no more than twice that lies about.
    assert!(total < 900_000, "{total}");
    let keys: Vec<[u8; 32]> = live.iter().take(500).map(|leaf| *forest.key(Leaf(*leaf)).unwrap().expose()).collect();
    drop(forest);
    let (forest, _) = Forest::open(sim.stores(), config).unwrap();
    for (leaf, key) in live.iter().zip(keys) {
        assert_eq!(*forest.key(Leaf(*leaf)).unwrap().expose(), key);
    }
}

#[test]
fn lanes_never_share_a_bucket_and_a_punctured_rest_is_not_issued() {
    let sim = Sim::new(5);
    let forest = grown(&sim, ForestConfig::default(), 6);
    let a = forest.allocate_group(Lane(1)).unwrap().leaf(0);
    let b = forest.allocate_group(Lane(2)).unwrap().leaf(0);
    let c = forest.allocate_leaf(Lane(3)).unwrap();
    assert_eq!((a, b, c, forest.supply()), (Leaf(0), Leaf(1024), Leaf(2048), 3));
    assert_eq!(forest.allocate_group(Lane(1)).unwrap().leaf(0), Leaf(8));
    // The rest of lane 1's bucket, and one unopened bucket, are punctured away.
    let puncture: LeafSet = (16..1024).chain(3072..3080).map(Leaf).collect();
    forest.seal(&Change { puncture, ..Change::default() }).unwrap();
    assert_eq!(forest.supply(), 2);
    assert_eq!(forest.allocate_group(Lane(1)).unwrap().leaf(0), Leaf(4096));
    assert_eq!(forest.allocate_group(Lane(2)).unwrap().leaf(0), Leaf(1032));
    assert!(forest.wants_provision() > 0);
}

#[test]
fn readers_go_on_beside_seals_and_never_see_a_wrong_key() {
    let sim = Sim::new(6);
    let forest = Arc::new(grown(&sim, ForestConfig { page_memory: 4000, ..ForestConfig::default() }, 80));
    let keys: Vec<[u8; 32]> = (0..80).map(|b| *forest.key(Leaf(b * 1024)).unwrap().expose()).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (forest, keys, stop) = (&forest, &keys, &stop);
            scope.spawn(move || {
                let mut dice = Dice::new(reader + 60);
                while !stop.load(Ordering::Relaxed) {
                    let bucket = dice.roll(80);
                    assert_eq!(*forest.key(Leaf(bucket * 1024)).unwrap().expose(), keys[bucket as usize]);
                }
            });
        }
        let mut dice = Dice::new(66);
        for _ in 0..40 {
            let puncture: LeafSet =
                (0..30).map(|_| dice.roll(80 * 1024)).filter(|leaf| leaf % 1024 != 0).map(Leaf).collect();
            forest.seal(&Change { puncture: puncture.clone(), ..Change::default() }).unwrap();
            assert!(puncture.iter().all(|leaf| matches!(forest.key(leaf), Err(KeyError::Punctured))));
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn the_journal_rolls_keeps_what_is_not_done_and_forgets_the_rest() {
    let sim = Sim::new(7);
    let forest = grown(&sim, ForestConfig::default(), 1);
    for n in 1..=40_u64 {
        assert_eq!(forest.journal_append(&vec![n as u8; 100_000]).unwrap(), n);
    }
    forest.seal(&Change { journal_done: Some(35), ..Change::default() }).unwrap();
    let kept: Vec<u64> = forest.journal().unwrap().into_iter().map(|(position, _)| position).collect();
    assert_eq!(kept, [36, 37, 38, 39, 40]);
    let files = sim.files().iter().filter(|(name, _)| name.starts_with("journal-")).count();
    assert!(files <= 2, "{files}");
    drop(forest);
    sim.power_cycle();
    let (forest, _) = Forest::open(sim.stores(), ForestConfig::default()).unwrap();
    assert_eq!(forest.journal().unwrap().len(), 5);
    assert_eq!(forest.journal_append(b"next").unwrap(), 41);
}
