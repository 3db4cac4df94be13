//! Where sealed bytes lie: adapters of [`oubliette_core::ports::Blobs`].

mod format;
pub mod local;
mod moved;
pub mod object;

pub use local::{LocalBlobs, LocalOptions};
pub use object::{ObjectBlobs, ObjectOptions};
