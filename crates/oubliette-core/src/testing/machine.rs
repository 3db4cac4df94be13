//! What becomes of a test that this machine cannot run.

use std::fs;
use std::path::PathBuf;

/// Notes that `test` cannot run here and why. With `CI=true` it fails; otherwise a note is left below `$OUBLIETTE_RIGS`, which
/// `test.sh` tells at its end: what a passing test prints is not shown.
///
/// # Panics
/// With `CI=true`: what cannot run there is not tested anywhere.
#[track_caller]
pub fn cannot_run(test: &str, reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} {reason}: must run in CI");
    if let Some(rigs) = std::env::var_os("OUBLIETTE_RIGS") {
        let folder = PathBuf::from(rigs).join("skipped");
        let _ = fs::create_dir_all(&folder);
        let _ = fs::write(folder.join(test), reason);
    }
    eprintln!("SKIPPED {test}: {reason}");
}
