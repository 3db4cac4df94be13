//! `[pkcs11]`

use std::path::PathBuf;

use crate::config::section::section;

section! {
    /// How the token is reached when a PKCS#11 module is a root store.
    Pkcs11, "pkcs11" {
        /// The vendor's module, a shared library that is loaded into the process.
        module: PathBuf = PathBuf::new(),
        /// Label of the token.
        token: String = "oubliette".to_owned(),
        /// File with nothing but the user's PIN.
        pin_file: Option<PathBuf> = None,
    }
}
