//! Signed checkpoints that could not be checked, because the files of their log could not be read.
//!
//! Whoever withholds the files of another story must not have its checkpoint forgotten: it is kept until a log with at least as
//! many entries was seen, which then contradicts it or does not.
//!
//! ```text
//! unchecked/<entries>-<hash>/checkpoint   as it was served
//!                            tile/…       entries by which the key was learned that signed it, if it was just then
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oubliette_proof::note::{VerifiedCheckpoint, VerifierKey};
use oubliette_proof::tree::Tile;

use super::evidence::name_of;
use super::kept;
use crate::log::{self, Folder};
use crate::trust::{Bundles, Known};

/// Most that are kept. One more is told, and not kept.
const MOST: usize = 100;

/// One of them.
pub struct Unchecked {
    /// Word for word.
    pub text: String,
    /// What it says.
    pub verified: VerifiedCheckpoint,
    /// The keys that it goes by: who signed it, and who agreed to them.
    pub by: Vec<VerifierKey>,
    /// The entries in which these agreed, if they were kept with it.
    pub handed: Bundles,
    path: PathBuf,
}

impl Unchecked {
    /// It was checked: it is not needed any more. One that stays is checked again.
    pub fn remove(&self) {
        // Not a part of it is left under its name.
        let gone = self.path.with_extension("new");
        let _ = fs::remove_dir_all(&gone);
        let _ = fs::rename(&self.path, &gone).and_then(|()| fs::remove_dir_all(&gone));
    }
}

/// Keeps a checkpoint, with the entries by which a key was learned that signed it; where. The same one, signed by the same, is
/// kept once.
pub fn keep(state: &Path, text: &str, served: &VerifiedCheckpoint, handed: &Bundles) -> io::Result<PathBuf> {
    let said = text.split("\n\n").next().unwrap_or_default();
    let signed_by: String = served.signed_by.iter().map(|key| format!("\n{key}")).collect();
    let name = format!("{}-{}", served.checkpoint.head.size, name_of([said.as_bytes(), signed_by.as_bytes()]));
    let above = state.join("unchecked");
    if !above.join(&name).exists() && folders(state).count() >= MOST {
        return Err(io::Error::other(format!("{} has {MOST} such checkpoints already", above.display())));
    }
    let bundles = handed.iter().map(|(tile, bytes)| (tile.to_string(), bytes.as_slice()));
    kept::keep(state, "unchecked", &name, bundles.chain([("checkpoint".to_owned(), text.as_bytes())]))
}

/// All that were kept and are signed with one of these keys, or by their leave; and how many there are besides, of which that
/// cannot be told.
pub fn all(state: &Path, known: &Known) -> (Vec<Unchecked>, usize) {
    let read = |path: PathBuf| {
        let text = log::text(&path.join("checkpoint")).ok()?;
        let handed = bundles(&path);
        let (verified, by) = known.by_leave(&text, &handed).ok()?;
        Some(Unchecked { text, verified, by, handed, path })
    };
    let found: Vec<_> = folders(state).map(read).collect();
    let lost = found.iter().filter(|found| found.is_none()).count();
    (found.into_iter().flatten().collect(), lost)
}

/// Whether there is any.
pub fn are_there(state: &Path) -> bool {
    folders(state).next().is_some()
}

fn folders(state: &Path) -> impl Iterator<Item = PathBuf> {
    let found = fs::read_dir(state.join("unchecked")).into_iter().flatten().flatten();
    found.map(|entry| entry.path()).filter(|path| path.extension().is_none())
}

/// The bundles that were kept in a folder.
fn bundles(folder: &Path) -> Bundles {
    let (mut found, mut folders) = (Bundles::new(), vec![folder.join("tile")]);
    while let Some(inside) = folders.pop() {
        for path in fs::read_dir(inside).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let tile = path.strip_prefix(folder).ok().and_then(Path::to_str).and_then(Tile::parse);
            match tile.and_then(|tile| Some((tile, Folder(folder.to_owned()).exactly(tile).ok()??))) {
                Some((tile, bytes)) => _ = found.insert(tile, bytes),
                None if path.is_dir() => folders.push(path),
                None => {}
            }
        }
    }
    found
}
