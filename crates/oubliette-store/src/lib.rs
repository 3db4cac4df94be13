//! Adapters of Oubliette's ports: where metadata, blobs and key state really lie.
//!
//! SQL is found here and nowhere else. The domain (`oubliette-core`) knows these only through its ports.

pub mod backup;
pub mod blobs;
pub mod escrow;
pub mod guard;
pub mod lease;
pub mod media;
pub mod metadata;
pub mod postgres;
pub mod remnants;
pub mod roots;
