//! `[key_state]`

use crate::config::section::section;

section! {
    /// Key pages and the purge journal, when the metadata is PostgreSQL: they lie there too, and in a second, independent
    /// place, from which every seal is read back before the old root is destroyed.
    KeyState, "key_state" {
        /// The second place: "blobs" (the object store), "folder:PATH" (another disk), or "standby:URL" (a standby that
        /// the primary waits for).
        second: String = "blobs".to_owned(),
    }
}
