//! For a vault that one process at a time may change: whoever takes it over shuts the rows to everybody before.
//!
//! The number of the claim to the key state is kept beside the rows, and every slot of the commit counter is taken from
//! whoever holds it. A process that was paused meanwhile commits nothing: its sessions do not count in their slots any more,
//! and a new session of it finds the higher number. What it had under way is waited for, or found undone.

use super::statements as sql;
use crate::postgres::{PostgresError, Session};

/// The named value.
const NAME: &str = "fence";

/// Shuts the rows to every claim below `number`.
///
/// # Errors
/// [`PostgresError::Superseded`] when a later claim did so before.
pub(super) async fn raise(session: &Session, number: u64) -> Result<(), PostgresError> {
    let value = number.to_be_bytes();
    session.query(sql::RAISE_FENCE, &[&NAME, &&value[..]]).await?;
    check(session, Some(number)).await?;
    // Waits for every commit under way: each has its slot's row locked.
    session.query(sql::TAKE_ALL_SLOTS, &[]).await?;
    Ok(())
}

/// Refuses a session of a process that was passed over.
pub(super) async fn check(session: &Session, number: Option<u64>) -> Result<(), PostgresError> {
    let Some(number) = number else { return Ok(()) };
    let rows = session.query(sql::VALUE, &[&NAME]).await?;
    let found: Option<Vec<u8>> = rows.first().map(|row| row.get(0));
    let found = found.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
    if found == number { Ok(()) } else { Err(PostgresError::Superseded) }
}
