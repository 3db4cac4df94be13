//! What is remembered between two looks at a log.
//!
//! ```text
//! checkpoint     the newest one that was found to continue all before, as it was served
//! keys           the log's keys as they are known here, one a line, the one in force first
//! tile/…         the log's files up to the checkpoint, as they are served: the folder is a copy of the log
//! evidence/…     what did not continue it (`evidence`)
//! lock           one run at a time
//! ```
//! The checkpoint is written last, and whole or not at all: a run that is cut short is as if it had not been, but for files
//! that the next one need not fetch.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use oubliette_proof::audit::LogCopy;
use oubliette_proof::note::{TrustedKeys, VerifiedCheckpoint, VerifierKey};
use oubliette_proof::tree::{TILE_WIDTH, Tile, TileKind, TreeHead};

use crate::log::{Folder, Place, text};
use crate::report::Outcome;
use crate::trust;

/// The folder, held by this run.
pub struct State {
    folder: PathBuf,
    copy: Folder,
    written: RefCell<BTreeSet<PathBuf>>,
    _lock: File,
}

/// The checkpoint of the last time.
pub struct Remembered {
    /// Word for word.
    pub text: String,
    /// What it says.
    pub verified: VerifiedCheckpoint,
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
        Ok(Self { folder, copy, written: RefCell::default(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The copy of the log in it.
    pub fn copy(&self) -> &Folder {
        &self.copy
    }

    /// The log's keys as they were known the last time, the one in force first; none the first time.
    pub fn keys(&self) -> Result<Vec<VerifierKey>, Outcome> {
        let path = self.folder.join("keys");
        if !path.exists() {
            return Ok(Vec::new());
        }
        let keys = TrustedKeys::parse(&text(&path)?).map_err(|error| Outcome::unusable(path.display(), error))?;
        Ok(keys.keys().to_vec())
    }

    /// What was seen the last time; its signature is checked again, so that a damaged file is not taken for a fork.
    pub fn remembered(&self, keys: &TrustedKeys) -> Result<Option<Remembered>, Outcome> {
        let path = self.folder.join("checkpoint");
        if !path.exists() {
            return Ok(None);
        }
        let text = text(&path)?;
        let verified = trust::checkpoint(&text, path.display(), keys)?;
        Ok(Some(Remembered { text, verified }))
    }

    /// Moves on to a checkpoint whose files were all put here.
    pub fn advance(&self, checkpoint: &str, keys: &[VerifierKey]) -> Result<(), Outcome> {
        let keys: String = keys.iter().map(|key| format!("{key}\n")).collect();
        let write = || {
            self.flush()?;
            write_whole(&self.folder.join("keys"), keys.as_bytes())?;
            write_whole(&self.folder.join("checkpoint"), checkpoint.as_bytes())
        };
        write().map_err(|error| Outcome::unusable(self.folder.display(), error))
    }

    /// What was put here is on disk after this.
    fn flush(&self) -> io::Result<()> {
        let files = self.written.take();
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
        self.copy.exactly(tile)
    }

    fn put(&self, tile: Tile, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.join(tile.to_string());
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let (name, _) = staged(&path, bytes)?;
        fs::rename(name, &path)?;
        self.written.borrow_mut().insert(path);
        Ok(())
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
