//! Disk space held back for erasing on a full disk.
//!
//! The key state has a reserve of its own for pages and journal, but an erasure begins with a transaction, and that makes the
//! database's log grow. So some space lies ready beside the database too. It is given up just before an erasure is written
//! on a disk that has hardly any left, and set aside again when there is enough.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

/// Bytes set aside: some dozen deletes, or one erasure of very many leaves.
const BYTES: u64 = 8 << 20;

/// The space, as a file of its own.
pub(super) struct Reserve {
    path: PathBuf,
    whole: bool,
}

impl Reserve {
    /// The reserve of the database at `path`; set aside when there is room. Not having it is no reason to stop.
    pub(super) fn of(path: &Path) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push(".reserve");
        let path = PathBuf::from(name);
        let whole = fs::metadata(&path).is_ok_and(|file| file.blocks() * 512 >= BYTES);
        let mut reserve = Self { path, whole };
        reserve.refill();
        reserve
    }

    /// Before an erasure is written: gives the space up when the disk is nearly full.
    pub(super) fn spend_if_full(&mut self) {
        if self.whole && self.free().is_some_and(|free| free < BYTES) && fs::remove_file(&self.path).is_ok() {
            self.whole = false;
            tracing::warn!("the disk is full: the space kept back for erasing is in use");
        }
    }

    /// Whether the space is set aside.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Sets the space aside again once there is twice as much.
    pub(super) fn refill(&mut self) {
        if self.whole || self.free().is_none_or(|free| free < 2 * BYTES) {
            return;
        }
        self.whole = self.set_aside().is_ok();
        if !self.whole {
            // Half a reserve would look like a whole one to the next start.
            let _ = fs::remove_file(&self.path);
        }
    }

    fn set_aside(&self) -> io::Result<()> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&self.path)?;
        rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, BYTES)?;
        Ok(())
    }

    /// Bytes free on its file system, for whoever is not root.
    fn free(&self) -> Option<u64> {
        let state = rustix::fs::statvfs(self.path.parent()?).ok()?;
        Some(state.f_bavail * state.f_frsize)
    }
}
