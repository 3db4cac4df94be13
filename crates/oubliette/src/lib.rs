//! The program: command line, configuration, listener, dialects, background work.

pub mod config;
pub mod dialects;
pub mod http;
pub mod telemetry;
pub mod work;
