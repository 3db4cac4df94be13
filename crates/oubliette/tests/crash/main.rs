//! Crashes, power cuts and bad disks, from outside: the real program on real files, driven over HTTP.
#![allow(clippy::unwrap_used, reason = "a test may end at any surprise")]

#[allow(dead_code, reason = "the binaries use different parts of it")]
#[path = "../attacker/mod.rs"]
mod attacker;
mod bad_disk;
mod blocks;
mod check;
mod clients;
mod cuts;
mod dying_disk;
#[path = "../figures/mod.rs"]
mod figures;
mod fire;
mod flushes;
mod images;
mod kills;
mod ledger;
mod load;
mod memory;
mod points;
mod program;
mod random;
mod read_only;
mod rig;
mod rig_works;
mod session;
mod writelog;
