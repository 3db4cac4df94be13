//! `[node]`

use std::path::PathBuf;

use crate::config::section::section;

section! {
    /// Several processes serving side by side, over PostgreSQL and a bucket. Without `listen` a second process stands by and
    /// listens to nobody until it is its turn. See docs/operating/servers.md.
    Node, "node" {
        /// Address and port for the other nodes. Keys of single contents are lent over it.
        listen: Option<String> = None,
        /// How other nodes reach this one: host and port, as in its certificate. Default: `listen`.
        advertise: Option<String> = None,
        /// What this node is called in logs and figures. Default: the host's name.
        name: Option<String> = None,
        /// PEM file with the authority that signed the nodes' certificates. Whoever it signed for is a node: use one of its
        /// own.
        ca_file: Option<PathBuf> = None,
        /// PEM file with this node's certificate, for its advertised host, and those between it and the authority.
        certificate_file: Option<PathBuf> = None,
        /// PEM file with the certificate's private key.
        key_file: Option<PathBuf> = None,
        /// Speak without TLS between nodes; on loopback only, for trials.
        accept_plain_http: bool = false,
        /// Seconds that a request waits for a node to take over before it is answered 503.
        wait_seconds: u64 = 20,
    }
}
