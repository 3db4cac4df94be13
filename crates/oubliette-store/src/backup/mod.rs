//! Copies of a vault's data: its database and its contents. Never a key: those are only ever current, in mirrors.
//!
//! ```text
//! PLACE/oubliette-backup.json            which vault's
//! PLACE/copies/ID/database.sqlite        whole, in one file
//! PLACE/copies/ID/files                  what else belongs to the copy: PATH LENGTH SHA-256, a line each
//! PLACE/copies/ID/manifest.json          last of all: a copy without it is none
//! PLACE/blobs/f/x/y/NAME                 large contents, as in the data folder
//! PLACE/blobs/s/NAME/FROM-TO             pieces of segments; joined they are the front of one
//! ```
//!
//! Files below `blobs` never change and are shared by all copies, so a later copy brings only what is new. Lists have no
//! order and no bound: they are read line by line, and what has to be looked up in them is looked up on disk (`index`).
//!
//! A copy begins with the database, as it was in one moment; then come the contents that this database refers to. Who takes
//! one sees to it that no content moves meanwhile. One that is gone by then must have been erased: nothing refers to it in
//! the vault any more.

mod fetch;
mod files;
mod index;
mod manifest;
mod place;
mod prune;
mod take;
mod verify;

use std::io;
use std::path::Path;

use oubliette_core::crypto::chunked::SALT;
use oubliette_core::crypto::layout::BLOB_HEADER;
use oubliette_core::ports::PortError;
use thiserror::Error;
use uuid::Uuid;

pub use self::fetch::fetch;
pub use self::manifest::{FileSum, Manifest};
pub use self::place::Place;
pub use self::prune::{Pruned, prune};
pub use self::take::{Source, Taken, take};
pub use self::verify::{Verified, verify};

/// Where a stored content has its key commitment: behind the vault's own header and a salt.
const COMMITMENT: u64 = (BLOB_HEADER + SALT) as u64;
/// Which vault a place is for.
const MARK: &str = "oubliette-backup.json";
/// Why a copy was not made, or is none.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The place.
    #[error("the place of the copies: {operation}")]
    Place {
        /// What was being done.
        operation: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The vault's own files.
    #[error("the vault's files: {operation}")]
    Vault {
        /// What was being done.
        operation: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The database or a copy of it.
    #[error("the database cannot be copied or read")]
    Database(#[from] PortError),
    /// The place holds copies of another vault.
    #[error("this place holds copies of the vault {0}: a place is for one vault")]
    OtherVault(Uuid),
    /// Something is not as it was written.
    #[error("{0}")]
    Damaged(String),
    /// There is no such copy.
    #[error("there is no copy {0}")]
    Absent(String),
    /// Another process works there.
    #[error("another process makes or removes copies in this place")]
    Busy,
    /// Contents that the vault refers to are not there.
    #[error("{0} contents that the vault refers to are not in its blob folder")]
    Lost(u64),
}

fn place_failed(operation: &'static str) -> impl Fn(io::Error) -> BackupError {
    move |source| BackupError::Place { operation, source }
}

fn vault_failed(operation: &'static str) -> impl Fn(io::Error) -> BackupError {
    move |source| BackupError::Vault { operation, source }
}

/// All whole copies, oldest first.
///
/// # Errors
/// The place cannot be read.
pub fn list(place: &Place) -> Result<Vec<Manifest>, BackupError> {
    let files = place.list("copies").map_err(place_failed("listing the copies"))?;
    let mut found = Vec::new();
    for (name, _) in files.iter().filter(|(name, _)| name.ends_with("/manifest.json")) {
        found.push(Manifest::read(place, name)?);
    }
    found.sort_by(|one, other| (one.taken_at, &one.id).cmp(&(other.taken_at, &other.id)));
    Ok(found)
}

/// The copy of this id.
///
/// # Errors
/// [`BackupError::Absent`].
pub fn find(place: &Place, id: &str) -> Result<Manifest, BackupError> {
    list(place)?.into_iter().find(|manifest| manifest.id == id).ok_or_else(|| BackupError::Absent(id.to_owned()))
}

/// Keeps others from changing a folder of copies meanwhile. A bucket has no such lock.
fn lock(place: &Place) -> Result<Option<std::fs::File>, BackupError> {
    let Some(path) = place.local(".lock") else { return Ok(None) };
    let open = || -> io::Result<std::fs::File> {
        crate::media::folder::make_directory(path.parent().unwrap_or(Path::new(".")))?;
        std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path)
    };
    let file = open().map_err(place_failed("locking it"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Err(BackupError::Busy),
        Err(std::fs::TryLockError::Error(error)) => Err(place_failed("locking it")(error)),
    }
}
