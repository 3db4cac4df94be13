//! The program: command line, configuration, listener, dialects, background work.

pub mod agent;
pub mod backup;
pub mod bench;
pub mod cli;
pub mod config;
pub mod control;
#[cfg(feature = "crashpoints")]
pub mod crash;
pub mod demo;
pub mod dialects;
pub mod http;
pub mod import;
pub mod mirrors;
pub mod moving;
pub mod nodes;
pub mod opening;
pub mod running;
pub mod telemetry;
pub mod wipe;
pub mod work;
