//! The vault's metadata in one SQLite database: the embedded default.
//!
//! One connection writes ([`writer`]) with group commit; a few read ([`readers`]). Nothing here blocks an async
//! thread but [`SqliteMetadata::open`] and dropping without [`SqliteMetadata::close`].
//!
//! Only one process may have the database open: what erasures cover is held in memory beside it. A lock file next to the
//! database sees to that.

mod apply;
mod connection;
mod copying;
mod error;
mod migrate;
mod port;
mod read;
mod readers;
mod reserve;
mod rows;
mod statements;
mod wal;
mod writer;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use keyforest::{NoProbe, Probe};
use oubliette_core::ports::{Applied, PortError, PortErrorKind, Transaction, may_wait};
use tokio::sync::{Semaphore, oneshot};
use uuid::Uuid;

pub use self::copying::{CopiedBlob, DatabaseCopy, copy_database};
pub use super::migration::MigrationError;
use crate::media::ground::Ground;
use readers::Readers;
use reserve::Reserve;
use wal::Wal;
pub use writer::CRASH_POINTS;
use writer::{Job, Work, Writer};

/// Most groups or blocks in one question of the port.
pub const MAX_ASKED: usize = 1_000;

/// How the database is used. `SqliteOptions::default()` suits a vault.
pub struct SqliteOptions {
    /// Id a *new* database gets; one that is there keeps its own.
    pub new_instance: Uuid,
    /// Told around each commit ([`CRASH_POINTS`]).
    pub probe: Arc<dyn Probe>,
    /// Connections that read, and so the most reads at one time. At least 1.
    pub readers: u32,
    /// Transactions that may wait for the writer; further callers wait for a place. At least 1.
    pub queue: u32,
    /// Largest size of the database file in bytes; beyond it writes answer *unavailable*. `None`: the disk's.
    pub max_bytes: Option<u64>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { new_instance: Uuid::new_v4(), probe: Arc::new(NoProbe), readers: 4, queue: 4_096, max_bytes: None }
    }
}

/// The metadata store on SQLite.
pub struct SqliteMetadata {
    readers: Readers,
    places: Arc<Semaphore>,
    /// Empty once closed.
    door: Mutex<Option<Door>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The ways to the writer.
#[derive(Clone)]
struct Door {
    /// To its thread.
    jobs: mpsc::Sender<Job>,
    /// To itself, for who may wait.
    writer: writer::Shared,
}

impl SqliteMetadata {
    /// Opens the database at `path`, makes and migrates it as needed, and starts its writer. Blocks: call it before serving
    /// or on a blocking task.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be used now (another process has it, the folder is missing, the disk is full or
    /// read-only), `Refused` when it is not ours to use (its source is a [`MigrationError`]), `Corrupt` when it is damaged.
    pub fn open(path: &Path, options: SqliteOptions) -> Result<Self, PortError> {
        Self::open_with(path, options, |_| {})
    }

    /// As [`SqliteMetadata::open`]; `prepare` sees the writer's connection before it is used.
    fn open_with(
        path: &Path,
        options: SqliteOptions,
        prepare: impl FnOnce(&mut rusqlite::Connection),
    ) -> Result<Self, PortError> {
        let lock = lock(path)?;
        let mut connection = connection::open_writer(path, options.max_bytes)?;
        migrate::migrate(&mut connection, options.new_instance)?;
        sync_folder(path)?;
        let load = |error| error::port_error("load the metadata's erasures", error);
        let erased = apply::load_erased(&connection).map_err(load)?;
        let commit_counter = read::instance(&connection).map_err(load)?.commit_counter;
        let wal = Wal::watch(&mut connection, connection::BUSY)?;
        prepare(&mut connection);

        let stopped = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            connection,
            erased,
            wal,
            commit_counter,
            probe: options.probe,
            ground: Ground::of(folder_of(path)),
            reserve: Reserve::of(path),
            arrivals: Vec::new(),
            stopped: Arc::clone(&stopped),
            busy: false,
        };
        let writer = Arc::new(Mutex::new(Some(writer)));
        let (sender, jobs) = mpsc::channel();
        let door = Door { jobs: sender, writer: Arc::clone(&writer) };
        let run = move || {
            writer::run(&writer, &jobs);
            drop(lock);
        };
        let thread = std::thread::Builder::new()
            .name("metadata-writer".to_owned())
            .spawn(run)
            .map_err(|error| PortError::new(PortErrorKind::Unavailable, "start the metadata's writer", error))?;
        Ok(Self {
            readers: Readers::new(path.to_owned(), options.readers.max(1), stopped),
            places: Arc::new(Semaphore::new(options.queue.max(1) as usize)),
            door: Mutex::new(Some(door)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Finishes what was begun, empties the log and closes the database. Later calls answer *unavailable*.
    pub async fn close(&self) {
        self.places.close();
        self.readers.close().await;
        self.shut();
        if let Some(thread) = self.take_thread() {
            drop(tokio::task::spawn_blocking(move || thread.join()).await);
        }
    }

    /// Hands work to the writer's thread and waits for its answer. Once handed over it is done even if the caller goes away.
    async fn write<T>(&self, work: impl FnOnce(oneshot::Sender<Result<T, PortError>>) -> Work) -> Result<T, PortError> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        self.door()?.jobs.send(Job::Work(work(answer), place)).map_err(|_| closed())?;
        // Without an answer the writer is gone, perhaps in the middle of the commit.
        let lost = |error| PortError::new(PortErrorKind::Unknown, "wait for the metadata's writer", error);
        answered.await.map_err(lost)?
    }

    async fn transact(&self, transaction: Transaction) -> Result<Applied, PortError> {
        if may_wait() {
            let door = self.door()?;
            // Somebody else at work means that there is a commit to share: then the queue is the place to be.
            if let Ok(mut place) = door.writer.try_lock() {
                let writer = place.as_mut().ok_or_else(closed)?;
                if !writer.is_behind() {
                    let (outcome, tidy) = writer.apply_here(transaction);
                    drop(place);
                    if tidy {
                        let _ = door.jobs.send(Job::Tidy);
                    }
                    return outcome;
                }
            }
        }
        self.write(|answer| Work::Apply(transaction, answer)).await
    }

    fn door(&self) -> Result<Door, PortError> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)
    }

    fn shut(&self) {
        drop(self.door.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn take_thread(&self) -> Option<JoinHandle<()>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for SqliteMetadata {
    /// Waits for the writer, so that the file can be opened again at once.
    fn drop(&mut self) {
        self.shut();
        if let Some(thread) = self.take_thread() {
            drop(thread.join());
        }
    }
}

fn closed() -> PortError {
    PortError::bare(PortErrorKind::Unavailable, "write to closed metadata")
}

/// Keeps other processes out. Never the database file itself: closing another handle of it would drop SQLite's own locks.
fn lock(path: &Path) -> Result<File, PortError> {
    const OPERATION: &str = "lock the metadata";
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let unavailable = |error| PortError::new(PortErrorKind::Unavailable, OPERATION, error);
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(PathBuf::from(name)).map_err(unavailable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(PortError::new(PortErrorKind::Unavailable, OPERATION, "another process has the database open"))
        }
        Err(TryLockError::Error(error)) => Err(unavailable(error)),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// SQLite flushes the folder for its log but not for a new database file.
fn sync_folder(path: &Path) -> Result<(), PortError> {
    File::open(folder_of(path))
        .and_then(|folder| folder.sync_all())
        .map_err(|error| PortError::new(PortErrorKind::Unknown, "flush the metadata's folder", error))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use oubliette_core::ports::{Applied, Metadata, Transaction, Write};

    use super::*;

    fn put(value: u8) -> Transaction {
        Transaction { writes: vec![Write::PutValue("name".into(), Some(vec![value]))], ..Transaction::default() }
    }

    /// A failed flush cannot be had from a healthy disk; a commit refused by a hook takes the same way, since SQLite's code for
    /// it is not one of those that are certain.
    #[tokio::test]
    async fn after_a_commit_of_unknown_outcome_everything_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metadata.db");
        let failing = Arc::new(AtomicBool::new(false));
        let hook = Arc::clone(&failing);
        let store = SqliteMetadata::open_with(&path, SqliteOptions::default(), |connection| {
            connection.commit_hook(Some(move || hook.load(Ordering::SeqCst))).unwrap();
        });
        let store = store.unwrap();
        assert_eq!(store.apply(put(1)).await.unwrap(), Applied::Done(1));
        failing.store(true, Ordering::SeqCst);
        assert_eq!(store.apply(put(2)).await.unwrap_err().kind, PortErrorKind::Unknown);
        failing.store(false, Ordering::SeqCst);
        assert_eq!(store.apply(put(3)).await.unwrap_err().kind, PortErrorKind::Unknown);
        let to = oubliette_core::ports::BlobRef("b".into());
        assert_eq!(store.switch_blob(&to, &to).await.unwrap_err().kind, PortErrorKind::Unknown);
        assert_eq!(store.value("name").await.unwrap_err().kind, PortErrorKind::Unknown);
        store.close().await;

        let store = SqliteMetadata::open(&path, SqliteOptions::default()).unwrap();
        assert_eq!(store.value("name").await.unwrap(), Some(vec![1]), "the disk decides");
        assert_eq!(store.apply(put(4)).await.unwrap(), Applied::Done(2));
    }
}
