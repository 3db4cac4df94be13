//! The vault's metadata in a PostgreSQL database, which several nodes may share.
//!
//! A few writers ([`writer`]), each with a session and a slot of the commit counter of its own ([`seat`]), do transactions in
//! batches; a pool of sessions reads. Nothing is held in memory that another node could change.
//!
//! - *Invariant:* what is answered as done was committed with every wait the server was told to make.
//! - *Invariant:* a database that lacks commits this process has seen is noticed at the next connection; nothing is read
//!   from it or written to it any more.
//! - *Absent:* locks on rows. Transactions are SERIALIZABLE and done again when they collide.

mod books;
mod covers;
mod emit;
mod fence;
mod gather;
mod judge;
mod ledger;
mod migrate;
mod partitions;
mod port;
mod read;
mod rows;
mod seat;
pub mod statements;
mod survey;
mod writer;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyforest::{Group, NoProbe, Probe};
use oubliette_core::ports::{Check, PortError, PortErrorKind, Transaction, Write};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

pub use super::migration::MigrationError;
use crate::postgres::{Connector, Options, Pool, PostgresError, Session, port_error};
use partitions::Partitions;
pub use survey::{Survey, survey};
pub use writer::CRASH_POINTS;
use writer::{Address, Job, Request, Writer};

/// Most groups or blocks in one question of the port.
pub const MAX_ASKED: usize = 1_000;

/// The schema all tables lie in.
pub const SCHEMA: &str = "oubliette";

/// Checks and writes (and rows to delete) from which on a transaction is large.
const LARGE: usize = 256;

/// An index whenever there is one: tables are planned for as they will be, not as they are when they are new.
pub const PLANNER: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
    SET enable_bitmapscan = off";

/// How the database is used. `PostgresOptions { server, ..PostgresOptions::default() }` suits a vault.
pub struct PostgresOptions {
    /// Which database.
    pub server: Options,
    /// Id a *new* database gets; one that is there keeps its own.
    pub new_instance: Uuid,
    /// Told around each commit ([`CRASH_POINTS`]).
    pub probe: Arc<dyn Probe>,
    /// Sessions that write; the last of several does what is large. At least 1.
    ///
    /// More than two seldom help: what waits shares a commit anyway, and writers side by side collide.
    pub writers: u32,
    /// Sessions that read, and so the most reads at one time. At least 1.
    pub readers: u32,
    /// Transactions that may wait for the writers; further callers wait for a place. At least 1.
    pub queue: u32,
    /// How long to look for what became of a commit that nobody answered.
    pub resolve_within: Duration,
    /// The number of the claim to the vault, where one process at a time may change it: whoever opens with a higher one shuts
    /// the rows to this one. `None` where several nodes write.
    pub fence: Option<u64>,
    /// Set for good when the rows turn out to be shut to this process.
    pub superseded: Arc<AtomicBool>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            server: Options::default(),
            new_instance: Uuid::new_v4(),
            probe: Arc::new(NoProbe),
            writers: 2,
            readers: 8,
            queue: 4_096,
            resolve_within: Duration::from_secs(30),
            fence: None,
            superseded: Arc::default(),
        }
    }
}

/// The metadata store on PostgreSQL.
pub struct PostgresMetadata {
    shared: Arc<Shared>,
    readers: Pool,
    places: Arc<Semaphore>,
    /// One queue a writer; empty once closed.
    queues: Mutex<Vec<mpsc::UnboundedSender<Job>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Makes partitions ahead.
    worker: JoinHandle<()>,
}

/// What writers, readers and the worker share.
struct Shared {
    connector: Connector,
    partitions: Partitions,
    probe: Arc<dyn Probe>,
    instance: Uuid,
    /// Most commits ever seen.
    known: AtomicU64,
    /// Set when the database went back or is another one.
    stopped: AtomicBool,
    resolve_within: Duration,
    /// The claim this process acts under.
    fence: Option<u64>,
    superseded: Arc<AtomicBool>,
}

impl PostgresMetadata {
    /// Opens the database, makes and migrates the schema as needed, and starts the writers.
    ///
    /// # Errors
    /// `Unavailable` when the server cannot be used now, `Refused` when it or the database is not to be used (its source is a
    /// [`PostgresError`] or a [`MigrationError`]), `Corrupt` when it is damaged.
    pub async fn open(options: PostgresOptions) -> Result<Self, PortError> {
        let failed = |error| port_error("open the metadata", error);
        let connector = Connector::new(&options.server)?;
        migrate::migrate(&connector, options.new_instance, options.fence).await?;
        let partitions = Partitions::default();
        partitions.begin(&connector).await.map_err(failed)?;
        let session = connector.connect(SCHEMA).await.map_err(failed)?;
        if let Some(number) = options.fence {
            fence::raise(&session, number).await.map_err(failed)?;
        }
        let instance = read::instance(&session).await.map_err(failed)?;
        session.close().await;

        let shared = Arc::new(Shared {
            connector,
            partitions,
            probe: options.probe,
            instance: instance.instance,
            known: AtomicU64::new(instance.commit_counter),
            stopped: AtomicBool::new(false),
            resolve_within: options.resolve_within,
            fence: options.fence,
            superseded: options.superseded,
        });
        let (mut queues, mut tasks) = (Vec::new(), Vec::new());
        for _ in 0..options.writers.max(1) {
            let (queue, jobs) = mpsc::unbounded_channel();
            queues.push(queue);
            tasks.push(tokio::spawn(Writer::new(Arc::clone(&shared), jobs).run()));
        }
        let ahead = Arc::clone(&shared);
        let worker = tokio::spawn(async move { ahead.partitions.work(&ahead.connector).await });
        let reading = Arc::clone(&shared);
        let readers = Pool::new(options.readers.max(1), options.server.statement_timeout, move || {
            let shared = Arc::clone(&reading);
            Box::pin(async move { shared.open(&[]).await })
        });
        Ok(Self {
            shared,
            readers,
            places: Arc::new(Semaphore::new(options.queue.max(1) as usize)),
            queues: Mutex::new(queues),
            tasks: Mutex::new(tasks),
            worker,
        })
    }

    /// Finishes what was begun and ends the sessions. Later calls answer *unavailable*.
    pub async fn close(&self) {
        self.places.close();
        self.readers.close().await;
        drop(self.take_queues());
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            drop(task.await);
        }
        self.worker.abort();
    }

    /// Hands work to a writer and waits for its answer. Once handed over it is done even if the caller goes away.
    async fn write<T>(
        &self,
        request: Request,
        address: impl FnOnce(oneshot::Sender<Result<T, PortError>>) -> Address,
    ) -> Result<T, PortError> {
        let closed = || PortError::bare(PortErrorKind::Unavailable, "write to closed metadata");
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        let job = Job { request, address: address(answer), _place: place };
        {
            let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            let queue = writer_for(&job.request, queues.len());
            queues.get(queue).ok_or_else(closed)?.send(job).map_err(|_| closed())?;
        }
        // Without an answer the writer is gone, perhaps in the middle of the commit.
        let lost = |error| PortError::new(PortErrorKind::Unknown, "wait for the metadata's writer", error);
        answered.await.map_err(lost)?
    }

    fn take_queues(&self) -> Vec<mpsc::UnboundedSender<Job>> {
        std::mem::take(&mut *self.queues.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for PostgresMetadata {
    /// The writers finish by themselves.
    fn drop(&mut self) {
        drop(self.take_queues());
        self.worker.abort();
    }
}

impl Shared {
    /// A session to the vault this is: another one, or an older state of it, is refused.
    async fn open(&self, prepare: &[&'static str]) -> Result<Session, PostgresError> {
        // Read before: what is committed meanwhile may be missing in the answer, nothing else.
        let known = self.known.load(Ordering::Acquire);
        let session = self.connector.connect(SCHEMA).await?;
        session.batch(PLANNER).await?;
        session.prepare_all(prepare).await?;
        let found = read::instance(&session).await?;
        let error = if found.instance != self.instance {
            PostgresError::OtherVault
        } else if found.commit_counter < known {
            PostgresError::WentBack { found: found.commit_counter, known }
        } else {
            match fence::check(&session, self.fence).await {
                Ok(()) => return Ok(session),
                Err(error) => error,
            }
        };
        self.note(&error);
        Err(error)
    }

    /// Notes a sum of commits; the highest so far.
    fn know(&self, commits: u64) -> u64 {
        self.known.fetch_max(commits, Ordering::AcqRel).max(commits)
    }

    /// Stops everything for what cannot be mended here.
    fn note(&self, error: &PostgresError) {
        let fatal =
            matches!(error, PostgresError::WentBack { .. } | PostgresError::OtherVault | PostgresError::Superseded);
        if matches!(error, PostgresError::Superseded) {
            self.superseded.store(true, Ordering::Release);
        }
        if fatal && !self.stopped.swap(true, Ordering::AcqRel) {
            tracing::error!(%error, "the database is not to be used by this process any more: nothing is read or written");
        }
    }
}

/// Which of so many writers does this. What is large goes to the last, so that nothing small waits behind it. Of the rest,
/// work on the same interaction, and mostly on its neighbours, goes to the same writer: writers seldom collide, and what waits
/// behind one transaction on a row is judged after it.
fn writer_for(request: &Request, writers: usize) -> usize {
    if writers < 2 {
        return 0;
    }
    if writer::weight(request) > LARGE {
        return writers - 1;
    }
    let Request::Apply(transaction) = request else { return 0 };
    let Some(group) = subject(transaction) else { return 0 };
    let mut hasher = DefaultHasher::new();
    (group.0 >> 7).hash(&mut hasher);
    (hasher.finish() % (writers as u64 - 1)) as usize
}

/// The first interaction a transaction names.
fn subject(transaction: &Transaction) -> Option<Group> {
    let checked = transaction.checks.iter().find_map(|check| match check {
        Check::Interaction(group) | Check::Version(group, _) => Some(*group),
        Check::NotErased(leaf) | Check::Content(leaf) => Some(Group::of(*leaf)),
        Check::DirectoryLeaf(..) | Check::ExtraGroupSerial(_) => None,
    });
    let written = || {
        transaction.writes.iter().find_map(|write| match write {
            Write::InsertInteraction(row) | Write::UpdateInteraction(row) => Some(row.group),
            Write::SetState(group, _) => Some(*group),
            Write::InsertContent(row) => Some(row.interaction),
            _ => None,
        })
    };
    checked.or_else(written)
}
