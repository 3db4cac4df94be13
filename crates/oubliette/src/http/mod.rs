//! The HTTP front: shared state of all handlers, the listener, health, metrics.

pub mod json;
pub mod multipart;
mod state;

pub use state::{App, DialectSettings};
