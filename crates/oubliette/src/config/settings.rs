//! What the rest of the program takes from the configuration, and what is checked beforehand.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use oubliette_core::phone::is_region;
use oubliette_core::service::{IngestMode, VaultSettings};

use super::{Config, ConfigError, MetadataPlace};
use crate::http::DialectSettings;
use crate::telemetry;

/// Largest `erasure.backup_horizon_days`: a hundred years.
const MAX_HORIZON_DAYS: u32 = 36_525;

impl Config {
    /// Checks what can be checked without opening anything.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.listen_address()?;
        self.ingest_mode()?;
        self.register_folder()?;
        self.blob_place()?;
        self.root_place()?;
        if matches!(self.metadata_place()?, MetadataPlace::Postgres(_)) {
            self.second_place()?;
        }
        self.mirror_places()?;
        self.host_place()?;
        self.node_place()?;
        self.log_settings()?;
        self.witnesses()?;
        self.escrow_place()?;
        if self.tls.certificate_file.is_some() != self.tls.key_file.is_some() {
            return Err(ConfigError::value(
                "tls",
                "key_file",
                "give certificate_file and key_file together, or neither",
            ));
        }
        if let Some(region) = &self.phones.default_region
            && (region.len() != 2 || !region.bytes().all(|byte| byte.is_ascii_uppercase()) || !is_region(region))
        {
            let wanted = "the two capital letters of a country whose numbers are known, for example \"US\"";
            return Err(ConfigError::value("phones", "default_region", wanted));
        }
        telemetry::check_level(&self.log.level)?;
        let limits = [
            ("max_header_bytes", self.limits.max_header_bytes as u64, 8192),
            ("max_json_bytes", self.limits.max_json_bytes as u64, 1024),
            ("max_content_bytes", self.limits.max_content_bytes, 1),
            ("max_connections", self.limits.max_connections as u64, 1),
            ("handshake_timeout_seconds", self.limits.handshake_timeout_seconds, 1),
            ("header_timeout_seconds", self.limits.header_timeout_seconds, 1),
            ("stall_timeout_seconds", self.limits.stall_timeout_seconds, 1),
        ];
        for (key, value, least) in limits {
            if value < least {
                return Err(ConfigError::value("limits", key, format!("at least {least}")));
            }
        }
        if self.erasure.seal_timeout_seconds == 0 {
            return Err(ConfigError::value("erasure", "seal_timeout_seconds", "at least 1"));
        }
        if self.erasure.backup_horizon_days > MAX_HORIZON_DAYS {
            return Err(ConfigError::value("erasure", "backup_horizon_days", format!("at most {MAX_HORIZON_DAYS}")));
        }
        Ok(())
    }

    /// The address to listen on.
    pub fn listen_address(&self) -> Result<SocketAddr, ConfigError> {
        let wrong = |message: String| ConfigError::value("server", "listen", message);
        let mut addresses = self
            .server
            .listen
            .to_socket_addrs()
            .map_err(|_| wrong("an address and a port, for example \"127.0.0.1:8080\"".to_owned()))?;
        addresses.next().ok_or_else(|| wrong("this name has no address".to_owned()))
    }

    /// Whether the listener speaks TLS.
    pub fn tls_enabled(&self) -> bool {
        self.tls.certificate_file.is_some()
    }

    /// Refuses plain HTTP that others could overhear, unless it is acknowledged.
    pub fn check_transport(&self) -> Result<(), ConfigError> {
        if self.tls_enabled() || self.server.accept_plain_http || self.listen_address()?.ip().is_loopback() {
            return Ok(());
        }
        Err(ConfigError::value(
            "server",
            "listen",
            "plain HTTP on an address other than loopback: configure [tls], or set server.accept_plain_http = true if a \
             proxy in front ends TLS",
        ))
    }

    /// The register folder: as configured, or the data folder's sibling. Refused below the data folder.
    pub fn register_folder(&self) -> Result<PathBuf, ConfigError> {
        let data = absolute(&self.storage.data);
        let register = match &self.storage.register {
            Some(register) if register.as_os_str().is_empty() => sibling(&data),
            Some(register) => absolute(register),
            None => sibling(&data),
        };
        if register.starts_with(&data) || data.starts_with(&register) {
            return Err(ConfigError::value(
                "storage",
                "register",
                "the register must not lie in the data folder, nor the data folder in the register's: copies of the data \
                 would carry the one file whose bytes must die",
            ));
        }
        Ok(register)
    }

    /// The address clients use.
    pub fn public_url(&self, bound: SocketAddr) -> String {
        match &self.server.public_url {
            Some(url) if !url.is_empty() => url.trim_end_matches('/').to_owned(),
            _ => format!("{}://{bound}", if self.tls_enabled() { "https" } else { "http" }),
        }
    }

    /// Who makes an interaction processed.
    pub fn ingest_mode(&self) -> Result<IngestMode, ConfigError> {
        match self.ingest.mode.as_str() {
            "direct" => Ok(IngestMode::Direct),
            "external" => Ok(IngestMode::External),
            _ => Err(ConfigError::value("ingest", "mode", "\"direct\" or \"external\"")),
        }
    }

    /// Rules and limits of the vault.
    pub fn vault_settings(&self) -> Result<VaultSettings, ConfigError> {
        let days = self.erasure.backup_horizon_days;
        Ok(VaultSettings {
            default_region: self.phones.default_region.clone().filter(|region| !region.is_empty()),
            internal_roles: self.participants.internal.clone(),
            ingest: self.ingest_mode()?,
            seal_timeout: Duration::from_secs(self.erasure.seal_timeout_seconds),
            retry_grace: Duration::from_secs(self.erasure.retry_grace_seconds),
            max_content_bytes: self.limits.max_content_bytes,
            max_order_interactions: self.erasure.max_order_interactions,
            backup_horizon: (days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400)),
            log: self.log_settings()?,
            ..VaultSettings::default()
        })
    }

    /// What the dialects need to know.
    pub fn dialect_settings(&self, bound: SocketAddr) -> DialectSettings {
        DialectSettings {
            max_json_bytes: self.limits.max_json_bytes,
            download_hosts: self.ingest.download_hosts.clone(),
            cors_origins: self.cors.origins.clone(),
            public_url: self.public_url(bound),
            vonage_deletes_per_minute: self.vonage.deletes_per_minute,
            vonage_reads_per_minute: self.vonage.reads_per_minute,
        }
    }
}

/// The path without `.` and `..`, seen from here, links resolved as far as it exists.
fn absolute(path: &Path) -> PathBuf {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut resolved = PathBuf::new();
    for component in full.components() {
        match component {
            Component::ParentDir => {
                resolved.pop();
            }
            component => resolved.push(component),
        }
        if let Ok(real) = resolved.canonicalize() {
            resolved = real;
        }
    }
    resolved
}

fn sibling(data: &Path) -> PathBuf {
    let mut name = data.file_name().map_or_else(|| "oubliette".into(), std::ffi::OsStr::to_owned);
    name.push(".register");
    data.with_file_name(name)
}
