//! How the program lets go of a vault.

use std::time::Duration;

use oubliette_core::service::Closed;

use super::{OpenVault, mirrors};

/// Longest that a stop waits for what is left once the vault is closed, step by step.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Longest that it waits for the end of what a move, or who asks an agent, is in the midst of.
const LAST_STEP: Duration = Duration::from_secs(60);

impl OpenVault {
    /// Seals what is planned and lets go. What hangs is left where it is after a while: the process ends.
    pub async fn close(self) {
        self.asking.iter().for_each(|(stop, _)| stop.cancel());
        let mut quiet = true;
        if let Some(mover) = &self.mover {
            quiet &= tokio::time::timeout(LAST_STEP, mover.stop()).await.is_ok();
        }
        quiet &= self.vault.close().await == Closed::Whole;
        if let Some((_, asking)) = self.asking {
            // An agent that the next process gives something to must not be told by this one to forget it.
            quiet &= tokio::time::timeout(LAST_STEP, asking).await.is_ok();
        }
        if let Some(mirrored) = self.mirrors {
            let epoch = self.forest.epoch();
            let settled = tokio::task::spawn_blocking(move || mirrors::settle(&mirrored, epoch));
            let _ = tokio::time::timeout(LAST_WORDS, settled).await;
        }
        if let Some(held) = self.held {
            // Only for who wants to let one go later; a mirror that is away is not waited for again and again.
            let noted = tokio::task::spawn_blocking(move || held.note());
            let _ = tokio::time::timeout(LAST_WORDS, noted).await;
        }
        if let Some(claim) = self.claim
            && quiet
            && tokio::time::timeout(LAST_WORDS, self.metadata.close()).await.is_ok()
        {
            // Nobody seals, writes or uses a key of this process any more. Else whoever comes next waits for the lease to end, as
            // after a kill.
            let released = tokio::task::spawn_blocking(move || claim.release());
            let _ = tokio::time::timeout(LAST_WORDS, released).await;
        }
    }
}
