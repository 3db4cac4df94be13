//! Media for the key forest: where packs of key pages and the journal lie.
//!
//! - [`Folder`]: files of a directory. The embedded default, and a second place on another disk.
//! - [`postgres`]: rows, written by one process at a time behind a fence.
//! - [`Objects`]: one object for every flushed extent in a bucket. A second place.
//! - [`Mirrored`]: any of these with mirrors beside it, which hold the key state before an old root dies.
//! - [`Twin`]: two of them. Nothing is durable before both hold it; what is checked before a root is destroyed is read from
//!   the second.
//!
//! What lies in any of them is ciphertext: copies may be kept and removed late.

pub(crate) mod align;
pub(crate) mod folder;
pub(crate) mod ground;
mod mirrored;
mod objects;
mod parties;
mod pending;
mod place;
pub mod postgres;
mod twin;
pub(crate) mod worker;

pub use folder::Folder;
pub use mirrored::{
    Contact, Looked, MirrorError, MirrorSpec, MirrorStatus, Mirrored, OpenPlace, Refill, Standing, Vouch,
    waits_for_mirror,
};
pub use objects::{Objects, ObjectsOptions};
pub use parties::{Arrangement, Dealt, Owed, Parties, Party, PartyKind};
pub use place::Place;
pub use postgres::{PostgresPages, PostgresValues};
pub use twin::{CaughtUp, Twin, TwinError};

/// Names that every medium takes: no path, nothing hidden.
pub(crate) fn plain(name: &str) -> std::io::Result<()> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a plain file name"));
    }
    Ok(())
}
