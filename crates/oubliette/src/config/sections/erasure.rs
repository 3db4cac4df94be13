//! `[erasure]`

use crate::config::section::section;

section! {
    /// How deletions are carried out.
    Erasure, "erasure" {
        /// Seconds a delete waits for its seal. After that it answers 503 and stays due.
        seal_timeout_seconds: u64 = 30,
        /// Seconds after a seal in which the same credential's retry of an unanswered delete is answered as success.
        retry_grace_seconds: u64 = 300,
        /// Interactions one order may erase.
        max_order_interactions: usize = 1_000_000,
    }
}
