//! Adapters of [`oubliette_core::ports::Metadata`].
//!
//! All of them pass the same conformance suite (`oubliette_core::testing::conformance::metadata`) and use the same numbers
//! and names of migrations and, where it makes sense, of files.

mod erased;
mod migration;
pub mod postgres;
pub mod sqlite;

pub use migration::MigrationError;

/// Most places in one question of the port.
const MAX_PLACES: usize = 10_000;
