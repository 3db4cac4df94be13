//! Reading: files with limits, and the folder of a log.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use oubliette_proof::note::TrustedKeys;
use oubliette_proof::tree::{TILE_WIDTH, Tile, TileKind, TileReader};

use super::{MAX_SMALL, longest};
use crate::report::Outcome;

/// A small text file. One that is longer than such a file can be is refused: what is cut may still be read as a whole one.
pub fn text(path: &Path) -> Result<String, Outcome> {
    let read = || -> io::Result<String> {
        let mut text = String::new();
        File::open(path)?.take(MAX_SMALL as u64 + 1).read_to_string(&mut text)?;
        if text.len() > MAX_SMALL {
            return Err(io::Error::other(format!("the file is longer than {MAX_SMALL} bytes")));
        }
        Ok(text)
    };
    read().map_err(|error| Outcome::unusable(path.display(), error))
}

/// The keys in a file.
pub fn keys(path: &Path) -> Result<TrustedKeys, Outcome> {
    TrustedKeys::parse(&text(path)?).map_err(|error| Outcome::unusable(path.display(), error))
}

/// A folder with a log's files, as they are served.
pub struct Folder(pub PathBuf);

impl TileReader for Folder {
    type Error = io::Error;

    /// The tile as wide as asked; else full; else the next wider partial one there is.
    fn read(&self, tile: Tile) -> io::Result<Vec<u8>> {
        let missing = match read(&self.0.join(tile.to_string()), tile.kind) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && tile.is_partial() => error,
            other => return other,
        };
        let full = self.0.join(tile.full().to_string());
        match read(&full, tile.kind) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let mut partials = full.into_os_string();
        partials.push(".p");
        let wider = fs::read_dir(PathBuf::from(partials)).ok().and_then(|entries| {
            let widths = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u16>().ok());
            widths.filter(|width| *width > tile.width && u64::from(*width) < TILE_WIDTH).min()
        });
        let Some(width) = wider else { return Err(missing) };
        read(&self.0.join(Tile { width, ..tile }.to_string()), tile.kind)
    }
}

impl Folder {
    /// The file of exactly this width, if there is one.
    pub fn exactly(&self, tile: Tile) -> io::Result<Option<Vec<u8>>> {
        match read(&self.0.join(tile.to_string()), tile.kind) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }
}

fn read(path: &Path, kind: TileKind) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(longest(kind) as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
