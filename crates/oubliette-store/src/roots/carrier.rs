//! Where wrapped roots lie: the register is their key, so they may be copied, replicated and backed up.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use keyforest::media::SlotError;
use rustix::fs::FlockOperation;

use crate::media::folder::make_directory;

/// A few small named values. Old ones may survive anywhere.
pub trait Carrier: Send + Sync {
    /// The value that was written last; `None` when there never was one.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Replaces a value in one step: whatever happens, the old or the new one is there, whole. Durable on `Ok`.
    ///
    /// A write never takes effect after any later call, of this process or of one that opened the carrier after it, has
    /// returned: a networked carrier must see to that (compare-and-set on a version), for keys are destroyed by what a
    /// read says.
    ///
    /// # Errors
    /// [`SlotError::Again`]: either of the two is there, and both the write and a read may be tried again.
    /// [`SlotError::End`]: only a new process can find out.
    fn write(&self, name: &str, value: &[u8]) -> Result<(), SlotError>;
}

/// One file a value, replaced by renaming. Exclusive: the lock is held as long as this lives.
pub struct FolderCarrier {
    path: PathBuf,
    folder: File,
    _lock: File,
    /// One write at a time: they share the name of the new file.
    turn: Mutex<()>,
}

impl FolderCarrier {
    /// Opens the folder, making it when it is missing.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`] when another process has it open.
    pub fn open(path: &Path) -> io::Result<Self> {
        make_directory(path)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path.join("lock"))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => {
                io::Error::new(io::ErrorKind::ResourceBusy, "another process has the wrapped roots open")
            }
            other => other.into(),
        })?;
        Ok(Self { path: path.to_owned(), folder: File::open(path)?, _lock: lock, turn: Mutex::new(()) })
    }
}

impl Carrier for FolderCarrier {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path.join(name)) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, name: &str, value: &[u8]) -> Result<(), SlotError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let new = self.path.join(format!("{name}.new"));
        // Up to the rename nothing has changed: a full disk can be waited out.
        let mut options = OpenOptions::new();
        let mut file =
            options.create(true).truncate(true).write(true).mode(0o600).open(&new).map_err(SlotError::Again)?;
        file.write_all(value).map_err(SlotError::Again)?;
        file.sync_all().map_err(SlotError::End)?;
        fs::rename(&new, self.path.join(name)).map_err(SlotError::End)?;
        self.folder.sync_all().map_err(SlotError::End)
    }
}
