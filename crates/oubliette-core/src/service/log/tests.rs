//! The log on a simulated disk: power cuts, failed flushes, damage, growth.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use keyforest::media::{Medium, not_done};
use oubliette_proof::audit::audit;
use oubliette_proof::note::{TrustedKeys, UnknownKeys};
use oubliette_proof::tree::{MemoryTree, Ranges as _, Tile, TileReader, TreeHead, leaf_hash, verify_consistency};
use proptest::prelude::*;

use super::{LogError, TransparencyLog};

const ORIGIN: &str = "vault.example/log";
const SEED: [u8; 32] = [5; 32];
const SECTOR: usize = 64;

#[derive(Clone, Default)]
struct File {
    /// What a read sees.
    cache: Vec<u8>,
    /// What a power cut leaves.
    disk: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Default)]
struct Inner {
    files: BTreeMap<String, File>,
    /// This many flushes from now on are put off.
    stalls: u32,
    /// The next flush fails, and leaves clean cache behind.
    fails: bool,
    /// Writes from now on until the power goes.
    cut_after: Option<u32>,
}

/// A disk that forgets what was not flushed, in part.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Inner>>);

impl Disk {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    fn effect(&self) -> io::Result<()> {
        match &mut self.lock().cut_after {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The power goes and comes back: any sectors of what was not flushed have reached the disk.
    fn power_cycle(&self, mut dice: u64) {
        let mut inner = self.lock();
        (inner.cut_after, inner.fails, inner.stalls) = (None, false, 0);
        for file in inner.files.values_mut() {
            for (at, bytes) in std::mem::take(&mut file.pending) {
                for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    if dice >> 33 & 1 == 1 {
                        put(&mut file.disk, at + number * SECTOR, sector);
                    }
                }
            }
            file.cache = file.disk.clone();
        }
    }

    fn log(&self, sure: u64) -> Result<TransparencyLog, LogError> {
        TransparencyLog::alone(Arc::new(self.clone()), ORIGIN, SEED, sure)
    }

    fn spoil(&self, name: &str, change: impl Fn(&mut Vec<u8>)) {
        let mut inner = self.lock();
        let file = inner.files.get_mut(name).unwrap();
        change(&mut file.disk);
        change(&mut file.cache);
    }
}

fn put(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[at..end].copy_from_slice(bytes);
}

fn part(bytes: &[u8], offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let part = bytes.get(offset as usize..offset as usize + len);
    part.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

impl Medium for Disk {
    fn create(&self, name: &str, _reserve: u64) -> io::Result<()> {
        self.effect()?;
        match self.lock().files.insert(name.to_owned(), File::default()) {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.effect()?;
        let mut inner = self.lock();
        let file = inner.files.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        put(&mut file.cache, offset as usize, bytes);
        file.pending.push((offset as usize, bytes.to_vec()));
        Ok(())
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        self.effect()?;
        let mut inner = self.lock();
        if let Some(left) = inner.stalls.checked_sub(1) {
            inner.stalls = left;
            return Err(not_done("the disk is busy"));
        }
        let fails = std::mem::take(&mut inner.fails);
        let file = inner.files.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        let pending = std::mem::take(&mut file.pending);
        if fails {
            return Err(io::Error::other("the flush failed"));
        }
        pending.iter().for_each(|(at, bytes)| put(&mut file.disk, *at, bytes));
        Ok(())
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        part(&self.lock().files.get(name).ok_or(io::ErrorKind::NotFound)?.cache, offset, len)
    }

    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        // Like a direct read: it shows what is on its way to the disk, and not what a failed flush left in the cache.
        let inner = self.lock();
        let file = inner.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let mut shown = file.disk.clone();
        file.pending.iter().for_each(|(at, bytes)| put(&mut shown, *at, bytes));
        shown.resize(shown.len().max(file.cache.len()), 0);
        part(&shown, offset, len)
    }

    fn truncate(&self, _name: &str, _len: u64) -> io::Result<()> {
        unreachable!("nothing of a log is ever cut")
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        Ok(self.lock().files.iter().map(|(name, file)| (name.clone(), file.cache.len() as u64)).collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.effect()?;
        self.lock().files.remove(name).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn entries(range: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    range.map(|number| format!("entry {number} {}", "x".repeat((number % 90) as usize)).into_bytes()).collect()
}

fn root_of(entries: &[Vec<u8>]) -> TreeHead {
    let Ok(root) = MemoryTree::new(entries.iter().map(|entry| leaf_hash(entry)).collect()).root();
    TreeHead { size: entries.len() as u64, root }
}

#[test]
fn seventy_thousand_entries_are_read_and_proven_before_and_after_a_start() {
    let disk = Disk::default();
    let all = entries(0..70_300);
    let mut heads = vec![TreeHead::empty()];
    let mut done = 0;
    // Two starts on the way, one of them in the middle of a tile.
    for until in [1_000, 40_123, 70_300] {
        let log = disk.log(done).unwrap();
        assert_eq!(log.head(), *heads.last().unwrap());
        while done < until {
            let next = (done + 977).min(until);
            assert_eq!(log.append_bytes(&all[done as usize..next as usize]).unwrap(), done);
            done = next;
            heads.push(log.head());
        }
    }
    let (names, log) = (disk.list().unwrap(), disk.log(done).unwrap());
    assert!(names.iter().any(|(name, _)| name == "log-0000-index-00000000.oli"), "{names:?}");
    let head = log.head();
    assert_eq!(head, root_of(&all));
    let report = audit(&*log.kept, &heads[3], &head).unwrap();
    assert_eq!(report.unknown, 70_300);

    let (checkpoint, keys) = (log.checkpoint(), TrustedKeys::new(log.keys()));
    for number in [0, 1, 255, 256, 999, 1_000, 40_122, 40_123, 65_535, 65_536, 70_144, 70_299] {
        assert_eq!(log.entry(number).unwrap(), all[number as usize], "entry {number}");
        let proof = log.inclusion(number, &checkpoint).unwrap();
        let verified = proof.verify(&all[number as usize], &keys, UnknownKeys::Refuse).unwrap();
        assert_eq!(verified.checkpoint.head, head);
    }
    for range in [0..70_300, 0..1, 255..256, 255..257, 300..300, 1_000..40_123, 70_299..70_300] {
        let wanted: Vec<_> = all.iter().skip(range.start as usize).take(range.clone().count()).cloned().collect();
        let mut number = range.start;
        for tile in log.kept.tiles(range.clone()) {
            let (first, entries) = tile.unwrap();
            assert!(
                first == number
                    && entries.len() <= 256
                    && entries == wanted[(first - range.start) as usize..][..entries.len()]
            );
            number += entries.len() as u64;
        }
        assert_eq!(number, range.start + wanted.len() as u64, "{range:?}");
        let back: Vec<u64> = log.kept.tiles(range.clone()).rev().map(|tile| tile.unwrap().0).collect();
        assert!(back.is_sorted_by(|a, b| a > b) && back.last().is_none_or(|first| *first == range.start), "{range:?}");
    }
    for old in &heads {
        let proof = log.consistency(old.size, head.size).unwrap();
        assert!(verify_consistency(old, &head, &proof), "from {}", old.size);
    }
    assert!(matches!(log.entry(70_300), Err(LogError::Absent)));
    assert!(matches!(log.read(Tile::parse("tile/0/274.p/157").unwrap()), Err(LogError::Absent)));
    assert_eq!(log.read(Tile::parse("tile/0/274.p/156").unwrap()).unwrap().len(), 156 * 32);
    // An index that is gone or damaged is made again.
    disk.spoil("log-0000-index-00000000.oli", |bytes| bytes[500] ^= 1);
    assert_eq!(disk.log(done).unwrap().head(), head);
    assert_eq!(disk.log(done).unwrap().head(), head);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_was_appended_outlives_power_cuts_and_nothing_else_is_made_of_the_rest(
        runs in proptest::collection::vec((1_u32..40, any::<u64>(), any::<bool>()), 1..7)
    ) {
        let disk = Disk::default();
        let (mut acknowledged, mut pinned, mut counter) = (Vec::<Vec<u8>>::new(), 0_u64, 0_u64);
        for (effects, dice, pins) in runs {
            let log = disk.log(pinned).unwrap();
            prop_assert!(log.head().size >= acknowledged.len() as u64);
            let kept = log.kept.root_at(acknowledged.len() as u64).unwrap();
            prop_assert_eq!(kept, root_of(&acknowledged).root);
            // What was on its way and is there after all was handed in once, and in its place.
            for number in acknowledged.len() as u64..log.head().size {
                let entry = log.entry(number).unwrap();
                prop_assert!(entry.starts_with(b"entry "));
                acknowledged.push(entry);
            }
            if pins {
                pinned = log.head().size;
            }
            disk.lock().cut_after = Some(effects);
            loop {
                let batch = entries(counter..counter + dice % 5 + 1);
                counter += 5;
                match log.append_bytes(&batch) {
                    Ok(first) => {
                        prop_assert_eq!(first, acknowledged.len() as u64);
                        acknowledged.extend(batch);
                    }
                    Err(_) => break,
                }
            }
            disk.power_cycle(dice);
        }
        let log = disk.log(pinned).unwrap();
        for (number, entry) in acknowledged.iter().enumerate() {
            prop_assert_eq!(&log.entry(number as u64).unwrap(), entry);
        }
    }
}

#[test]
fn what_is_put_off_is_replaced_by_what_comes_next_even_when_that_is_shorter() {
    let disk = Disk::default();
    let log = disk.log(0).unwrap();
    log.append_bytes(&entries(0..2)).unwrap();
    disk.lock().stalls = 1;
    let put_off = log.append_bytes(&entries(80..89));
    assert!(matches!(put_off, Err(LogError::NotDone(_))), "{put_off:?}");
    assert_eq!(log.head().size, 2);
    assert_eq!(log.append_bytes(&entries(2..3)).unwrap(), 2);
    let head = log.head();
    assert_eq!(head, root_of(&entries(0..3)));
    disk.power_cycle(u64::MAX);
    assert_eq!(disk.log(0).unwrap().head(), head, "nothing of what was put off is believed");
}

#[test]
fn a_failed_flush_ends_the_log_and_the_next_start_believes_the_disk() {
    let disk = Disk::default();
    let log = disk.log(0).unwrap();
    log.append_bytes(&entries(0..3)).unwrap();
    let head = log.head();
    disk.lock().fails = true;
    assert!(matches!(log.append_bytes(&entries(3..4)), Err(LogError::Ended(Some(_)))));
    assert!(*log.poisoned.borrow());
    assert!(matches!(log.append_bytes(&entries(3..4)), Err(LogError::Ended(None))));
    // The cache still shows the entry; the disk never got it.
    assert_eq!(disk.log(0).unwrap().head(), head);
}

#[test]
fn entries_that_were_on_their_way_are_made_durable_before_they_count() {
    let disk = Disk::default();
    let log = disk.log(0).unwrap();
    log.append_bytes(&entries(0..3)).unwrap();
    // A process that dies between writing and flushing.
    disk.lock().cut_after = Some(1);
    assert!(log.append_bytes(&entries(3..4)).is_err());
    disk.lock().cut_after = None;
    let next = disk.log(3).unwrap();
    assert_eq!(next.head(), root_of(&entries(0..4)));
    disk.power_cycle(0);
    assert_eq!(disk.log(3).unwrap().head(), next.head(), "a checkpoint over it may have been served");
}

#[test]
fn damage_is_told_and_never_served() {
    let disk = Disk::default();
    let log = disk.log(0).unwrap();
    log.append_bytes(&entries(0..300)).unwrap();
    let name = "log-0000-00000001.olf";
    disk.spoil(name, |bytes| bytes[150] ^= 1);
    let bundle = Tile::parse("tile/entries/000").unwrap();
    assert!(matches!(log.read(bundle), Err(LogError::Damaged(_))));
    assert!(matches!(TileReader::read(&*log.kept, Tile::parse("tile/0/000").unwrap()), Err(LogError::Damaged(_))));
    assert!(matches!(log.inclusion(7, &log.checkpoint()), Err(LogError::Damaged(_))));
    assert_eq!(log.entry(299).unwrap(), entries(299..300)[0], "another tile");
    // One of two places: what the first has wrong is read from the second.
    disk.lock().files.get_mut(name).unwrap().disk[150] ^= 1;
    assert_eq!(log.entry(0).unwrap(), entries(0..1)[0]);
}

#[test]
fn a_checkpoint_of_another_log_or_of_another_tree_proves_nothing_here() {
    let disk = Disk::default();
    let log = disk.log(0).unwrap();
    log.append_bytes(&entries(0..9)).unwrap();
    let older = log.checkpoint();
    log.append_bytes(&entries(9..20)).unwrap();
    let proof = log.inclusion(4, &older).unwrap();
    proof.verify(&entries(4..5)[0], &TrustedKeys::new(log.keys()), UnknownKeys::Refuse).unwrap();
    assert!(matches!(log.inclusion(9, &older), Err(LogError::Absent)), "it came later");
    let other = Disk::default().log(0).unwrap();
    other.append_bytes(&entries(1..10)).unwrap();
    assert!(matches!(log.inclusion(4, &other.checkpoint()), Err(LogError::Foreign)));
    assert!(matches!(log.inclusion(4, "nothing"), Err(LogError::Foreign)));
    log.hold_off();
    assert!(matches!(log.append_bytes(&entries(20..21)), Err(LogError::NotDone(_))));
    log.go_on();
    assert_eq!(log.append_bytes(&entries(20..21)).unwrap(), 20);
}
