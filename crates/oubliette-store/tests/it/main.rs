//! Integration tests of the store.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod ahead;
mod blobs;
mod certificates;
mod closing;
mod damaged;
mod due;
mod escrow;
mod growing;
// The simulated disk of the key forest and the lives lived on it.
#[path = "../../../keyforest/tests/it/history.rs"]
mod history;
mod kept;
mod leases;
mod log;
mod media;
mod metadata;
mod moved;
mod object;
mod postgres;
mod roots;
mod schema;
#[expect(dead_code, reason = "the forest's own tests use all of it")]
#[path = "../../../keyforest/tests/it/sim.rs"]
mod sim;
mod sqlite;
mod unreadable;
mod vault;
