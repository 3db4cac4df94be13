//! A log as somebody else serves it: in a folder, or at an address.

mod folder;
mod limited;
mod remote;

use std::fmt;
use std::io;
use std::path::PathBuf;

use oubliette_proof::tree::{TILE_WIDTH, Tile, TileKind, TileReader};
use reqwest::Url;

pub use folder::{Folder, keys, text};
pub use limited::{Limited, latest};
use remote::Remote;

use crate::report::Outcome;

/// Longest key file or checkpoint.
const MAX_SMALL: usize = 1 << 20;

/// Where a log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder with its files, or a single checkpoint.
    Path(PathBuf),
    /// The address below which its files are served.
    Address(Url),
}

impl Place {
    /// Reads an argument. An address has nothing but scheme, host, port and path.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, _)) = text.split_once("://") else { return Ok(Self::Path(PathBuf::from(text))) };
        if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err("--log takes http:// and https:// addresses, and paths".to_owned());
        }
        // An address that is refused is not repeated: it may have a password in it.
        let mut url = Url::parse(text).map_err(|error| format!("--log: {error}"))?;
        let more = [url.query().is_some(), url.fragment().is_some(), url.password().is_some()];
        if more.contains(&true) || !url.username().is_empty() {
            return Err("--log: an address without user, password, query and fragment is needed".to_owned());
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self::Address(url))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Address(url) => url.fmt(f),
        }
    }
}

/// A log that can be read.
pub struct Log {
    place: Place,
    files: Files,
}

enum Files {
    Folder(Folder),
    Remote(Remote),
    /// Nothing but a checkpoint.
    Checkpoint(PathBuf),
}

impl Log {
    /// Opens it; nothing is read yet.
    pub fn open(place: &Place) -> Result<Self, Outcome> {
        let files = match place {
            Place::Path(path) if path.is_dir() => Files::Folder(Folder(path.clone())),
            Place::Path(path) => Files::Checkpoint(path.clone()),
            Place::Address(url) => {
                Files::Remote(Remote::new(url.clone()).map_err(|error| Outcome::unusable(place, error))?)
            }
        };
        Ok(Self { place: place.clone(), files })
    }

    /// Its newest checkpoint, as it is served.
    pub fn checkpoint(&self) -> Result<String, Outcome> {
        match &self.files {
            Files::Folder(folder) => text(&folder.0.join("checkpoint")),
            Files::Checkpoint(path) => text(path),
            Files::Remote(remote) => {
                let read = remote
                    .get("checkpoint", MAX_SMALL)
                    .and_then(|bytes| String::from_utf8(bytes).map_err(|_| io::Error::other("it is not text")));
                read.map_err(|error| Outcome::unusable(format!("{self}checkpoint"), error))
            }
        }
    }

    /// Whether it lies in a folder here, which may have only some of its files, as evidence does.
    pub fn is_folder(&self) -> bool {
        matches!(self.files, Files::Folder(_))
    }

    /// Whether it has more than a checkpoint.
    pub fn has_tiles(&self) -> bool {
        !matches!(self.files, Files::Checkpoint(_))
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl TileReader for Log {
    type Error = io::Error;

    fn read(&self, tile: Tile) -> io::Result<Vec<u8>> {
        match &self.files {
            Files::Folder(folder) => folder.read(tile),
            Files::Remote(remote) => remote.read(tile),
            Files::Checkpoint(_) => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Longest file of a kind.
fn longest(kind: TileKind) -> usize {
    let width = TILE_WIDTH as usize;
    match kind {
        TileKind::Hashes(_) => 32 * width,
        TileKind::Entries => (2 + 65_535) * width,
    }
}
