//! The program: command line, configuration, listener, dialects, background work.

pub mod dialects;
pub mod http;
pub mod work;
