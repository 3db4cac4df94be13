//! Integration tests: formats against other implementations, and everything that can be given wrong.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod certificates;
mod copies;
mod document;
mod entries;
mod fixture;
mod golden;
mod notes;
mod page;
mod python;
mod succession;
mod trees;
