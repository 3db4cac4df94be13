//! The HTTP front: shared state of all handlers, the listener, health, metrics.

pub mod json;
mod state;

pub use state::{App, DialectSettings};
