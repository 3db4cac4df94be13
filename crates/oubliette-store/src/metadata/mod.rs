//! Adapters of [`oubliette_core::ports::Metadata`].
//!
//! All of them pass the same conformance suite (`oubliette_core::testing::conformance::metadata`) and use the same numbers
//! and names of migrations and, where it makes sense, of files.

pub mod sqlite;
