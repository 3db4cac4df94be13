//! A few sessions, lent for reads.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use oubliette_core::ports::{PortError, PortErrorKind};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::port_error;
use super::{PostgresError, Session};

/// Opens a session and looks at what it finds.
type Open = dyn Fn() -> BoxFuture<'static, Result<Session, PostgresError>> + Send + Sync;

/// The pool. Its size bounds the questions under way; more of them wait their turn, though not for ever.
pub struct Pool {
    open: Arc<Open>,
    idle: Mutex<Vec<Session>>,
    turns: Semaphore,
    size: u32,
    patience: Duration,
}

impl Pool {
    /// A pool that opens its sessions with `open` when they are first needed. Who waits longer than `patience` for a turn
    /// hears *unavailable*.
    pub fn new(
        size: u32,
        patience: Duration,
        open: impl Fn() -> BoxFuture<'static, Result<Session, PostgresError>> + Send + Sync + 'static,
    ) -> Self {
        let turns = Semaphore::new(size as usize);
        Self { open: Arc::new(open), idle: Mutex::default(), turns, size, patience }
    }

    /// Runs `job` with a session. When a session that lay idle turns out to be lost (the server was restarted meanwhile) it is
    /// run once more, with a fresh one: it must change nothing.
    pub async fn run<T>(
        &self,
        operation: &'static str,
        job: impl for<'a> Fn(&'a Session) -> BoxFuture<'a, Result<T, PostgresError>> + Send + Sync,
    ) -> Result<T, PortError> {
        let _turn = self.turn(operation).await?;
        let failed = |error| port_error(operation, error);
        if let Some(session) = self.take() {
            match job(&session).await {
                Err(error) if error.is_lost() => {}
                outcome => {
                    self.put_back(session, &outcome);
                    return outcome.map_err(failed);
                }
            }
        }
        let session = (self.open)().await.map_err(failed)?;
        let outcome = job(&session).await;
        self.put_back(session, &outcome);
        outcome.map_err(failed)
    }

    /// Lets what is under way finish, refuses more and closes the sessions.
    pub async fn close(&self) {
        if let Ok(all) = self.turns.acquire_many(self.size).await {
            self.turns.close();
            drop(all);
        }
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for session in idle {
            session.close().await;
        }
    }

    async fn turn(&self, operation: &'static str) -> Result<SemaphorePermit<'_>, PortError> {
        let turn = tokio::time::timeout(self.patience, self.turns.acquire()).await;
        let busy = |_| PortError::new(PortErrorKind::Unavailable, operation, PostgresError::Silent(self.patience));
        turn.map_err(busy)?.map_err(|error| PortError::new(PortErrorKind::Unavailable, operation, error))
    }

    fn take(&self) -> Option<Session> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|session| !session.is_closed());
        idle.pop()
    }

    /// A session with an error may be in the middle of something and is closed, as is one whose call was dropped half-way: that
    /// never comes here.
    fn put_back<T>(&self, session: Session, outcome: &Result<T, PostgresError>) {
        if outcome.is_ok() && !session.is_closed() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
        }
    }
}
