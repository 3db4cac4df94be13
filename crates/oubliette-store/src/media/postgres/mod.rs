//! Key state as rows of PostgreSQL.
//!
//! A [`KeyDatabase`] is one process's claim to write. Two things hold everybody else off:
//!
//! - an advisory lock, held by the session that writes: who finds it taken waits. It ends with its session, so it is no more
//!   than politeness: a process that sleeps through the loss of its session does not know;
//! - the fence, a row with a number that goes up with every claim. Every statement that writes changes this row on condition
//!   that number and serial are its own, in the same transaction. A process that was passed over writes nothing any more,
//!   whatever it still has on its way; its first attempt says so ([`is_superseded`]), and it has to end.
//!
//! Everything is written by single statements, each a transaction and one round trip. When the connection breaks before the
//! answer, whether it took place is *found out*: a new session raises the number (so that the lost statement cannot take
//! place any more) and reads the serial. Only when no session can be had in time the answer is unknown. A commit with a
//! warning was not confirmed by a standby that should have: it counts only when a later commit went without one.
//!
//! Tables: `migrations/keystate`, in a schema of their own. They may lie in the metadata's database or in another.

mod claim;
mod database;
mod fenced;
mod ledger;
mod onlooker;
mod pages;
mod reader;
mod standby;
mod statements;
mod values;

use std::io;

pub use database::{Claiming, KeyDatabase, KeyDatabaseOptions};
pub use fenced::FencedRegister;
pub use onlooker::Onlooker;
pub use pages::PostgresPages;
pub use standby::StandbyPages;
use thiserror::Error;
pub use values::{PostgresValues, ValueCarrier};

/// The schema of all tables.
pub(super) const SCHEMA: &str = "oubliette_keys";

/// Why this process may not write.
#[derive(Debug, Error)]
enum Refusal {
    #[error("another process has taken the key state over: this one must end")]
    Superseded,
    #[error("another process holds the key state")]
    InUse,
    #[error("the key state was written by a newer version of this program")]
    Newer,
    #[error(
        "it names a claim of number {floor}, and this one has number {number}: there were never so many claims to one vault, and so \
         it is not believed. The number is a lie, or damaged"
    )]
    Unbelievable { floor: u64, number: u64 },
    #[error("whether a transaction took place cannot be found out")]
    Undecided(#[source] Option<crate::postgres::PostgresError>),
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Self::other(refusal)
    }
}

/// Whether the error says that another process has taken the key state over. Nothing was written; this process must end.
pub fn is_superseded(error: &io::Error) -> bool {
    matches!(refusal(error), Some(Refusal::Superseded))
}

/// Whether the error says that another process holds the key state and is alive.
pub fn is_in_use(error: &io::Error) -> bool {
    matches!(refusal(error), Some(Refusal::InUse))
}

/// Whether the error says that a party named a number of a claim that no claim can have had. Nothing was changed, and it is that
/// party's trouble alone.
pub fn is_unbelievable(error: &io::Error) -> bool {
    matches!(refusal(error), Some(Refusal::Unbelievable { .. }))
}

fn refusal(error: &io::Error) -> Option<&Refusal> {
    error.get_ref()?.downcast_ref()
}
