//! Crashes, power cuts and bad disks, from outside: the real program on real files, driven over HTTP.
#![allow(dead_code, reason = "the harness is still growing")]
#![allow(clippy::unwrap_used, reason = "a test may end at any surprise")]

mod rig;
mod rig_works;
