//! Durability: what really reaches the disk, and who waits for it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

use oubliette_core::ports::{PortError, PortErrorKind};

/// The durable flushes of the store. Production uses [`SystemFlush`]; fault tests put their own in between.
pub trait Flush: Send + Sync {
    /// Makes a file's bytes and length durable.
    fn data(&self, file: &File) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn folder(&self, folder: &File) -> io::Result<()>;
}

/// `fdatasync` for files, `fsync` for folders.
#[derive(Clone, Copy, Default)]
pub struct SystemFlush;

impl Flush for SystemFlush {
    fn data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn folder(&self, folder: &File) -> io::Result<()> {
        folder.sync_all()
    }
}

/// An error before anything was promised: certainly not done.
pub(super) fn not_done(operation: &'static str) -> impl FnOnce(io::Error) -> PortError {
    move |error| PortError::new(PortErrorKind::Unavailable, operation, error)
}

/// A failed flush: nobody knows what is on the disk.
pub(super) fn unknown(operation: &'static str) -> impl FnOnce(io::Error) -> PortError {
    move |error| PortError::new(PortErrorKind::Unknown, operation, error)
}

/// Group flush of folders: threads that ask for the same folder while it is being flushed share the next flush.
#[derive(Default)]
pub(super) struct Folders {
    tickets: Mutex<HashMap<PathBuf, Ticket>>,
    done: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Ticket {
    asked: u64,
    flushed: u64,
    /// Requests up to here failed, unless they were flushed before.
    failed: u64,
    busy: bool,
}

impl Folders {
    /// Returns when every name that was put into `folder` before the call is durable. Blocks.
    pub(super) fn flush(&self, flush: &dyn Flush, folder: &Path) -> io::Result<()> {
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = tickets.entry(folder.to_owned()).or_default();
        ticket.asked += 1;
        let mine = ticket.asked;
        loop {
            let ticket = tickets.entry(folder.to_owned()).or_default();
            if ticket.flushed >= mine {
                return Ok(());
            }
            if ticket.failed >= mine {
                return Err(io::Error::other("a shared flush of the folder failed"));
            }
            if ticket.busy {
                tickets = self.done.wait(tickets).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            ticket.busy = true;
            let covers = ticket.asked;
            drop(tickets);
            let result = File::open(folder).and_then(|opened| flush.folder(&opened));
            tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
            let ticket = tickets.entry(folder.to_owned()).or_default();
            ticket.busy = false;
            match &result {
                Ok(()) => ticket.flushed = covers,
                Err(_) => ticket.failed = covers,
            }
            self.done.notify_all();
            return result;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    struct Slow(AtomicU64);

    impl Flush for Slow {
        fn data(&self, _file: &File) -> io::Result<()> {
            Ok(())
        }

        fn folder(&self, _folder: &File) -> io::Result<()> {
            self.0.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        }
    }

    #[test]
    fn threads_that_wait_for_one_folder_share_its_flushes() {
        let folder = tempfile::tempdir().unwrap();
        let (folders, slow) = (Folders::default(), Slow(AtomicU64::new(0)));
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| folders.flush(&slow, folder.path()).unwrap());
            }
        });
        let flushes = slow.0.load(Ordering::SeqCst);
        assert!((2..=8).contains(&flushes), "{flushes} flushes for 32 requests");
    }
}
