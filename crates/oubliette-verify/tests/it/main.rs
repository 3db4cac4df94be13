//! Integration tests of the program.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod across;
mod auditor;
mod command;
mod document;
#[allow(dead_code, reason = "the crates use different parts of it")]
#[path = "../../../oubliette-proof/tests/it/fixture.rs"]
mod fixture;
mod follow;
mod handed;
mod hostile;
mod kept;
mod remote;
mod server;
