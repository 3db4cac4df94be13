//! What every handler sees.

use std::sync::Arc;

use oubliette_core::service::Vault;

use crate::work::fetch::FetchQueue;

/// Shared by all handlers; cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The vault.
    pub vault: Vault,
    /// What the configuration says of the dialects.
    pub settings: Arc<DialectSettings>,
    /// Recordings waiting to be fetched; [`crate::work::fetch::run`] works it off.
    pub fetches: FetchQueue,
}

impl App {
    /// State for a vault.
    pub fn new(vault: Vault, settings: DialectSettings) -> Self {
        Self { vault, settings: Arc::new(settings), fetches: FetchQueue::default() }
    }
}

/// Limits and switches of the dialects.
#[derive(Clone, Debug)]
pub struct DialectSettings {
    /// Largest JSON body in bytes.
    pub max_json_bytes: usize,
    /// Hosts from which recordings may be fetched (`host` or `host:port`); empty: fetching is off.
    pub download_hosts: Vec<String>,
    /// Origins allowed to call from browsers; empty: CORS is off.
    pub cors_origins: Vec<String>,
    /// The address clients use, for links in answers; no trailing slash.
    pub public_url: String,
    /// Deletes a Vonage client may make a minute (the vendor: about 16).
    pub vonage_deletes_per_minute: u32,
    /// Reads a Vonage client may make a minute (the vendor: about 160).
    pub vonage_reads_per_minute: u32,
}

impl Default for DialectSettings {
    fn default() -> Self {
        Self {
            max_json_bytes: 4 << 20,
            download_hosts: Vec::new(),
            cors_origins: Vec::new(),
            public_url: "http://127.0.0.1:8080".to_owned(),
            vonage_deletes_per_minute: 6_000,
            vonage_reads_per_minute: 60_000,
        }
    }
}
