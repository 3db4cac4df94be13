//! What a mirror is believed, and what of it is never overwritten: faults of the mirror while it is mended, and faults of the
//! primary that a mirror could make good.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use keyforest::media::Medium;
use keyforest::{Change, Forest, ForestError, Leaf};
use oubliette_store::media::postgres::{Claiming, KeyDatabase, KeyDatabaseOptions};
use oubliette_store::media::{Folder, Mirrored, Place, Standing};
use tempfile::TempDir;

use super::mirrored::{
    AWAY, HANGS, HONEST, LIMIT, SLOW, TEARS, VAULT, begin, close, files, holding, honest, look, open, spec,
};
use super::setup::{config, database, erase, options, seal_in_the_end, stores};

/// More than is copied at once.
const LONG: usize = 6 << 20;

fn notes() -> Vec<u8> {
    (0..LONG).map(|at| (at / 4096) as u8 | 1).collect()
}

/// Waits until a mirror is behind for a cause that contains `words`.
pub fn behind(mirrored: &Mirrored, words: &str) -> String {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let status = mirrored.status();
        match &status[0].standing {
            Standing::Behind { cause, .. } if cause.contains(words) => return cause.clone(),
            _ => assert!(Instant::now() < until, "{status:?}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_flush_that_fails_while_a_mirror_is_filled_is_made_good_from_before_the_failure() {
    let home = TempDir::new().unwrap();
    let frail = Arc::new(AtomicU8::new(HONEST));
    let (forest, mirrored) = open(home.path(), vec![spec(home.path(), "attic", &frail)]);
    mirrored.create("notes", 0).unwrap();
    mirrored.write_at("notes", 0, &notes()).unwrap();
    mirrored.flush("notes").unwrap();
    frail.store(AWAY, Ordering::SeqCst);
    mirrored.flush("notes").unwrap_err();
    fs::remove_file(home.path().join("attic/notes")).unwrap();
    frail.store(TEARS, Ordering::SeqCst);
    behind(&mirrored, "input or output");
    frail.store(HONEST, Ordering::SeqCst);
    holding(&mirrored);
    close(forest, mirrored);
    assert!(files(home.path(), "packs") == files(home.path(), "attic"), "a failed flush was believed");
}

#[test]
fn what_an_earlier_process_wrote_to_a_mirror_is_flushed_before_it_is_believed() {
    let home = TempDir::new().unwrap();
    let (forest, mirrored) = open(home.path(), honest(home.path(), &["attic"]));
    mirrored.create("notes", 0).unwrap();
    mirrored.write_at("notes", 0, &notes()).unwrap();
    mirrored.flush("notes").unwrap();
    close(forest, mirrored);
    // The system never wrote it out: the next flush is the first to hear of it.
    let frail = Arc::new(AtomicU8::new(TEARS));
    let (forest, mirrored) = open(home.path(), vec![spec(home.path(), "attic", &frail)]);
    behind(&mirrored, "input or output");
    frail.store(HONEST, Ordering::SeqCst);
    holding(&mirrored);
    close(forest, mirrored);
    assert!(files(home.path(), "packs") == files(home.path(), "attic"), "a failed flush was believed");
}

/// A vault with one mirror whose oldest pack holds pages that the last seals did not touch; that pack's name.
fn of_many_packs(home: &Path) -> String {
    let (forest, mirrored) = open(home, honest(home, &["attic"]));
    forest.seal(&Change { provision: 40, ..Change::default() }).unwrap();
    let puncture = (0..40).map(|bucket| Leaf(bucket * 1024 + 7)).collect();
    forest.seal(&Change { puncture, ..Change::default() }).unwrap();
    for leaf in 1..7 {
        forest.seal(&Change { attachment: Some(vec![1; 10]), ..erase(leaf) }).unwrap();
    }
    close(forest, mirrored);
    let packs: Vec<String> = files(home, "packs").into_iter().map(|(name, _)| name).collect();
    assert!(packs.iter().filter(|name| name.starts_with("pack-")).count() > 1, "{packs:?}");
    packs.into_iter().find(|name| name.starts_with("pack-")).unwrap()
}

fn reads_all(forest: &Forest) {
    for bucket in 0..40 {
        forest.key(Leaf(bucket * 1024 + 8)).unwrap();
    }
}

#[test]
fn a_vault_that_lost_an_older_pack_does_not_open_without_the_mirror_that_has_it() {
    let home = TempDir::new().unwrap();
    let pack = of_many_packs(home.path());
    for cut in [false, true] {
        let there = home.path().join("packs").join(&pack);
        if cut {
            fs::OpenOptions::new().write(true).open(&there).unwrap().set_len(9000).unwrap();
        } else {
            fs::remove_file(&there).unwrap();
        }
        let frail = Arc::new(AtomicU8::new(AWAY));
        let (mirrored, _) = look(home.path(), vec![spec(home.path(), "attic", &frail)]).unwrap();
        assert_eq!(mirrored.pull().unwrap(), 0);
        let opened = Forest::open(stores(mirrored, home.path()), config()).map(drop);
        assert!(matches!(opened, Err(ForestError::PagesDoNotOpen { .. })), "{opened:?}");

        let (forest, mirrored) = open(home.path(), honest(home.path(), &["attic"]));
        holding(&mirrored);
        reads_all(&forest);
        close(forest, mirrored);
        assert!(files(home.path(), "packs") == files(home.path(), "attic"));
    }
}

#[test]
fn what_a_running_vault_lost_of_an_older_pack_is_not_taken_from_the_mirror_as_well() {
    let home = TempDir::new().unwrap();
    let pack = of_many_packs(home.path());
    for cut in [false, true] {
        let frail = Arc::new(AtomicU8::new(HONEST));
        let (forest, mirrored) = open(home.path(), vec![spec(home.path(), "attic", &frail)]);
        frail.store(AWAY, Ordering::SeqCst);
        forest.seal(&erase(9)).unwrap_err();
        let there = home.path().join("packs").join(&pack);
        if cut {
            fs::OpenOptions::new().write(true).open(&there).unwrap().set_len(9000).unwrap();
        } else {
            fs::remove_file(&there).unwrap();
        }
        frail.store(HONEST, Ordering::SeqCst);
        behind(&mirrored, &pack);
        forest.seal(&erase(9)).unwrap_err();
        close(forest, mirrored);

        let (forest, mirrored) = open(home.path(), honest(home.path(), &["attic"]));
        holding(&mirrored);
        reads_all(&forest);
        close(forest, mirrored);
    }
}

#[test]
fn damaged_pages_are_not_copied_over_the_good_ones_of_a_mirror() {
    let home = TempDir::new().unwrap();
    let pack = of_many_packs(home.path());
    let (here, there) = (home.path().join("packs").join(&pack), home.path().join("attic").join(&pack));
    let good = fs::read(&here).unwrap();
    let mut damaged = good.clone();
    damaged[9000..12000].iter_mut().for_each(|byte| *byte ^= 1);
    fs::write(&here, &damaged).unwrap();

    // The last seal touched none of it, so the vault opens; nothing is sealed.
    let (mirrored, _) = look(home.path(), honest(home.path(), &["attic"])).unwrap();
    assert_eq!(mirrored.pull().unwrap(), 0);
    let forest = Arc::new(Forest::open(stores(mirrored.clone(), home.path()), config()).unwrap().0);
    begin(&forest, &mirrored, Duration::from_millis(300));
    mirrored.serve();
    behind(&mirrored, &pack);
    forest.seal(&erase(9)).unwrap_err();
    close(forest, mirrored);
    assert!(fs::read(&there).unwrap() == good, "the only good pages were overwritten");

    // As the cause says.
    fs::remove_file(&here).unwrap();
    let (forest, mirrored) = open(home.path(), honest(home.path(), &["attic"]));
    holding(&mirrored);
    reads_all(&forest);
    close(forest, mirrored);
    assert!(fs::read(&here).unwrap() == good);

    // The other way round the mirror is mended.
    fs::write(&there, &damaged).unwrap();
    let (forest, mirrored) = open(home.path(), honest(home.path(), &["attic"]));
    holding(&mirrored);
    close(forest, mirrored);
    assert!(fs::read(&there).unwrap() == good);
}

#[test]
fn a_seal_that_is_tried_again_while_a_mirror_is_away_leaves_no_more_packs_behind() {
    let home = TempDir::new().unwrap();
    let frail = Arc::new(AtomicU8::new(HONEST));
    let (forest, mirrored) = open(home.path(), vec![spec(home.path(), "attic", &frail)]);
    let packs = |place| files(home.path(), place).into_iter().filter(|(name, _)| name.starts_with("pack-")).count();
    let before = packs("packs");
    frail.store(AWAY, Ordering::SeqCst);
    // More than what is left of a pack.
    let change = Change { provision: 1500, ..Change::default() };
    forest.seal(&change).unwrap_err();
    let written = packs("packs");
    assert!(written > before, "they wait for the mirror");
    for _ in 0..5 {
        forest.seal(&change).unwrap_err();
        assert_eq!(packs("packs"), written);
    }
    // Nothing is left of one that is given up.
    for _ in 0..5 {
        forest.seal(&erase(9)).unwrap_err();
        assert_eq!(packs("packs"), before);
    }
    frail.store(HONEST, Ordering::SeqCst);
    seal_in_the_end(&forest, &change);
    assert!(packs("packs") > before);
    close(forest, mirrored);
    assert!(files(home.path(), "packs") == files(home.path(), "attic"));
}

#[test]
fn a_mirror_that_gets_on_slowly_with_much_work_is_waited_for() {
    let home = TempDir::new().unwrap();
    let frail = Arc::new(AtomicU8::new(HONEST));
    let (forest, mirrored) = open(home.path(), vec![spec(home.path(), "attic", &frail)]);
    frail.store(SLOW, Ordering::SeqCst);
    let begun = Instant::now();
    // Several packs: the first flush waits for all of their creations and writes.
    forest.seal(&Change { provision: 1500, ..Change::default() }).unwrap();
    assert!(begun.elapsed() > 2 * LIMIT, "{:?}", begun.elapsed());
    frail.store(HONEST, Ordering::SeqCst);
    close(forest, mirrored);
    assert!(files(home.path(), "packs") == files(home.path(), "attic"));
}

#[test]
fn what_waits_for_a_mirror_that_does_not_answer_is_bounded() {
    let home = TempDir::new().unwrap();
    let frail = Arc::new(AtomicU8::new(HONEST));
    let (forest, mirrored) = open(home.path(), vec![spec(home.path(), "attic", &frail)]);
    mirrored.create("notes", 0).unwrap();
    mirrored.flush("notes").unwrap();
    frail.store(HANGS, Ordering::SeqCst);
    let piece = vec![7; 8 << 20];
    let begun = Instant::now();
    let mut most = 0;
    for at in 0..12 {
        mirrored.write_at("notes", at << 23, &piece).unwrap();
        most = most.max(mirrored.status()[0].queued);
    }
    assert!(most > 0 && most <= (64 << 20) + (8 << 20), "{most}");
    // It was waited for once, and given up.
    assert!(begun.elapsed() > LIMIT, "{:?}", begun.elapsed());
    behind(&mirrored, "in time");
    mirrored.flush("notes").unwrap_err();
    frail.store(HONEST, Ordering::SeqCst);
    holding(&mirrored);
    mirrored.flush("notes").unwrap();
    assert_eq!(mirrored.status()[0].queued, 0, "the flush came after all of it");
    close(forest, mirrored);
    assert!(files(home.path(), "packs") == files(home.path(), "attic"));
}

#[test]
fn a_process_that_was_superseded_does_not_set_a_mirror_back_to_what_it_remembers() {
    let (home, database) = (TempDir::new().unwrap(), database());
    let attic = home.path().join("attic/notes");
    let over = |claim: &KeyDatabase, how: &Arc<AtomicU8>| {
        let (primary, specs) = (Arc::new(claim.pages().unwrap()), vec![spec(home.path(), "attic", how)]);
        let mirrored = Arc::new(Mirrored::open(primary, VAULT, specs, LIMIT).unwrap().0);
        mirrored.begin(1, Arc::new(|_, _, _, _| Ok(())), Duration::from_secs(5)).unwrap();
        mirrored.serve();
        mirrored
    };
    let frail = Arc::new(AtomicU8::new(HONEST));
    let first = KeyDatabase::open(options(&database.url())).unwrap();
    let early = over(&first, &frail);
    early.create("notes", 0).unwrap();
    early.write_at("notes", 0, b"early").unwrap();
    early.flush("notes").unwrap();
    frail.store(AWAY, Ordering::SeqCst);
    early.flush("notes").unwrap_err();

    let taking_over = KeyDatabaseOptions { claiming: Claiming::TakeOver, ..options(&database.url()) };
    let second = KeyDatabase::open(taking_over).unwrap();
    let late = over(&second, &Arc::default());
    late.write_at("notes", 5, b" and late").unwrap();
    late.flush("notes").unwrap();
    // Nobody holds the folder any more, and the first process finds it again.
    drop(late);
    frail.store(HONEST, Ordering::SeqCst);
    behind(&early, "taken");
    assert_eq!(fs::read(&attic).unwrap(), b"early and late");
}

/// A folder that believes itself this process's for ever, with the number of a claim: what a process knows that was passed
/// over between asking and writing.
struct Claimed(Folder, u64);

impl Medium for Claimed {
    fn create(&self, name: &str, reserve: u64) -> io::Result<()> {
        self.0.create(name, reserve)
    }
    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(name, offset, bytes)
    }
    fn flush(&self, name: &str) -> io::Result<()> {
        self.0.flush(name)
    }
    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.0.read_at(name, offset, len)
    }
    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.0.read_back(name, offset, len)
    }
    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.0.truncate(name, len)
    }
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.0.list()
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
}

impl Place for Claimed {
    fn number_above(&self, floor: u64) -> io::Result<u64> {
        if self.1 > floor { Ok(self.1) } else { Err(io::Error::other("another process has taken it over")) }
    }
}

#[test]
fn a_mirror_that_was_led_by_a_later_claim_is_not_moved_by_an_earlier_one() {
    let home = TempDir::new().unwrap();
    let attic = home.path().join("attic/notes");
    let over = |claim: u64, how: &Arc<AtomicU8>| {
        let primary = Arc::new(Claimed(Folder::open(home.path().join("packs")).unwrap(), claim));
        let mirrored = Mirrored::open(primary, VAULT, vec![spec(home.path(), "attic", how)], LIMIT).unwrap().0;
        let mirrored = Arc::new(mirrored);
        mirrored.begin(1, Arc::new(|_, _, _, _| Ok(())), Duration::from_secs(5)).unwrap();
        mirrored.serve();
        mirrored
    };
    let frail = Arc::new(AtomicU8::new(HONEST));
    let early = over(5, &frail);
    early.create("notes", 0).unwrap();
    early.write_at("notes", 0, b"early").unwrap();
    early.flush("notes").unwrap();
    frail.store(AWAY, Ordering::SeqCst);
    early.flush("notes").unwrap_err();

    let late = over(6, &Arc::default());
    holding(&late);
    late.write_at("notes", 0, b"late!").unwrap();
    late.flush("notes").unwrap();
    drop(late);
    // What the first process would make of it, had it not been passed over.
    early.write_at("notes", 0, b"third").unwrap();
    frail.store(HONEST, Ordering::SeqCst);
    behind(&early, "taken");
    assert_eq!(fs::read(&attic).unwrap(), b"late!");
    drop(early);
    // A later one goes on.
    let last = over(7, &Arc::default());
    holding(&last);
    assert_eq!(fs::read(&attic).unwrap(), b"third");
}

/// A mark is not keyed: whoever has the folder writes what they like into it.
#[test]
fn a_mark_of_a_claim_that_never_was_keeps_its_mirror_away_and_nothing_else() {
    let (home, database) = (TempDir::new().unwrap(), database());
    let marked = home.path().join("attic/mirror");
    let over = |claim: &KeyDatabase| {
        let (primary, specs) = (Arc::new(claim.pages().unwrap()), honest(home.path(), &["attic"]));
        let mirrored = Arc::new(Mirrored::open(primary, VAULT, specs, LIMIT).unwrap().0);
        let begun = mirrored.begin(1, Arc::new(|_, _, _, _| Ok(())), Duration::from_secs(5));
        (mirrored, begun)
    };
    let claim = KeyDatabase::open(options(&database.url())).unwrap();
    let (mirrored, begun) = over(&claim);
    begun.unwrap();
    drop(mirrored);
    let mut bytes = fs::read(&marked).unwrap();
    let untouched = bytes.clone();
    for at in (0..bytes.len()).step_by(4096) {
        bytes[at + 48..at + 56].copy_from_slice(&(i64::MAX - 1).to_le_bytes());
        let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes[at..at + 56]);
        bytes[at + 56..at + 72].copy_from_slice(&sum.as_ref()[..16]);
    }
    fs::write(&marked, &bytes).unwrap();
    let (mirrored, _) = over(&claim);
    behind(&mirrored, "never so many claims");
    claim.confirm().unwrap();
    drop(mirrored);
    drop(claim);
    let later = KeyDatabase::open(options(&database.url())).unwrap();
    assert!(later.number() < 1000);
    fs::write(&marked, untouched).unwrap();
    let (mirrored, begun) = over(&later);
    begun.unwrap();
    holding(&mirrored);
}

#[test]
fn what_a_mirror_was_still_to_write_when_it_was_given_up_does_not_set_it_back_later() {
    let home = TempDir::new().unwrap();
    let frail = Arc::new(AtomicU8::new(HONEST));
    let (forest, mirrored) = open(home.path(), vec![spec(home.path(), "attic", &frail)]);
    mirrored.create("notes", 0).unwrap();
    mirrored.flush("notes").unwrap();
    frail.store(HANGS, Ordering::SeqCst);
    mirrored.create("busy", 0).unwrap();
    mirrored.write_at("notes", 0, b"older").unwrap();
    mirrored.flush("notes").unwrap_err();
    // It is behind: this one is told by no order, and what is told by one is older.
    mirrored.write_at("notes", 0, b"newer").unwrap();
    mirrored.flush("notes").unwrap_err();
    frail.store(HONEST, Ordering::SeqCst);
    holding(&mirrored);
    mirrored.flush("notes").unwrap();
    assert_eq!(fs::read(home.path().join("attic/notes")).unwrap(), b"newer");
    close(forest, mirrored);
    assert!(files(home.path(), "packs") == files(home.path(), "attic"));
}

#[test]
fn a_mirror_that_hangs_while_its_bytes_are_taken_over_does_not_hold_up_the_opening() {
    let home = TempDir::new().unwrap();
    let (forest, mirrored) = open(home.path(), honest(home.path(), &["attic"]));
    close(forest, mirrored);
    let frail = Arc::new(AtomicU8::new(HONEST));
    let (mirrored, looked) = look(home.path(), vec![spec(home.path(), "attic", &frail)]).unwrap();
    assert!(looked.unreachable.is_empty());
    frail.store(HANGS, Ordering::SeqCst);
    let begun = Instant::now();
    assert_eq!(mirrored.pull().unwrap(), 0);
    // Its first answer takes two limits.
    assert!(begun.elapsed() < 2 * LIMIT, "{:?}", begun.elapsed());
    behind(&mirrored, "timed out");
    let forest = Arc::new(Forest::open(stores(mirrored.clone(), home.path()), config()).unwrap().0);
    frail.store(HONEST, Ordering::SeqCst);
    begin(&forest, &mirrored, Duration::from_secs(5));
    mirrored.serve();
    holding(&mirrored);
    close(forest, mirrored);
}
