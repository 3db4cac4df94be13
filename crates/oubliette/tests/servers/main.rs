//! A vault whose stores are servers: the tests of every dialect once more, whose source is that of the binary `it` (only
//! `backend` differs), and the attacker who has the folders of all servers (`p1`).

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
#[path = "../figures/mod.rs"]
mod figures;
#[path = "../it/native/mod.rs"]
mod native;
mod p1;
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
#[allow(dead_code, reason = "the binaries use different parts of it")]
#[path = "../witness/mod.rs"]
mod witness;
