//! What `[node]` says, read into what the program needs.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use super::{BlobPlace, Config, ConfigError, MetadataPlace};

/// How this process is a node among others.
#[derive(Clone, Debug)]
pub struct NodePlace {
    /// Where it listens for other nodes.
    pub listen: SocketAddr,
    /// How they reach it; `None`: the address that is bound.
    pub advertise: Option<String>,
    /// What it is called.
    pub name: String,
    /// Certificates; `None` speaks without TLS.
    pub files: Option<NodeFiles>,
    /// How long a request waits for a holder.
    pub wait: Duration,
}

/// PEM files of mutual TLS.
#[derive(Clone, Debug)]
pub struct NodeFiles {
    /// Where they are named, for errors.
    pub section: &'static str,
    /// Whom to trust.
    pub ca: PathBuf,
    /// Own certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Config {
    /// How this process is a node; `None` when it serves alone or stands by.
    pub fn node_place(&self) -> Result<Option<NodePlace>, ConfigError> {
        let section = &self.node;
        let Some(listen) = text(section.listen.as_ref()) else { return Ok(None) };
        let wrong = |key, message: &str| Err(ConfigError::value("node", key, message));
        let listen = listen.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
        let Some(listen) = listen else {
            return wrong("listen", "an address and a port, for example \"10.0.0.5:8443\"");
        };
        if matches!(self.metadata_place()?, MetadataPlace::Sqlite) || matches!(self.blob_place()?, BlobPlace::Local) {
            return wrong(
                "listen",
                "nodes share everything: name PostgreSQL in storage.metadata and a bucket in storage.blobs",
            );
        }
        let files = [&section.ca_file, &section.certificate_file, &section.key_file];
        let files: Vec<_> = files.into_iter().flatten().filter(|path| !path.as_os_str().is_empty()).cloned().collect();
        let files = match <[PathBuf; 3]>::try_from(files) {
            Ok([ca, certificate, key]) => Some(NodeFiles { section: "node", ca, certificate, key }),
            Err(some) if !some.is_empty() => {
                return wrong("ca_file", "give ca_file, certificate_file and key_file together");
            }
            Err(_) if !section.accept_plain_http => {
                return wrong("ca_file", "keys travel between nodes: give ca_file, certificate_file and key_file");
            }
            Err(_) if !listen.ip().is_loopback() => {
                return wrong("accept_plain_http", "without TLS nodes speak on loopback only");
            }
            Err(_) => None,
        };
        let advertise = text(section.advertise.as_ref());
        if advertise.as_ref().is_some_and(|advertise| {
            advertise.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
        }) {
            return wrong("advertise", "a host and a port, for example \"vault-1.example:8443\"");
        }
        if advertise.is_none() && listen.ip().is_unspecified() {
            return wrong(
                "advertise",
                "other nodes cannot reach an address that stands for all: say how they reach this node",
            );
        }
        if section.wait_seconds == 0 {
            return wrong("wait_seconds", "at least 1");
        }
        let name = text(section.name.as_ref()).unwrap_or_else(host_name);
        Ok(Some(NodePlace { listen, advertise, name, files, wait: Duration::from_secs(section.wait_seconds) }))
    }
}

/// An empty text in the environment means none.
fn text(value: Option<&String>) -> Option<String> {
    value.filter(|text| !text.is_empty()).cloned()
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "node".to_owned() } else { name.trim().to_owned() }
}
