//! What a delete is answered with: *done* only once it is sealed, *gone*, or *still due*; and which deletes were never told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyforest::{Group, Leaf};
use uuid::Uuid;

use super::VaultError;
use super::journal::Record;
use super::vault::Inner;
use crate::model::Actor;
use crate::ports::{PurgeKind, PurgeRow, PurgeState};

/// Deletes remembered that were not answered.
const MAX_UNANSWERED: usize = 100_000;

impl Inner {
    /// Waits for the seals of erasures, for as long as a delete waits.
    pub(super) async fn wait(&self, purges: &[Uuid]) -> Result<(), VaultError> {
        self.wait_for(purges, self.settings.seal_timeout).await
    }

    pub(super) async fn wait_for(&self, purges: &[Uuid], limit: Duration) -> Result<(), VaultError> {
        let all = async {
            let mut poisoned = self.shared.poisoned.subscribe();
            for purge in purges {
                let Some(mut sealed) = self.shared.awaiting(*purge) else {
                    // Not on its way: sealed already, or never accepted by this process.
                    let row = self.metadata.purge(*purge).await.map_err(|error| self.port(error))?;
                    match row {
                        Some(row) if self.is_sealed(&row) => continue,
                        // The vault stops, or its process must end.
                        Some(_) => return Ok(false),
                        None => return Err(VaultError::NotFound),
                    }
                };
                tokio::select! {
                    told = sealed.wait_for(|sealed| *sealed) => {
                        if told.is_err() {
                            // The vault stops, and the next start seals it.
                            return Ok(false);
                        }
                    }
                    _ = poisoned.wait_for(|poisoned| *poisoned) => return Ok(false),
                }
            }
            Ok(true)
        };
        match tokio::time::timeout(limit, all).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) | Err(_) => Err(self.still_due(purges).await),
            Ok(Err(error)) => Err(error),
        }
    }

    /// What is answered of erasures whose seal was waited for too long, or in vain: *still due* once the journal in the key state
    /// has them, so that an older copy of the database does not forget what was promised. Else nothing is promised.
    async fn still_due(&self, purges: &[Uuid]) -> VaultError {
        for purge in purges {
            if self.shared.journaled.has(*purge) {
                continue;
            }
            let row = match self.metadata.purge(*purge).await {
                Ok(Some(row)) if row.kind == PurgeKind::Order && !self.is_sealed(&row) => row,
                Ok(_) => continue,
                Err(error) => return self.port(error),
            };
            let Some(record) = Record::of(row) else { continue };
            // Goes on when nobody waits for it any more.
            let shared = Arc::clone(&self.shared);
            match tokio::task::spawn_blocking(move || shared.journal(&record)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(error) => return VaultError::internal(error),
            }
        }
        VaultError::StillDue
    }

    /// The test of *sealed* is the puncture itself: the row may lag behind.
    pub(super) fn is_sealed(&self, row: &PurgeRow) -> bool {
        row.state == PurgeState::Sealed
            || (self.shared.awaiting(row.id).is_none() && self.shared.is_punctured(&row.set))
    }

    /// A delete of what is erased or hidden already. Waits for the erasure under way; then success for a retry of a delete
    /// by the same credential that was never answered, else *gone*.
    pub(super) async fn answer_gone(
        &self,
        actor: &Actor,
        group: Option<Group>,
        leaf: Option<Leaf>,
    ) -> Result<(), VaultError> {
        let Some(leaf) = leaf.or_else(|| group.map(|group| group.leaf(0))) else { return Err(VaultError::Gone) };
        let unanswered = self.unanswered.was(actor.credential, leaf);
        // While the seal is still to come, the grace begins anew with every attempt.
        let again = unanswered.then(|| self.unanswered.begin(actor.credential, leaf, self.settings.retry_grace));
        if let Some(purge) = self.shared.hidden.covering(leaf) {
            self.wait(&[purge]).await?;
        }
        again.map_or(Err(VaultError::Gone), |again| {
            again.answered();
            Ok(())
        })
    }
}

/// By credential and leaf: until when a retry is answered as success; no end while the delete is under way.
type UnansweredUntil = HashMap<(Uuid, u64), Option<Instant>>;

/// Deletes whose *done* was never told: the seal came too late, or the client went away. A retry by the same credential
/// within the grace after that is answered as success, so that a lost answer does not read as *never existed*.
#[derive(Default)]
pub struct Unanswered {
    entries: Arc<Mutex<UnansweredUntil>>,
}

/// A delete being answered.
pub struct Answering {
    entries: Arc<Mutex<UnansweredUntil>>,
    key: (Uuid, u64),
    grace: Duration,
    answered: bool,
}

impl Unanswered {
    /// A delete by this credential that is about to be answered.
    pub(super) fn begin(&self, credential: Uuid, leaf: Leaf, grace: Duration) -> Answering {
        Answering { entries: Arc::clone(&self.entries), key: (credential, leaf.0), grace, answered: false }
    }

    /// Whether a delete by this credential was never answered.
    fn was(&self, credential: Uuid, leaf: Leaf) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(&(credential, leaf.0)).is_some_and(|until| until.is_none_or(|until| until > now()))
    }

    /// A purge that was not sealed before the last stop: its orderer was not answered.
    pub fn remember_recovered(&self, purge: &PurgeRow, grace: Duration) {
        let Some(credential) = purge.credential else { return };
        if purge.kind != PurgeKind::Order || purge.set.interactions.len() + purge.set.leaves.len() > 10_000 {
            return;
        }
        let groups = purge.set.interactions.iter().map(|group| Group(group.0).leaf(0));
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        for leaf in groups.chain(purge.set.leaves.iter()) {
            entries.insert((credential, leaf.0), Some(now() + grace));
        }
    }
}

impl Answering {
    /// It was told *done* or *gone*.
    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MAX_UNANSWERED {
            let now = now();
            entries.retain(|_, until| until.is_none_or(|until| until > now));
        }
        if entries.len() < MAX_UNANSWERED {
            entries.insert(self.key, Some(now() + self.grace));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "measures a duration, not a date")]
fn now() -> Instant {
    Instant::now()
}
