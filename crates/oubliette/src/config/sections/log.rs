//! `[log]`

use serde::{Deserialize, Serialize};

use crate::config::section::section;

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

section! {
    /// The log, written to standard error. It holds route templates and request ids, never paths or personal data.
    Log, "log" {
        /// `text` or `json`.
        format: LogFormat = LogFormat::Text,
        /// `error`, `warn`, `info`, `debug`, or directives such as `info,oubliette=debug`.
        level: String = "info".to_owned(),
    }
}
