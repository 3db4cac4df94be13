//! Integration tests of the store.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod blobs;
mod media;
mod metadata;
mod object;
mod postgres;
mod roots;
mod schema;
mod sqlite;
mod vault;
