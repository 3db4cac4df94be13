//! What is kept when a log does not continue what was seen: two signed checkpoints that contradict each other, and the files
//! that show it.
//!
//! ```text
//! evidence/<what>-<entries>-<hash>/remembered   the checkpoint of before, as it was served
//!                                  checkpoint   the one that does not continue it, as it was served
//!                                  tile/…       the files that were served with it
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oubliette_proof::sha256;
use oubliette_proof::tree::{Tile, TileReader};

use super::state::write_whole;
use crate::log::Log;

/// A log whose files are kept in memory as they are read: some, for a proof.
pub struct Recorded<'a> {
    log: &'a Log,
    read: RefCell<BTreeMap<Tile, Vec<u8>>>,
}

impl<'a> Recorded<'a> {
    /// Nothing was read yet.
    pub fn new(log: &'a Log) -> Self {
        Self { log, read: RefCell::default() }
    }
}

impl TileReader for Recorded<'_> {
    type Error = io::Error;

    fn read(&self, tile: Tile) -> io::Result<Vec<u8>> {
        let bytes = self.log.read(tile)?;
        self.read.borrow_mut().insert(tile, bytes.clone());
        Ok(bytes)
    }
}

/// What contradicts what.
pub struct Contradiction<'a> {
    /// What it is called.
    pub what: &'a str,
    /// Entries in the checkpoint served.
    pub size: u64,
    /// The checkpoint of before.
    pub remembered: &'a str,
    /// The checkpoint served.
    pub served: &'a str,
    /// What was read with it.
    pub recorded: &'a Recorded<'a>,
}

/// Keeps it below a state's folder; where. The same one is kept once.
pub fn keep(state: &Path, found: &Contradiction<'_>) -> io::Result<PathBuf> {
    // Witnesses may have signed meanwhile: it is the text that contradicts.
    let text = found.served.split("\n\n").next().unwrap_or_default();
    let hash = hex(&sha256(&[found.remembered.as_bytes(), text.as_bytes()]).0[..6]);
    let folder = state.join("evidence").join(format!("{}-{}-{hash}", found.what, found.size));
    if folder.exists() {
        return Ok(folder);
    }
    let new = folder.with_extension("new");
    fs::create_dir_all(&new)?;
    write_whole(&new.join("remembered"), found.remembered.as_bytes())?;
    write_whole(&new.join("checkpoint"), found.served.as_bytes())?;
    for (tile, bytes) in found.recorded.read.borrow().iter() {
        let path = new.join(tile.to_string());
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        write_whole(&path, bytes)?;
    }
    fs::rename(&new, &folder)?;
    fs::File::open(state.join("evidence"))?.sync_all()?;
    Ok(folder)
}

/// How often something was kept.
pub fn count(state: &Path) -> usize {
    let whole = |entry: &fs::DirEntry| entry.path().extension().is_none();
    fs::read_dir(state.join("evidence")).map_or(0, |found| found.flatten().filter(whole).count())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
