//! Two places: what is read back, what catches up, what is refused.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use keyforest::media::{Medium, not_done};
use keyforest::{Change, Forest, ForestError, Leaf, LeafStatus, Pins, SealError};
use oubliette_store::media::{CaughtUp, Folder, Place, Twin, TwinError};
use tempfile::TempDir;

use super::setup::{claim, config, database, erase, objects, objects_through, prefix, register, stores};

fn folder(home: &Path, name: &str) -> Arc<Folder> {
    Arc::new(Folder::open(home.join(name)).unwrap())
}

fn twin(home: &Path) -> (Arc<Twin>, CaughtUp) {
    let (twin, copied) = Twin::open(folder(home, "first"), folder(home, "second")).unwrap();
    (Arc::new(twin), copied)
}

fn open(home: &Path) -> Result<Forest, ForestError> {
    Forest::open(stores(twin(home).0, home), config()).map(|(forest, _)| forest)
}

/// A forest of some seals on two folders.
fn lived(home: &Path) -> [u8; 32] {
    let forest = Forest::create(stores(twin(home).0, home), config(), b"", Pins::default()).unwrap();
    for leaf in 0..8 {
        forest.seal(&erase(leaf)).unwrap();
    }
    forest.journal_append(b"record").unwrap();
    *forest.key(Leaf(700)).unwrap().expose()
}

fn files(home: &Path, place: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(home.join(place))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

fn last_pack(home: &Path, place: &str) -> std::path::PathBuf {
    let mut packs = files(home, place);
    packs.retain(|(name, _)| name.starts_with("pack-"));
    home.join(place).join(&packs.last().unwrap().0)
}

#[test]
fn both_places_hold_the_same() {
    let home = TempDir::new().unwrap();
    lived(home.path());
    assert_eq!(files(home.path(), "first"), files(home.path(), "second"));
    assert_eq!(twin(home.path()).1, CaughtUp::default());
}

#[test]
fn a_place_that_is_behind_catches_up_with_the_other() {
    for behind in ["first", "second"] {
        // All of it is gone; the newest pack is short; the newest pack is gone; the journal is gone.
        for damage in 0..4 {
            let home = TempDir::new().unwrap();
            let key = lived(home.path());
            let pack = last_pack(home.path(), behind);
            match damage {
                0 => fs::remove_dir_all(home.path().join(behind)).unwrap(),
                1 => fs::File::options().write(true).open(&pack).unwrap().set_len(100).unwrap(),
                2 => fs::remove_file(&pack).unwrap(),
                _ => {
                    let journal = files(home.path(), behind).into_iter().find(|(name, _)| name.starts_with("journal-"));
                    fs::remove_file(home.path().join(behind).join(journal.unwrap().0)).unwrap();
                }
            }
            let (_, copied) = twin(home.path());
            let bytes = if behind == "first" { copied.to_first } else { copied.to_second };
            assert!(bytes > 0 && copied.to_first + copied.to_second == bytes, "{behind}, {damage}: {copied:?}");
            let forest = open(home.path()).unwrap();
            assert_eq!(*forest.key(Leaf(700)).unwrap().expose(), key);
            assert_eq!(forest.journal().unwrap(), [(1, b"record".to_vec())]);
            assert_eq!(files(home.path(), "first"), files(home.path(), "second"));
            forest.seal(&erase(100)).unwrap();
        }
    }
}

#[test]
fn an_empty_bucket_or_database_is_filled_from_the_other_place() {
    let (home, database, prefix) = (TempDir::new().unwrap(), database(), prefix());
    let key = lived(home.path());
    let fill = |first: Arc<dyn Place>, second: Arc<dyn Place>| {
        let (twin, copied) = Twin::open(first, second).unwrap();
        let (forest, _) = Forest::open(stores(Arc::new(twin), home.path()), config()).unwrap();
        assert_eq!(*forest.key(Leaf(700)).unwrap().expose(), key);
        assert_eq!(forest.journal().unwrap(), [(1, b"record".to_vec())]);
        copied
    };
    for _ in 0..5 {
        // Each start counts one up: more than a new database has counted.
        fill(folder(home.path(), "first"), Arc::new(objects(&prefix)));
    }
    let both = || {
        let claim = claim(&database.url());
        let objects = objects_through(None, &prefix, &claim);
        fill(Arc::new(claim.pages().unwrap()), Arc::new(objects))
    };
    assert!(both().to_first > 0);
    assert_eq!(both(), CaughtUp::default());
}

#[test]
fn places_that_contradict_each_other_in_the_newest_seal_stop_the_start_and_nothing_is_overwritten() {
    for wrong in ["first", "second"] {
        let home = TempDir::new().unwrap();
        lived(home.path());
        let path = last_pack(home.path(), wrong);
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.len() - 30;
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let (before, first, second) =
            (register(home.path()), files(home.path(), "first"), files(home.path(), "second"));
        assert!(matches!(open(home.path()), Err(ForestError::PagesDoNotOpen { epoch: 9, .. })), "{wrong}");
        assert_eq!(register(home.path()), before);
        assert_eq!((files(home.path(), "first"), files(home.path(), "second")), (first, second));
        // What to do about it: take the wrong place away, and it is filled from the other.
        fs::remove_dir_all(home.path().join(wrong)).unwrap();
        open(home.path()).unwrap().seal(&erase(100)).unwrap();
    }
}

#[test]
fn places_of_different_vaults_are_refused_and_stay_as_they_are() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    lived(one.path());
    lived(two.path());
    let before = (files(one.path(), "first"), files(two.path(), "second"));
    let opened = Twin::open(folder(one.path(), "first"), folder(two.path(), "second"));
    assert!(matches!(opened, Err(TwinError::Strangers)));
    // Files that nobody knows.
    let foreign = TempDir::new().unwrap();
    fs::write(foreign.path().join("pack-00000001.kfp"), b"foreign").unwrap();
    let strange = || Arc::new(Folder::open(foreign.path()).unwrap());
    assert!(matches!(Twin::open(folder(one.path(), "first"), strange()), Err(TwinError::Occupied("second"))));
    assert!(matches!(Twin::open(strange(), folder(two.path(), "second")), Err(TwinError::Occupied("first"))));
    assert_eq!((files(one.path(), "first"), files(two.path(), "second")), before);
    assert_eq!(fs::read_dir(foreign.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_that_was_alone_gets_a_second_place() {
    let home = TempDir::new().unwrap();
    let alone = stores(folder(home.path(), "first"), home.path());
    let forest = Forest::create(alone, config(), b"", Pins::default()).unwrap();
    forest.seal(&erase(1)).unwrap();
    drop(forest);
    let (_, copied) = twin(home.path());
    assert!(copied.to_second > 0 && copied.to_first == 0);
    assert_eq!(open(home.path()).unwrap().status(Leaf(1)).unwrap(), LeafStatus::Punctured);
}

#[test]
fn a_folder_beside_a_fenced_place_belongs_to_one_process() {
    let home = TempDir::new().unwrap();
    let first = Folder::open_alone(home.path()).unwrap();
    let second = Folder::open_alone(home.path()).map(drop);
    assert_eq!(second.unwrap_err().kind(), io::ErrorKind::ResourceBusy);
    drop(first);
    Folder::open_alone(home.path()).unwrap();
}

/// A second place that can be told to lie.
struct Liar {
    inner: Folder,
    how: AtomicU8,
    taken: Mutex<Vec<String>>,
}

const HONEST: u8 = 0;
/// Says that it wrote, and does not.
const FORGETS: u8 = 1;
/// Writes something else.
const SPOILS: u8 = 2;
/// Writes half.
const SHORTENS: u8 = 3;
/// Puts flushes off.
const STALLS: u8 = 4;

impl Medium for Liar {
    fn create(&self, name: &str, reserve: u64) -> io::Result<()> {
        self.inner.create(name, reserve)
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.taken.lock().unwrap().push(name.to_owned());
        match self.how.load(Ordering::SeqCst) {
            FORGETS => Ok(()),
            SPOILS => {
                let mut other = bytes.to_vec();
                other[bytes.len() / 2] ^= 0x10;
                self.inner.write_at(name, offset, &other)
            }
            SHORTENS => self.inner.write_at(name, offset, &bytes[..bytes.len() / 2]),
            _ => self.inner.write_at(name, offset, bytes),
        }
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        match self.how.load(Ordering::SeqCst) {
            STALLS => Err(not_done("put off")),
            _ => self.inner.flush(name),
        }
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

impl Place for Liar {}

#[test]
fn a_second_place_with_fewer_or_other_bytes_is_found_out_before_a_root_is_destroyed() {
    let (home, database) = (TempDir::new().unwrap(), database());
    let liar = Arc::new(Liar {
        inner: Folder::open(home.path().join("second")).unwrap(),
        how: AtomicU8::new(HONEST),
        taken: Mutex::default(),
    });
    let first = claim(&database.url()).pages().unwrap();
    let (twin, _) = Twin::open(Arc::new(first), liar.clone()).unwrap();
    let forest = Forest::create(stores(Arc::new(twin), home.path()), config(), b"", Pins::default()).unwrap();
    let key = *forest.key(Leaf(700)).unwrap().expose();
    for (leaf, how) in [FORGETS, SPOILS, SHORTENS, STALLS, SPOILS].into_iter().enumerate() {
        let change = Change { canaries: [Leaf(700)].into_iter().collect(), ..erase(leaf as u64) };
        let (before, epoch) = (register(home.path()), forest.epoch());
        liar.how.store(how, Ordering::SeqCst);
        let sealed = forest.seal(&change);
        assert!(matches!(sealed, Err(SealError::NotDone(_))), "{how}: {sealed:?}");
        assert_eq!((register(home.path()), forest.epoch()), (before, epoch), "{how}: a root was touched");
        liar.how.store(HONEST, Ordering::SeqCst);
        forest.seal(&change).unwrap();
        assert_eq!(forest.epoch(), epoch + 1);
    }
    assert_eq!(*forest.key(Leaf(700)).unwrap().expose(), key);
    assert!(liar.taken.lock().unwrap().iter().any(|name| name.starts_with("pack-")));
}
