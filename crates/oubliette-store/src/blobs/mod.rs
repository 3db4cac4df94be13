//! Where sealed bytes lie: adapters of [`oubliette_core::ports::Blobs`].

pub mod local;

pub use local::{LocalBlobs, LocalOptions};
