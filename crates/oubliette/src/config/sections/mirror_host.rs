//! `[mirror_host]`

use std::path::PathBuf;

use crate::config::section::section;

section! {
    /// Keeps mirrors of other vaults' key state, beside the vault that this program serves. See docs/operating/mirrors.md.
    MirrorHost, "mirror_host" {
        /// Address and port for the vaults that are mirrored here. Without it none are.
        listen: Option<String> = None,
        /// Where their files lie, a folder for each vault. On another machine than theirs, that is the point.
        folder: Option<PathBuf> = None,
        /// PEM file with the authority that signed the vaults' certificates. Whoever it signed for may begin a mirror here.
        ca_file: Option<PathBuf> = None,
        /// PEM file with this host's certificate, and those between it and the authority.
        certificate_file: Option<PathBuf> = None,
        /// PEM file with the certificate's private key.
        key_file: Option<PathBuf> = None,
        /// Bytes that one vault's mirror may take.
        max_bytes: u64 = 68719476736,
        /// Vaults that may be mirrored here.
        max_vaults: usize = 16,
    }
}
