//! Loading what lies in files: recordings with a sidecar or a manifest, and vCon containers.
//!
//! Every interaction is stored at once with all its contents or not at all, and carries an id by which a second run knows
//! it: an import that was killed is simply run again. Files are streamed; only vCon containers, which hold their recordings
//! inside JSON, are read whole, one at a time and up to a limit.

mod files;
mod load;
mod manifest;
mod media;
mod sidecar;
mod transcripts;
mod vcon;
mod vcon_parts;

use std::path::PathBuf;

pub use files::{Job, plan};
pub use load::{Importer, Outcome};

/// What is wrong with a file. Told to whoever imports; may name files, so it goes to no log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Bad(pub String);

impl Bad {
    /// With these words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// How an import is done.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder or file.
    pub path: PathBuf,
    /// CSV manifest; `manifest.csv` of the folder when there is one.
    pub manifest: Option<PathBuf>,
    /// Largest vCon file in bytes.
    pub max_vcon_bytes: u64,
}
