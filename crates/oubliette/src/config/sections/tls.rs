//! `[tls]`

use std::path::PathBuf;

use crate::config::section::section;

section! {
    /// TLS on the listener: TLS 1.2 and 1.3, HTTP/1.1 and HTTP/2. Both files or none.
    Tls, "tls" {
        /// PEM file with the certificate and those between it and the root.
        certificate_file: Option<PathBuf> = None,
        /// PEM file with the private key.
        key_file: Option<PathBuf> = None,
    }
}
