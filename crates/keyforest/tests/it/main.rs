//! Integration tests of the key forest.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod copies;
mod crashes;
mod faults;
mod history;
mod life;
mod sim;
