//! `[mirrors]`

use std::path::PathBuf;

use crate::config::section::section;

section! {
    /// Mirrors of the key state: further places that hold it before an old root is destroyed. While one of them cannot be
    /// reached nothing is sealed. See docs/operating/mirrors.md.
    Mirrors, "mirrors" {
        /// Where they lie, each with a name of its own: "NAME=folder:/PATH" (another disk), "NAME=s3://bucket/prefix" (with
        /// the options of `[s3]`), or "NAME=https://host:port" (another Oubliette with `[mirror_host]`).
        places: Vec<String> = Vec::new(),
        /// Seconds a mirror may take to answer before it counts as away.
        timeout_seconds: u64 = 15,
        /// PEM file with the authority that signed the certificates of other Oubliettes.
        ca_file: Option<PathBuf> = None,
        /// PEM file with the certificate that this vault shows to them.
        certificate_file: Option<PathBuf> = None,
        /// PEM file with the certificate's private key.
        key_file: Option<PathBuf> = None,
    }
}
