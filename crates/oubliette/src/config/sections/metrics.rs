//! `[metrics]`

use std::path::PathBuf;

use crate::config::section::section;

section! {
    /// Figures for a monitoring system, at `/metrics`.
    Metrics, "metrics" {
        /// Whether `/metrics` is served.
        enabled: bool = true,
        /// File with a token that a reader of `/metrics` must send as `Authorization: Bearer …`. Without it anybody who
        /// reaches the listener may read the figures; they hold counts and times, nothing personal.
        token_file: Option<PathBuf> = None,
    }
}
