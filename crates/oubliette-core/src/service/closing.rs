//! How a vault closes.

use std::sync::atomic::Ordering;

use super::Vault;
use super::vault::Inner;

/// How a stop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Nothing of the vault uses a key any more.
    Whole,
    /// A seal, or the storing of an upload that was sent whole, did not come to its end in time, and may still.
    Unfinished,
}

impl Vault {
    /// Stops taking orders, stores what uploads were sent whole, seals what is planned, tells metadata and log, pins what was committed, ends the workers. None of
    /// these steps takes longer than [`VaultSettings::stop_patience`], the first no longer than three times that. What is not
    /// done by then, because a mirror is away or a store hangs, is left to the next start as after a kill, and said in the log.
    pub async fn close(&self) -> Closed {
        let inner = &self.inner;
        inner.closing.send_replace(true);
        if inner.attached.is_some() {
            // An older copy is told nothing before it is the vault's database.
            return inner.end_sealer().await;
        }
        let patience = inner.settings.stop_patience;
        // A seal of much, or with mirrors and agents, may take longer than anything else here.
        let settled = tokio::time::timeout(patience * 3, async {
            inner.unattended.close();
            inner.unattended.wait().await;
            inner.sealer.settle().await
        });
        let settled = settled.await;
        if settled.is_err() {
            let storing = inner.unattended.len();
            tracing::warn!(
                storing,
                "what is being stored or sealed does not end; what is due is left to the next start"
            );
        }
        let answers = inner.mark_the_last().await;
        if answers && inner.settings.telling && tokio::time::timeout(patience, inner.tell_the_last()).await.is_err() {
            tracing::warn!("the log was not told everything; the next start will");
        }
        let pinned = !inner.must_pin() || (matches!(settled, Ok(Ok(()))) && inner.pin_the_last().await);
        if !pinned {
            tracing::warn!("the last commits were not pinned by a seal; an older copy may be taken for this database");
        }
        let closed = inner.end_sealer().await;
        if answers && closed == Closed::Whole {
            inner.mark_the_last().await;
        }
        closed
    }
}

impl Inner {
    /// Notes the last seals; whether the metadata answered.
    async fn mark_the_last(&self) -> bool {
        let noted = tokio::time::timeout(self.settings.stop_patience, self.mark_unmarked()).await;
        match &noted {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, "the last seals were not noted; the next start will");
            }
            Err(_) => {
                tracing::warn!("the database does not answer: the last seals were not noted; the next start will")
            }
        }
        noted.is_ok()
    }

    /// Whether a seal is to pin what was changed since the last one: after a stop in good order every older copy of the rows that
    /// lacks something is known to be one. Not of who has lost the keys to another process or place.
    fn must_pin(&self) -> bool {
        let shared = &self.shared;
        !shared.is_poisoned() && shared.lease.holds() && !self.log.is_held_off() && shared.outpaced()
    }

    /// Makes that seal, unless seals are not being made; whether it is there.
    async fn pin_the_last(&self) -> bool {
        self.shared.sealing.load(Ordering::Acquire)
            && matches!(tokio::time::timeout(self.settings.stop_patience, self.sealer.pin()).await, Ok(Ok(())))
    }

    async fn end_sealer(&self) -> Closed {
        match tokio::time::timeout(self.settings.stop_patience, self.sealer.stop()).await {
            Ok(()) if self.unattended.is_empty() => Closed::Whole,
            _ => Closed::Unfinished,
        }
    }
}
