//! A few connections that read, lent to blocking tasks and to threads that may wait. Reads never wait for the writer and see every finished commit.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use oubliette_core::ports::{PortError, PortErrorKind, may_wait};
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::connection::open_reader;

/// The pool. Its size bounds the reads under way; more of them wait their turn.
pub(super) struct Readers {
    shared: Arc<Shared>,
    turns: Arc<Semaphore>,
    size: u32,
}

struct Shared {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Set when a flush failed: what is read may not be what the disk holds.
    stopped: Arc<AtomicBool>,
}

impl Readers {
    /// A pool that opens its connections when they are first needed.
    pub(super) fn new(path: PathBuf, size: u32, stopped: Arc<AtomicBool>) -> Self {
        let shared = Arc::new(Shared { path, idle: Mutex::default(), stopped });
        Self { shared, turns: Arc::new(Semaphore::new(size as usize)), size }
    }

    /// Runs `job` with a connection, away from the async threads; right here on a thread that may wait. It runs to its end even
    /// when nobody waits any more.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        job: impl FnOnce(&Connection) -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, PortError> {
        let closed = |_| PortError::bare(PortErrorKind::Unavailable, "read from closed metadata");
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(closed)?;
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let connection = shared.take()?;
            let result = job(&connection);
            shared.put_back(connection);
            drop(turn);
            result
        };
        if may_wait() {
            return work();
        }
        let task = tokio::task::spawn_blocking(work);
        // A panic in the job drops its connection; the next reader opens another.
        task.await.map_err(|error| PortError::new(PortErrorKind::Unavailable, operation, error))?
    }

    /// Lets reads under way finish, refuses further ones and closes the connections.
    pub(super) async fn close(&self) {
        if let Ok(all) = self.turns.acquire_many(self.size).await {
            self.turns.close();
            drop(all);
        }
        let idle = std::mem::take(&mut *self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner));
        drop(tokio::task::spawn_blocking(move || drop(idle)).await);
    }
}

impl Shared {
    fn take(&self) -> Result<Connection, PortError> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(PortError::bare(PortErrorKind::Unknown, "read after a failed flush"));
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| open_reader(&self.path), Ok)
    }

    fn put_back(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}
