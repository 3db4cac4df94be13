//! A writer's session and its slot of the commit counter, and what became of a commit nobody answered.
//!
//! A slot is a row that counts commits. Whoever holds its advisory lock may count there, and only in the transaction that is
//! counted. When a connection breaks during COMMIT, taking the same slot again says what happened: the lock is free only when
//! the old session has ended, one way or the other, and then the count tells.

use std::time::Duration;

use uuid::Uuid;

use super::rows::{get, number};
use super::statements as sql;
use super::{Shared, fence};
use crate::postgres::{LOCKS, PostgresError, Session};

/// Second keys of the locks of slots begin here.
const FIRST_LOCK: i32 = 1_000;

/// Slots, at most: writers of all nodes together.
const SLOTS: i32 = 4_096;

/// How long the old session of a writer may take to end by itself before it is ended.
const GRACE: Duration = Duration::from_secs(2);

/// How long a lock is waited for after that.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who may count where.
pub(super) struct Seat {
    pub(super) session: Session,
    pub(super) slot: i32,
    /// Commits counted in the slot.
    pub(super) count: u64,
    pid: i32,
}

/// What a writer remembers of its seat when the session is gone.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    slot: i32,
    /// Commits known to have happened.
    count: u64,
    pid: i32,
}

/// What became of the commit after those known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Happened,
    DidNotHappen,
    Unclear,
}

/// A slot's row.
struct Slot {
    count: u64,
    holder: Uuid,
    since: u64,
}

impl Seat {
    /// What to remember.
    pub(super) fn memory(&self) -> Memory {
        Memory { slot: self.slot, count: self.count, pid: self.pid }
    }

    /// Takes a free slot, or the one remembered, and says what became of the commit after those known.
    pub(super) async fn take(
        shared: &Shared,
        holder: Uuid,
        memory: Option<Memory>,
    ) -> Result<(Self, Fate), PostgresError> {
        let (seat, fate) = Self::any(shared, holder, memory).await?;
        // Asked again: whoever took all slots, before this one was taken back, had raised the number before that.
        if let Err(error) = fence::check(&seat.session, shared.fence).await {
            shared.note(&error);
            return Err(error);
        }
        Ok((seat, fate))
    }

    async fn any(shared: &Shared, holder: Uuid, memory: Option<Memory>) -> Result<(Self, Fate), PostgresError> {
        let session = shared.open(sql::OF_WRITERS).await?;
        let pid = backend(&session).await?;
        let mut fate = Fate::Unclear;
        if let Some(memory) = memory {
            let (again, found) = Self::again(&session, holder, memory).await?;
            fate = found;
            if let Some(count) = again {
                return Ok((Self { session, slot: memory.slot, count, pid }, fate));
            }
        }
        for slot in 0..SLOTS {
            if try_lock(&session, slot).await? {
                session.execute(sql::NEW_SLOT, &[&slot, &holder]).await?;
                session.execute(sql::TAKE_SLOT, &[&slot, &holder]).await?;
                let row = read(&session, slot).await?.ok_or(PostgresError::Unreadable("a slot that was made"))?;
                return Ok((Self { session, slot, count: row.count, pid }, fate));
            }
        }
        Err(PostgresError::Lost("every slot of the commit counter is taken".to_owned()))
    }

    /// Takes the remembered slot again; its count, when it is still ours.
    async fn again(session: &Session, holder: Uuid, memory: Memory) -> Result<(Option<u64>, Fate), PostgresError> {
        let locked = Self::relock(session, holder, memory).await?;
        let row = read(session, memory.slot).await?;
        let went_back = |found| PostgresError::WentBack { found, known: memory.count };
        let row = row.ok_or(went_back(0))?;
        let ours = row.holder == holder;
        let reached = if ours { row.count } else { row.since };
        if reached < memory.count {
            return Err(went_back(reached));
        }
        let fate = match reached - memory.count {
            0 => Fate::DidNotHappen,
            // More than one: commits that confirmed it. Nobody else counts here.
            1.. if ours => Fate::Happened,
            // Somebody took the slot over meanwhile, perhaps after somebody else.
            _ => Fate::Unclear,
        };
        match (locked, ours) {
            (false, true) => Err(PostgresError::Lost("the writer's last session does not end".to_owned())),
            (true, true) => Ok((Some(row.count), fate)),
            (true, false) => {
                session.execute(sql::TAKE_SLOT, &[&memory.slot, &holder]).await?;
                Ok((Some(row.count), fate))
            }
            (false, false) => Ok((None, fate)),
        }
    }

    /// Waits for the lock; ends our own last session when it holds on to it. `false`: another writer has it.
    async fn relock(session: &Session, holder: Uuid, memory: Memory) -> Result<bool, PostgresError> {
        let begin = tokio::time::Instant::now();
        let mut ended = false;
        loop {
            if try_lock(session, memory.slot).await? {
                return Ok(true);
            }
            let ours = read(session, memory.slot).await?.is_some_and(|row| row.holder == holder);
            if !ours || begin.elapsed() > PATIENCE {
                return Ok(false);
            }
            if begin.elapsed() > GRACE && !ended {
                ended = true;
                session.batch(&end_holder(memory)).await?;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// One more commit, which waits for everything before it: what a warning or a broken session left open is durable then.
    pub(super) async fn confirm(&mut self, holder: Uuid) -> Result<(), PostgresError> {
        let (next, warnings) = (self.count + 1, self.session.warnings());
        let count = i64::try_from(next).unwrap_or(i64::MAX);
        let changed = self.session.execute(sql::COUNT_COMMIT, &[&self.slot, &count, &holder]).await?;
        if changed != 1 {
            return Err(PostgresError::Rows { changed, expected: 1 });
        }
        self.count = next;
        if self.session.warnings() == warnings {
            Ok(())
        } else {
            Err(PostgresError::Lost("the database warned when a commit was confirmed".to_owned()))
        }
    }
}

async fn backend(session: &Session) -> Result<i32, PostgresError> {
    let rows = session.query("SELECT pg_backend_pid()", &[]).await?;
    get(rows.first().ok_or(PostgresError::Unreadable("the session's number"))?, 0)
}

async fn try_lock(session: &Session, slot: i32) -> Result<bool, PostgresError> {
    let rows = session.query("SELECT pg_try_advisory_lock($1, $2)", &[&LOCKS, &(FIRST_LOCK + slot)]).await?;
    get(rows.first().ok_or(PostgresError::Unreadable("a lock"))?, 0)
}

/// Ends the session of this number if it is the one that holds the slot's lock.
fn end_holder(memory: Memory) -> String {
    format!(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = {}
            AND classid::bigint = {LOCKS} AND objid::bigint = {}
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        memory.pid,
        FIRST_LOCK + memory.slot
    )
}

async fn read(session: &Session, slot: i32) -> Result<Option<Slot>, PostgresError> {
    let rows = session.query(sql::SLOT, &[&slot]).await?;
    rows.first()
        .map(|row| Ok(Slot { count: number(row, 0)?, holder: get(row, 1)?, since: number(row, 2)? }))
        .transpose()
}
