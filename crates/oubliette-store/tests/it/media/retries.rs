//! Seals that wait for a mirror: what they cost meanwhile.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use keyforest::media::Medium;
use keyforest::{Change, Forest, Leaf, LeafStatus, Pins};
use oubliette_store::media::{Folder, Mirrored, Place};
use tempfile::TempDir;

use super::mirrored::{AWAY, HONEST, LIMIT, VAULT, begin, close, files, holding, honest, open, spec};
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
