//! Rows between whose transactions something happens, as a test arranges it.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use keyforest::{Group, Leaf, LeafSet};
use oubliette_core::model::TenantId;
use oubliette_core::ports::*;
use tokio::sync::watch;
use uuid::Uuid;

/// Why a transaction does not happen.
#[derive(Clone, Copy)]
pub enum Refused {
    /// The database does not answer; nothing happened.
    Unavailable,
    /// A check does not hold.
    Conflict,
}

/// What is arranged. Shared by a test and the rows of its vault.
#[derive(Default)]
pub struct Faults {
    refused: Mutex<Vec<(&'static str, Refused)>>,
    held: watch::Sender<Option<&'static str>>,
    waits: watch::Sender<bool>,
    before_places: Mutex<Option<Vec<Write>>>,
}

impl Faults {
    /// The next transaction of this name does not happen.
    pub fn refuse(&self, name: &'static str, why: Refused) {
        self.refused.lock().unwrap().push((name, why));
    }

    /// How many transactions are still to be refused.
    pub fn left(&self) -> usize {
        self.refused.lock().unwrap().len()
    }

    /// Transactions of this name wait until [`Faults::release`].
    pub fn hold(&self, name: &'static str) {
        self.held.send_replace(Some(name));
    }

    /// Returns once a transaction waits.
    pub async fn is_waited_for(&self) {
        self.waits.subscribe().wait_for(|waits| *waits).await.unwrap();
    }

    /// Nothing waits any more.
    pub fn release(&self) {
        self.held.send_replace(None);
    }

    /// These are written before the next question for erasures by place.
    pub fn before_places(&self, writes: Vec<Write>) {
        *self.before_places.lock().unwrap() = Some(writes);
    }

    /// Whether that question was asked.
    pub fn was_asked(&self) -> bool {
        self.before_places.lock().unwrap().is_none()
    }
}

/// Rows to which that happens.
pub struct Arranged {
    pub inner: Arc<dyn Metadata>,
    pub faults: Arc<Faults>,
}

#[async_trait]
impl Metadata for Arranged {
    async fn instance(&self) -> Result<InstanceRow, PortError> {
        self.inner.instance().await
    }

    async fn apply(&self, transaction: Transaction) -> Result<Applied, PortError> {
        let refused = {
            let mut refused = self.faults.refused.lock().unwrap();
            let at = refused.iter().position(|(name, _)| *name == transaction.name);
            at.map(|at| refused.remove(at).1)
        };
        match refused {
            Some(Refused::Unavailable) => return Err(PortError::bare(PortErrorKind::Unavailable, "as arranged")),
            Some(Refused::Conflict) => return Ok(Applied::Failed(0)),
            None => {}
        }
        let mut held = self.faults.held.subscribe();
        let is_held = |held: &Option<&'static str>| *held == Some(transaction.name);
        if is_held(&held.borrow()) {
            self.faults.waits.send_replace(true);
        }
        let _ = held.wait_for(|held| !is_held(held)).await;
        self.inner.apply(transaction).await
    }

    async fn interaction(&self, group: Group) -> Result<Option<InteractionRow>, PortError> {
        self.inner.interaction(group).await
    }

    async fn interactions(&self, groups: &[Group]) -> Result<Vec<InteractionRow>, PortError> {
        self.inner.interactions(groups).await
    }

    async fn interactions_in_hour(&self, tenant: TenantId, hour: i64) -> Result<Vec<InteractionRow>, PortError> {
        self.inner.interactions_in_hour(tenant, hour).await
    }

    async fn next_hour(&self, tenant: TenantId, from: i64, to: i64) -> Result<Option<i64>, PortError> {
        self.inner.next_hour(tenant, from, to).await
    }

    async fn contents(&self, interactions: &[Group]) -> Result<Vec<ContentRow>, PortError> {
        self.inner.contents(interactions).await
    }

    async fn count_contents(&self, interactions: &LeafSet) -> Result<u64, PortError> {
        self.inner.count_contents(interactions).await
    }

    async fn contents_by_leaf(&self, leaves: &[Leaf]) -> Result<Vec<ContentRow>, PortError> {
        self.inner.contents_by_leaf(leaves).await
    }

    async fn directory(&self, from: u64, limit: usize) -> Result<Vec<DirectoryRow>, PortError> {
        self.inner.directory(from, limit).await
    }

    async fn next_directory_block(&self) -> Result<u64, PortError> {
        self.inner.next_directory_block().await
    }

    async fn directory_blocks(&self, blocks: &[u64]) -> Result<Vec<DirectoryRow>, PortError> {
        self.inner.directory_blocks(blocks).await
    }

    async fn unsealed_purges(&self) -> Result<Vec<PurgeRow>, PortError> {
        self.inner.unsealed_purges().await
    }

    async fn unswept_purges(&self, due: Option<Timestamp>, limit: usize) -> Result<Vec<PurgeRow>, PortError> {
        self.inner.unswept_purges(due, limit).await
    }

    async fn purge(&self, id: Uuid) -> Result<Option<PurgeRow>, PortError> {
        self.inner.purge(id).await
    }

    async fn purges(
        &self,
        tenant: TenantId,
        before: Option<(Timestamp, Uuid)>,
        limit: usize,
    ) -> Result<Vec<PurgeRow>, PortError> {
        self.inner.purges(tenant, before, limit).await
    }

    async fn uncertified_purges(&self, epoch: u64, limit: usize) -> Result<Vec<PurgeRow>, PortError> {
        self.inner.uncertified_purges(epoch, limit).await
    }

    async fn purges_in_entry(&self, entry: u64) -> Result<Vec<PurgeRow>, PortError> {
        self.inner.purges_in_entry(entry).await
    }

    async fn manifest(&self, id: Uuid) -> Result<Option<Vec<u8>>, PortError> {
        self.inner.manifest(id).await
    }

    async fn purges_at(&self, places: &[i64]) -> Result<Vec<(i64, Uuid)>, PortError> {
        let first = self.faults.before_places.lock().unwrap().take();
        if let Some(writes) = first {
            self.inner.apply(Transaction { name: "as arranged", checks: Vec::new(), writes }).await?;
        }
        self.inner.purges_at(places).await
    }

    async fn removals_due(&self, limit: usize) -> Result<Vec<RemovedPurge>, PortError> {
        self.inner.removals_due(limit).await
    }

    async fn removals_in_entry(&self, entry: u64) -> Result<Vec<RemovedPurge>, PortError> {
        self.inner.removals_in_entry(entry).await
    }

    async fn seals(&self, limit: usize) -> Result<Vec<SealRow>, PortError> {
        self.inner.seals(limit).await
    }

    async fn arrivals(&self, limit: usize) -> Result<Vec<ArrivalRow>, PortError> {
        self.inner.arrivals(limit).await
    }

    async fn batches_at(&self, places: &[u64]) -> Result<Vec<BatchRow>, PortError> {
        self.inner.batches_at(places).await
    }

    async fn batches(&self, from: u64, limit: usize) -> Result<Vec<BatchRow>, PortError> {
        self.inner.batches(from, limit).await
    }

    async fn used_groups(&self, range: Range<u64>) -> Result<LeafSet, PortError> {
        self.inner.used_groups(range).await
    }

    async fn credentials(&self) -> Result<Vec<CredentialRow>, PortError> {
        self.inner.credentials().await
    }

    async fn tenants(&self) -> Result<Vec<(TenantId, String)>, PortError> {
        self.inner.tenants().await
    }

    async fn count_interactions(&self) -> Result<u64, PortError> {
        self.inner.count_interactions().await
    }

    async fn live_blobs(&self, blobs: &[BlobRef]) -> Result<Vec<bool>, PortError> {
        self.inner.live_blobs(blobs).await
    }

    async fn switch_blob(&self, from: &BlobRef, to: &BlobRef) -> Result<bool, PortError> {
        self.inner.switch_blob(from, to).await
    }

    async fn blobs_with_prefix(&self, prefix: &str) -> Result<Vec<BlobRef>, PortError> {
        self.inner.blobs_with_prefix(prefix).await
    }

    async fn value(&self, name: &str) -> Result<Option<Vec<u8>>, PortError> {
        self.inner.value(name).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
