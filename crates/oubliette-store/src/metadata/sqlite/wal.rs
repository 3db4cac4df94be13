//! Keeps the write-ahead log small.
//!
//! SQLite would check-point inside a commit, in somebody's answer time. Here the writer does it after it has answered:
//! passively once the log has grown, with truncation when readers kept it from starting over, when nothing happens, and on
//! close. So the log's file stays bounded and old pages do not linger in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oubliette_core::ports::PortError;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode};

use super::error::{flush_failed, port_error};

/// Pages (4 KiB) in the log after which they are copied into the database.
const PASSIVE_PAGES: u64 = 2_000;

/// Pages in the log after which readers are waited for, so that it can start over.
const TRUNCATE_PAGES: u64 = 16_000;

/// How long truncation waits for readers; writers wait with it.
const TRUNCATE_WAIT: Duration = Duration::from_millis(200);

/// The log's size and when to do something about it.
pub(super) struct Wal {
    pages: Arc<AtomicU64>,
    /// Pages at the last check-point, so that a reader that holds the log does not cause one on every commit.
    settled: u64,
    busy: Duration,
}

impl Wal {
    /// Watches the log of the writer's connection.
    pub(super) fn watch(connection: &mut Connection, busy: Duration) -> Result<Self, PortError> {
        let pages = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&pages);
        let hook = move |_: &mut rusqlite::hooks::Wal, count: std::ffi::c_int| {
            told.store(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        };
        connection.wal_hook(Some(hook)).map_err(|error| port_error("watch the log", error))?;
        Ok(Self { pages, settled: 0, busy })
    }

    /// After a commit. An error means that a flush failed.
    pub(super) fn after_commit(&mut self, connection: &Connection) -> Result<(), PortError> {
        let pages = self.grown();
        if pages >= TRUNCATE_PAGES.max(self.settled + PASSIVE_PAGES) {
            self.truncate(connection)?;
            // When a reader stood in the way the log has its size still; try again after some growth.
            self.settled = self.pages.load(Ordering::Relaxed);
        } else if pages >= self.settled + PASSIVE_PAGES {
            let done = connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE);
            harmless(done.map(drop))?;
            self.settled = pages;
        }
        Ok(())
    }

    /// Whether it has grown enough for something to be done about it.
    pub(super) fn is_long(&mut self) -> bool {
        self.grown() >= self.settled + PASSIVE_PAGES
    }

    /// Whether it has grown so much that nobody should write before something was done about it.
    pub(super) fn is_overdue(&mut self) -> bool {
        self.grown() >= self.settled + 2 * PASSIVE_PAGES
    }

    /// Its pages now. Fewer than at the last check-point: it has started over.
    fn grown(&mut self) -> u64 {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.settled {
            self.settled = 0;
        }
        pages
    }

    /// Whether there is anything to truncate.
    pub(super) fn is_dirty(&self) -> bool {
        self.pages.load(Ordering::Relaxed) > 0
    }

    /// Copies the whole log into the database and empties its file, unless a reader stands in the way.
    pub(super) fn truncate(&mut self, connection: &Connection) -> Result<(), PortError> {
        let wait = |limit| connection.busy_timeout(limit).map_err(|error| port_error("set the lock timeout", error));
        wait(TRUNCATE_WAIT)?;
        let done = connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::TRUNCATE);
        wait(self.busy)?;
        if done.is_ok() {
            self.pages.store(0, Ordering::Relaxed);
            self.settled = 0;
        }
        harmless(done.map(drop))
    }
}

/// A check-point that a reader or a full disk stopped is tried again later: the log keeps everything. After a failed flush
/// nothing may go on.
fn harmless(done: rusqlite::Result<()>) -> Result<(), PortError> {
    match done {
        Ok(()) => Ok(()),
        Err(error) if flush_failed(&error) => Err(port_error("flush a check-point", error)),
        Err(error) => {
            if error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) {
                tracing::warn!(%error, "the metadata's log could not be check-pointed; it will be tried again");
            }
            Ok(())
        }
    }
}
