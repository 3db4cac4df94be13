//! Single faults at chosen places, and what must follow.

use keyforest::media::Medium;
use keyforest::{Broken, Change, Forest, ForestConfig, ForestError, Leaf, LeafSet, LeafStatus, Pins, SealError};

use crate::history::config;
use crate::sim::Sim;

fn one(leaf: u64) -> LeafSet {
    [Leaf(leaf)].into_iter().collect()
}

fn erase(leaf: u64) -> Change {
    Change { puncture: one(leaf), ..Change::default() }
}

fn fresh(sim: &Sim) -> Forest {
    Forest::create(sim.stores(), config(), b"", Pins::default()).unwrap()
}

#[test]
fn a_cut_at_every_point_and_again_at_every_effect_of_the_recovery_loses_nothing() {
    for point in keyforest::CRASH_POINTS.iter().filter(|point| point.contains(".seal.")) {
        for effect in 1..8 {
            let sim = Sim::new(effect);
            let forest = fresh(&sim);
            let key = *forest.key(Leaf(6)).unwrap().expose();
            sim.cut_at_point(point);
            let answered = forest.seal(&erase(5)).is_ok();
            drop(forest);
            sim.power_cycle();
            sim.cut_after(effect);
            let _ = Forest::open(sim.stores(), config());
            sim.power_cycle();
            let (forest, _) = Forest::open(sim.stores(), config()).unwrap();
            assert_eq!(*forest.key(Leaf(6)).unwrap().expose(), key, "{point}");
            let gone = forest.status(Leaf(5)).unwrap() == LeafStatus::Punctured;
            assert!(gone || !answered, "{point}: answered but still there");
            forest.seal(&erase(5)).unwrap();
        }
    }
}

#[test]
fn every_failed_flush_of_a_seal_is_unknown_and_ends_the_process() {
    for flush in 0..3 {
        let sim = Sim::new(flush);
        let forest = fresh(&sim);
        sim.fail_flush_after(flush);
        assert!(matches!(forest.seal(&erase(5)), Err(SealError::Unknown(ForestError::Io { .. }))), "flush {flush}");
        assert!(matches!(forest.seal(&erase(5)), Err(SealError::Unknown(ForestError::Ended))));
        assert!(matches!(forest.journal_append(b"x"), Err(SealError::Unknown(ForestError::Ended))));
        drop(forest);
        sim.process_ends();
        let (forest, report) = Forest::open(sim.stores(), config()).unwrap();
        // Whatever recovery saw is now on the disk.
        drop(forest);
        sim.power_cycle();
        let (forest, again) = Forest::open(sim.stores(), config()).unwrap();
        assert_eq!(report.epoch, again.epoch);
        assert_eq!(report.epoch == 2, forest.status(Leaf(5)).unwrap() == LeafStatus::Punctured);
    }
}

#[test]
fn a_failed_journal_flush_is_unknown_and_ends_the_process() {
    let sim = Sim::new(9);
    let forest = fresh(&sim);
    sim.fail_flush_after(0);
    assert!(matches!(forest.journal_append(b"x"), Err(SealError::Unknown(_))));
    assert!(matches!(forest.seal(&erase(5)), Err(SealError::Unknown(ForestError::Ended))));
}

#[test]
fn a_journal_of_many_files_survives_a_start_and_a_power_cut_right_after_it() {
    for seed in 0..20 {
        let sim = Sim::new(seed);
        let forest = fresh(&sim);
        for record in 0..12 {
            forest.journal_append(&vec![record; 200_000]).unwrap();
        }
        for _ in 0..2 {
            drop(Forest::open(sim.stores(), config()).unwrap());
            sim.power_cycle();
        }
        let (forest, _) = Forest::open(sim.stores(), config()).unwrap();
        let pending: Vec<u8> = forest.journal().unwrap().iter().map(|(_, record)| record[0]).collect();
        assert_eq!(pending, (0..12).collect::<Vec<u8>>(), "seed {seed}");
    }
}

#[test]
fn a_newest_root_whose_pages_do_not_open_stops_the_vault_and_nothing_is_overwritten() {
    for broken in [None, Some(Broken::RollBack)] {
        let mut sim = Sim::new(11);
        let forest = fresh(&sim);
        sim.cut_at_point("keyforest.seal.new_root_durable");
        assert!(forest.seal(&erase(5)).is_err());
        drop(forest);
        sim.power_cycle();
        sim.spoil_pack_end(10);
        let register = sim.register();
        sim.broken = broken;
        let opened = Forest::open(sim.stores(), config());
        if broken.is_none() {
            assert!(matches!(opened, Err(ForestError::PagesDoNotOpen { epoch: 2, .. })));
            assert_eq!(sim.register(), register);
        } else {
            // The control: the newest root is destroyed and the erased leaf lives again.
            let (forest, report) = opened.unwrap();
            assert_eq!((report.epoch, forest.status(Leaf(5)).unwrap()), (1, LeafStatus::Live));
            assert_ne!(sim.register(), register);
        }
    }
}

#[test]
fn a_seal_that_waits_for_the_register_is_finished_once_and_nothing_overtakes_it() {
    let sim = Sim::new(16);
    let forest = fresh(&sim);
    assert!(matches!(forest.finish_seal(), Err(SealError::NotDone(ForestError::Refused { .. }))));
    sim.register_unanswered(3);
    assert!(matches!(forest.seal(&erase(5)), Err(SealError::Stalled(_))));
    assert!(matches!(forest.seal(&erase(6)), Err(SealError::NotDone(ForestError::Refused { .. }))));
    assert_eq!((forest.epoch(), forest.status(Leaf(5)).unwrap()), (1, LeafStatus::Live));
    forest.journal_append(b"accepted meanwhile").unwrap();
    for _ in 0..2 {
        assert!(matches!(forest.finish_seal(), Err(SealError::Stalled(_))));
    }
    assert_eq!(forest.finish_seal().unwrap().epoch, 2);
    assert_eq!(forest.status(Leaf(5)).unwrap(), LeafStatus::Punctured);
    assert!(forest.finish_seal().is_err());
    assert_eq!(forest.seal(&erase(6)).unwrap().epoch, 3);
    drop(forest);
    sim.power_cycle();
    assert_eq!(Forest::open(sim.stores(), config()).unwrap().1.epoch, 3);
}

#[test]
fn a_seal_made_ready_changes_nothing_until_it_is_finished_and_leaves_nothing_when_it_is_taken_back() {
    let sim = Sim::new(18);
    let forest = fresh(&sim);
    let (five, register) = (*forest.key(Leaf(5)).unwrap().expose(), sim.register());
    forest.prepare_seal(&erase(5)).unwrap();
    assert!(matches!(forest.seal(&erase(6)), Err(SealError::NotDone(ForestError::Refused { .. }))));
    assert!(matches!(forest.prepare_seal(&erase(6)), Err(SealError::NotDone(ForestError::Refused { .. }))));
    assert_eq!((forest.epoch(), *forest.key(Leaf(5)).unwrap().expose()), (1, five));
    assert!(sim.register() == register, "the register has not heard of it");
    forest.abandon_seal().unwrap();
    assert!(matches!(forest.finish_seal(), Err(SealError::NotDone(ForestError::Refused { .. }))));

    // Another change in its place: what was taken back does not come with it.
    forest.prepare_seal(&erase(6)).unwrap();
    assert_eq!(forest.finish_seal().unwrap().epoch, 2);
    assert_eq!(forest.status(Leaf(6)).unwrap(), LeafStatus::Punctured);
    assert_eq!(*forest.key(Leaf(5)).unwrap().expose(), five);
    drop(forest);
    sim.power_cycle();
    let (forest, report) = Forest::open(sim.stores(), config()).unwrap();
    assert_eq!((report.epoch, *forest.key(Leaf(5)).unwrap().expose()), (2, five));

    // A crash before it is finished: the state before is in force.
    forest.prepare_seal(&erase(5)).unwrap();
    drop(forest);
    sim.power_cycle();
    let (forest, report) = Forest::open(sim.stores(), config()).unwrap();
    assert_eq!((report.epoch, *forest.key(Leaf(5)).unwrap().expose()), (2, five));
}

#[test]
fn a_seal_that_the_register_may_know_of_is_not_taken_back() {
    let sim = Sim::new(19);
    let forest = fresh(&sim);
    forest.prepare_seal(&erase(5)).unwrap();
    sim.register_unanswered(1);
    assert!(matches!(forest.finish_seal(), Err(SealError::Stalled(_))));
    assert!(matches!(forest.abandon_seal(), Err(SealError::NotDone(ForestError::Refused { .. }))));
    assert_eq!(forest.finish_seal().unwrap().epoch, 2);
    assert_eq!(forest.status(Leaf(5)).unwrap(), LeafStatus::Punctured);
    forest.abandon_seal().unwrap();
}

#[test]
fn a_register_believed_from_the_page_cache_would_lose_the_vault() {
    for broken in [None, Some(Broken::RecoveryBelieves)] {
        let mut sim = Sim::new(12);
        let forest = fresh(&sim);
        // The second flush is the new root's: it fails, and only the cache has the root.
        sim.fail_flush_after(1);
        assert!(forest.seal(&erase(5)).is_err());
        drop(forest);
        sim.process_ends();
        sim.broken = broken;
        sim.cached_register = broken.is_some();
        drop(Forest::open(sim.stores(), config()).unwrap());
        sim.power_cycle();
        let opened = Forest::open(sim.stores(), config());
        match broken {
            None => assert_eq!(opened.unwrap().1.epoch, 1),
            Some(_) => assert!(matches!(opened, Err(ForestError::NoRoot))),
        }
    }
}

#[test]
fn a_purge_answered_before_its_seal_survives_a_database_rolled_back_only_through_the_journal() {
    for journaled in [true, false] {
        let sim = Sim::new(13);
        let forest = fresh(&sim);
        // The database has accepted the purge and answered; then its machine is restored to an hour ago.
        let mut database = vec![one(5)];
        if journaled {
            forest.journal_append(&one(5).encode()).unwrap();
        }
        drop(forest);
        database.clear();
        sim.power_cycle();
        let (forest, _) = Forest::open(sim.stores(), config()).unwrap();
        for (position, record) in forest.journal().unwrap() {
            let puncture = LeafSet::decode(&record).unwrap();
            forest.seal(&Change { puncture, journal_done: Some(position), ..Change::default() }).unwrap();
        }
        let gone = forest.status(Leaf(5)).unwrap() == LeafStatus::Punctured;
        assert_eq!(gone, journaled, "the control: without the journal the answer was a lie");
    }
}

#[test]
fn a_full_disk_spends_the_reserve_then_refuses_cleanly_and_heals() {
    let sim = Sim::new(14);
    let reserve = ForestConfig { reserve_bytes: 64 << 10, provision_buckets: 70, ..config() };
    let forest = Forest::create(sim.stores(), reserve.clone(), b"", Pins::default()).unwrap();
    let used: u64 = sim.files().iter().map(|(_, len)| len).sum();
    sim.limit(Some(used as usize + 1000));
    let mut sealed = 0;
    let refused = loop {
        match forest.seal(&erase(sealed * 1024)) {
            Ok(_) => sealed += 1,
            Err(error) => break error,
        }
        if sealed == 70 {
            break SealError::NotDone(ForestError::Refused { reason: "never full" });
        }
    };
    assert!(sealed >= 3, "the reserve kept {sealed} erasures going");
    assert!(matches!(refused, SealError::NotDone(ForestError::Io { .. })), "{refused:?}");
    assert!(forest.key(Leaf(sealed * 1024)).is_ok());
    sim.limit(None);
    forest.seal(&erase(sealed * 1024)).unwrap();
    forest.seal(&Change::default()).unwrap();
    assert!(sim.files().iter().any(|(name, _)| name == "reserve"), "the reserve is set aside again");
    drop(forest);
    let (forest, _) = Forest::open(sim.stores(), reserve).unwrap();
    assert_eq!(forest.status(Leaf(sealed * 1024)).unwrap(), LeafStatus::Punctured);
}

#[test]
fn a_journal_with_a_hole_is_noticed() {
    let sim = Sim::new(15);
    let forest = fresh(&sim);
    for n in 0..12_u8 {
        forest.journal_append(&vec![n; 200_000]).unwrap();
    }
    drop(forest);
    let first = sim.files().into_iter().find(|(name, _)| name.starts_with("journal-")).unwrap().0;
    sim.remove(&first).unwrap();
    assert!(matches!(Forest::open(sim.stores(), config()), Err(ForestError::JournalGap { position: 1 })));
}

#[test]
fn a_seal_that_is_put_off_at_any_step_is_made_in_the_end_and_loses_nothing() {
    for stalls in 1..6 {
        let sim = Sim::new(40 + u64::from(stalls));
        let forest = fresh(&sim);
        let key = *forest.key(Leaf(6)).unwrap().expose();
        sim.stall(stalls);
        let mut put_off = 0;
        while let Err(error) = forest.seal(&erase(5)) {
            assert!(matches!(error, SealError::NotDone(ForestError::Io { .. })), "{error:?}");
            assert_eq!((forest.epoch(), forest.status(Leaf(5)).unwrap()), (1, LeafStatus::Live));
            put_off += 1;
        }
        assert_eq!(put_off, stalls);
        assert_eq!(forest.epoch(), 2);
        // A new pack, whose making is put off too.
        for leaf in 10..400 {
            sim.stall(u32::from(leaf % 7 == 0));
            while forest.seal(&erase(leaf)).is_err() {}
        }
        drop(forest);
        sim.power_cycle();
        let (forest, _) = Forest::open(sim.stores(), config()).unwrap();
        assert_eq!(*forest.key(Leaf(6)).unwrap().expose(), key);
        assert_eq!(forest.status(Leaf(399)).unwrap(), LeafStatus::Punctured);
        assert!(sim.files().iter().filter(|(name, _)| name.starts_with("pack-")).count() < 20, "{:?}", sim.files());
    }
}

#[test]
fn a_journal_record_that_is_put_off_leaves_its_position_to_the_next() {
    let sim = Sim::new(50);
    let forest = fresh(&sim);
    assert_eq!(forest.journal_append(b"one").unwrap(), 1);
    sim.stall(2);
    for _ in 0..2 {
        assert!(matches!(forest.journal_append(b"put off"), Err(SealError::NotDone(_))));
        assert_eq!(forest.journal().unwrap(), [(1, b"one".to_vec())]);
    }
    assert_eq!(forest.journal_append(b"two").unwrap(), 2);
    assert_eq!(forest.journal().unwrap(), [(1, b"one".to_vec()), (2, b"two".to_vec())]);
    drop(forest);
    sim.power_cycle();
    let (forest, _) = Forest::open(sim.stores(), config()).unwrap();
    assert_eq!(forest.journal().unwrap(), [(1, b"one".to_vec()), (2, b"two".to_vec())]);
    assert_eq!(forest.journal_append(b"three").unwrap(), 3);
}

/// A forest whose oldest pack the last seal did not touch, though pages of it are needed.
fn of_many_packs(sim: &Sim) -> Forest {
    let forest = Forest::create(sim.stores(), ForestConfig { provision_buckets: 40, ..config() }, b"", Pins::default());
    let forest = forest.unwrap();
    let puncture = (0..40).map(|bucket| Leaf(bucket * 1024 + 7)).collect();
    forest.seal(&Change { puncture, ..Change::default() }).unwrap();
    for leaf in 1..7 {
        forest.seal(&Change { attachment: Some(vec![1; 10]), ..erase(leaf) }).unwrap();
    }
    forest
}

#[test]
fn an_older_pack_that_is_missing_or_too_short_stops_the_vault_and_nothing_is_overwritten() {
    for keep in [None, Some(9000)] {
        let sim = Sim::new(17);
        drop(of_many_packs(&sim));
        let first = sim.files().into_iter().find(|(name, _)| name.starts_with("pack-")).unwrap().0;
        match keep {
            None => sim.remove(&first).unwrap(),
            Some(len) => sim.truncate(&first, len).unwrap(),
        }
        let register = sim.register();
        let reason = if keep.is_none() { "a pack is missing" } else { "a pack is cut short" };
        let opened = Forest::open(sim.stores(), config()).map(drop);
        assert!(
            matches!(opened, Err(ForestError::PagesDoNotOpen { epoch: 8, reason: told }) if told == reason),
            "{opened:?}"
        );
        assert_eq!(sim.register(), register);
    }
}

#[test]
fn a_medium_is_vouched_for_only_where_it_holds_every_page_that_is_needed() {
    let sim = Sim::new(18);
    let forest = of_many_packs(&sim);
    let packs: Vec<_> = sim.files().into_iter().filter(|(name, _)| name.starts_with("pack-")).collect();
    assert!(packs.len() > 1, "{packs:?}");
    for (name, len) in &packs {
        forest.vouch(&sim, &sim, name, &(0..*len)).unwrap();
        forest.vouch(&sim, &sim, name, &(*len..u64::MAX)).unwrap();
    }
    let (first, len) = &packs[0];
    forest.vouch(&sim, &sim, "log-00000001", &(0..*len)).unwrap();
    sim.write_at(first, 9000, b"damaged").unwrap();
    sim.flush(first).unwrap();
    assert!(forest.vouch(&sim, &sim, first, &(0..*len)).is_err());
    forest.vouch(&sim, &sim, first, &(0..16)).unwrap();
    sim.remove(first).unwrap();
    assert!(forest.vouch(&sim, &sim, first, &(0..*len)).is_err());
    forest.vouch(&sim, &sim, &packs[1].0, &(0..packs[1].1)).unwrap();
}
