//! The ports' contracts as tests: each sentence a function, run by every adapter on itself.

pub mod blobs;
pub mod metadata;
