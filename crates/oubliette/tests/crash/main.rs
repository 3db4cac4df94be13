//! Crashes, power cuts and bad disks, from outside: the real program on real files, driven over HTTP.
#![allow(clippy::unwrap_used, reason = "a test may end at any surprise")]

mod bad_disk;
mod check;
mod clients;
mod cuts;
mod dying_disk;
#[path = "../figures/mod.rs"]
mod figures;
mod flushes;
mod images;
mod kills;
mod ledger;
mod load;
mod points;
mod program;
mod random;
mod rig;
mod rig_works;
mod session;
mod writelog;
