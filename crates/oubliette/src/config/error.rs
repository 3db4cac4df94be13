//! What can be wrong with a configuration, told with the key's path.

use std::path::PathBuf;

use thiserror::Error;

use super::{Config, Field};

/// The configuration is refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// A key, a section or a value that makes no sense.
    #[error("{key}: {message}")]
    Key {
        /// `section.key`, or the environment variable it came from.
        key: String,
        /// What is wrong, and what would be right.
        message: String,
    },
}

impl ConfigError {
    /// A value of the wrong type or outside its bounds.
    pub fn value(section: &str, key: &str, message: impl Into<String>) -> Self {
        Self::Key { key: format!("{section}.{key}"), message: message.into() }
    }

    pub(super) fn unknown(section: &str, key: &str, known: &[Field]) -> Self {
        let known: Vec<_> = known.iter().map(|field| field.key).collect();
        Self::value(section, key, format!("there is no such key; [{section}] knows {}", known.join(", ")))
    }

    pub(super) fn unknown_section(key: &str) -> Self {
        let known: Vec<_> = Config::sections().iter().map(|section| section.key).collect();
        Self::Key { key: key.to_owned(), message: format!("there is no such section; known are {}", known.join(", ")) }
    }

    pub(super) fn not_a_section(key: &str) -> Self {
        Self::Key { key: key.to_owned(), message: format!("this is a section; write [{key}] and its keys below") }
    }
}
