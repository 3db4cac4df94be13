//! Random histories on the simulated disk, and the controls that show they would notice.

use keyforest::Broken;

use crate::history::{Findings, Ways, live};
use crate::sim::Sim;

fn histories(seeds: std::ops::Range<u64>, ways: Ways, prepare: impl Fn(&mut Sim)) -> Findings {
    let mut all = Findings::default();
    for seed in seeds {
        let mut sim = Sim::new(seed);
        prepare(&mut sim);
        let found = live(&sim, seed, 4, ways);
        all.add(found);
    }
    all
}

/// Histories to live through: 300, or `KEYFOREST_HISTORIES` for a longer night.
fn count() -> u64 {
    std::env::var("KEYFOREST_HISTORIES").ok().and_then(|count| count.parse().ok()).unwrap_or(300)
}

#[test]
fn what_was_answered_as_erased_is_never_reached_and_nothing_else_is_lost() {
    let found = histories(0..count(), Ways::default(), |_| {});
    println!("{found:?}");
    assert!(found.is_clean(), "{found:?}");
    assert!(u64::from(found.crashes) > count() / 2 && u64::from(found.checks) > 3 * count(), "{found:?}");
}

#[test]
fn a_failed_flush_that_leaves_clean_cache_behind_loses_and_leaks_nothing() {
    let ways = Ways { flush_errors: true, ..Ways::default() };
    let found = histories(100_000..100_000 + count(), ways, |_| {});
    println!("{found:?}");
    assert!(found.is_clean(), "{found:?}");
    assert!(u64::from(found.crashes) > count() / 2, "{found:?}");
}

#[test]
fn a_register_that_does_not_answer_makes_seals_wait_and_loses_and_leaks_nothing() {
    let ways = Ways { register_stalls: true, ..Ways::default() };
    let found = histories(200_000..200_000 + count(), ways, |_| {});
    println!("{found:?}");
    assert!(found.is_clean(), "{found:?}");
    assert!(u64::from(found.waits) > count() / 2 && u64::from(found.crashes) > count() / 2, "{found:?}");
}

#[test]
fn control_an_old_slot_that_is_not_overwritten_is_noticed() {
    let found = histories(0..20, Ways::default(), |sim| sim.broken = Some(Broken::OldSlotKept));
    assert!(found.leaks > 10, "{found:?}");
}

#[test]
fn control_a_register_in_the_backups_is_noticed() {
    let ways = Ways { register_backed_up: true, ..Ways::default() };
    let found = histories(0..20, ways, |_| {});
    assert!(found.leaks > 10, "{found:?}");
}

#[test]
fn control_a_recovery_that_keeps_the_other_slot_is_noticed() {
    let found = histories(0..150, Ways::default(), |sim| sim.broken = Some(Broken::RecoveryKeepsOther));
    assert!(found.leaks > 0, "{found:?}");
}

#[test]
fn control_a_root_committed_before_its_pages_are_durable_is_noticed() {
    let found = histories(0..150, Ways::default(), |sim| sim.broken = Some(Broken::RootBeforePages));
    assert!(found.unrecoverable > 0, "{found:?}");
}

#[test]
fn control_an_answer_before_the_old_root_is_destroyed_is_noticed() {
    let ways = Ways { answers_early: true, ..Ways::default() };
    let found = histories(0..150, ways, |_| {});
    assert!(found.leaks > 0, "{found:?}");
}

#[test]
fn control_a_page_key_used_twice_is_noticed() {
    let found = histories(0..20, Ways::default(), |sim| sim.broken = Some(Broken::PageKeyReused));
    assert!(found.leaks > 0, "{found:?}");
}

#[test]
fn control_a_leaf_issued_twice_is_noticed() {
    let found = histories(0..60, Ways::default(), |sim| sim.broken = Some(Broken::LeafReissued));
    assert!(found.broken_promises > 0, "{found:?}");
}

#[test]
fn control_a_seal_that_forgets_a_leaf_is_stopped_by_its_own_check() {
    let found = histories(0..10, Ways::default(), |sim| sim.broken = Some(Broken::LeafForgotten));
    assert!(found.refused > 0 && found.leaks == 0 && found.losses == 0, "{found:?}");
}

#[test]
fn control_a_seal_that_loses_a_bucket_is_stopped_by_its_own_check() {
    let found = histories(0..10, Ways::default(), |sim| sim.broken = Some(Broken::BucketLost));
    assert!(found.refused > 0 && found.leaks == 0 && found.losses == 0, "{found:?}");
}
