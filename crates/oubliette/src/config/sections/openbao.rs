//! `[openbao]`

use std::path::PathBuf;

use crate::config::section::section;

section! {
    /// How OpenBao (or a server with its API) is reached when it is a root store.
    Openbao, "openbao" {
        /// URL of the server.
        address: String = String::new(),
        /// File with nothing but a token, read again whenever the token in use is refused. Instead of it: `role_id` and
        /// `secret_id_file`.
        token_file: Option<PathBuf> = None,
        /// Role id of an AppRole.
        role_id: Option<String> = None,
        /// File with nothing but the secret id of that role, valid for many logins.
        secret_id_file: Option<PathBuf> = None,
        /// Where the AppRole method is mounted.
        approle_mount: String = "approle".to_owned(),
        /// Where the transit engine is mounted.
        mount: String = "transit".to_owned(),
        /// Namespace, if the server has them.
        namespace: Option<String> = None,
        /// PEM file with the authorities that may have signed the server's certificate. Default: the system's.
        ca_file: Option<PathBuf> = None,
        /// The longest a single request may take.
        timeout_seconds: u64 = 10,
    }
}
