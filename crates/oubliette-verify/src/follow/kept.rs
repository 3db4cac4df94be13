//! Folders with a few small files in the state's folder: there whole or not at all, and on disk before anybody relies on them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Puts the folder `of/name` there, with these files; where it is. The same name is the same folder: it is put there once.
pub fn keep<'a>(
    state: &Path,
    of: &str,
    name: &str,
    files: impl IntoIterator<Item = (String, &'a [u8])>,
) -> io::Result<PathBuf> {
    let above = state.join(of);
    let folder = above.join(name);
    if !folder.exists() {
        let new = above.join(format!("{name}.new"));
        if new.exists() {
            // Of a run that was cut short.
            fs::remove_dir_all(&new)?;
        }
        fs::create_dir_all(&new)?;
        let mut folders = BTreeSet::from([new.clone()]);
        for (name, bytes) in files {
            let path = new.join(name);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            let mut file = File::create(&path)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            let inside = path.ancestors().skip(1).take_while(|folder| folder.starts_with(&new));
            folders.extend(inside.map(Path::to_owned));
        }
        folders.iter().try_for_each(|folder| flush(folder))?;
        fs::rename(&new, &folder)?;
    }
    // Also when it was there: whoever put it there may not have come this far.
    flush(&above)?;
    flush(state)?;
    Ok(folder)
}

/// What was put into a folder is on disk after this.
pub fn flush(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
