//! Mirrors: what they hold before a root dies, how they fail, how they come back, which are refused.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use keyforest::media::{Medium, is_not_done};
use keyforest::{Change, Forest, Leaf, LeafStatus, Pins, SealError, newest_epoch};
use oubliette_store::media::{
    Contact, Folder, Looked, MirrorError, MirrorSpec, Mirrored, Parties, PartyKind, Place, Refill, Standing, Vouch,
};
use oubliette_store::roots::FileRegister;
use tempfile::TempDir;

use super::setup::{config, erase, objects, prefix, register, seal_in_the_end, stores};

pub const VAULT: [u8; 16] = [7; 16];
pub const LIMIT: Duration = Duration::from_millis(700);

pub const HONEST: u8 = 0;
/// Says that it wrote, and does not.
const FORGETS: u8 = 1;
/// Writes something else.
const SPOILS: u8 = 2;
/// Its flush fails, and what was not flushed is gone.
pub const LOSES: u8 = 3;
/// Does not answer.
pub const HANGS: u8 = 4;
/// Is not there.
pub const AWAY: u8 = 5;
/// Its flush of `notes` fails, and the beginning of that file is gone.
pub const TEARS: u8 = 6;
/// Takes its time for each thing it is told, but less than it has.
pub const SLOW: u8 = 7;
/// Has room for its mark and for nothing else.
pub const FULL: u8 = 8;

/// A folder that can be told to fail.
struct Frail {
    inner: Folder,
    how: Arc<AtomicU8>,
}

impl Frail {
    fn open(path: &Path, how: &Arc<AtomicU8>) -> io::Result<Self> {
        let frail = |inner| Self { inner, how: Arc::clone(how) };
        match how.load(Ordering::SeqCst) {
            AWAY => Err(io::Error::other("no such disk")),
            _ => Folder::open_alone(path).map(frail),
        }
    }

    fn now(&self) -> io::Result<u8> {
        match self.how.load(Ordering::SeqCst) {
            AWAY => Err(io::Error::other("the disk went away")),
            HANGS => {
                std::thread::sleep(2 * LIMIT);
                Ok(HONEST)
            }
            SLOW => {
                std::thread::sleep(LIMIT / 2);
                Ok(HONEST)
            }
            how => Ok(how),
        }
    }
}

impl Medium for Frail {
    fn create(&self, name: &str, reserve: u64) -> io::Result<()> {
        self.now().and_then(|_| self.inner.create(name, reserve))
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self.now()? {
            FORGETS => Ok(()),
            FULL if name.starts_with("pack-") => Err(io::ErrorKind::StorageFull.into()),
            SPOILS => {
                let mut other = bytes.to_vec();
                other[bytes.len() / 2] ^= 0x10;
                self.inner.write_at(name, offset, &other)
            }
            _ => self.inner.write_at(name, offset, bytes),
        }
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        let how = self.now()?;
        if how == TEARS && name == "notes" {
            self.inner.write_at(name, 0, &[0; 4096])?;
            return Err(io::Error::other("input or output"));
        }
        if how == LOSES {
            // As a page cache after a failed flush: the length stays, and later flushes are content.
            let len = fs::metadata(self.inner.path().join(name))?.len();
            self.inner.truncate(name, len / 2)?;
            self.inner.truncate(name, len)?;
            return Err(io::Error::other("input or output"));
        }
        self.inner.flush(name)
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.now().and_then(|_| self.inner.read_at(name, offset, len))
    }

    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.now().and_then(|_| self.inner.read_back(name, offset, len))
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.now().and_then(|_| self.inner.truncate(name, len))
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.now().and_then(|_| self.inner.list())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.now().and_then(|_| self.inner.remove(name))
    }
}

impl Place for Frail {}

pub fn spec(home: &Path, name: &str, how: &Arc<AtomicU8>) -> MirrorSpec {
    let (path, how) = (home.join(name), Arc::clone(how));
    let open = move |contact| match contact {
        Contact::Again if !path.exists() => Err(io::Error::from(io::ErrorKind::NotFound)),
        _ => Ok(Arc::new(Frail::open(&path, &how)?) as Arc<dyn Place>),
    };
    MirrorSpec { name: name.to_owned(), kind: "folder", refill: Refill::WhenTold, open: Box::new(open) }
}

/// A folder that can be told to fail, as a primary.
pub fn frail_primary(home: &Path, how: &Arc<AtomicU8>) -> Arc<dyn Place> {
    Arc::new(Frail::open(&home.join("packs"), how).unwrap())
}

pub fn honest(home: &Path, names: &[&str]) -> Vec<MirrorSpec> {
    names.iter().map(|name| spec(home, name, &Arc::default())).collect()
}

fn primary(home: &Path) -> Arc<dyn Place> {
    Arc::new(Folder::open(home.join("packs")).unwrap())
}

pub fn look(home: &Path, specs: Vec<MirrorSpec>) -> Result<(Arc<Mirrored>, Looked), MirrorError> {
    Mirrored::open(primary(home), VAULT, specs, LIMIT).map(|(mirrored, looked)| (Arc::new(mirrored), looked))
}

/// Opens or makes a forest on mirrored pages, as the program does.
pub fn open(home: &Path, specs: Vec<MirrorSpec>) -> (Arc<Forest>, Arc<Mirrored>) {
    let (mirrored, _) = look(home, specs).unwrap();
    mirrored.pull().unwrap();
    let stores = || stores(mirrored.clone(), home);
    let forest = match Forest::open(stores(), config()) {
        Err(keyforest::ForestError::NoRoot) => Forest::create(stores(), config(), b"", Pins::default()).unwrap(),
        opened => opened.unwrap().0,
    };
    let forest = Arc::new(forest);
    begin(&forest, &mirrored, Duration::from_secs(5));
    mirrored.serve();
    (forest, mirrored)
}

/// Fills the mirrors, with the forest's word for what they may lose.
pub fn begin(forest: &Arc<Forest>, mirrored: &Arc<Mirrored>, wait: Duration) {
    let vouching = Arc::downgrade(forest);
    let vouch: Vouch = Arc::new(move |primary, copy, name, range| {
        let forest = vouching.upgrade().ok_or_else(|| io::Error::other("the forest is closed"))?;
        forest.vouch(primary, copy, name, range).map_err(io::Error::other)
    });
    mirrored.begin(forest.epoch(), vouch, wait).unwrap();
}

pub fn close(forest: Arc<Forest>, mirrored: Arc<Mirrored>) {
    let epoch = forest.epoch();
    drop(forest);
    mirrored.settle(epoch, Duration::from_secs(5));
}

pub fn holding(mirrored: &Mirrored) {
    let until = Instant::now() + Duration::from_secs(20);
    while !mirrored.all_hold() {
        let late = Instant::now() > until;
        assert!(!late, "{:?}", mirrored.status());
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn files(home: &Path, place: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(home.join(place)).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| name != "mirror")
        .collect();
    files.sort();
    files
}

#[test]
fn all_mirrors_hold_what_the_vault_holds() {
    let home = TempDir::new().unwrap();
    let (forest, mirrored) = open(home.path(), honest(home.path(), &["cellar", "attic"]));
    for leaf in 0..40 {
        forest.seal(&erase(leaf)).unwrap();
        forest.journal_append(b"record").unwrap();
    }
    assert_eq!(mirrored.count(), 2);
    close(forest, mirrored);
    for mirror in ["cellar", "attic"] {
        assert_eq!(files(home.path(), "packs"), files(home.path(), mirror), "{mirror}");
    }
    let parties = Parties::read(&*primary(home.path())).unwrap().unwrap();
    assert!(parties.get(PartyKind::Mirror, "cellar").is_some() && parties.get(PartyKind::Mirror, "attic").is_some());
}

#[test]
fn a_mirror_that_fails_puts_seals_off_until_it_holds_all_of_it_and_ends_nothing() {
    for how in [AWAY, FORGETS, SPOILS, LOSES, HANGS] {
        let home = TempDir::new().unwrap();
        let frail = Arc::new(AtomicU8::new(HONEST));
        let (forest, mirrored) =
            open(home.path(), vec![spec(home.path(), "cellar", &Arc::default()), spec(home.path(), "attic", &frail)]);
        forest.seal(&erase(1)).unwrap();
        let key = *forest.key(Leaf(700)).unwrap().expose();
        frail.store(how, Ordering::SeqCst);
        let (before, epoch) = (register(home.path()), forest.epoch());
        for leaf in 2..5 {
            let sealed = forest.seal(&erase(leaf));
            assert!(matches!(sealed, Err(SealError::NotDone(_))), "{how}: {sealed:?}");
        }
        assert!(matches!(forest.journal_append(b"record"), Err(SealError::NotDone(_))), "{how}");
        assert_eq!((register(home.path()), forest.epoch()), (before, epoch), "{how}: a root was touched");
        let behind: Vec<_> = mirrored.status().into_iter().filter(|m| m.standing != Standing::Holding).collect();
        assert_eq!(behind.iter().map(|mirror| &*mirror.name).collect::<Vec<_>>(), ["attic"], "{how}");
        assert_eq!(*forest.key(Leaf(700)).unwrap().expose(), key, "reads go on");

        frail.store(HONEST, Ordering::SeqCst);
        assert!(seal_in_the_end(&forest, &erase(2)) < 200);
        forest.journal_append(b"record").unwrap();
        forest.seal(&erase(3)).unwrap();
        close(forest, mirrored);
        assert_eq!(files(home.path(), "packs"), files(home.path(), "attic"), "{how}");

        // The healed mirror alone is enough.
        fs::remove_dir_all(home.path().join("packs")).unwrap();
        fs::remove_dir_all(home.path().join("cellar")).unwrap();
        let (forest, _mirrored) = open(home.path(), honest(home.path(), &["attic"]));
        assert_eq!(*forest.key(Leaf(700)).unwrap().expose(), key);
        assert_eq!(forest.status(Leaf(3)).unwrap(), LeafStatus::Punctured);
        assert_eq!(forest.journal().unwrap().len(), 1);
    }
}

#[test]
fn a_vault_opens_while_a_mirror_is_away_and_seals_when_it_is_back() {
    let home = TempDir::new().unwrap();
    let frail = Arc::new(AtomicU8::new(HONEST));
    let (forest, mirrored) = open(home.path(), vec![spec(home.path(), "cellar", &frail)]);
    for leaf in 0..5 {
        forest.seal(&erase(leaf)).unwrap();
    }
    forest.journal_append(b"record").unwrap();
    close(forest, mirrored);

    frail.store(AWAY, Ordering::SeqCst);
    let (mirrored, looked) = look(home.path(), vec![spec(home.path(), "cellar", &frail)]).unwrap();
    assert_eq!(looked.unreachable.len(), 1);
    let (forest, _) = Forest::open(stores(mirrored.clone(), home.path()), config()).unwrap();
    let forest = Arc::new(forest);
    begin(&forest, &mirrored, Duration::from_millis(100));
    assert_eq!(forest.journal().unwrap().len(), 1);
    assert!(matches!(forest.seal(&erase(9)), Err(SealError::NotDone(_))));
    frail.store(HONEST, Ordering::SeqCst);
    seal_in_the_end(&forest, &erase(9));
    close(forest, mirrored);
    assert_eq!(files(home.path(), "packs"), files(home.path(), "cellar"));
}

#[test]
fn a_mirror_that_missed_seals_is_caught_up_and_one_more_is_filled() {
    let home = TempDir::new().unwrap();
    let (forest, mirrored) = open(home.path(), honest(home.path(), &["cellar"]));
    forest.seal(&erase(1)).unwrap();
    close(forest, mirrored);
    let old = files(home.path(), "cellar");
    let (forest, mirrored) = open(home.path(), honest(home.path(), &["cellar"]));
    for leaf in 2..60 {
        forest.seal(&erase(leaf)).unwrap();
    }
    close(forest, mirrored);
    // The mirror's disk comes back from an old image: what has its file, its length and its end is not what it holds.
    for (name, _) in files(home.path(), "cellar") {
        fs::remove_file(home.path().join("cellar").join(name)).unwrap();
    }
    for (name, bytes) in old {
        fs::write(home.path().join("cellar").join(name), bytes).unwrap();
    }
    let (forest, mirrored) = open(home.path(), honest(home.path(), &["cellar", "attic"]));
    holding(&mirrored);
    close(forest, mirrored);
    assert_eq!(files(home.path(), "packs"), files(home.path(), "cellar"));
    assert_eq!(files(home.path(), "packs"), files(home.path(), "attic"));
}

#[test]
fn a_mirror_that_knows_a_newer_epoch_than_the_register_tells_that_old_keys_came_back() {
    let home = TempDir::new().unwrap();
    let (forest, mirrored) = open(home.path(), honest(home.path(), &["cellar"]));
    forest.seal(&erase(1)).unwrap();
    close(forest, mirrored);
    let registered = FileRegister::default_directory(&home.path().join("vault"));
    let image = TempDir::new().unwrap();
    let copy = |from: &Path, to: &Path| {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    };
    copy(&registered, &image.path().join("register"));
    copy(&home.path().join("packs"), &image.path().join("packs"));
    let (forest, mirrored) = open(home.path(), honest(home.path(), &["cellar"]));
    forest.seal(&erase(2)).unwrap();
    close(forest, mirrored);
    // The whole machine is set back, the mirror is not.
    fs::remove_dir_all(home.path().join("packs")).unwrap();
    copy(&image.path().join("packs"), &home.path().join("packs"));
    copy(&image.path().join("register"), &registered);
    let before = files(home.path(), "cellar");
    let (mirrored, looked) = look(home.path(), honest(home.path(), &["cellar"])).unwrap();
    let stores = stores(mirrored, home.path());
    let found = newest_epoch(&*stores.register).unwrap().unwrap();
    let (known, name) = looked.newest.unwrap();
    assert!(known > found && name == "cellar", "{known} {found}");
    assert_eq!(files(home.path(), "cellar"), before, "nothing was changed");
}

#[test]
fn key_pages_that_were_set_back_are_taken_over_from_the_mirror() {
    let home = TempDir::new().unwrap();
    let (forest, mirrored) = open(home.path(), honest(home.path(), &["cellar"]));
    forest.seal(&erase(1)).unwrap();
    close(forest, mirrored);
    let image = files(home.path(), "packs");
    let (forest, mirrored) = open(home.path(), honest(home.path(), &["cellar"]));
    for leaf in 2..30 {
        forest.seal(&erase(leaf)).unwrap();
    }
    close(forest, mirrored);
    fs::remove_dir_all(home.path().join("packs")).unwrap();
    fs::create_dir(home.path().join("packs")).unwrap();
    for (name, bytes) in image {
        fs::write(home.path().join("packs").join(name), bytes).unwrap();
    }
    let (forest, mirrored) = open(home.path(), honest(home.path(), &["cellar"]));
    assert_eq!(forest.status(Leaf(29)).unwrap(), LeafStatus::Punctured);
    assert_eq!(forest.status(Leaf(700)).unwrap(), LeafStatus::Live);
    forest.seal(&erase(100)).unwrap();
    close(forest, mirrored);
}

#[test]
fn a_mirror_of_another_vault_and_foreign_files_are_refused_and_stay_as_they_are() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for home in [&one, &two] {
        let (forest, mirrored) = open(home.path(), honest(home.path(), &["cellar"]));
        forest.seal(&erase(1)).unwrap();
        close(forest, mirrored);
    }
    let before = files(two.path(), "cellar");
    let refused = look(one.path(), honest(two.path(), &["cellar"])).map(drop);
    assert!(matches!(refused, Err(MirrorError::Stranger(name)) if name == "cellar"));
    // Nor for a vault that has no mirrors yet.
    let three = TempDir::new().unwrap();
    let forest = Forest::create(stores(primary(three.path()), three.path()), config(), b"", Pins::default()).unwrap();
    drop(forest);
    let refused = look(three.path(), honest(two.path(), &["cellar"])).map(drop);
    assert!(matches!(refused, Err(MirrorError::Stranger(_))));
    assert_eq!(files(two.path(), "cellar"), before);
    let foreign = TempDir::new().unwrap();
    fs::create_dir(foreign.path().join("cellar")).unwrap();
    fs::write(foreign.path().join("cellar/holiday.jpg"), b"foreign").unwrap();
    let refused = look(one.path(), honest(foreign.path(), &["cellar"])).map(drop);
    assert!(matches!(refused, Err(MirrorError::Occupied(_))));
    assert_eq!(fs::read_dir(foreign.path().join("cellar")).unwrap().count(), 1);
}

#[test]
fn an_empty_folder_where_a_disk_should_be_is_not_filled_unless_it_is_told_to_be() {
    let home = TempDir::new().unwrap();
    let (forest, mirrored) = open(home.path(), honest(home.path(), &["cellar"]));
    forest.seal(&erase(1)).unwrap();
    close(forest, mirrored);
    let cellar = home.path().join("cellar");
    fs::remove_dir_all(&cellar).unwrap();
    fs::create_dir(&cellar).unwrap();
    let (forest, mirrored) = {
        let (mirrored, _) = look(home.path(), honest(home.path(), &["cellar"])).unwrap();
        let (forest, _) = Forest::open(stores(mirrored.clone(), home.path()), config()).unwrap();
        let forest = Arc::new(forest);
        begin(&forest, &mirrored, Duration::from_millis(300));
        (forest, mirrored)
    };
    assert!(matches!(forest.seal(&erase(2)), Err(SealError::NotDone(_))));
    assert_eq!(fs::read_dir(&cellar).unwrap().count(), 0);
    fs::write(cellar.join("replace"), b"").unwrap();
    seal_in_the_end(&forest, &erase(2));
    close(forest, mirrored);
    assert_eq!(files(home.path(), "packs"), files(home.path(), "cellar"));
}

#[test]
fn a_bucket_holds_the_key_state_and_is_filled_again_when_it_was_emptied() {
    let home = TempDir::new().unwrap();
    let spec = |prefix: &str| {
        let prefix = prefix.to_owned();
        let open = move |_| Ok(Arc::new(objects(&prefix)) as Arc<dyn Place>);
        vec![MirrorSpec { name: "bucket".to_owned(), kind: "bucket", refill: Refill::Freely, open: Box::new(open) }]
    };
    let first = prefix();
    let (forest, mirrored) = open(home.path(), spec(&first));
    for leaf in 0..5 {
        seal_in_the_end(&forest, &erase(leaf));
    }
    close(forest, mirrored);
    // Emptied, as far as the vault can see.
    let second = prefix();
    let (forest, mirrored) = open(home.path(), spec(&second));
    seal_in_the_end(&forest, &erase(9));
    close(forest, mirrored);
    fs::remove_dir_all(home.path().join("packs")).unwrap();
    let (forest, _mirrored) = open(home.path(), spec(&second));
    assert_eq!(forest.status(Leaf(9)).unwrap(), LeafStatus::Punctured);
    assert_eq!(forest.status(Leaf(700)).unwrap(), LeafStatus::Live);
}

#[test]
fn a_flush_says_which_mirror_is_behind_and_that_it_may_be_tried_again() {
    let home = TempDir::new().unwrap();
    let frail = Arc::new(AtomicU8::new(HONEST));
    let (forest, mirrored) = open(home.path(), vec![spec(home.path(), "attic", &frail)]);
    frail.store(AWAY, Ordering::SeqCst);
    mirrored.create("notes", 0).unwrap();
    mirrored.write_at("notes", 0, b"entry").unwrap();
    let error = mirrored.flush("notes").unwrap_err();
    assert!(is_not_done(&error));
    let cause = std::error::Error::source(error.get_ref().unwrap()).unwrap().to_string();
    assert!(cause.contains("attic"), "{cause}");
    frail.store(HONEST, Ordering::SeqCst);
    holding(&mirrored);
    mirrored.flush("notes").unwrap();
    assert_eq!(fs::read(home.path().join("attic/notes")).unwrap(), b"entry");
    mirrored.truncate("notes", 2).unwrap();
    mirrored.flush("notes").unwrap();
    mirrored.remove("notes").unwrap();
    forest.seal(&Change::default()).unwrap();
    assert!(!home.path().join("attic/notes").exists());
}

#[test]
fn nothing_is_sealed_when_somebody_removed_a_mirrors_folder_whose_files_are_still_open() {
    let home = TempDir::new().unwrap();
    let (forest, mirrored) = open(home.path(), honest(home.path(), &["attic"]));
    holding(&mirrored);
    forest.seal(&erase(9)).unwrap();
    fs::remove_dir_all(home.path().join("attic")).unwrap();
    assert!(matches!(forest.seal(&erase(10)), Err(SealError::NotDone(_) | SealError::Stalled(_))));
    assert!(!mirrored.all_hold());
    close(forest, mirrored);
}

#[test]
fn nothing_is_sealed_when_somebody_put_other_files_in_the_place_of_a_mirrors_while_they_are_open() {
    let home = TempDir::new().unwrap();
    let (forest, mirrored) = open(home.path(), honest(home.path(), &["attic"]));
    holding(&mirrored);
    forest.seal(&erase(9)).unwrap();
    for (name, _) in files(home.path(), "attic") {
        let file = home.path().join("attic").join(&name);
        fs::copy(&file, home.path().join("copy")).unwrap();
        fs::rename(home.path().join("copy"), &file).unwrap();
    }
    assert!(matches!(forest.seal(&erase(10)), Err(SealError::NotDone(_) | SealError::Stalled(_))));
    // Through newly opened files it goes on.
    holding(&mirrored);
    seal_in_the_end(&forest, &erase(10));
    close(forest, mirrored);
    assert!(files(home.path(), "packs") == files(home.path(), "attic"));
}

#[test]
fn nothing_is_sealed_when_a_mirrors_open_files_have_other_names_than_theirs() {
    for copied_back in [true, false] {
        let home = TempDir::new().unwrap();
        let (forest, mirrored) = open(home.path(), honest(home.path(), &["attic"]));
        holding(&mirrored);
        forest.seal(&erase(9)).unwrap();
        fs::create_dir(home.path().join("aside")).unwrap();
        for (name, _) in files(home.path(), "attic") {
            let (file, aside) = (home.path().join("attic").join(&name), home.path().join("aside").join(&name));
            fs::rename(&file, &aside).unwrap();
            if copied_back {
                fs::copy(&aside, &file).unwrap();
            }
        }
        assert!(matches!(forest.seal(&erase(10)), Err(SealError::NotDone(_) | SealError::Stalled(_))), "{copied_back}");
        close(forest, mirrored);
    }
}
