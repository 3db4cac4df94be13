//! What is remembered between two looks at a log.
//!
//! ```text
//! checkpoint     the newest one that was found to continue all before, as it was served
//! keys           the log's keys as they are known here, one a line, the one in force first
//! tile/…         the log's files up to the checkpoint, as they are served: the folder is a copy of the log
//! evidence/…     what did not continue it (`evidence`)
//! unchecked/…    what could not be compared with it (`unchecked`)
//! lock           one run at a time
//! ```
//! The checkpoint is written last, and whole or not at all: a run that is cut short is as if it had not been, but for files
//! that the next one looks at anew and need not fetch.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use oubliette_proof::audit::{self, AuditError, LogCopy, Succession};
use oubliette_proof::entry::{Body, Entry};
use oubliette_proof::note::{
    Checkpoint, NoteError, SignedNote, TrustedKeys, UnknownKeys, VerifiedCheckpoint, VerifierKey,
};
use oubliette_proof::tree::{TILE_WIDTH, Tile, TileKind, TreeHead};

use super::evidence;
use crate::audit::refused;
use crate::log::{self, Folder, Place, text};
use crate::report::Outcome;
use crate::trust::agreed_to;

/// Most that one look puts into the folder.
const MOST_BYTES: u64 = 1 << 36;

/// The folder, held by this run.
pub struct State {
    folder: PathBuf,
    copy: Folder,
    /// Files that this run put here.
    put: RefCell<BTreeSet<PathBuf>>,
    /// Those, and files that an earlier run left and this one found good.
    relied_on: RefCell<BTreeSet<PathBuf>>,
    bytes: Cell<u64>,
    _lock: File,
}

/// The checkpoint of the last time.
pub struct Remembered {
    /// Word for word.
    pub text: String,
    /// What it says.
    pub verified: VerifiedCheckpoint,
    /// The log's keys, the one in force first.
    pub keys: Vec<VerifierKey>,
    /// Whether the file of the keys has these. When not, they were found in the whole copy of the log.
    pub keys_written: bool,
}

/// How much is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenBack {
    /// Everything that this run put there.
    All,
    /// Partial files.
    Partial,
}

impl State {
    /// Opens the folder, or makes it. Refuses one that is the log itself, or that another run uses.
    pub fn open(folder: &Path, log: &Place) -> Result<Self, Outcome> {
        let unusable = |error: io::Error| Outcome::unusable(folder.display(), error);
        fs::create_dir_all(folder).map_err(unusable)?;
        let folder = folder.canonicalize().map_err(unusable)?;
        if matches!(log, Place::Path(path) if path.canonicalize().is_ok_and(|path| path == folder)) {
            return Err(Outcome::unusable(folder.display(), "the log and the state are one folder"));
        }
        let lock = File::options().create(true).truncate(false).write(true).open(folder.join("lock"));
        let lock = lock.map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Outcome::unusable(folder.display(), "another run is using this folder"));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        let copy = Folder(folder.clone());
        let (put, relied_on) = Default::default();
        Ok(Self { folder, copy, put, relied_on, bytes: Cell::default(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The copy of the log in it.
    pub fn copy(&self) -> &Folder {
        &self.copy
    }

    /// What was seen the last time; its signature is checked again, so that a damaged file is not taken for a fork. `None`
    /// before anything was: a folder that has lost its checkpoint is refused.
    pub fn remembered(&self, given: &TrustedKeys) -> Result<Option<Remembered>, Outcome> {
        let (path, keys) = (self.folder.join("checkpoint"), self.folder.join("keys"));
        if !there(&path)? {
            if there(&keys)? || evidence::tells_of_a_state(&self.folder) {
                let why = "is missing, though this log was followed before. Bring the folder back as it was; with \
                           another folder the log is followed from anew, and compared with nothing";
                return Err(Outcome::unusable(path.display(), why));
            }
            return Ok(None);
        }
        let text = text(&path)?;
        if there(&keys)? {
            let keys = log::keys(&keys)?.keys().to_vec();
            match self.verified(&text, given, &keys) {
                Ok(verified) if keys.first().is_some_and(|now| verified.signed_by.contains(now)) => {
                    return Ok(Some(Remembered { text, verified, keys, keys_written: true }));
                }
                Ok(_) | Err(NoteError::NotSigned(_)) => {}
                Err(error) => return Err(Outcome::unusable(path.display(), error)),
            }
        }
        // A run was cut short between the two files: the log's entries tell whose it is.
        let keys = self.keys_of(&text, given)?;
        let verified = self.verified(&text, given, &keys).map_err(|error| Outcome::unusable(path.display(), error))?;
        let keys = if keys.is_empty() { verified.signed_by[..1].to_vec() } else { keys };
        if !verified.signed_by.contains(&keys[0]) {
            return Err(Outcome::unusable(path.display(), "it is not signed with the key that its log was handed to"));
        }
        Ok(Some(Remembered { text, verified, keys, keys_written: false }))
    }

    fn verified(&self, text: &str, given: &TrustedKeys, keys: &[VerifierKey]) -> Result<VerifiedCheckpoint, NoteError> {
        let mut trusted = given.clone();
        keys.iter().for_each(|key| trusted.add(key.clone()));
        trusted.checkpoint(text, UnknownKeys::Ignore)
    }

    /// The keys of a log by the copy of it here, the one in force first; none when it has never changed its key.
    fn keys_of(&self, text: &str, given: &TrustedKeys) -> Result<Vec<VerifierKey>, Outcome> {
        let said = SignedNote::parse(text).and_then(|note| Checkpoint::parse(note.text()));
        let said = said.map_err(|error| Outcome::unusable(self.folder.join("checkpoint").display(), error))?;
        let keys = self.succession(&said.origin, &said.head).map_err(|error| {
            let why = "its keys are not known any more, and the copy of the log does not tell them";
            Outcome::unusable(self.folder.display(), format!("{why}: {}", refused(error).summary))
        })?;
        Ok(agreed_to(&keys, given))
    }

    /// The keys of the log by the copy here, which has to lead to this head.
    pub fn succession(&self, origin: &str, head: &TreeHead) -> Result<Succession, AuditError<io::Error>> {
        let mut keys = Succession::new(origin);
        audit::read_on(&self.copy, &TreeHead::empty(), head, |number, entry| {
            if let Ok(Entry { body: Body::KeyRotation(rotation), .. }) = Entry::decode(entry) {
                keys.add(number, &rotation);
            }
        })?;
        Ok(keys)
    }

    /// Moves on to a checkpoint whose files were all put here.
    pub fn advance(&self, checkpoint: &str, keys: &[VerifierKey]) -> Result<(), Outcome> {
        let keys: String = keys.iter().map(|key| format!("{key}\n")).collect();
        let paths = [self.folder.join("checkpoint"), self.folder.join("keys")];
        let write = || {
            self.flush()?;
            // Keys alone would be taken for a state that has lost its checkpoint, and keys that are not those of the checkpoint are
            // noticed: so the first time this is the order, and later the other one.
            if paths[0].exists() {
                write_whole(&paths[1], keys.as_bytes())?;
                write_whole(&paths[0], checkpoint.as_bytes())
            } else {
                write_whole(&paths[0], checkpoint.as_bytes())?;
                write_whole(&paths[1], keys.as_bytes())
            }
        };
        write().map_err(|error| Outcome::unusable(self.folder.display(), error))
    }

    /// Takes back what this run put here: all of it, or what the next one cannot need, which are files that will be fuller then.
    pub fn take_back(&self, what: TakenBack) {
        for path in self.put.take() {
            let partial = path.parent().and_then(Path::extension).is_some_and(|name| name == "p");
            if partial || what == TakenBack::All {
                let _ = fs::remove_file(&path);
                let _ = path.parent().map(fs::remove_dir);
            }
        }
    }

    /// What was put here is on disk after this.
    fn flush(&self) -> io::Result<()> {
        let files = self.relied_on.take();
        let folders: BTreeSet<_> = files.iter().flat_map(|file| file.ancestors().skip(1)).collect();
        files.iter().try_for_each(|file| File::open(file)?.sync_all())?;
        let inside = folders.into_iter().filter(|folder| folder.starts_with(&self.folder));
        inside.into_iter().try_for_each(|folder| File::open(folder)?.sync_all())
    }

    /// Removes partial files that have fuller ones now. One that cannot be removed does no harm.
    pub fn tidy(&self, old: &TreeHead, new: &TreeHead) {
        let levels = (0..8).map(|level| (TileKind::Hashes(level), u32::from(level)));
        for (kind, level) in levels.chain([(TileKind::Entries, 0)]) {
            let index = (old.size >> (8 * level)) / TILE_WIDTH;
            let Some(before) = Tile::at(kind, index, old.size) else { continue };
            if Some(before) != Tile::at(kind, index, new.size) {
                let path = self.folder.join(before.to_string());
                let _ = fs::remove_file(&path);
                // Goes when it is empty.
                let _ = path.parent().map(fs::remove_dir);
            }
        }
    }
}

impl LogCopy for State {
    type Error = io::Error;

    fn get(&self, tile: Tile) -> io::Result<Option<Vec<u8>>> {
        let found = self.copy.exactly(tile)?;
        if found.is_some() {
            self.relied_on.borrow_mut().insert(self.folder.join(tile.to_string()));
        }
        Ok(found)
    }

    fn put(&self, tile: Tile, bytes: &[u8]) -> io::Result<()> {
        self.bytes.set(self.bytes.get() + bytes.len() as u64);
        if self.bytes.get() > MOST_BYTES {
            return Err(io::Error::other(format!(
                "one look puts no more than {MOST_BYTES} bytes there; the next goes on"
            )));
        }
        if self.get(tile)?.is_some_and(|there| there == bytes) {
            // Not this run's to take back.
            return Ok(());
        }
        let path = self.folder.join(tile.to_string());
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let (name, _) = staged(&path, bytes)?;
        fs::rename(name, &path)?;
        self.put.borrow_mut().insert(path.clone());
        self.relied_on.borrow_mut().insert(path);
        Ok(())
    }
}

/// Whether a file is there, also one that cannot be read.
fn there(path: &Path) -> Result<bool, Outcome> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Outcome::unusable(path.display(), error)),
    }
}

/// Writes a file under another name; under which.
fn staged(path: &Path, bytes: &[u8]) -> io::Result<(PathBuf, File)> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let name = PathBuf::from(name);
    let mut file = File::create(&name)?;
    file.write_all(bytes)?;
    Ok((name, file))
}

/// Puts a small file in its place, durably, whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (name, file) = staged(path, bytes)?;
    file.sync_all()?;
    fs::rename(&name, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
