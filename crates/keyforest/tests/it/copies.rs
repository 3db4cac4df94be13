//! A state carried over to other media under a root of its own.

use keyforest::attack::Attacker;
use keyforest::media::MemorySlots;
use keyforest::{
    Change, Forest, ForestConfig, ForestError, Lane, Leaf, LeafSet, LeafStatus, Pins, Stores, destroy_roots,
    hand_root_over, holds_root,
};

use crate::sim::{Dice, Sim};

const BUCKETS: u64 = 130;

fn pins(commit_counter: u64) -> Pins {
    Pins { instance: [7; 16], commit_counter, log_head: [0; 32] }
}

/// A forest with a history: punctured leaves here and there, whole buckets gone, a record in the journal.
fn grown(sim: &Sim) -> (Forest, LeafSet) {
    let config = ForestConfig { provision_buckets: BUCKETS, pack_bytes: 24 << 10, ..ForestConfig::default() };
    let forest = Forest::create(sim.stores(), config, b"tenant secrets", pins(1)).unwrap();
    let mut dice = Dice::new(11);
    let mut dead: LeafSet = (0..70 * 1024).step_by(1024).flat_map(|first| (first..first + 3).map(Leaf)).collect();
    dead = dead.union(&(64 * 1024..66 * 1024).map(Leaf).collect());
    for _ in 0..5 {
        let some: LeafSet = (0..40).map(|_| Leaf(dice.roll(BUCKETS * 1024))).collect();
        dead = dead.union(&some);
        forest.seal(&Change { puncture: some, pins: pins(2), ..Change::default() }).unwrap();
    }
    let puncture = dead.clone();
    let position = forest.journal_append(b"accepted").unwrap();
    forest.seal(&Change { puncture, pins: pins(3), journal_done: Some(position), ..Change::default() }).unwrap();
    (forest, dead)
}

fn attacker_of(archives: &[&Sim], register: &Sim) -> Attacker {
    let mut attacker = Attacker::new();
    archives.iter().flat_map(|sim| sim.archive()).for_each(|bytes| attacker.archive(&bytes));
    register.register().chunks(4096).for_each(|slot| attacker.register(&slot[..512]));
    attacker
}

#[test]
fn a_copy_holds_what_the_state_holds_and_nothing_of_what_it_has_lost() {
    let (old, new) = (Sim::new(1), Sim::new(2));
    let (forest, dead) = grown(&old);
    let epoch = forest.copy_to(&new.stores(), &ForestConfig::default(), pins(9)).unwrap();
    assert_eq!(epoch, forest.epoch() + 1);
    let (copy, report) = Forest::open(new.stores(), ForestConfig::default()).unwrap();
    assert_eq!((report.epoch, report.overwrote_slot), (epoch, false));
    assert_eq!((copy.high_water(), copy.pins()), (forest.high_water(), pins(9)));
    assert_eq!(copy.attachment().as_slice(), b"tenant secrets");
    assert_eq!(copy.unclosed(), 0..BUCKETS * 1024, "what earlier runs opened is known to the copy as well");
    for leaf in (0..BUCKETS * 1024).map(Leaf) {
        match forest.key(leaf) {
            Ok(key) => assert_eq!(copy.key(leaf).unwrap().expose(), key.expose()),
            Err(_) => assert!(dead.contains(leaf) && copy.key(leaf).is_err(), "{leaf}"),
        }
    }
    // It lives on: nothing is issued again, and what it erases is erased.
    assert!(matches!(copy.allocate_group(Lane(1)), Err(ForestError::Unprovisioned)));
    copy.seal(&Change { provision: 1, pins: pins(10), ..Change::default() }).unwrap();
    assert_eq!(copy.allocate_group(Lane(1)).unwrap().leaf(0), Leaf(BUCKETS * 1024));
    assert_eq!(copy.journal_append(b"next").unwrap(), 2, "positions go on");
}

#[test]
fn neither_root_opens_the_others_pages_and_a_destroyed_one_opens_nothing() {
    let (old, new) = (Sim::new(3), Sim::new(4));
    let (forest, dead) = grown(&old);
    forest.copy_to(&new.stores(), &ForestConfig::default(), pins(9)).unwrap();
    let live = (0..BUCKETS * 1024).map(Leaf).find(|leaf| !dead.contains(*leaf)).unwrap();
    assert!(attacker_of(&[&old], &old).closure().reaches(live), "the attacker can do it where it can be done");
    assert!(attacker_of(&[&new], &new).closure().reaches(live));
    assert!(!attacker_of(&[&new], &old).closure().reaches(live), "the old root opens nothing of the copy");
    assert!(!attacker_of(&[&old], &new).closure().reaches(live), "the new root opens nothing of the old pages");

    drop(forest);
    destroy_roots(&*old.stores().register).unwrap();
    assert!(!holds_root(&*old.stores().register).unwrap() && holds_root(&*new.stores().register).unwrap());
    assert!(matches!(Forest::open(old.stores(), ForestConfig::default()), Err(ForestError::NoRoot)));
    assert!(!attacker_of(&[&old, &new], &old).closure().reaches(live));
    // What the copy erases from now on no old page brings back.
    let (copy, _) = Forest::open(new.stores(), ForestConfig::default()).unwrap();
    copy.seal(&Change { puncture: [live].into_iter().collect(), pins: pins(10), ..Change::default() }).unwrap();
    let closure = attacker_of(&[&old, &new], &new).closure();
    assert!(!closure.reaches(live));
    for leaf in dead.iter() {
        assert!(!closure.reaches(leaf), "{leaf} was erased before the copy");
    }
    destroy_roots(&*old.stores().register).unwrap();
}

#[test]
fn a_root_is_proven_in_memory_before_a_register_gets_it() {
    let (old, new) = (Sim::new(5), Sim::new(6));
    let (forest, dead) = grown(&old);
    let memory = || std::sync::Arc::new(MemorySlots::default());
    let of = |register: &std::sync::Arc<MemorySlots>| Stores { register: register.clone(), ..new.stores() };
    let lost = memory();
    forest.copy_to(&of(&lost), &ForestConfig::default(), pins(9)).unwrap();
    assert!(!holds_root(&*new.stores().register).unwrap());
    assert!(hand_root_over(&*memory(), &*new.stores().register).is_err(), "there is none");
    // A process that ends here leaves pages that nobody has a root for: not taken for an empty place.
    assert!(matches!(forest.copy_to(&of(&memory()), &ForestConfig::default(), pins(9)), Err(ForestError::Exists)));
    let (proven, _) = Forest::open(of(&lost), ForestConfig::default()).unwrap();
    assert_eq!(proven.high_water(), forest.high_water());
    drop(proven);
    hand_root_over(&*lost, &*new.stores().register).unwrap();
    hand_root_over(&*lost, &*new.stores().register).unwrap();
    let (copy, _) = Forest::open(new.stores(), ForestConfig::default()).unwrap();
    for leaf in dead.iter() {
        assert_eq!(copy.status(leaf).unwrap(), LeafStatus::Punctured);
    }
    assert!(matches!(forest.copy_to(&new.stores(), &ForestConfig::default(), pins(9)), Err(ForestError::Exists)));
}

#[test]
fn a_copy_that_came_out_wrong_gets_no_root() {
    let (old, new) = (Sim::new(7), Sim::new(8));
    let (forest, _) = grown(&old);
    let mut wrong = new.clone();
    wrong.broken = Some(keyforest::Broken::BucketLost);
    let copied = forest.copy_to(&wrong.stores(), &ForestConfig::default(), pins(9));
    assert!(matches!(copied, Err(ForestError::Verify { .. })));
    assert!(!holds_root(&*new.stores().register).unwrap());
}
