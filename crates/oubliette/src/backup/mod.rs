//! Copies of a vault's data, made by the program that serves it or by a command while nobody does.
//!
//! Only for a vault in its data folder: databases and buckets have means of their own (`docs/operating/backup.md`).

mod run;

use std::path::{Path, PathBuf};

use oubliette_store::backup::Place;
pub use oubliette_store::backup::{BackupError, Manifest, Pruned, Verified, fetch, find, list, prune, verify};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::run::{BackupView, Backups, make};
use crate::config::{BlobPlace, Config, ConfigError, MetadataPlace};
use crate::opening::OpenError;

/// Why there is no copy.
#[derive(Debug, Error)]
pub enum MakeError {
    /// Rows or contents lie elsewhere.
    #[error("{0}")]
    Elsewhere(&'static str),
    /// The place lies where the vault lies.
    #[error("{0} lies in the vault's own folders: a copy belongs on another disk")]
    Inside(PathBuf),
    /// One is being made.
    #[error("a copy is being made already")]
    UnderWay,
    /// The vault cannot be locked.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The copy.
    #[error("the copy was not made")]
    Backup(#[from] BackupError),
    /// The work ended early.
    #[error("making the copy was cut short")]
    CutShort,
}

/// A copy that was made, as it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// What the copy says of itself.
    pub manifest: Manifest,
    /// Files that were not there yet.
    pub new_files: u64,
    /// Bytes of them.
    pub new_bytes: u64,
    /// Contents whose bytes do not begin as their rows say.
    pub damaged: u64,
}

/// The place that `to` names: a folder, or `s3://bucket/prefix` with the options of `[s3]`.
///
/// # Errors
/// Options that make no sense.
pub fn place(config: &Config, to: &str) -> Result<Place, MakeError> {
    if to.starts_with("s3://") {
        let options = config.bucket_at("backup", "to", to)?;
        let place = Place::bucket(&options);
        return place.map_err(|source| BackupError::Place { operation: "reaching the bucket", source }.into());
    }
    Ok(Place::folder(to))
}

/// Refuses to copy what has better means, and into the vault's own folders.
fn may_copy(config: &Config, to: &str) -> Result<(), MakeError> {
    if !matches!(config.metadata_place()?, MetadataPlace::Sqlite) {
        return Err(MakeError::Elsewhere(
            "this vault's rows lie in PostgreSQL: copy them with pg_basebackup or pg_dump, and the bucket by versioning or \
             replication (docs/operating/backup.md)",
        ));
    }
    if !matches!(config.blob_place()?, BlobPlace::Local) {
        return Err(MakeError::Elsewhere(
            "this vault's contents lie in a bucket: copy it by versioning or replication, and the database file with \
             `sqlite3 … 'VACUUM INTO'` (docs/operating/backup.md)",
        ));
    }
    if to.starts_with("s3://") {
        return Ok(());
    }
    let to = std::path::absolute(to).unwrap_or_else(|_| PathBuf::from(to));
    let inside = |folder: &Path| {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        to.starts_with(&folder) || folder.starts_with(&to)
    };
    if inside(&config.storage.data) || inside(&config.register_folder()?) {
        return Err(MakeError::Inside(to));
    }
    Ok(())
}
