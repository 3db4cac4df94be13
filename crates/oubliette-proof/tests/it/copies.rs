//! A copy of a log that grows with it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use oubliette_proof::audit::{AuditError, LogCopy, audit, bring_up_to, continues, read_on};
use oubliette_proof::entry::{Body, LogOpened};
use oubliette_proof::tree::{Tile, TileError, TileKind, TileReader, TreeHead};

use crate::fixture::*;

/// Files in memory, and which were put there.
#[derive(Default)]
struct Copy {
    files: RefCell<BTreeMap<Tile, Vec<u8>>>,
    put: RefCell<Vec<Tile>>,
}

impl LogCopy for Copy {
    type Error = String;

    fn get(&self, tile: Tile) -> Result<Option<Vec<u8>>, String> {
        Ok(self.files.borrow().get(&tile).cloned())
    }

    fn put(&self, tile: Tile, bytes: &[u8]) -> Result<(), String> {
        self.put.borrow_mut().push(tile);
        self.files.borrow_mut().insert(tile, bytes.to_vec());
        Ok(())
    }
}

impl TileReader for Copy {
    type Error = String;

    fn read(&self, tile: Tile) -> Result<Vec<u8>, String> {
        self.get(tile)?.ok_or_else(|| format!("no {tile}"))
    }
}

fn grow(log: &mut Log, size: u64) {
    let bodies = (log.head.size..size).map(|number| {
        Body::LogOpened(LogOpened::new(&format!("entry-{number}.example"), token("test"), None).unwrap())
    });
    log.append_all("2026-04-01T00:00:00Z", bodies);
}

fn follow(log: &Log, copy: &Copy, from: u64) -> Result<Vec<u64>, AuditError<String>> {
    let mut seen = Vec::new();
    bring_up_to(&log.files, copy, from, &log.head, |number, entry| {
        assert_eq!(log.entries[number as usize], entry);
        seen.push(number);
    })?;
    Ok(seen)
}

#[test]
fn a_copy_has_every_file_of_the_log_after_each_step_and_fetches_only_what_is_new() {
    let (mut log, copy) = (Log::new(), Copy::default());
    let mut before = TreeHead::empty();
    for size in [1, 2, 255, 256, 257, 511, 512, 513, 1_000, 65_535, 65_536, 65_537, 66_000, 131_400] {
        grow(&mut log, size);
        let seen = follow(&log, &copy, before.size).unwrap();
        assert!(seen.into_iter().eq(before.size..size), "every new entry is shown once");
        audit(&copy, &before, &log.head).unwrap();
        // A tile and a bundle for each 256 entries, and the edge.
        let put = std::mem::take(&mut *copy.put.borrow_mut());
        let most = 2 * ((size - before.size) / 256 + 2) + 8;
        assert!(put.len() as u64 <= most, "{} files from {} to {size}", put.len(), before.size);
        before = log.head;
    }
    assert!(follow(&log, &copy, before.size).unwrap().is_empty());
}

#[test]
fn nothing_is_put_into_a_copy_that_does_not_lead_to_the_signed_root() {
    let mut log = Log::new();
    grow(&mut log, 66_000);
    let size = log.head.size;
    let full = |kind| Tile { kind, index: 7, width: 256 };
    let edge = |kind| Tile::at(kind, size / 256, size).unwrap();
    let top = Tile::at(TileKind::Hashes(2), 0, size).unwrap();
    let [hashes, entries] = [TileKind::Hashes(0), TileKind::Entries];
    let middle = Tile { kind: TileKind::Hashes(1), index: 0, width: 256 };
    for tile in [top, middle, full(hashes), edge(hashes), full(entries), edge(entries)] {
        let good = log.files.0[&tile].clone();
        let (mut changed, short) = (good.clone(), good[..good.len() - 1].to_vec());
        let place = changed.len() / 2;
        changed[place] ^= 1;
        for bad in [changed, short] {
            log.files.0.insert(tile, bad);
            let copy = Copy::default();
            let refused = follow(&log, &copy, 0).unwrap_err();
            let named = match &refused {
                AuditError::Tile(TileError::Damaged(damaged)) => *damaged == tile,
                AuditError::NotTheRoot(_) => [top, edge(hashes)].contains(&tile),
                _ => false,
            };
            assert!(named, "{tile}: {refused}");
            assert!(!copy.files.borrow().contains_key(&tile));
            // It goes on where it was once the file is as it should be.
            log.files.0.insert(tile, good.clone());
            let had = copy.put.take().len();
            follow(&log, &copy, 0).unwrap();
            audit(&copy, &TreeHead::empty(), &log.head).unwrap();
            let again = copy.put.take().len();
            assert!(had + again <= copy.files.borrow().len() + 3, "{tile}: {had} files, and {again}");
        }
    }
    // A head of another root, over the same files.
    let other = TreeHead { root: oubliette_proof::Hash([7; 32]), ..log.head };
    let copy = Copy::default();
    let refused = bring_up_to(&log.files, &copy, 0, &other, |_, _| {}).unwrap_err();
    assert!(matches!(refused, AuditError::NotTheRoot(66_000)) && copy.files.borrow().is_empty());
}

#[test]
fn what_is_damaged_in_a_copy_that_was_broken_off_is_fetched_again() {
    let (mut log, copy) = (Log::new(), Copy::default());
    grow(&mut log, 700);
    follow(&log, &copy, 0).unwrap();
    let files = copy.files.borrow().keys().copied().collect::<Vec<_>>();
    for tile in files {
        copy.files.borrow_mut().get_mut(&tile).unwrap().pop();
        follow(&log, &copy, 0).unwrap();
        audit(&copy, &TreeHead::empty(), &log.head).unwrap();
    }
}

#[test]
fn damaged_tiles_of_an_honest_log_are_no_fork() {
    let mut log = Log::new();
    let mut heads = Vec::new();
    for size in [256, 300, 512, 1_000] {
        grow(&mut log, size);
        heads.push(log.head);
    }
    for older in &heads[..3] {
        continues(&log.files, older, &log.head).unwrap();
        read_on(&log.files, older, &log.head, |_, _| {}).unwrap();
        let mut noticed = 0;
        let whole: Vec<_> = log.files.0.keys().copied().collect();
        for tile in whole {
            let good = log.files.0[&tile].clone();
            for place in [20, good.len() / 2, good.len() - 1] {
                let mut changed = good.clone();
                changed[place] ^= 1;
                log.files.0.insert(tile, changed);
                let shown = continues(&log.files, older, &log.head);
                noticed += usize::from(shown.is_err());
                let read = read_on(&log.files, older, &log.head, |_, _| {});
                let all = audit(&log.files, older, &log.head).map(|_| ());
                for found in [shown, read, all] {
                    assert!(!matches!(found, Err(AuditError::Forked(_))), "{tile} from {}: {found:?}", older.size);
                }
            }
            log.files.0.insert(tile, good);
        }
        assert!(noticed >= 3, "from {}: {noticed}", older.size);
        // Another root that was signed for those entries is one.
        let other = TreeHead { root: oubliette_proof::Hash([7; 32]), ..*older };
        let forked = |found| matches!(found, Err(AuditError::Forked(size)) if size == older.size);
        assert!(forked(continues(&log.files, &other, &log.head)));
        assert!(forked(read_on(&log.files, &other, &log.head, |_, _| {})));
        assert!(forked(audit(&log.files, &other, &log.head).map(|_| ())));
    }
}

#[test]
fn what_follows_a_head_is_read_and_belongs_to_the_newer_one_or_nothing_does() {
    let mut log = Log::new();
    grow(&mut log, 700);
    let older = log.head;
    grow(&mut log, 1_500);
    let mut seen = Vec::new();
    read_on(&log.files, &older, &log.head, |number, entry| {
        assert_eq!(log.entries[number as usize], entry);
        seen.push(number);
    })
    .unwrap();
    assert!(seen.into_iter().eq(699..1_500), "with the last entry that the older one has");
    read_on(&log.files, &log.head, &log.head, |number, _| assert_eq!(number, 1_499)).unwrap();
    read_on(&log.files, &TreeHead::empty(), &TreeHead::empty(), |_, _| panic!("there is none")).unwrap();
    // Another entry in any bundle that is read is noticed.
    for index in 2..6 {
        let tile = Tile::at(TileKind::Entries, index, 1_500).unwrap();
        let good = log.files.0[&tile].clone();
        log.files.0.get_mut(&tile).unwrap()[20] ^= 1;
        let found = read_on(&log.files, &older, &log.head, |_, _| {});
        assert!(matches!(found, Err(AuditError::NotTheRoot(1_500))), "{tile}: {found:?}");
        log.files.0.insert(tile, good);
    }
}
