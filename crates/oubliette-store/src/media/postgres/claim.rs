//! The session that writes: lock, fence, and finding out what happened when an answer got lost.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keyforest::media::not_done;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::ledger::{LedgerError, migrate};
use super::{Claiming, Refusal, SCHEMA, statements};
use crate::postgres::{Connector, LOCKS, Parameter, PostgresError, Session};

/// Second key of the sealer's lock.
const LOCK: i32 = 100;
const PAUSE: Duration = Duration::from_millis(100);
/// How long one look at a silent holder takes; whoever stands by looks again.
const LOOK: Duration = Duration::from_secs(1);

/// How far above the number that this process took others may know of earlier claims. A server that was lost and made anew
/// counts from 1, while they remember how many claims there were before: one for every start and every lost connection.
const MOST_FORGOTTEN: i64 = 1 << 32;
/// No number above this is believed: what is left above it every later claim and session can be counted up from.
const HIGHEST: i64 = 1 << 62;

/// Values of a statement, on their way to the thread that sends it.
pub(super) type Values = Vec<Box<dyn ToSql + Sync + Send>>;

/// A statement that writes, with its values from `$3` on.
pub(super) struct Write {
    pub(super) text: &'static str,
    pub(super) values: Values,
}

/// The claim of one process.
pub(super) struct Claim {
    connector: Connector,
    owner: Uuid,
    /// The number that it was taken with.
    taken: i64,
    patience: Duration,
    held: Mutex<Held>,
    /// Set for good when another process turns out to have it.
    superseded: Arc<AtomicBool>,
}

struct Held {
    /// `None` while there is no connection.
    session: Option<Session>,
    number: i64,
    serial: i64,
}

/// Why there is no session.
enum NoSession {
    Refused(Refusal),
    Failed(PostgresError),
}

impl From<PostgresError> for NoSession {
    fn from(error: PostgresError) -> Self {
        Self::Failed(error)
    }
}

impl From<LedgerError> for NoSession {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Refused(refusal) => Self::Refused(refusal),
            LedgerError::Database(error) => Self::Failed(error),
        }
    }
}

impl From<NoSession> for io::Error {
    fn from(error: NoSession) -> Self {
        match error {
            NoSession::Refused(refusal) => refusal.into(),
            NoSession::Failed(error) => Self::other(error),
        }
    }
}

impl Claim {
    /// Whether another process was seen to have it; turns true once.
    pub(super) fn superseded(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.superseded)
    }

    /// Takes lock and fence. Makes the tables when they are missing.
    pub(super) async fn take(connector: Connector, claiming: Claiming, patience: Duration) -> io::Result<Self> {
        let owner = Uuid::new_v4();
        let (session, number, serial) = Self::first(&connector, owner, claiming, patience).await?;
        let held = Held { session: Some(session), number, serial };
        Ok(Self { connector, owner, taken: number, patience, held: Mutex::new(held), superseded: Arc::default() })
    }

    async fn first(
        connector: &Connector,
        owner: Uuid,
        claiming: Claiming,
        patience: Duration,
    ) -> Result<(Session, i64, i64), NoSession> {
        let session = connector.connect(SCHEMA).await?;
        migrate(&session).await?;
        let (until, force) = match claiming {
            Claiming::Wait(time) => (Instant::now() + time, false),
            Claiming::WhenSilent(_) => (Instant::now() + LOOK, false),
            Claiming::TakeOver => (Instant::now() + patience, true),
        };
        while !lock(&session).await? {
            if force {
                end_holder(&session, None).await?;
            }
            if let Claiming::WhenSilent(limit) = claiming {
                let limit = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
                for row in session.query(statements::SILENT_HOLDER, &[&LOCKS, &LOCK, &limit]).await? {
                    let holder: i32 = row.get(0);
                    tracing::warn!("who holds the key state has said nothing for too long: it is passed over");
                    end_holder(&session, Some(holder)).await?;
                }
            }
            if Instant::now() >= until {
                return Err(NoSession::Refused(Refusal::InUse));
            }
            sleep(PAUSE).await;
        }
        let (number, serial) = raise(&session, statements::TAKE_OVER, owner, patience).await?;
        Ok((session, number, serial))
    }

    /// Number and serial, as they are now.
    pub(super) async fn fence(&self) -> (i64, i64) {
        let held = self.held.lock().await;
        (held.number, held.serial)
    }

    /// Runs one write; durable when this returns `Ok`.
    ///
    /// # Errors
    /// Made by [`not_done`] when it certainly did not take place. [`Refusal::Superseded`]: nor now, nor ever again.
    /// [`Refusal::Undecided`]: the server could not be asked in time.
    pub(super) async fn write(&self, write: &Write) -> io::Result<()> {
        let mut held = self.held.lock().await;
        let until = Instant::now() + self.patience;
        // The serial that a statement without an answer would have set.
        let mut sent = None;
        loop {
            if let Err(error) = self.session(&mut held).await {
                self.missing(&mut held, error, sent.is_some(), until).await?;
                continue;
            }
            if sent.take() == Some(held.serial) {
                // It took place, and the commit that raised the number came after it.
                return Ok(());
            }
            let Held { session: Some(session), number, serial, .. } = &*held else { continue };
            let mut values: Vec<Parameter<'_>> = vec![number, serial];
            values.extend(write.values.iter().map(|value| &**value as Parameter<'_>));
            let warnings = session.warnings();
            match session.query(write.text, &values).await {
                Ok(rows) if rows.is_empty() => return Err(self.lost(&mut held)),
                Ok(_) => {
                    let warned = session.warnings() != warnings;
                    held.serial += 1;
                    if !warned {
                        return Ok(());
                    }
                    match self.confirmed(&mut held, until).await? {
                        true => return Ok(()),
                        false => sent = Some(held.serial),
                    }
                }
                Err(error) => {
                    if !error.is_lost() {
                        // Read only: the server is not the primary any more.
                        if error.code() == Some("25006") {
                            held.session = None;
                        }
                        return Err(not_done(error));
                    }
                    held.session = None;
                    sent = Some(held.serial + 1);
                }
            }
        }
    }

    /// Makes sure that this process still holds the fence, through a durable commit.
    ///
    /// # Errors
    /// [`Refusal::Superseded`]; [`Refusal::Undecided`]: the server could not be asked in time.
    pub(super) async fn confirm(&self) -> io::Result<()> {
        let mut held = self.held.lock().await;
        let until = Instant::now() + self.patience;
        loop {
            match self.session(&mut held).await {
                // Asked before a root is written: better to wait for the server than to end for its pause.
                Err(error) => self.missing(&mut held, error, true, until).await?,
                Ok(()) if self.confirmed(&mut held, until).await? => return Ok(()),
                // The session was lost: the next one's own commit confirms as well.
                Ok(()) => {}
            }
        }
    }

    /// Raises the number of the claim above `floor`, which another place knows of earlier claims; the number then.
    ///
    /// What another place says is not believed blindly: a number that leaves none above it would be the end of this vault. Nor
    /// can places that say it again and again carry a process further than once.
    ///
    /// # Errors
    /// As those of [`Claim::write`]. [`Refusal::Unbelievable`]: nothing was asked of the server, and the claim stands.
    pub(super) async fn raise_above(&self, floor: u64) -> io::Result<i64> {
        let mut held = self.held.lock().await;
        let most = self.taken.saturating_add(MOST_FORGOTTEN).max(held.number).min(HIGHEST);
        let Some(floor) = i64::try_from(floor).ok().filter(|floor| *floor <= most) else {
            return Err(Refusal::Unbelievable { floor, number: held.number.unsigned_abs() }.into());
        };
        let until = Instant::now() + self.patience;
        loop {
            if let Err(error) = self.session(&mut held).await {
                self.missing(&mut held, error, false, until).await?;
                continue;
            }
            let Held { session: Some(session), number, .. } = &*held else { continue };
            if *number > floor {
                return Ok(*number);
            }
            match session.query(statements::RAISE_ABOVE, &[number, &floor, &MOST_FORGOTTEN, &HIGHEST]).await {
                Ok(rows) => match rows.first() {
                    Some(row) => held.number = row.get(0),
                    None => return Err(self.lost(&mut held)),
                },
                // Whether it took place does not matter: the next session raises the number from where it is.
                Err(error) if error.is_lost() => held.session = None,
                Err(error) => return Err(not_done(error)),
            }
            if held.session.is_some() {
                self.confirmed(&mut held, until).await?;
            }
        }
    }

    /// What follows when there is no session: an error, or another attempt later.
    async fn missing(&self, held: &mut Held, error: NoSession, undecided: bool, until: Instant) -> io::Result<()> {
        match error {
            NoSession::Refused(Refusal::Superseded) => Err(self.lost(held)),
            error if !undecided => Err(not_done(io::Error::from(error))),
            NoSession::Failed(error) if Instant::now() >= until => Err(Refusal::Undecided(Some(error)).into()),
            NoSession::Refused(_) if Instant::now() >= until => Err(Refusal::Undecided(None).into()),
            _ => {
                sleep(PAUSE).await;
                Ok(())
            }
        }
    }

    /// Sees to it that there is a session; a new one raises the number.
    async fn session(&self, held: &mut Held) -> Result<(), NoSession> {
        if self.superseded.load(Ordering::Acquire) {
            return Err(NoSession::Refused(Refusal::Superseded));
        }
        if held.session.as_ref().is_some_and(|session| !session.is_closed()) {
            return Ok(());
        }
        held.session = None;
        let session = self.connector.connect(SCHEMA).await?;
        let until = Instant::now() + self.patience;
        while !lock(&session).await? {
            // The server may not have noticed that the last session is gone. Any other holder is about to pass us over.
            let rows = session.query(statements::BACKEND, &[&self.owner]).await?;
            let own: i32 = rows.first().map(|row| row.get(0)).ok_or(NoSession::Refused(Refusal::Superseded))?;
            let ended = end_holder(&session, Some(own)).await?;
            if !ended || Instant::now() >= until {
                return Err(NoSession::Refused(Refusal::InUse));
            }
            sleep(PAUSE).await;
        }
        let (number, serial) = raise(&session, statements::RESUME, self.owner, self.patience).await?;
        (held.number, held.serial, held.session) = (number, serial, Some(session));
        Ok(())
    }

    /// Commits until one comes without a warning; `false` when the session was lost meanwhile.
    async fn confirmed(&self, held: &mut Held, until: Instant) -> io::Result<bool> {
        let Some(session) = &held.session else { return Ok(false) };
        match commit_without_warning(session, held.number, until).await {
            Ok(true) => Ok(true),
            Ok(false) => Err(self.lost(held)),
            Err(error) if error.is_lost() => {
                held.session = None;
                Ok(false)
            }
            Err(error) => Err(Refusal::Undecided(Some(error)).into()),
        }
    }

    fn lost(&self, held: &mut Held) -> io::Error {
        self.superseded.store(true, Ordering::Release);
        held.session = None;
        Refusal::Superseded.into()
    }
}

async fn lock(session: &Session) -> Result<bool, PostgresError> {
    let rows = session.query(statements::TRY_LOCK, &[&LOCKS, &LOCK]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// Ends the session that holds the lock, if it is `only`; `false` when it is another.
async fn end_holder(session: &Session, only: Option<i32>) -> Result<bool, PostgresError> {
    for row in session.query(statements::HOLDER, &[&LOCKS, &LOCK]).await? {
        let holder: i32 = row.get(0);
        if only.is_some_and(|only| only != holder) {
            return Ok(false);
        }
        session.query(statements::END_SESSION, &[&holder]).await?;
    }
    Ok(true)
}

/// Raises the number, durably; number and serial from now on.
async fn raise(
    session: &Session,
    text: &'static str,
    owner: Uuid,
    patience: Duration,
) -> Result<(i64, i64), NoSession> {
    let warnings = session.warnings();
    let rows = session.query(text, &[&owner]).await?;
    let row = rows.first().ok_or(NoSession::Refused(Refusal::Superseded))?;
    let (number, serial) = (row.get(0), row.get(1));
    if session.warnings() != warnings && !commit_without_warning(session, number, Instant::now() + patience).await? {
        return Err(NoSession::Refused(Refusal::Superseded));
    }
    Ok((number, serial))
}

/// `false` when the fence is another's.
async fn commit_without_warning(session: &Session, number: i64, until: Instant) -> Result<bool, PostgresError> {
    loop {
        let warnings = session.warnings();
        if session.query(statements::CONFIRM, &[&number]).await?.is_empty() {
            return Ok(false);
        }
        if session.warnings() == warnings {
            return Ok(true);
        }
        if Instant::now() >= until {
            return Err(PostgresError::Unreadable("whether a commit reached the standby"));
        }
        sleep(PAUSE).await;
    }
}
