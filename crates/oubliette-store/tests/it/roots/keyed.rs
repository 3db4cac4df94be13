//! The order of things in keyed slots: every fault at every step, and faults in pairs.

use std::collections::BTreeSet;
use std::sync::Arc;

use keyforest::media::SlotDevice as _;
use oubliette_store::roots::{Carrier as _, FolderCarrier, KeyedError, KeyedSlots};
use tempfile::TempDir;

use super::conformance::{Device, conforms, number, record};
use super::life::{World, live};
use super::pretend::{FAULTS, Fault, Pretend};

struct OneStore(Pretend);

impl World for OneStore {
    fn open(&self) -> Option<Device> {
        let slots = KeyedSlots::open(self.0.keys("pretend"), self.0.carrier("c"), "vault").ok()?;
        Some(Arc::new(slots))
    }
    fn is_dead(&self) -> bool {
        self.0.is_dead()
    }
    fn restart(&self) {
        self.0.restart();
    }
    fn revealed(&self) -> BTreeSet<u64> {
        self.0.opened().iter().filter_map(|plain| padded(plain)).collect()
    }
}

/// What was wrapped lacks the zeros at its end.
fn padded(plain: &[u8]) -> Option<u64> {
    let mut block = plain.to_vec();
    block.resize(4096, 0);
    number(&block)
}

fn steps_of_a_quiet_life() -> u64 {
    let world = OneStore(Pretend::default());
    assert_eq!(live(&world, 3), (0, 0));
    assert!(world.0.key_names().len() == 1, "{:?}", world.0.key_names());
    world.0.steps()
}

#[test]
fn keyed_slots_over_a_pretended_store_conform() {
    let world = OneStore(Pretend::default());
    conforms("pretend", &|| world.open().unwrap());
}

#[test]
fn a_fault_at_any_step_loses_no_root_and_keeps_none() {
    let steps = steps_of_a_quiet_life();
    for step in 1..=steps {
        for fault in FAULTS {
            let world = OneStore(Pretend::with_faults(&[(step, fault)]));
            let (deaths, repeats) = live(&world, 3);
            assert!(deaths + repeats >= 1, "{fault:?} at {step} went unnoticed");
            // One for the root in force, and what the last call of a dead process may have made is gone, too.
            assert_eq!(world.0.key_names().len(), 1, "{fault:?} at {step}");
        }
    }
}

#[test]
fn faults_in_pairs_lose_no_root_and_keep_none() {
    let steps = steps_of_a_quiet_life();
    let mut lives = 0_u32;
    for first in 1..=steps {
        for second in first + 1..first + 16 {
            for one in FAULTS {
                for two in FAULTS {
                    live(&OneStore(Pretend::with_faults(&[(first, one), (second, two)])), 3);
                    lives += 1;
                }
            }
        }
    }
    assert!(lives > 5_000, "{lives}");
}

#[test]
#[should_panic(expected = "at 2")]
fn control_a_store_that_only_says_it_destroyed_is_noticed() {
    // Its trial would show it at once; so it begins to lie after that.
    let world = OneStore(Pretend::default());
    struct Lying<'a>(&'a OneStore);
    impl World for Lying<'_> {
        fn open(&self) -> Option<Device> {
            let device = self.0.open();
            self.0.0.forget_to_destroy();
            device
        }
        fn is_dead(&self) -> bool {
            false
        }
        fn restart(&self) {}
        fn revealed(&self) -> BTreeSet<u64> {
            self.0.revealed()
        }
    }
    live(&Lying(&world), 3);
}

#[test]
fn a_store_that_does_not_forget_fails_its_trial() {
    let all = Pretend::default();
    all.forget_to_destroy();
    let opened = KeyedSlots::open(all.keys("pretend"), all.carrier("c"), "vault");
    assert!(matches!(opened, Err(KeyedError::Trial { .. })));
}

#[test]
fn keys_that_a_crash_left_behind_are_destroyed_and_those_of_others_are_not() {
    let all = Pretend::default();
    let slots = KeyedSlots::open(all.keys("pretend"), all.carrier("c"), "vault").unwrap();
    slots.write_slot(0, &record(1)).unwrap();
    let (mine, prefix) = (all.key_names(), slots.prefix().to_owned());
    assert_eq!(mine.len(), 1);
    drop(slots);
    let other = KeyedSlots::open(all.keys("pretend"), all.carrier("another carrier"), "vault").unwrap();
    other.write_slot(0, &record(7)).unwrap();
    drop(other);
    all.put_key(&format!("{prefix}0123456789ab"));
    all.put_key("somebody's");
    assert_eq!(all.key_names().len(), 4);
    let slots = KeyedSlots::open(all.keys("pretend"), all.carrier("c"), "vault").unwrap();
    assert_eq!(all.key_names().len(), 3, "{:?}", all.key_names());
    assert!(all.key_names().contains(&mine[0]) && all.key_names().contains(&"somebody's".to_owned()));
    assert_eq!(number(&slots.read_slot(0).unwrap()[..]), Some(1));
    let other = KeyedSlots::open(all.keys("pretend"), all.carrier("another carrier"), "vault").unwrap();
    assert_eq!(number(&other.read_slot(0).unwrap()[..]), Some(7));
}

#[test]
fn another_store_than_the_one_that_made_the_roots_changes_nothing() {
    let (right, wrong) = (Pretend::default(), Pretend::default());
    let slots = KeyedSlots::open(right.keys("pretend"), right.carrier("c"), "vault").unwrap();
    slots.write_slot(1, &record(1)).unwrap();
    drop(slots);
    let opened = KeyedSlots::open(wrong.keys("pretend"), right.carrier("c"), "vault");
    assert!(matches!(opened, Err(KeyedError::KeysMissing { class: "pretend" })));
    let slots = KeyedSlots::open(right.keys("pretend"), right.carrier("c"), "vault").unwrap();
    assert_eq!(number(&slots.read_slot(1).unwrap()[..]), Some(1));
}

#[test]
fn a_damaged_wrapped_root_stops_before_any_key_is_touched() {
    let all = Pretend::default();
    let slots = KeyedSlots::open(all.keys("pretend"), all.carrier("c"), "vault").unwrap();
    slots.write_slot(0, &record(1)).unwrap();
    drop(slots);
    let keys = all.key_names();
    all.carrier("c").write("slot-0", b"{\"format\":9,\"key\":\"k\",\"wrapped\":\"\"}").unwrap();
    let opened = KeyedSlots::open(all.keys("pretend"), all.carrier("c"), "vault");
    assert!(matches!(opened, Err(KeyedError::Damaged { slot: 0 })));
    assert_eq!(all.key_names(), keys);
}

#[test]
fn an_instance_that_is_no_name_is_refused() {
    let all = Pretend::default();
    for instance in ["", "a/b", "a b", "..", "x".repeat(65).as_str()] {
        let opened = KeyedSlots::open(all.keys("pretend"), all.carrier("c"), instance);
        assert!(matches!(opened, Err(KeyedError::Instance)), "{instance}");
    }
}

#[test]
fn a_long_outage_leaves_few_keys() {
    // Every second step fails: each attempt gets a little further and none gets through.
    let faults: Vec<_> = (1..400).filter(|step| step % 2 == 0).map(|step| (step, Fault::AnswerLost)).collect();
    let all = Pretend::default();
    let slots = KeyedSlots::open(all.keys("pretend"), all.carrier("c"), "vault").unwrap();
    let begun = all.steps();
    all.add_faults(faults.iter().map(|(step, fault)| (step + begun, *fault)));
    let mut attempts = 0;
    while slots.write_slot(0, &record(1)).is_err() {
        attempts += 1;
        assert!(all.key_names().len() <= 2, "{:?}", all.key_names());
    }
    assert!(attempts > 20, "{attempts}");
    assert_eq!(number(&slots.read_slot(0).unwrap()[..]), Some(1));
    assert_eq!(all.key_names().len(), 1);
}

#[test]
fn a_folder_carrier_replaces_whole_values_and_has_one_owner() {
    let home = TempDir::new().unwrap();
    let carrier = FolderCarrier::open(&home.path().join("c")).unwrap();
    assert_eq!(carrier.read("slot-0").unwrap(), None);
    carrier.write("slot-0", b"one").unwrap();
    carrier.write("slot-0", b"two").unwrap();
    assert_eq!(carrier.read("slot-0").unwrap().unwrap(), b"two");
    let second = FolderCarrier::open(&home.path().join("c")).err().map(|error| error.kind());
    assert_eq!(second, Some(std::io::ErrorKind::ResourceBusy));
    drop(carrier);
    assert_eq!(FolderCarrier::open(&home.path().join("c")).unwrap().read("slot-0").unwrap().unwrap(), b"two");
}
