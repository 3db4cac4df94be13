//! The HTTP front: shared state of all handlers, the listener, health, metrics.

pub mod json;
pub mod media;
pub mod multipart;
pub mod range;
pub mod route;
mod state;

pub use state::{App, DialectSettings};
