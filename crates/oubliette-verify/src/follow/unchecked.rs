//! Signed checkpoints that could not be checked, because the files of their log could not be read.
//!
//! Whoever withholds the files of another story must not have its checkpoint forgotten: it is kept as
//! `unchecked/<entries>-<hash>` until a log with at least as many entries was seen, which then contradicts it or does not.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oubliette_proof::note::{TrustedKeys, UnknownKeys, VerifiedCheckpoint};

use super::evidence::short_hash;
use super::kept::flush;
use super::state::write_whole;
use crate::log;

/// Most that are kept. One more is told, and not kept.
const MOST: usize = 100;

/// One of them.
pub struct Unchecked {
    /// Word for word.
    pub text: String,
    /// What it says.
    pub verified: VerifiedCheckpoint,
    path: PathBuf,
}

impl Unchecked {
    /// It was checked: it is not needed any more. One that stays is checked again.
    pub fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Keeps a checkpoint; where. The same one is kept once.
pub fn keep(state: &Path, text: &str, size: u64) -> io::Result<PathBuf> {
    let folder = state.join("unchecked");
    let said = text.split("\n\n").next().unwrap_or_default();
    let path = folder.join(format!("{size}-{}", short_hash(&[said.as_bytes()])));
    fs::create_dir_all(&folder)?;
    if !path.exists() {
        if files(state).count() >= MOST {
            return Err(io::Error::other(format!("{} has {MOST} such checkpoints already", folder.display())));
        }
        write_whole(&path, text.as_bytes())?;
    }
    flush(state)?;
    Ok(path)
}

/// All that were kept and are signed with one of these keys.
pub fn all(state: &Path, keys: &TrustedKeys) -> Vec<Unchecked> {
    let read = |path: PathBuf| {
        let text = log::text(&path).ok()?;
        let verified = keys.checkpoint(&text, UnknownKeys::Ignore).ok()?;
        Some(Unchecked { text, verified, path })
    };
    files(state).filter_map(read).collect()
}

fn files(state: &Path) -> impl Iterator<Item = PathBuf> {
    let found = fs::read_dir(state.join("unchecked")).into_iter().flatten().flatten();
    found.map(|entry| entry.path()).filter(|path| path.extension().is_none())
}
