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
        /// Days after an erasure's acceptance in which sealed copies of what it erases may still lie in backups and replicas: as
        /// long as you keep them. Certificates tell it. 0: they say nothing of it.
        backup_horizon_days: u32 = 0,
    }
}
