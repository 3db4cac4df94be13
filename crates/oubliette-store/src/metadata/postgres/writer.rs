//! The tasks that write, with group commit.
//!
//! Each writer takes whatever waits in its queue as one batch: the rows it could ask for are read, its transactions are
//! judged one by one, what they leave is written and committed, in three round trips however many they are. There is no
//! waiting window. Transactions run SERIALIZABLE, so what was judged still holds when it is committed, whatever other
//! writers and nodes do; when it does not, the batch is judged again. A writer that collided works alone for a while: all
//! others, of every node, wait for the end of its batch. So each gets on however close together they work.
//!
//! Errors before COMMIT mean that nothing was done. When nobody answers a COMMIT, the writer finds out what happened
//! ([`super::seat`]); only when it cannot within its limit the batch hears *unknown*.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use oubliette_core::ports::{Applied, PortError, PortErrorKind, Transaction, Write};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::Shared;
use super::emit::Orders;
use super::gather::Keys;
use super::judge::Stop;
use super::rows::number;
use super::seat::{Fate, Memory, Seat};
use super::statements as sql;
use crate::postgres::{LOCKS, PostgresError, in_order};

/// The moments around a durable commit, in order; see [`keyforest::Probe`].
pub const CRASH_POINTS: &[&str] = &[BEFORE_COMMIT, AFTER_COMMIT];

const BEFORE_COMMIT: &str = "metadata.before_commit";
const AFTER_COMMIT: &str = "metadata.after_commit";

/// Transactions in one commit, at most.
const BATCH: usize = 1_024;

/// Checks and writes in one commit, at most, unless a single transaction has more.
const BATCH_WRITES: usize = 20_000;

/// How often a batch is judged before it is given up.
const ATTEMPTS: u32 = 12;

/// How long a writer works alone after a collision.
const CAREFUL: Duration = Duration::from_secs(1);

/// Second key of the lock that every batch is done under.
const TURN: i32 = 3;

/// How the lock is held.
#[derive(Clone, Copy)]
pub(super) enum Turn {
    /// With whoever else works.
    Beside,
    /// Alone.
    Alone,
}

impl Turn {
    /// Waits for it; to be sent before the database transaction begins and sees anything.
    pub(super) fn begin(self) -> String {
        match self {
            Self::Beside => format!("SELECT pg_advisory_lock_shared({LOCKS}, {TURN})"),
            Self::Alone => format!("SELECT pg_advisory_lock({LOCKS}, {TURN})"),
        }
    }

    fn end(self) -> String {
        match self {
            Self::Beside => format!("SELECT pg_advisory_unlock_shared({LOCKS}, {TURN})"),
            Self::Alone => format!("SELECT pg_advisory_unlock({LOCKS}, {TURN})"),
        }
    }
}

/// What a writer is asked to do.
pub(super) enum Request {
    /// Do a transaction.
    Apply(Transaction),
    /// Switch a blob's place (from, to).
    Switch(String, String),
}

/// Whom to answer.
pub(super) enum Address {
    Apply(oneshot::Sender<Result<Applied, PortError>>),
    Switch(oneshot::Sender<Result<bool, PortError>>),
}

/// A request with its place in the bounded queue.
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) address: Address,
    /// Given back when the writer takes the job up.
    pub(super) _place: OwnedSemaphorePermit,
}

/// What was found of one request.
enum Found {
    /// It happened, or (a switch) there was nothing to do.
    Done(bool),
    Stopped(Stop),
}

/// How a batch ended.
enum Ended {
    /// With the sum of commits after it.
    Committed(Vec<Found>, u64),
    /// A constraint or a value: somebody's transaction is against the contract.
    Refused(PostgresError),
    /// Nothing of it happened.
    NotDone(PostgresError),
    /// It may have happened.
    Unknown(PostgresError),
}

/// What stands in the way of an attempt.
enum Trouble {
    /// Before the commit: nothing happened.
    Before(PostgresError),
    /// The commit was sent. If it happened, this is what was found.
    During(PostgresError, Vec<Found>),
}

impl From<PostgresError> for Trouble {
    fn from(error: PostgresError) -> Self {
        Self::Before(error)
    }
}

/// One writer's state.
pub(super) struct Writer {
    shared: Arc<Shared>,
    jobs: mpsc::UnboundedReceiver<Job>,
    holder: Uuid,
    seat: Option<Seat>,
    memory: Option<Memory>,
    /// Until when it works alone.
    careful: Option<Instant>,
    /// The turn it has now.
    turn: Option<Turn>,
}

impl Writer {
    /// A writer that has no session yet.
    pub(super) fn new(shared: Arc<Shared>, jobs: mpsc::UnboundedReceiver<Job>) -> Self {
        Self { shared, jobs, holder: Uuid::new_v4(), seat: None, memory: None, careful: None, turn: None }
    }

    /// Works until every sender is gone, then ends the session.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.jobs.recv().await {
            let (requests, addresses) = self.take(first);
            let answers = self.batch(&requests).await;
            for (address, answer) in addresses.into_iter().zip(answers) {
                address.answer(answer);
            }
        }
        if let Some(seat) = self.seat {
            seat.session.close().await;
        }
    }

    /// The first job and whatever waits behind it.
    fn take(&mut self, first: Job) -> (Vec<Request>, Vec<Address>) {
        let mut writes = weight(&first.request);
        let (mut requests, mut addresses) = (vec![first.request], vec![first.address]);
        while requests.len() < BATCH && writes < BATCH_WRITES {
            let Ok(job) = self.jobs.try_recv() else { break };
            writes += weight(&job.request);
            requests.push(job.request);
            addresses.push(job.address);
        }
        (requests, addresses)
    }

    /// One answer for each request; a transaction against the contract does not harm its neighbours.
    async fn batch(&mut self, requests: &[Request]) -> Vec<Result<(Found, u64), PortError>> {
        let ended = self.settle(requests).await;
        if let (Ended::Refused(_), 2..) = (&ended, requests.len()) {
            let mut answers = Vec::with_capacity(requests.len());
            for request in requests {
                let ended = self.settle(std::slice::from_ref(request)).await;
                answers.extend(ended.answers(1));
            }
            return answers;
        }
        ended.answers(requests.len())
    }

    /// Brings a batch to an end.
    async fn settle(&mut self, requests: &[Request]) -> Ended {
        let (mut lost, mut collided) = (0, 0);
        for attempt in 1..=ATTEMPTS {
            if self.shared.stopped.load(Ordering::Acquire) {
                return Ended::Unknown(PostgresError::Stopped);
            }
            let error = match self.attempt(requests).await {
                Ok((found, counter)) => return Ended::Committed(found, counter),
                Err(Trouble::During(error, found)) => match self.resolve(&error).await {
                    Fate::Happened => return Ended::Committed(found, self.shared.known.load(Ordering::Acquire)),
                    Fate::Unclear => return Ended::Unknown(error),
                    // On a fresh session already.
                    Fate::DidNotHappen if lost == 0 => {
                        lost += 1;
                        continue;
                    }
                    Fate::DidNotHappen => return Ended::NotDone(error),
                },
                Err(Trouble::Before(error)) => error,
            };
            self.shared.note(&error);
            match error {
                PostgresError::WentBack { .. } | PostgresError::OtherVault => return Ended::Unknown(error),
                error if error.is_lost() => {
                    self.leave();
                    lost += 1;
                    if lost > 1 {
                        return Ended::NotDone(error);
                    }
                }
                error => {
                    self.undo().await;
                    // A second look tells whether another node was first, or a partition is missing after all.
                    let second_look = matches!(error.code(), Some("23505" | "23514")) && collided == 0;
                    if second_look {
                        collided += 1;
                        self.shared.partitions.forget();
                    } else if matches!(error, PostgresError::Rows { .. }) {
                        self.leave();
                    } else if error.is_conflict() {
                        self.careful = Some(Instant::now() + CAREFUL);
                    } else {
                        return match error.kind() {
                            PortErrorKind::Refused => Ended::Refused(error),
                            _ => Ended::NotDone(error),
                        };
                    }
                    if attempt == ATTEMPTS {
                        return Ended::NotDone(error);
                    }
                    tracing::debug!(attempt, code = error.code(), "a batch of metadata transactions is judged again");
                    pause(attempt).await;
                }
            }
        }
        Ended::NotDone(PostgresError::Lost("every attempt failed".to_owned()))
    }

    async fn attempt(&mut self, requests: &[Request]) -> Result<(Vec<Found>, u64), Trouble> {
        let keys = Keys::of(requests.iter());
        self.shared.partitions.ready(&self.shared.connector, &keys).await?;
        let alone = self.careful.is_some_and(|until| until > Instant::now());
        let turn = if alone { Turn::Alone } else { Turn::Beside };
        let (holder, mut has_turn) = (self.holder, false);
        let read = keys.read(&self.sit().await?.session, turn, &mut has_turn).await;
        self.turn = has_turn.then_some(turn);
        let mut books = read?;
        self.shared.partitions.numbered(&self.shared.connector, &books.serials).await?;
        let seat = self.seated()?;
        let mut found = Vec::with_capacity(requests.len());
        for request in requests {
            let mark = books.mark();
            let outcome = match request {
                Request::Apply(transaction) => books.apply(transaction).map(|()| true),
                Request::Switch(from, to) => books.switch(from, to),
            };
            found.push(outcome.map_or_else(
                |stop| {
                    books.undo_to(&mark);
                    Found::Stopped(stop)
                },
                Found::Done,
            ));
        }
        let mut orders = Orders::of(books);
        let writes = !orders.is_empty();
        if writes {
            orders.count(seat.slot, i64::try_from(seat.count + 1).unwrap_or(i64::MAX), holder);
            orders.run(&seat.session).await?;
        }
        drop(orders);
        self.commit(writes, found).await
    }

    /// Commits what was written, or ends a transaction that wrote nothing.
    async fn commit(&mut self, writes: bool, found: Vec<Found>) -> Result<(Vec<Found>, u64), Trouble> {
        let (shared, holder) = (Arc::clone(&self.shared), self.holder);
        let end_of_turn = self.end_of_turn();
        let seat = self.seated()?;
        let warnings = seat.session.warnings();
        if writes {
            shared.probe.reached(BEFORE_COMMIT);
        }
        let (session, slot) = (&seat.session, seat.slot);
        let mut answers = in_order::<Result<Option<(u64, u64)>, PostgresError>>(vec![
            Box::pin(async { session.batch("COMMIT").await.map(|()| None) }),
            Box::pin(async {
                let rows = session.query(sql::COMMITS, &[&slot]).await?;
                rows.first().map(|row| Ok((number(row, 0)?, number(row, 1)?))).transpose()
            }),
            Box::pin(async { session.batch(&end_of_turn).await.map(|()| None) }),
        ])
        .await
        .into_iter();
        let committed = answers.next().unwrap_or(Ok(None));
        let total = answers.next().unwrap_or(Ok(None));
        if !writes {
            committed?;
            let total = total?.map_or(0, |(sum, _)| sum);
            return Ok((found, shared.know(total)));
        }
        match committed {
            Ok(_) => {}
            Err(error) if error.is_lost() || error.code() == Some("40003") => {
                return Err(Trouble::During(error, found));
            }
            // An error of COMMIT undoes everything.
            Err(error) => return Err(Trouble::Before(error)),
        }
        seat.count += 1;
        if matches!(total, Ok(Some((_, own))) if own != seat.count) {
            seat.count -= 1;
            let error = PostgresError::Lost("the commit is not in its slot's count".to_owned());
            return Err(Trouble::During(error, found));
        }
        // A warning: committed, but the wait for the standbys was cut short.
        let warned = seat.session.warnings() != warnings;
        let confirmed = if warned { seat.confirm(holder).await } else { Ok(()) };
        let memory = seat.memory();
        self.memory = Some(memory);
        if let Err(error) = confirmed {
            self.leave();
            return match self.resolve_warned(&error).await {
                true => Ok((found, shared.known.load(Ordering::Acquire))),
                false => Err(Trouble::During(PostgresError::Unconfirmed, found)),
            };
        }
        shared.probe.reached(AFTER_COMMIT);
        // Without a fresh sum the last one known is told: it is never more than there are.
        let total = total.ok().flatten().map_or(0, |(sum, _)| sum);
        Ok((found, shared.know(total)))
    }

    /// The session and its slot, taken when there is none.
    async fn sit(&mut self) -> Result<&mut Seat, PostgresError> {
        if self.seat.as_ref().is_some_and(|seat| seat.session.is_closed()) {
            self.leave();
        }
        let seat = match self.seat.take() {
            Some(seat) => seat,
            None => Seat::take(&self.shared, self.holder, self.memory).await?.0,
        };
        self.memory = Some(seat.memory());
        Ok(self.seat.insert(seat))
    }

    /// The session that wrote, whatever became of it: on another one COMMIT would succeed and mean nothing.
    fn seated(&mut self) -> Result<&mut Seat, PostgresError> {
        self.seat.as_mut().ok_or_else(|| PostgresError::Lost("the writer has no session".to_owned()))
    }

    /// What gives the turn up; nothing without one.
    fn end_of_turn(&mut self) -> String {
        self.turn.take().map(Turn::end).unwrap_or_default()
    }

    /// Lets a session go that is of no use any more, and what it holds with it.
    fn leave(&mut self) {
        self.seat = None;
        self.turn = None;
    }

    /// Ends a transaction that was given up.
    async fn undo(&mut self) {
        let end_of_turn = self.end_of_turn();
        if let Some(seat) = &self.seat
            && seat.session.batch(&format!("ROLLBACK; {end_of_turn}")).await.is_err()
        {
            self.leave();
        }
    }

    /// What became of a commit that nobody answered.
    async fn resolve(&mut self, error: &PostgresError) -> Fate {
        if matches!(error, PostgresError::Unconfirmed) {
            return Fate::Unclear;
        }
        tracing::warn!(%error, "a commit was not answered; looking what became of it");
        self.leave();
        let deadline = Instant::now() + self.shared.resolve_within;
        while Instant::now() < deadline {
            match Seat::take(&self.shared, self.holder, self.memory).await {
                Ok((mut seat, fate)) => {
                    // What happened may have reached one server only.
                    if fate == Fate::Happened {
                        if let Err(error) = seat.confirm(self.holder).await {
                            tracing::warn!(%error, "a commit that happened could not be confirmed yet");
                            continue;
                        }
                        self.memory = Some(seat.memory());
                        self.learn(&seat).await;
                    }
                    self.seat = Some(seat);
                    tracing::warn!(?fate, "what became of the commit is known");
                    return fate;
                }
                Err(error) => {
                    self.shared.note(&error);
                    if self.shared.stopped.load(Ordering::Acquire) {
                        return Fate::Unclear;
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
        Fate::Unclear
    }

    /// Whether a commit that came with a warning is durable after all, on a session of its own.
    async fn resolve_warned(&mut self, error: &PostgresError) -> bool {
        tracing::warn!(%error, "a commit came with a warning and could not be confirmed; trying again");
        let Ok((mut seat, _)) = Seat::take(&self.shared, self.holder, self.memory).await else { return false };
        if seat.confirm(self.holder).await.is_err() {
            return false;
        }
        self.memory = Some(seat.memory());
        self.learn(&seat).await;
        self.seat = Some(seat);
        true
    }

    async fn learn(&self, seat: &Seat) {
        if let Ok(rows) = seat.session.query(sql::COMMITS, &[&seat.slot]).await
            && let Some(Ok(total)) = rows.first().map(|row| number(row, 0))
        {
            self.shared.know(total);
        }
    }
}

impl Ended {
    /// One answer for each of so many requests.
    fn answers(self, requests: usize) -> Vec<Result<(Found, u64), PortError>> {
        let (kind, error) = match self {
            Self::Committed(found, counter) => return found.into_iter().map(|found| Ok((found, counter))).collect(),
            Self::Refused(error) => (PortErrorKind::Refused, error),
            Self::NotDone(error) => (PortErrorKind::Unavailable, error),
            Self::Unknown(error) => (PortErrorKind::Unknown, error),
        };
        let text = error.to_string();
        (0..requests).map(|_| Err(PortError::new(kind, "apply a transaction", text.clone()))).collect()
    }
}

impl Address {
    /// Answers; nobody listening any more is fine.
    fn answer(self, answer: Result<(Found, u64), PortError>) {
        let answer = answer.and_then(|(found, counter)| match found {
            Found::Done(found) => Ok((None, found, counter)),
            Found::Stopped(stop) => stop.into_error().map(|check| (Some(check), false, counter)),
        });
        match self {
            Self::Apply(address) => {
                let applied = |(check, _, counter): (Option<usize>, bool, u64)| {
                    check.map_or(Applied::Done(counter), Applied::Failed)
                };
                drop(address.send(answer.map(applied)));
            }
            Self::Switch(address) => drop(address.send(answer.map(|(_, found, _)| found))),
        }
    }
}

/// Checks and rows written.
pub(super) fn weight(request: &Request) -> usize {
    match request {
        Request::Apply(transaction) => {
            let rows = |write: &Write| match write {
                Write::DeleteContents(leaves) => leaves.len(),
                Write::DeleteInteractions(groups) => groups.len(),
                _ => 1,
            };
            transaction.checks.len() + transaction.writes.iter().map(rows).sum::<usize>()
        }
        Request::Switch(..) => 1,
    }
}

/// A moment longer after each attempt, not the same for everybody.
async fn pause(attempt: u32) {
    let most = 1_u128 << attempt.min(5);
    let millis = u64::try_from(Uuid::new_v4().as_u128() % (most * 1_000)).unwrap_or(0);
    tokio::time::sleep(Duration::from_micros(millis)).await;
}
