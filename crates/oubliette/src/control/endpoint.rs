//! `run/endpoint.json`: where a running program can be asked.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where and with which token. The token opens everything: no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Address of the control port.
    pub control: String,
    /// Token that lives as long as the process.
    pub token: String,
    /// Address of the listener, for people.
    pub url: String,
    /// The process.
    pub pid: u32,
}

impl Endpoint {
    /// The file's place.
    pub fn path(data: &Path) -> PathBuf {
        data.join("run").join("endpoint.json")
    }

    /// Reads it; `None` when there is none or it makes no sense.
    pub fn read(data: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Self::path(data)).ok()?).ok()
    }

    /// Writes it, readable by the owner only. It replaces what a process that crashed left.
    pub fn write(&self, data: &Path) -> std::io::Result<()> {
        let path = Self::path(data);
        write_private(&path, &serde_json::to_vec(self)?)
    }

    /// Removes it.
    pub fn remove(data: &Path) {
        let _ = std::fs::remove_file(Self::path(data));
    }
}

/// Writes a file that only its owner can read, by way of a temporary one.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let fresh = path.with_extension("new");
    let _ = std::fs::remove_file(&fresh);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}
