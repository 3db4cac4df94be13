//! `[vonage]`

use crate::config::section::section;

section! {
    /// The Vonage Contact Center dialect.
    Vonage, "vonage" {
        /// Deletes a client may make a minute (the vendor's own limit is about 16).
        deletes_per_minute: u32 = 6_000,
        /// Reads a client may make a minute (the vendor's own limit is about 160).
        reads_per_minute: u32 = 60_000,
    }
}
