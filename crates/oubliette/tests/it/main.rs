//! All integration tests of the program in one binary.

#![expect(clippy::unwrap_used, reason = "a helper of a test that unwraps nothing fails the test where it should")]

#[allow(dead_code, reason = "the binaries use different parts of it")]
#[path = "../attacker/mod.rs"]
mod attacker;
mod backend;
mod backup;
mod bytes;
mod certificate;
mod cli;
mod config;
mod creovai;
mod demo;
mod deploy;
mod elevateai;
#[allow(dead_code, reason = "the binaries use different parts of it")]
#[path = "../engines/mod.rs"]
mod engines;
mod escrow;
#[path = "../figures/mod.rs"]
mod figures;
mod import;
mod log;
mod memory;
mod mirrors;
mod moving;
mod native;
mod nodes;
mod p1;
mod program;
mod proof;
mod quiet;
mod remnants;
mod replacing;
mod restore;
mod scaled;
mod server;
mod shape;
mod support;
mod tidy;
mod vonage;
#[allow(dead_code, reason = "the binaries use different parts of it")]
#[path = "../witness/mod.rs"]
mod witness;
