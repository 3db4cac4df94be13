//! The agent's own configuration: a small TOML file, unknown keys refused.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use oubliette_store::escrow::envelope::is_name;
use serde::Deserialize;
use uuid::Uuid;

use crate::config::NodeFiles;

/// An agent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// What the vault's configuration calls it.
    pub name: String,
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// The register's folder. In no backup and no snapshot.
    pub register: PathBuf,
    /// The vault whose agent it is. Without it: the first vault that puts anything.
    #[serde(default)]
    pub instance: Option<Uuid>,
    /// PEM file with the authority that signed for agents and vault.
    pub ca_file: PathBuf,
    /// PEM file with the agent's certificate.
    pub certificate_file: PathBuf,
    /// PEM file with its key.
    pub key_file: PathBuf,
    /// Serve although the register's filesystem is not known to overwrite in place.
    #[serde(default)]
    pub accept_unverified_register: bool,
}

impl AgentConfig {
    /// Reads the file. Relative paths in it are relative to it.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let mut config: Self =
            toml::from_str(&text).with_context(|| format!("{} is no agent's configuration", path.display()))?;
        if !is_name(&config.name) {
            bail!("name: 1 to 32 letters, digits, - _ and .");
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        for path in [&mut config.register, &mut config.ca_file, &mut config.certificate_file, &mut config.key_file] {
            *path = folder.join(&*path);
        }
        Ok(config)
    }

    /// The files of mutual TLS.
    pub fn files(&self) -> NodeFiles {
        NodeFiles {
            section: "agent",
            ca: self.ca_file.clone(),
            certificate: self.certificate_file.clone(),
            key: self.key_file.clone(),
        }
    }
}
