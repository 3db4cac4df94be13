//! What is kept when a log does not continue what was seen: the signed checkpoints that contradict each other, and the files
//! that were served with the later one.
//!
//! ```text
//! evidence/<what>-<entries>-<hash>/remembered   the checkpoint that was followed so far, as it was served; not at a first look
//!                                  earlier      one that was served earlier and could not be checked then, if it is the one
//!                                               that is contradicted
//!                                  checkpoint   what was served as the newer one
//!                                  tile/…       the files that show it, as far as any were read, and entries in which the
//!                                               log was handed to a key that signed, if that was learned just then
//! ```
//! Files stand there as they were served, but for a shorter log: what it should be is shown by files of the state's own copy.
//! That something is remembered tells of a state; an earlier checkpoint does not, as a first look can have seen one too.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oubliette_proof::sha256;
use oubliette_proof::tree::{Tile, TileReader};

use super::kept;
use crate::report::Outcome;
use crate::trust::Bundles;

/// What a finding is called for which nobody's key is needed: who carries the files can damage them, each time otherwise.
pub const DAMAGED: &str = "damaged";

/// Most findings of that kind that are kept. One more is told, and not kept.
const MOST_DAMAGED: usize = 100;

/// Files of a log, as they were read.
pub type Files = BTreeMap<Tile, Vec<u8>>;

/// A log whose files are kept in memory as they are read: some, for a proof.
pub struct Recorded<'a, R> {
    log: &'a R,
    read: RefCell<Files>,
}

impl<'a, R> Recorded<'a, R> {
    /// Nothing was read yet.
    pub fn new(log: &'a R) -> Self {
        Self { log, read: RefCell::default() }
    }

    /// What was read.
    pub fn files(self) -> Files {
        self.read.into_inner()
    }
}

impl<R: TileReader<Error = io::Error>> TileReader for Recorded<'_, R> {
    type Error = io::Error;

    fn read(&self, tile: Tile) -> io::Result<Vec<u8>> {
        let bytes = self.log.read(tile)?;
        self.read.borrow_mut().insert(tile, bytes.clone());
        Ok(bytes)
    }
}

/// A log of which the file that was read last is kept in memory: which is the one that is damaged, if one is.
pub struct Last<'a, R> {
    log: &'a R,
    read: RefCell<Option<(Tile, Vec<u8>)>>,
}

impl<'a, R> Last<'a, R> {
    /// Nothing was read yet.
    pub fn new(log: &'a R) -> Self {
        Self { log, read: RefCell::default() }
    }

    /// What was read last.
    pub fn files(self) -> Files {
        self.read.into_inner().into_iter().collect()
    }
}

impl<R: TileReader<Error = io::Error>> TileReader for Last<'_, R> {
    type Error = io::Error;

    fn read(&self, tile: Tile) -> io::Result<Vec<u8>> {
        let bytes = self.log.read(tile)?;
        *self.read.borrow_mut() = Some((tile, bytes.clone()));
        Ok(bytes)
    }
}

/// What contradicts what.
pub struct Contradiction<'a> {
    /// What it is called.
    pub what: &'a str,
    /// Entries in the checkpoint served; 0 when its signatures do not hold.
    pub size: u64,
    /// The checkpoint that was followed so far.
    pub remembered: Option<&'a str>,
    /// One that was served earlier and could not be checked then, when it is this one that is contradicted.
    pub earlier: Option<&'a str>,
    /// The checkpoint served.
    pub served: &'a str,
    /// What was read with it.
    pub files: &'a Files,
    /// Entries by which keys were learned that signed.
    pub handed: &'a Bundles,
}

impl Contradiction<'_> {
    /// Keeps it below a state's folder, and says so.
    pub fn kept(&self, state: &Path, outcome: Outcome) -> Outcome {
        let end = if outcome.summary.ends_with('.') { "" } else { "." };
        match self.keep(state) {
            Ok(folder) => {
                let what = if self.before().is_some() { "Both checkpoints are" } else { "What was served is" };
                let mut outcome = outcome.and(&format!("{end} {what} kept in {}.", folder.display()));
                outcome.facts["evidence"] = folder.display().to_string().into();
                outcome
            }
            Err(error) => outcome.and(&format!("{end} The evidence could not be kept: {error}.")),
        }
    }

    /// The checkpoint that is contradicted.
    fn before(&self) -> Option<&str> {
        self.earlier.or(self.remembered)
    }

    /// Where it is kept. The same one is kept once.
    fn keep(&self, state: &Path) -> io::Result<PathBuf> {
        // Witnesses may have signed meanwhile: it is the text that contradicts, unless it is a line that is wrong.
        let text = self.served.split("\n\n").next().filter(|_| self.size > 0).unwrap_or(self.served);
        let parts = [self.before().unwrap_or_default(), text].map(str::as_bytes);
        // Other findings are in the checkpoints; their files say no more, whatever else they have.
        let damaged = self.what == DAMAGED;
        let names: Vec<_> = self.files.keys().map(Tile::to_string).collect();
        let files = names.iter().map(String::as_bytes).zip(self.files.values()).flat_map(|(name, bytes)| [name, bytes]);
        let hash = name_of(parts.into_iter().chain(files.filter(|_| damaged)));
        let name = format!("{}-{}-{hash}", self.what, self.size);
        if damaged && !state.join("evidence").join(&name).exists() && count_damaged(state) >= MOST_DAMAGED {
            return Err(io::Error::other(format!("{MOST_DAMAGED} findings of damage are kept already")));
        }
        let texts = [("remembered", self.remembered), ("earlier", self.earlier), ("checkpoint", Some(self.served))];
        let texts = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.as_bytes())));
        let handed = self.handed.iter().filter(|(tile, _)| !self.files.contains_key(tile));
        let files = self.files.iter().chain(handed).map(|(tile, bytes)| (tile.to_string(), bytes.as_slice()));
        kept::keep(state, "evidence", &name, texts.chain(files))
    }
}

/// What was kept.
fn all(state: &Path) -> impl Iterator<Item = PathBuf> {
    let found = fs::read_dir(state.join("evidence")).into_iter().flatten().flatten();
    found.map(|entry| entry.path()).filter(|path| path.extension().is_none())
}

/// How often something was kept.
pub fn count(state: &Path) -> usize {
    all(state).count()
}

fn count_damaged(state: &Path) -> usize {
    let own = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(DAMAGED));
    all(state).filter(own).count()
}

/// Whether something was kept that contradicts a remembered checkpoint.
pub fn tells_of_a_state(state: &Path) -> bool {
    all(state).any(|folder| folder.join("remembered").exists())
}

/// A name for these parts. What has it is taken for them: so it is the whole hash, of each by itself.
pub fn name_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let each: Vec<_> = parts.into_iter().flat_map(|part| sha256(&[part]).0).collect();
    sha256(&[&each]).0.iter().map(|byte| format!("{byte:02x}")).collect()
}
