//! `[ingest]`

use crate::config::section::section;

section! {
    /// What becomes of new interactions.
    Ingest, "ingest" {
        /// `direct`: an interaction is processed as soon as its bytes are stored. `external`: a processor of yours
        /// fetches it, puts its results and sets the state through the native API.
        mode: String = "direct".to_owned(),
        /// Hosts (`host` or `host:port`) from which recordings named by an address may be fetched. Empty: never.
        download_hosts: Vec<String> = Vec::new(),
    }
}
