//! What a start makes before it knows whether it may serve. A start that is refused leaves nothing behind.

use std::fs;
use std::path::{Path, PathBuf};

/// Paths that were not there before, deepest first. Removed again when dropped, unless [`Made::keep`] was called; a folder in
/// which something else is by then stays.
pub(super) struct Made {
    paths: Vec<PathBuf>,
}

impl Made {
    /// Notes which of these paths, and of the folders above them, are not there yet.
    pub(super) fn missing(paths: &[&Path]) -> Vec<PathBuf> {
        let above = paths.iter().flat_map(|path| path.ancestors());
        let mut missing: Vec<PathBuf> = above
            .filter(|path| !path.as_os_str().is_empty() && fs::symlink_metadata(path).is_err())
            .map(Path::to_owned)
            .collect();
        missing.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
        missing.dedup();
        missing
    }

    /// Answers for these paths from now on. Only for who holds the data folder's lock: nobody else uses them then.
    pub(super) fn here(missing: Vec<PathBuf>) -> Self {
        Self { paths: missing }
    }

    /// Whether this start made the path.
    pub(super) fn holds(&self, path: &Path) -> bool {
        self.paths.iter().any(|made| made == path)
    }

    /// The vault is there: everything stays.
    pub(super) fn keep(mut self) {
        self.paths.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in &self.paths {
            // Never more than was made: a folder that is not empty refuses.
            let _ = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_there_before_goes_and_nothing_that_somebody_else_put_in() {
        let home = tempfile::tempdir().unwrap();
        let (old, deep) = (home.path().join("old"), home.path().join("new/deep"));
        fs::create_dir(&old).unwrap();
        let missing = Made::missing(&[&old, &deep, &deep.join("lock"), &home.path().join("new/other")]);
        for folder in [&deep, &home.path().join("new/other")] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(deep.join("lock"), "").unwrap();
        fs::write(home.path().join("new/other/theirs"), "").unwrap();
        drop(Made::here(missing));
        assert!(old.exists() && !deep.exists() && home.path().join("new/other/theirs").exists());
    }

    #[test]
    fn what_is_kept_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("vault");
        let made = Made::here(Made::missing(&[&path]));
        fs::create_dir(&path).unwrap();
        assert!(made.holds(&path) && !made.holds(home.path()));
        made.keep();
        assert!(path.exists());
    }
}
