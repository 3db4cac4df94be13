//! Damaged records of the primary's journal, log and list of parties: no mirror loses its whole ones to them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use keyforest::Forest;
use keyforest::media::Medium;
use oubliette_core::service::TransparencyLog;
use oubliette_store::media::{Folder, MirrorError, Mirrored, Parties, PartyKind, Standing};
use tempfile::TempDir;

use super::mending::behind;
use super::mirrored::{
    AWAY, FULL, HONEST, LIMIT, LOSES, VAULT, begin, close, files, frail_primary, holding, honest, look, open, spec,
};
use super::setup::{config, erase, seal_in_the_end, stores};

const SEED: [u8; 32] = [4; 32];

fn log(mirrored: &Arc<Mirrored>) -> TransparencyLog {
    TransparencyLog::alone(Arc::clone(mirrored) as Arc<dyn Medium>, "example.org/log", SEED, 0).unwrap()
}

/// A file of a place whose name begins so; the newest.
fn file(home: &Path, place: &str, begins: &str) -> PathBuf {
    let found = files(home, place).into_iter().map(|(name, _)| name).filter(|name| name.starts_with(begins));
    home.join(place).join(found.max().unwrap())
}

/// Changes one byte so many before a file's end.
fn damage(path: &Path, before_end: usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() - before_end;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn records(forest: &Forest) -> Vec<Vec<u8>> {
    forest.journal().unwrap().into_iter().map(|(_, record)| record).collect()
}

/// A vault with a mirror, three records in its journal and three entries in its log.
fn written(home: &Path) {
    let (forest, mirrored) = open(home, honest(home, &["attic"]));
    for record in [b"one".as_slice(), b"two", b"three"] {
        forest.journal_append(record).unwrap();
        log(&mirrored).append_bytes(&[record.to_vec()]).unwrap();
    }
    close(forest, mirrored);
}

#[test]
fn damaged_records_are_taken_over_from_a_mirror_before_anything_reads_them() {
    // In the last record, and in one before it.
    for (before_end, left) in [(1, 2), (55, 1)] {
        let home = TempDir::new().unwrap();
        let home = home.path();
        let (forest, mirrored) = open(home, honest(home, &["attic"]));
        let all = log(&mirrored);
        for record in [b"one".as_slice(), b"two", b"three"] {
            forest.journal_append(record).unwrap();
            all.append_bytes(&[record.to_vec()]).unwrap();
        }
        drop(all);
        close(forest, mirrored);
        let (journal, entries) = (file(home, "packs", "journal-"), file(home, "packs", "log-"));
        let good = (fs::read(&journal).unwrap(), fs::read(&entries).unwrap());
        damage(&journal, before_end);
        damage(&entries, before_end);

        // Alone it is not seen: what is not whole is taken for the end.
        let alone = TempDir::new().unwrap();
        fs::create_dir(alone.path().join("packs")).unwrap();
        for (name, bytes) in files(home, "packs") {
            fs::write(alone.path().join("packs").join(name), bytes).unwrap();
        }
        let folder: Arc<dyn Medium> = Arc::new(Folder::open(alone.path().join("packs")).unwrap());
        assert_eq!(TransparencyLog::alone(folder, "example.org/log", SEED, 0).unwrap().head().size, left);

        let (mirrored, _) = look(home, honest(home, &["attic"])).unwrap();
        assert!(mirrored.pull().unwrap() > 0);
        assert_eq!((fs::read(&journal).unwrap(), fs::read(&entries).unwrap()), good);
        let forest = Arc::new(Forest::open(stores(mirrored.clone(), home), config()).unwrap().0);
        begin(&forest, &mirrored, Duration::from_secs(5));
        mirrored.serve();
        assert_eq!(records(&forest), [b"one".as_slice(), b"two", b"three"]);
        assert_eq!(log(&mirrored).head().size, 3);
        holding(&mirrored);
        close(forest, mirrored);
        assert!(files(home, "packs") == files(home, "attic"));
    }
}

#[test]
fn damage_that_befalls_a_running_vault_is_not_copied_over_the_records_of_a_mirror() {
    for kind in ["journal-", "parties-"] {
        let home = TempDir::new().unwrap();
        let home = home.path();
        written(home);
        let frail = Arc::new(AtomicU8::new(HONEST));
        let (forest, mirrored) = open(home, vec![spec(home, "attic", &frail)]);
        holding(&mirrored);
        let good = fs::read(file(home, "attic", kind)).unwrap();
        frail.store(AWAY, Ordering::SeqCst);
        forest.seal(&erase(9)).unwrap_err();
        damage(&file(home, "packs", kind), 1);
        frail.store(HONEST, Ordering::SeqCst);
        behind(&mirrored, kind);
        forest.seal(&erase(9)).unwrap_err();
        assert!(
            fs::read(file(home, "attic", kind)).unwrap() == good,
            "{kind}: the only whole records were overwritten"
        );
        if kind == "parties-" {
            // Nobody can say who takes part: that is for an operator, not for a start.
            close(forest, mirrored);
            let refused = look(home, honest(home, &["attic"])).map(drop);
            assert!(matches!(refused, Err(MirrorError::ListDamaged(name)) if name == "attic"));
            assert!(fs::read(file(home, "attic", kind)).unwrap() == good);
            continue;
        }
        close(forest, mirrored);
        let (forest, mirrored) = open(home, honest(home, &["attic"]));
        holding(&mirrored);
        assert_eq!(records(&forest), [b"one".as_slice(), b"two", b"three"]);
        assert_eq!(log(&mirrored).head().size, 3);
        seal_in_the_end(&forest, &erase(9));
        close(forest, mirrored);
        assert!(files(home, "packs") == files(home, "attic"));
    }
}

#[test]
fn a_file_of_records_that_a_running_vault_lost_is_not_removed_from_the_mirror_as_well() {
    for kind in ["journal-", "log-", "parties-"] {
        let home = TempDir::new().unwrap();
        let home = home.path();
        written(home);
        let frail = Arc::new(AtomicU8::new(HONEST));
        let (forest, mirrored) = open(home, vec![spec(home, "attic", &frail)]);
        holding(&mirrored);
        let good = fs::read(file(home, "attic", kind)).unwrap();
        frail.store(AWAY, Ordering::SeqCst);
        forest.seal(&erase(9)).unwrap_err();
        fs::remove_file(file(home, "packs", kind)).unwrap();
        frail.store(HONEST, Ordering::SeqCst);
        let cause = behind(&mirrored, kind);
        assert_eq!(cause.contains("do not empty it"), kind == "parties-", "{cause}");
        assert!(fs::read(file(home, "attic", kind)).unwrap() == good, "{kind}: the only whole records were removed");
        close(forest, mirrored);
        // As the cause says.
        let (forest, mirrored) = open(home, honest(home, &["attic"]));
        holding(&mirrored);
        close(forest, mirrored);
        assert!(files(home, "packs") == files(home, "attic"), "{kind}");
    }
}

/// A vault with these mirrors and an agent, whose list of parties is gone: the list.
fn of_lost_list(home: &Path, mirrors: &[&str]) -> Parties {
    let (forest, mirrored) = open(home, honest(home, mirrors));
    let medium: Arc<dyn Medium> = Arc::clone(&mirrored) as Arc<dyn Medium>;
    let join = |parties: &mut Parties| parties.join(PartyKind::Agent, "far", 3);
    assert!(Parties::change(&medium, || [0; 16], join).unwrap());
    let parties = Parties::read(&*medium).unwrap().unwrap();
    drop(medium);
    close(forest, mirrored);
    fs::remove_file(file(home, "packs", "parties-")).unwrap();
    parties
}

fn listed(home: &Path) -> Option<Parties> {
    Parties::read(&Folder::open(home.join("packs")).unwrap()).unwrap()
}

#[test]
fn a_list_of_parties_that_is_gone_is_taken_over_and_an_empty_folder_of_a_known_mirror_is_not_filled() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    let parties = of_lost_list(home, &["attic", "cellar"]);
    // Its disk is not mounted.
    fs::remove_dir_all(home.join("cellar")).unwrap();
    let (mirrored, _) = look(home, honest(home, &["cellar", "attic"])).unwrap();
    assert_eq!(listed(home), None, "looking writes nothing");
    assert!(mirrored.pull().unwrap() > 0);
    assert_eq!(listed(home).as_ref(), Some(&parties));
    let forest = Arc::new(Forest::open(stores(mirrored.clone(), home), config()).unwrap().0);
    begin(&forest, &mirrored, Duration::from_millis(300));
    mirrored.serve();
    behind(&mirrored, "it is empty");
    assert_eq!(fs::read_dir(home.join("cellar")).unwrap().count(), 0);
    fs::write(home.join("cellar/replace"), b"").unwrap();
    holding(&mirrored);
    close(forest, mirrored);
    for mirror in ["attic", "cellar"] {
        assert!(files(home, "packs") == files(home, mirror), "{mirror}");
    }
    assert_eq!(listed(home), Some(parties));
}

#[test]
fn a_list_of_parties_that_is_gone_and_cannot_be_taken_over_is_not_taken_for_none() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    let parties = of_lost_list(home, &["attic"]);
    let frail = Arc::new(AtomicU8::new(HONEST));
    let (mirrored, _) = look(home, vec![spec(home, "attic", &frail)]).unwrap();
    frail.store(AWAY, Ordering::SeqCst);
    let refused = mirrored.pull();
    assert!(matches!(&refused, Err(MirrorError::ListLost(name)) if name == "attic"), "{refused:?}");
    drop(mirrored);
    let (forest, mirrored) = open(home, honest(home, &["attic"]));
    holding(&mirrored);
    close(forest, mirrored);
    assert_eq!(listed(home), Some(parties));
}

#[test]
fn a_copy_of_a_pack_under_another_name_is_not_taken_for_the_key_state() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    written(home);
    let pack = file(home, "packs", "pack-");
    fs::rename(&pack, pack.with_extension("kfp.bak")).unwrap();
    for (name, _) in files(home, "packs").into_iter().filter(|(name, _)| !name.ends_with(".bak")) {
        fs::remove_file(home.join("packs").join(name)).unwrap();
    }
    let (mirrored, looked) = look(home, honest(home, &["attic"])).unwrap();
    assert!(looked.primary_lost);
    drop(mirrored);
    let (forest, mirrored) = open(home, honest(home, &["attic"]));
    holding(&mirrored);
    assert_eq!(records(&forest), [b"one".as_slice(), b"two", b"three"]);
    close(forest, mirrored);
    assert!(files(home, "packs") == files(home, "attic"));
}

#[test]
fn records_that_were_lost_while_the_mirror_was_away_stay_with_it_until_the_next_start() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    written(home);
    damage(&file(home, "packs", "journal-"), 1);
    let frail = Arc::new(AtomicU8::new(AWAY));
    let (mirrored, _) = look(home, vec![spec(home, "attic", &frail)]).unwrap();
    assert_eq!(mirrored.pull().unwrap(), 0);
    let forest = Arc::new(Forest::open(stores(mirrored.clone(), home), config()).unwrap().0);
    begin(&forest, &mirrored, Duration::from_millis(100));
    mirrored.serve();
    assert_eq!(records(&forest), [b"one".as_slice(), b"two"], "nobody can tell it from a torn end");
    frail.store(HONEST, Ordering::SeqCst);
    behind(&mirrored, "journal-");
    close(forest, mirrored);

    let (forest, mirrored) = open(home, honest(home, &["attic"]));
    holding(&mirrored);
    assert_eq!(records(&forest), [b"one".as_slice(), b"two", b"three"]);
    close(forest, mirrored);
    assert!(files(home, "packs") == files(home, "attic"));
}

#[test]
fn entries_that_only_a_mirror_has_are_taken_over_from_it_while_the_vault_runs() {
    // As after a power cut that took the last entry here, and as after one byte that a disk changed.
    let torn = |path: &Path| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() - 10).unwrap();
    };
    let changed = |path: &Path| damage(path, 1);
    for lose in [&torn as &dyn Fn(&Path), &changed] {
        for goes_on in [false, true] {
            let home = TempDir::new().unwrap();
            let home = home.path();
            let (forest, mirrored) = open(home, honest(home, &["attic"]));
            log(&mirrored).append_bytes(&[b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]).unwrap();
            close(forest, mirrored);
            let newest = file(home, "packs", "log-");
            let good = fs::read(&newest).unwrap();
            lose(&newest);
            let frail = Arc::new(AtomicU8::new(AWAY));
            let (mirrored, _) = look(home, vec![spec(home, "attic", &frail)]).unwrap();
            mirrored.pull().unwrap();
            let forest = Arc::new(Forest::open(stores(mirrored.clone(), home), config()).unwrap().0);
            begin(&forest, &mirrored, Duration::from_millis(100));
            let all = log(&mirrored);
            assert_eq!(all.head().size, 2);
            if goes_on {
                all.append_bytes(&[b"four".to_vec()]).unwrap();
            }
            mirrored.serve();
            forest.seal(&erase(9)).unwrap_err();
            frail.store(HONEST, Ordering::SeqCst);
            // Nothing but the mirror's return is needed.
            holding(&mirrored);
            seal_in_the_end(&forest, &erase(9));
            assert_eq!(fs::read(&newest).unwrap(), good, "the entry was given up");
            drop(all);
            close(forest, mirrored);
            assert!(files(home, "packs") == files(home, "attic"));

            let (forest, mirrored) = open(home, honest(home, &["attic"]));
            let last = if goes_on { b"four".as_slice() } else { b"three" };
            let all = log(&mirrored);
            assert_eq!((all.head().size, all.entry(2).unwrap().as_slice()), (3, last));
            drop(all);
            close(forest, mirrored);
        }
    }
}

#[test]
fn a_flush_that_fails_while_an_entry_is_taken_back_ends_the_process() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    let (forest, mirrored) = open(home, honest(home, &["attic"]));
    log(&mirrored).append_bytes(&[b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]).unwrap();
    close(forest, mirrored);
    let newest = file(home, "packs", "log-");
    let len = fs::metadata(&newest).unwrap().len();
    fs::File::options().write(true).open(&newest).unwrap().set_len(len - 1).unwrap();
    let (disk, away) = (Arc::new(AtomicU8::new(HONEST)), Arc::new(AtomicU8::new(AWAY)));
    let specs = vec![spec(home, "attic", &away)];
    let (mirrored, _) = Mirrored::open(frail_primary(home, &disk), VAULT, specs, LIMIT).unwrap();
    let mirrored = Arc::new(mirrored);
    let forest = Arc::new(Forest::open(stores(mirrored.clone(), home), config()).unwrap().0);
    begin(&forest, &mirrored, Duration::from_millis(100));
    mirrored.serve();
    assert!(!Parties::flush_failed());
    disk.store(LOSES, Ordering::SeqCst);
    away.store(HONEST, Ordering::SeqCst);
    behind(&mirrored, "input or output");
    assert!(Parties::flush_failed());
}

#[test]
fn an_entry_that_reads_back_damaged_from_the_primary_does_not_set_the_mirror_back() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    let (forest, mirrored) = open(home, honest(home, &["attic"]));
    let all = log(&mirrored);
    all.append_bytes(&[b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]).unwrap();
    let there = file(home, "attic", "log-");
    let good = fs::read(&there).unwrap();
    damage(&file(home, "packs", "log-"), 1);
    assert!(all.entry(2).is_err());
    behind(&mirrored, "log-");
    assert!(fs::read(&there).unwrap() == good, "the only whole entry was overwritten");
    drop(all);
    close(forest, mirrored);
    let (forest, mirrored) = open(home, honest(home, &["attic"]));
    assert_eq!(log(&mirrored).entry(2).unwrap(), b"three");
    close(forest, mirrored);
}

#[test]
fn damaged_records_of_a_mirror_are_made_good_from_the_primary() {
    for kind in ["journal-", "log-", "parties-"] {
        let home = TempDir::new().unwrap();
        let home = home.path();
        written(home);
        damage(&file(home, "attic", kind), 1);
        let (forest, mirrored) = open(home, honest(home, &["attic"]));
        holding(&mirrored);
        close(forest, mirrored);
        assert!(files(home, "packs") == files(home, "attic"), "{kind}");
    }
}

#[test]
fn a_file_that_a_mirror_numbers_as_the_last_of_all_is_not_taken_over_and_stops_nothing() {
    for kind in ["pack-", "journal-", "log-", "parties-"] {
        for number in [u32::MAX - 1, u32::MAX] {
            let home = TempDir::new().unwrap();
            let home = home.path();
            written(home);
            let newest = file(home, "attic", kind).file_name().unwrap().to_owned().into_string().unwrap();
            let digits = newest.trim_start_matches("log-0000-").trim_start_matches(kind).split('.').next().unwrap();
            let last = newest.replace(digits, &number.to_string());
            assert_ne!(last, newest);
            fs::write(home.join("attic").join(&last), b"").unwrap();
            for _ in 0..2 {
                let (forest, mirrored) = open(home, honest(home, &["attic"]));
                assert!(!home.join("packs").join(&last).exists(), "{last}");
                holding(&mirrored);
                seal_in_the_end(&forest, &erase(9));
                forest.journal_append(b"four").unwrap();
                log(&mirrored).append_bytes(&[b"four".to_vec()]).unwrap();
                let medium: Arc<dyn Medium> = Arc::clone(&mirrored) as Arc<dyn Medium>;
                Parties::change(&medium, || [0; 16], |_| true).unwrap();
                drop(medium);
                close(forest, mirrored);
                assert!(files(home, "packs") == files(home, "attic"), "{last}");
            }
        }
    }
}

#[test]
fn a_file_whose_number_is_written_in_another_way_is_none_of_the_key_states() {
    for place in ["attic", "packs"] {
        for (kind, after) in [("journal-", ".kfj"), ("pack-", ".kfp")] {
            let home = TempDir::new().unwrap();
            let home = home.path();
            written(home);
            let newest = file(home, place, kind);
            let name = newest.file_name().unwrap().to_str().unwrap();
            let number: u32 = name[kind.len()..name.len() - after.len()].parse().unwrap();
            let stray = format!("{kind}{:09}{after}", number + 1);
            fs::copy(&newest, home.join(place).join(&stray)).unwrap();
            let (forest, mirrored) = open(home, honest(home, &["attic"]));
            assert_eq!(home.join("packs").join(&stray).exists(), place == "packs", "{stray}");
            holding(&mirrored);
            seal_in_the_end(&forest, &erase(9));
            forest.journal_append(b"four").unwrap();
            assert_eq!(forest.journal().unwrap().len(), 4);
            close(forest, mirrored);
        }
    }
}

#[test]
fn a_vault_that_ended_while_its_first_mirror_was_filled_knows_it_again() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    let (forest, mirrored) = open(home, Vec::new());
    close(forest, mirrored);
    let frail = Arc::new(AtomicU8::new(FULL));
    let (mirrored, _) = look(home, vec![spec(home, "attic", &frail)]).unwrap();
    let forest = Arc::new(Forest::open(stores(mirrored.clone(), home), config()).unwrap().0);
    begin(&forest, &mirrored, Duration::from_millis(100));
    behind(&mirrored, "");
    assert!(home.join("attic/mirror").exists(), "the mark says whose it is");
    drop(forest);
    drop(mirrored);

    let (forest, mirrored) = open(home, honest(home, &["attic"]));
    holding(&mirrored);
    seal_in_the_end(&forest, &erase(9));
    close(forest, mirrored);
    assert!(files(home, "packs") == files(home, "attic"));
}

/// A vault with pages that has no mirrors yet.
fn alone(home: &Path) {
    let (forest, mirrored) = open(home, Vec::new());
    close(forest, mirrored);
}

/// A process that begins to follow two mirrors, of which one has room for its mark alone and the other one is away, and ends.
fn cut_short(home: &Path, full: &str, away: &str) {
    let is = |how| Arc::new(AtomicU8::new(how));
    let (mirrored, _) = look(home, vec![spec(home, full, &is(FULL)), spec(home, away, &is(AWAY))]).unwrap();
    let forest = Arc::new(Forest::open(stores(mirrored.clone(), home), config()).unwrap().0);
    begin(&forest, &mirrored, Duration::from_millis(100));
    behind(&mirrored, "");
    assert!(home.join(full).join("mirror").exists() && Parties::read(&*mirrored).unwrap().is_none());
}

#[test]
fn a_vault_that_ended_while_one_mirror_was_filled_and_another_was_away_knows_both() {
    for round in 0..3 {
        let home = TempDir::new().unwrap();
        let home = home.path();
        alone(home);
        cut_short(home, "attic", "cellar");
        if round == 1 {
            cut_short(home, "cellar", "attic");
        } else if round == 2 {
            // The other one is taken into the list before this one is back.
            let gone = spec(home, "attic", &Arc::new(AtomicU8::new(AWAY)));
            let cellar = honest(home, &["cellar"]).remove(0);
            let (forest, mirrored) = open(home, vec![gone, cellar]);
            mirrored.admit(forest.epoch()).unwrap();
            assert!(Parties::read(&*mirrored).unwrap().is_some());
            close(forest, mirrored);
        }
        let (forest, mirrored) = open(home, honest(home, &["attic", "cellar"]));
        holding(&mirrored);
        seal_in_the_end(&forest, &erase(9));
        close(forest, mirrored);
        assert!(files(home, "packs") == files(home, "attic") && files(home, "packs") == files(home, "cellar"));
    }
}

/// Waits for the first mirror alone.
fn first_holds(mirrored: &Mirrored) {
    let until = Instant::now() + Duration::from_secs(20);
    while mirrored.status()[0].standing != Standing::Holding {
        assert!(Instant::now() < until, "{:?}", mirrored.status());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_mirror_that_was_filled_by_a_process_that_ended_before_it_was_noted_is_known_again() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    alone(home);
    let gone = Arc::new(AtomicU8::new(AWAY));
    let both = || vec![spec(home, "attic", &Arc::default()), spec(home, "cellar", &gone)];
    let (mirrored, _) = look(home, both()).unwrap();
    let forest = Arc::new(Forest::open(stores(mirrored.clone(), home), config()).unwrap().0);
    begin(&forest, &mirrored, Duration::ZERO);
    first_holds(&mirrored);
    close(forest, mirrored.clone());
    assert!(Parties::read(&*mirrored).unwrap().is_none(), "it was noted after all");
    drop(mirrored);
    gone.store(HONEST, Ordering::SeqCst);
    let (forest, mirrored) = open(home, both());
    holding(&mirrored);
    seal_in_the_end(&forest, &erase(9));
    close(forest, mirrored);
    assert!(files(home, "packs") == files(home, "attic") && files(home, "packs") == files(home, "cellar"));
}

#[test]
fn what_is_left_of_the_filling_of_another_key_state_is_refused() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    alone(home);
    // Of the vault before it was moved: the same number, other pages.
    let before = TempDir::new().unwrap();
    alone(before.path());
    let attic = || honest(home, &["attic"]).remove(0);
    let (mirrored, _) =
        look(before.path(), vec![attic(), spec(home, "cellar", &Arc::new(AtomicU8::new(AWAY)))]).unwrap();
    let forest = Arc::new(Forest::open(stores(mirrored.clone(), before.path()), config()).unwrap().0);
    begin(&forest, &mirrored, Duration::ZERO);
    first_holds(&mirrored);
    drop((forest, mirrored));
    assert!(matches!(look(home, vec![attic()]), Err(MirrorError::Stranger(name)) if name == "attic"));
    // Nor does a copy of its pages tell anything that somebody keeps beside the key state under another name.
    let pack = file(before.path(), "packs", "pack-");
    for place in ["packs", "attic"] {
        fs::copy(&pack, home.join(place).join("pack-00000001.kfp.bak")).unwrap();
    }
    assert!(matches!(look(home, vec![attic()]), Err(MirrorError::Stranger(name)) if name == "attic"));
}
