//! The HTTP front: shared state of all handlers, the listener, health, metrics.

mod state;

pub use state::{App, DialectSettings};
