//! The one connection that writes, and the thread that has it at its disposal, with group commit.
//!
//! It takes whatever waits in the queue, runs each transaction in a savepoint of its own inside one SQLite transaction,
//! commits once, and only then answers them all. There is no waiting window: an idle writer commits the first transaction
//! at once, and what arrives meanwhile forms the next batch. A failed check or a refused write undoes its savepoint alone.
//!
//! A caller on a thread that may wait commits there and then when the connection is free: handing a transaction over and its
//! answer back costs two changes of thread, which next to a flush is a lot. Keeping the log small stays the thread's work.
//!
//! When a commit certainly did not happen, everybody in the batch hears *unavailable*. When a flush failed the truth is on
//! the disk only: everybody hears *unknown*, and the writer does nothing any more, because the process has to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyforest::Probe;
use oubliette_core::ports::{Applied, PortError, PortErrorKind, Transaction, Write};
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::metadata::erased::Erased;

use super::apply::{self, Stop};
use super::error::{commit_certainly_failed, flush_failed, port_error};
use super::reserve::Reserve;
use super::statements as sql;
use super::wal::Wal;
use crate::media::ground::Ground;

/// The moments around a durable commit, in order; see [`keyforest::Probe`].
pub const CRASH_POINTS: &[&str] = &[BEFORE_COMMIT, AFTER_COMMIT];

const BEFORE_COMMIT: &str = "metadata.before_commit";
const AFTER_COMMIT: &str = "metadata.after_commit";

/// Transactions in one commit, at most.
const BATCH: usize = 1_024;

/// Writes in one commit, at most, unless a single transaction has more.
const BATCH_WRITES: usize = 20_000;

/// After this long without work the log is emptied.
const IDLE: Duration = Duration::from_secs(1);

/// What the writer is asked to do.
pub(super) enum Work {
    /// Do a transaction.
    Apply(Transaction, oneshot::Sender<Result<Applied, PortError>>),
    /// Switch a blob's place (from, to).
    Switch(String, String, oneshot::Sender<Result<bool, PortError>>),
}

impl Work {
    fn erases(&self) -> bool {
        let erases = |write: &Write| matches!(write, Write::InsertPurge(_));
        matches!(self, Self::Apply(transaction, _) if transaction.writes.iter().any(erases))
    }
}

/// What the thread is handed.
pub(super) enum Job {
    /// Work with its place in the bounded queue, given back when the work is taken up.
    Work(Work, OwnedSemaphorePermit),
    /// Keep the log small: somebody committed by himself.
    Tidy,
}

/// Somebody to answer after the commit.
enum Waiting {
    Apply(oneshot::Sender<Result<Applied, PortError>>, Result<Applied, PortError>),
    Switch(oneshot::Sender<Result<bool, PortError>>, Result<bool, PortError>),
}

/// How a batch ended.
enum Ended {
    Committed,
    /// Nothing of it happened.
    NotDone,
    /// Only the disk knows.
    Unknown,
}

/// What it takes to write.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) erased: Erased,
    pub(super) wal: Wal,
    pub(super) commit_counter: u64,
    pub(super) probe: Arc<dyn Probe>,
    /// Asked after every commit; the blobs it names were flushed to the same file system before.
    pub(super) ground: Ground,
    /// Given up before an erasure on a full disk.
    pub(super) reserve: Reserve,
    /// What comes in with the commit under way.
    pub(super) arrivals: Vec<u8>,
    /// Set when a flush failed.
    pub(super) stopped: Arc<AtomicBool>,
    /// Something was written since the thread last found nothing to do.
    pub(super) busy: bool,
}

/// The writer; `None` once it is closed. Held by whoever commits.
pub(super) type Shared = Arc<Mutex<Option<Writer>>>;

/// The thread: works until every sender is gone, then empties the log and closes the database. A panic of whoever had the
/// writer ends it: nobody knows what that left.
pub(super) fn run(shared: &Shared, jobs: &Receiver<Job>) {
    loop {
        let next = jobs.recv_timeout(IDLE);
        let Ok(mut writer) = shared.lock() else { return };
        let Some(writer) = writer.as_mut() else { return };
        match next {
            Ok(first) => {
                writer.batch(take(first, jobs));
                writer.keep_log_small(Wal::after_commit);
            }
            Err(RecvTimeoutError::Timeout) => writer.nothing_to_do(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if let Ok(mut writer) = shared.lock()
        && let Some(writer) = writer.take()
    {
        writer.close();
    }
}

impl Writer {
    /// Whether the thread has fallen so far behind with the log that a commit has to wait for it.
    pub(super) fn is_behind(&mut self) -> bool {
        self.wal.is_overdue()
    }

    /// Commits one transaction on the caller's thread; whether the log is to be kept small after it.
    pub(super) fn apply_here(&mut self, transaction: Transaction) -> (Result<Applied, PortError>, bool) {
        let (answer, mut answered) = oneshot::channel();
        self.batch(vec![Work::Apply(transaction, answer)]);
        let lost = |error| PortError::new(PortErrorKind::Unknown, "apply a transaction", error);
        let outcome = answered.try_recv().map_err(lost).flatten();
        (outcome, self.wal.is_long() || !self.reserve.is_whole())
    }

    fn close(mut self) {
        self.keep_log_small(Wal::truncate);
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "the metadata could not be closed in order; its log will be read at the next start");
        }
    }

    /// Nobody handed anything over for a while; whether somebody committed by himself is another question.
    fn nothing_to_do(&mut self) {
        if !std::mem::take(&mut self.busy) && self.wal.is_dirty() {
            self.keep_log_small(Wal::truncate);
        }
    }

    fn keep_log_small(&mut self, how: fn(&mut Wal, &Connection) -> Result<(), PortError>) {
        if self.stopped.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = how(&mut self.wal, &self.connection) {
            self.stop(&error);
        }
        self.reserve.refill();
    }

    fn batch(&mut self, batch: Vec<Work>) {
        if batch.is_empty() {
            return;
        }
        self.busy = true;
        if self.stopped.load(Ordering::Acquire) {
            for work in batch {
                Waiting::begin(work).0.answer(&Ended::Unknown);
            }
            return;
        }
        let mut waiting = Vec::with_capacity(batch.len());
        let ended = self.run_batch(batch, &mut waiting);
        match ended {
            Ended::Committed => self.erased.settle(),
            Ended::NotDone | Ended::Unknown => self.erased.undo_all(),
        }
        for one in waiting {
            one.answer(&ended);
        }
    }

    fn run_batch(&mut self, batch: Vec<Work>, waiting: &mut Vec<Waiting>) -> Ended {
        if batch.iter().any(Work::erases) {
            self.reserve.spend_if_full();
        }
        self.arrivals.clear();
        let mut begun = self.execute(sql::BEGIN_COMMIT);
        let mut wrote = false;
        for work in batch {
            let (mut one, request) = Waiting::begin(work);
            if begun.is_ok() {
                begun = self.one(&mut one, request, &mut wrote);
            }
            waiting.push(one);
        }
        match begun.and_then(|()| if wrote { self.count_commit() } else { self.execute(sql::ROLLBACK) }) {
            Err(error) => self.give_up(&error),
            Ok(()) if wrote => self.commit(waiting),
            Ok(()) => {
                // Nothing to make durable; what was found is as true as the last commit.
                tell_counter(waiting, self.commit_counter);
                Ended::Committed
            }
        }
    }

    /// Runs one request in its savepoint. An error means that the whole batch is lost.
    fn one(&mut self, one: &mut Waiting, request: Request, wrote: &mut bool) -> rusqlite::Result<()> {
        self.execute(sql::SAVEPOINT)?;
        let (mark, arrived) = (self.erased.mark(), self.arrivals.len());
        let (outcome, writes) = match request {
            Request::Apply(transaction) => {
                let writes = !transaction.writes.is_empty();
                (apply::run(&self.connection, &mut self.erased, &mut self.arrivals, transaction).map(|()| true), writes)
            }
            Request::Switch(from, to) => {
                let switched = apply::switch_blob(&self.connection, &from, &to).map_err(Stop::Sql);
                let writes = matches!(switched, Ok(true));
                (switched, writes)
            }
        };
        match outcome {
            Ok(found) => {
                *wrote |= writes;
                one.found(found);
                self.execute(sql::RELEASE)
            }
            Err(stop) => {
                self.erased.undo_to(mark);
                self.arrivals.truncate(arrived);
                // SQLite undoes everything by itself after some errors; then there is no savepoint to go back to.
                let lost = self.connection.is_autocommit();
                match stop {
                    Stop::Sql(error) if lost || flush_failed(&error) => return Err(error),
                    stop => one.stopped(stop),
                }
                self.execute(sql::ROLLBACK_TO)?;
                self.execute(sql::RELEASE)
            }
        }
    }

    /// What belongs to the commit as a whole: its arrivals, and its count.
    fn count_commit(&self) -> rusqlite::Result<()> {
        if !self.arrivals.is_empty() {
            self.connection.prepare_cached(sql::INSERT_ARRIVAL)?.execute([&self.arrivals])?;
        }
        self.connection.prepare_cached(sql::SET_COMMIT_COUNTER)?.execute([self.commit_counter + 1])?;
        Ok(())
    }

    fn commit(&mut self, waiting: &mut [Waiting]) -> Ended {
        self.probe.reached(BEFORE_COMMIT);
        match self.execute(sql::COMMIT) {
            Ok(()) => {
                if let Err(error) = self.ground.holds() {
                    self.stop(&PortError::new(PortErrorKind::Unknown, "commit the metadata", error));
                    return Ended::Unknown;
                }
                self.probe.reached(AFTER_COMMIT);
                self.commit_counter += 1;
                tell_counter(waiting, self.commit_counter);
                Ended::Committed
            }
            Err(error) if commit_certainly_failed(&error) => self.give_up(&error),
            Err(error) => {
                self.stop(&port_error("commit the metadata", error));
                Ended::Unknown
            }
        }
    }

    /// Undoes the whole batch, which was not committed.
    fn give_up(&mut self, error: &rusqlite::Error) -> Ended {
        tracing::warn!(%error, "a batch of metadata transactions was not done");
        if flush_failed(error) {
            self.stop(&PortError::bare(PortErrorKind::Unknown, "flush the metadata's log"));
            return Ended::Unknown;
        }
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute(sql::ROLLBACK)
        {
            self.stop(&port_error("undo a batch of metadata transactions", error));
        }
        Ended::NotDone
    }

    fn stop(&mut self, error: &PortError) {
        self.stopped.store(true, Ordering::Release);
        let cause = error.source.as_ref().map(ToString::to_string);
        tracing::error!(%error, cause, "the metadata's state on disk is unknown: nothing is written any more, the process must end");
    }

    fn execute(&self, text: &'static str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(text)?.execute([])?;
        Ok(())
    }
}

/// What is left of work once its answer's address is split off.
enum Request {
    Apply(Transaction),
    Switch(String, String),
}

impl Waiting {
    fn begin(work: Work) -> (Self, Request) {
        // Stands until the outcome is known; the batch's end overrides it when the request was not reached.
        let open = || PortError::bare(PortErrorKind::Unavailable, "apply a transaction");
        match work {
            Work::Apply(transaction, answer) => (Self::Apply(answer, Err(open())), Request::Apply(transaction)),
            Work::Switch(from, to, answer) => (Self::Switch(answer, Err(open())), Request::Switch(from, to)),
        }
    }

    fn found(&mut self, found: bool) {
        match self {
            // The counter is told after the commit.
            Self::Apply(_, outcome) => *outcome = Ok(Applied::Done(0)),
            Self::Switch(_, outcome) => *outcome = Ok(found),
        }
    }

    fn stopped(&mut self, stop: Stop) {
        match (self, stop.into_error()) {
            (Self::Apply(_, outcome), answer) => *outcome = answer.map(Applied::Failed),
            (Self::Switch(_, outcome), answer) => *outcome = answer.map(|_| false),
        }
    }

    /// Answers; nobody listening any more is fine.
    fn answer(self, ended: &Ended) {
        let kind = match ended {
            Ended::Committed => None,
            Ended::NotDone => Some(PortErrorKind::Unavailable),
            Ended::Unknown => Some(PortErrorKind::Unknown),
        };
        let overridden = kind.map(|kind| PortError::bare(kind, "commit the metadata"));
        match self {
            Self::Apply(answer, outcome) => drop(answer.send(overridden.map_or(outcome, Err))),
            Self::Switch(answer, outcome) => drop(answer.send(overridden.map_or(outcome, Err))),
        }
    }
}

fn tell_counter(waiting: &mut [Waiting], counter: u64) {
    for one in waiting {
        if let Waiting::Apply(_, Ok(Applied::Done(at))) = one {
            *at = counter;
        }
    }
}

/// The work of the first job and of whatever waits behind it.
fn take(first: Job, jobs: &Receiver<Job>) -> Vec<Work> {
    let mut batch = Vec::new();
    let mut writes = 0;
    let mut next = Some(first);
    while let Some(job) = next {
        if let Job::Work(work, _place) = job {
            writes += weight(&work);
            batch.push(work);
        }
        let room = batch.len() < BATCH && writes < BATCH_WRITES;
        next = if room { jobs.try_recv().ok() } else { None };
    }
    batch
}

fn weight(work: &Work) -> usize {
    match work {
        Work::Apply(transaction, _) => transaction.checks.len() + transaction.writes.len(),
        Work::Switch(..) => 1,
    }
}
