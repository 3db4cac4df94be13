//! Seals that wait: for a mirror, and for the register. What they cost meanwhile, and what nobody loses.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use keyforest::media::{Medium, SLOT_BYTES, SlotDevice, SlotError};
use keyforest::{Change, Forest, ForestError, Leaf, LeafStatus, Pins, SealError, Stores};
use oubliette_store::media::{Folder, Mirrored, Place};
use tempfile::TempDir;

use super::mending::behind;
use super::mirrored::{AWAY, HONEST, LIMIT, VAULT, begin, close, files, holding, honest, look, open, spec};
use super::setup::{config, erase, seal_in_the_end, stores};

/// A folder that counts what is written to it.
struct Counting {
    inner: Folder,
    bytes: Arc<AtomicU64>,
    packs: Arc<AtomicU64>,
}

impl Medium for Counting {
    fn create(&self, name: &str, reserve: u64) -> io::Result<()> {
        self.packs.fetch_add(u64::from(name.starts_with("pack-")), Ordering::SeqCst);
        self.inner.create(name, reserve)
    }
    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.bytes.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        self.inner.write_at(name, offset, bytes)
    }
    fn flush(&self, name: &str) -> io::Result<()> {
        self.inner.flush(name)
    }
    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.inner.read_at(name, offset, len)
    }
    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.inner.read_back(name, offset, len)
    }
    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.inner.truncate(name, len)
    }
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.inner.list()
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
}

impl Place for Counting {}

#[test]
fn a_seal_that_waits_for_a_mirror_is_written_once() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    let frail = Arc::new(AtomicU8::new(HONEST));
    let (bytes, packs) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let inner = Folder::open(home.join("packs")).unwrap();
    let primary = Arc::new(Counting { inner, bytes: Arc::clone(&bytes), packs: Arc::clone(&packs) });
    let (mirrored, _) = Mirrored::open(primary, VAULT, vec![spec(home, "attic", &frail)], LIMIT).unwrap();
    let mirrored = Arc::new(mirrored);
    let forest = Arc::new(Forest::create(stores(mirrored.clone(), home), config(), b"", Pins::default()).unwrap());
    begin(&forest, &mirrored, Duration::from_secs(5));
    mirrored.serve();
    holding(&mirrored);
    let counted = || (bytes.swap(0, Ordering::SeqCst), packs.swap(0, Ordering::SeqCst));
    frail.store(AWAY, Ordering::SeqCst);
    counted();
    // Several packs.
    let pins = |commit_counter| Pins { commit_counter, ..Pins::default() };
    let change = |commits| Change { provision: 1500, pins: pins(commits), ..Change::default() };
    forest.seal(&change(0)).unwrap_err();
    let first = counted();
    assert!(first.0 > 48 << 10 && first.1 > 1, "{first:?}");
    let lying = files(home, "packs").len();
    for commits in 1..20 {
        forest.seal(&change(commits)).unwrap_err();
    }
    assert_eq!(counted(), (0, 0), "nineteen attempts wrote something anew; the first: {first:?}");
    assert_eq!(files(home, "packs").len(), lying);

    // Another change takes what the first one made back.
    let erased = Change { pins: pins(20), ..erase(9) };
    forest.seal(&erased).unwrap_err();
    assert!(files(home, "packs").len() < lying);
    let second = counted();
    assert!(second.0 > 0, "{second:?}");
    for _ in 0..5 {
        forest.seal(&erased).unwrap_err();
    }
    assert_eq!(counted(), (0, 0));
    // One with older pins than were written is none of it.
    forest.seal(&Change { pins: pins(19), ..erase(9) }).unwrap_err();
    assert!(counted().0 > 0);

    frail.store(HONEST, Ordering::SeqCst);
    seal_in_the_end(&forest, &Change { pins: pins(31), canaries: [Leaf(10)].into_iter().collect(), ..erase(9) });
    assert_eq!(forest.pins(), pins(19), "what was written first is what is sealed");
    assert_eq!(counted().0, 0);
    assert_eq!(forest.status(Leaf(9)).unwrap(), LeafStatus::Punctured);
    seal_in_the_end(&forest, &change(40));
    close(forest, mirrored);
    assert!(files(home, "packs") == files(home, "attic"));
    let (forest, mirrored) = open(home, honest(home, &["attic"]));
    assert_eq!(forest.status(Leaf(9)).unwrap(), LeafStatus::Punctured);
    assert_eq!(forest.status(Leaf(10)).unwrap(), LeafStatus::Live);
    close(forest, mirrored);
}

/// A register whose answers can be lost: it does what it is told and does not say so.
struct Mute {
    inner: Arc<dyn SlotDevice>,
    mute: Arc<AtomicBool>,
}

impl Mute {
    fn answer(&self) -> Result<(), SlotError> {
        if self.mute.load(Ordering::SeqCst) { Err(SlotError::Again(io::Error::other("no answer"))) } else { Ok(()) }
    }
}

impl SlotDevice for Mute {
    fn class(&self) -> Cow<'static, str> {
        self.inner.class()
    }
    fn read_slot(&self, slot: usize) -> io::Result<Box<[u8; SLOT_BYTES]>> {
        self.inner.read_slot(slot)
    }
    fn write_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
        self.inner.write_slot(slot, block)?;
        self.answer()
    }
}

/// A vault whose seal of `erase(9)` waits for its register, which has the new root already.
fn waiting(home: &Path, frail: &Arc<AtomicU8>) -> (Arc<Forest>, Arc<Mirrored>, Arc<AtomicBool>) {
    let (mirrored, _) = look(home, vec![spec(home, "attic", frail)]).unwrap();
    let (mute, Stores { packs, register, probe }) = (Arc::<AtomicBool>::default(), stores(mirrored.clone(), home));
    let register = Arc::new(Mute { inner: register, mute: Arc::clone(&mute) });
    let stores = Stores { packs, register, probe };
    let forest = Arc::new(Forest::create(stores, config(), b"", Pins::default()).unwrap());
    begin(&forest, &mirrored, Duration::from_secs(5));
    mirrored.serve();
    holding(&mirrored);
    mute.store(true, Ordering::SeqCst);
    assert!(matches!(forest.seal(&erase(9)), Err(SealError::Stalled(_))));
    (forest, mirrored, mute)
}

/// Has a mirror fall behind.
fn fail(mirrored: &Mirrored, frail: &AtomicU8) {
    frail.store(AWAY, Ordering::SeqCst);
    mirrored.create("notes", 0).unwrap();
    mirrored.flush("notes").unwrap_err();
}

#[test]
fn damaged_pages_of_a_seal_that_waits_for_its_register_are_not_copied_over_the_good_ones_of_a_mirror() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    let frail = Arc::new(AtomicU8::new(HONEST));
    let (forest, mirrored, mute) = waiting(home, &frail);
    fail(&mirrored, &frail);
    let pack = files(home, "packs").into_iter().map(|(name, _)| name).rfind(|name| name.starts_with("pack-")).unwrap();
    let (here, there) = (home.join("packs").join(&pack), home.join("attic").join(&pack));
    let good = fs::read(&there).unwrap();
    let mut damaged = fs::read(&here).unwrap();
    let last = damaged.len() - 5;
    damaged[last] ^= 1;
    fs::write(&here, &damaged).unwrap();
    frail.store(HONEST, Ordering::SeqCst);
    behind(&mirrored, &pack);
    assert!(fs::read(&there).unwrap() == good, "the only good pages were overwritten");
    // Nor is the old root destroyed while that is so.
    mute.store(false, Ordering::SeqCst);
    assert!(matches!(forest.finish_seal(), Err(SealError::Stalled(_))));
    drop(forest);
    drop(mirrored);

    // The root is in the register, so these pages are what everything hangs from.
    let (mirrored, _) = look(home, honest(home, &["attic"])).unwrap();
    mirrored.pull().unwrap();
    let opened = Forest::open(stores(mirrored.clone(), home), config()).map(drop);
    assert!(matches!(opened, Err(ForestError::PagesDoNotOpen { epoch: 2, .. })), "{opened:?}");
    drop(mirrored);
    fs::remove_file(&here).unwrap();
    let (forest, mirrored) = open(home, honest(home, &["attic"]));
    holding(&mirrored);
    assert_eq!((forest.epoch(), forest.status(Leaf(9)).unwrap()), (2, LeafStatus::Punctured));
    close(forest, mirrored);
    assert!(fs::read(&here).unwrap() == good);
}

#[test]
fn a_seal_that_waited_for_its_register_goes_on_only_when_all_mirrors_still_hold_its_pages() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    let frail = Arc::new(AtomicU8::new(HONEST));
    let (forest, mirrored, mute) = waiting(home, &frail);
    fail(&mirrored, &frail);
    mute.store(false, Ordering::SeqCst);
    let before = super::setup::register(home);
    assert!(matches!(forest.finish_seal(), Err(SealError::Stalled(_))));
    assert!(super::setup::register(home) == before, "a root was touched");
    frail.store(HONEST, Ordering::SeqCst);
    holding(&mirrored);
    assert_eq!(forest.finish_seal().unwrap().epoch, 2);
    close(forest, mirrored);
    assert!(files(home, "packs") == files(home, "attic"));
}
