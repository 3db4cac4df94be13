//! `[escrow]`

use std::path::PathBuf;

use crate::config::section::section;

section! {
    /// Agents that hold the current root key, sealed to an off-line recovery key, so that the loss of this machine's disks
    /// is survived. See docs/operating/escrow.md.
    Escrow, "escrow" {
        /// The public recovery key, as `oubliette recovery-key create` prints it.
        recovery_key: Option<String> = None,
        /// The agents, each as `NAME=https://HOST:PORT`. Their order is part of what they hold: add new ones at the end.
        agents: Vec<String> = Vec::new(),
        /// How many of them bring the root back, as `2/3`. Empty: every agent holds the whole root, so that any one brings it
        /// back, and none may be missing for a seal.
        shares: Option<String> = None,
        /// PEM file with the authority that signed the certificates of agents and vault: one of its own.
        ca_file: Option<PathBuf> = None,
        /// PEM file with the vault's certificate for its agents, and those between it and the authority.
        certificate_file: Option<PathBuf> = None,
        /// PEM file with the certificate's private key.
        key_file: Option<PathBuf> = None,
        /// The longest a request to an agent may take.
        timeout_seconds: u64 = 5,
    }
}
