//! The tables' migrations, with a ledger of their own: they may lie in another database than the metadata.

use aws_lc_rs::digest::{SHA256, digest};

use super::{Refusal, SCHEMA};
use crate::postgres::{LOCKS, PostgresError, Session};

/// Number and text. Text that was released never changes.
const MIGRATIONS: &[(i32, &str)] = &[(1, include_str!("../../../migrations/keystate/0001_initial.sql"))];

/// Second key of the lock that is held meanwhile.
const LOCK: i32 = 101;

/// Why the tables cannot be used.
pub(super) enum LedgerError {
    Refused(Refusal),
    Database(PostgresError),
}

impl From<PostgresError> for LedgerError {
    fn from(error: PostgresError) -> Self {
        Self::Database(error)
    }
}

/// Brings the tables up to date, in one transaction.
pub(super) async fn migrate(session: &Session) -> Result<(), LedgerError> {
    session.batch(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCKS}, {LOCK})")).await?;
    match apply(session).await {
        Ok(()) => Ok(session.batch("COMMIT").await?),
        Err(error) => {
            // The session is thrown away by the caller; this only spares the server the wait.
            let _ = session.batch("ROLLBACK").await;
            Err(error)
        }
    }
}

async fn apply(session: &Session) -> Result<(), LedgerError> {
    // Looked for first: whoever may only use the tables need not be allowed to make them.
    let there = session.query("SELECT to_regclass('oubliette_keys.migrations') IS NOT NULL", &[]).await?;
    if !there.first().is_some_and(|row| row.get(0)) {
        session
            .batch(&format!(
                "CREATE SCHEMA IF NOT EXISTS {SCHEMA};
                CREATE TABLE migrations (number integer PRIMARY KEY, sha256 bytea NOT NULL)"
            ))
            .await?;
    }
    let rows = session.query("SELECT number, sha256 FROM migrations ORDER BY number", &[]).await?;
    let done: Vec<(i32, Vec<u8>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for (number, sum) in &done {
        match MIGRATIONS.iter().find(|(known, _)| known == number) {
            Some((_, text)) if digest(&SHA256, text.as_bytes()).as_ref() == sum => {}
            _ => return Err(LedgerError::Refused(Refusal::Newer)),
        }
    }
    for (number, text) in MIGRATIONS.iter().filter(|(number, _)| done.iter().all(|(known, _)| known != number)) {
        session.batch(text).await?;
        let sum = digest(&SHA256, text.as_bytes());
        session.execute("INSERT INTO migrations (number, sha256) VALUES ($1, $2)", &[number, &sum.as_ref()]).await?;
    }
    Ok(())
}
