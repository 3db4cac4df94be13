//! The tests of every dialect once more, on a vault whose stores are servers. Their source is that of the binary `it`; only
//! `backend` differs.

#![expect(clippy::unwrap_used, reason = "a helper of a test that unwraps nothing fails the test where it should")]

#[allow(dead_code, reason = "the binaries use different parts of it")]
#[path = "../attacker/mod.rs"]
mod attacker;
mod backend;
#[path = "../it/creovai/mod.rs"]
mod creovai;
#[path = "../it/elevateai/mod.rs"]
mod elevateai;
#[allow(dead_code, reason = "the binaries use different parts of it")]
#[path = "../engines/mod.rs"]
mod engines;
#[path = "../it/native/mod.rs"]
mod native;
#[allow(dead_code, reason = "the binaries use different parts of it")]
#[path = "../it/program.rs"]
mod program;
#[path = "../it/quiet.rs"]
mod quiet;
#[path = "../it/shape.rs"]
mod shape;
#[allow(dead_code, reason = "the binaries use different parts of it")]
#[path = "../it/support/mod.rs"]
mod support;
#[path = "../it/vonage/mod.rs"]
mod vonage;
