//! `[root]`

use crate::config::section::section;

section! {
    /// The root store: the only bytes that must really die. See `docs/operating/root-stores.md`.
    Root, "root" {
        /// "file", "openbao", "pkcs11" (where compiled in) or "multi-share".
        class: String = "file".to_owned(),
        /// With "multi-share": the classes that hold a share each. All of them are needed to open the vault; erasing any one
        /// erases the root.
        shares: Vec<String> = vec!["file".to_owned(), "openbao".to_owned()],
    }
}
