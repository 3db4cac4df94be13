//! Figures that tests measure and `test.sh` prints at the end.

use std::fs;
use std::path::{Path, PathBuf};

/// Below it lies all that the rigs make, and the figures.
pub fn rigs() -> PathBuf {
    std::env::var_os("OUBLIETTE_RIGS")
        .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("rigs"), PathBuf::from)
}

/// Tells `test.sh` a figure to print at the end.
pub fn figure(name: &str, text: &str) {
    eprintln!("{name}: {text}");
    let folder = rigs().join("figures");
    let _ = fs::create_dir_all(&folder);
    let _ = fs::write(folder.join(name), format!("  {name}: {text}\n"));
}
