//! The port's questions, handed to the readers and the writers.

use std::ops::Range;

use async_trait::async_trait;
use jiff::Timestamp;
use keyforest::{Group, Leaf, LeafSet};
use oubliette_core::model::TenantId;
use oubliette_core::ports::{
    Applied, ArrivalRow, BatchRow, BlobRef, ContentRow, CoverRow, CredentialRow, DirectoryRow, InstanceRow,
    InteractionRow, Metadata, PortError, PortErrorKind, PurgeRow, RemovedPurge, SealRow, Transaction,
};
use uuid::Uuid;

use super::writer::{Address, Request};
use super::{MAX_ASKED, PostgresMetadata};
use crate::metadata::MAX_PLACES;

fn few(asked: usize, operation: &'static str) -> Result<(), PortError> {
    if asked > MAX_ASKED { Err(PortError::bare(PortErrorKind::Refused, operation)) } else { Ok(()) }
}

#[async_trait]
impl Metadata for PostgresMetadata {
    async fn instance(&self) -> Result<InstanceRow, PortError> {
        self.read_instance().await
    }

    async fn apply(&self, transaction: Transaction) -> Result<Applied, PortError> {
        self.write(Request::Apply(transaction), Address::Apply).await
    }

    async fn interaction(&self, group: Group) -> Result<Option<InteractionRow>, PortError> {
        self.read_interaction(group).await
    }

    async fn interactions(&self, groups: &[Group]) -> Result<Vec<InteractionRow>, PortError> {
        few(groups.len(), "read more than 1,000 interactions at once")?;
        self.read_interactions(groups).await
    }

    async fn interactions_in_hour(
        &self,
        tenant: TenantId,
        hour: i64,
        after: Option<Group>,
        limit: usize,
    ) -> Result<Vec<InteractionRow>, PortError> {
        self.read_hour(tenant, hour, after, limit).await
    }

    async fn next_hour(&self, tenant: TenantId, from: i64, to: i64) -> Result<Option<i64>, PortError> {
        self.find_next_hour(tenant, from, to).await
    }

    async fn contents(&self, interactions: &[Group]) -> Result<Vec<ContentRow>, PortError> {
        few(interactions.len(), "read contents of more than 1,000 interactions at once")?;
        self.read_contents(interactions).await
    }

    async fn count_contents(&self, interactions: &LeafSet) -> Result<u64, PortError> {
        self.sum_contents(interactions).await
    }

    async fn contents_by_leaf(&self, leaves: &[Leaf]) -> Result<Vec<ContentRow>, PortError> {
        self.read_contents_by_leaf(leaves).await
    }

    async fn directory(&self, from: u64, limit: usize) -> Result<Vec<DirectoryRow>, PortError> {
        self.read_directory(from, limit).await
    }

    async fn close(&self) {
        Self::close(self).await;
    }

    async fn next_directory_block(&self) -> Result<u64, PortError> {
        self.find_next_block().await
    }

    async fn directory_blocks(&self, blocks: &[u64]) -> Result<Vec<DirectoryRow>, PortError> {
        few(blocks.len(), "read more than 1,000 directory blocks at once")?;
        self.read_blocks(blocks).await
    }

    async fn unsealed_purges(&self) -> Result<Vec<PurgeRow>, PortError> {
        self.read_unsealed().await
    }

    async fn unswept_purges(&self, due: Option<Timestamp>, limit: usize) -> Result<Vec<PurgeRow>, PortError> {
        self.read_unswept(due, limit).await
    }

    async fn purge(&self, id: Uuid) -> Result<Option<PurgeRow>, PortError> {
        self.read_purge(id).await
    }

    async fn purge_brief(&self, id: Uuid) -> Result<Option<PurgeRow>, PortError> {
        self.read_brief(id).await
    }

    async fn covers(&self, ids: &[Uuid], bytes: usize) -> Result<Vec<CoverRow>, PortError> {
        few(ids.len(), "read what more than 1,000 erasures cover at once")?;
        self.read_covers(ids, bytes).await
    }

    async fn purges(
        &self,
        tenant: TenantId,
        before: Option<(Timestamp, Uuid)>,
        limit: usize,
    ) -> Result<Vec<PurgeRow>, PortError> {
        self.read_purges(tenant, before, limit).await
    }

    async fn uncertified_purges(&self, epoch: u64, limit: usize) -> Result<Vec<PurgeRow>, PortError> {
        self.read_uncertified(epoch, limit).await
    }

    async fn waiting_purges(&self, limit: usize) -> Result<Vec<Uuid>, PortError> {
        self.read_waiting(limit).await
    }

    async fn purges_in_entry(&self, entry: u64) -> Result<Vec<PurgeRow>, PortError> {
        self.read_entry(entry).await
    }

    async fn manifest(&self, id: Uuid) -> Result<Option<Vec<u8>>, PortError> {
        self.read_manifest(id).await
    }

    async fn manifests_in_entry(&self, entry: u64) -> Result<Vec<(Uuid, Vec<u8>)>, PortError> {
        self.read_manifests(entry).await
    }

    async fn purges_at(&self, places: &[i64]) -> Result<Vec<(i64, Uuid)>, PortError> {
        if places.len() > MAX_PLACES {
            let operation = "look for erasures at more than 10,000 places at once";
            return Err(PortError::bare(PortErrorKind::Refused, operation));
        }
        self.find_purges(places).await
    }

    async fn removals_due(&self, limit: usize) -> Result<Vec<RemovedPurge>, PortError> {
        self.read_removals_due(limit).await
    }

    async fn removals_in_entry(&self, entry: u64) -> Result<Vec<RemovedPurge>, PortError> {
        self.read_removals(entry).await
    }

    async fn seals(&self, limit: usize) -> Result<Vec<SealRow>, PortError> {
        self.read_seals(limit).await
    }

    async fn arrivals(&self, limit: usize) -> Result<Vec<ArrivalRow>, PortError> {
        self.read_arrivals(limit).await
    }

    async fn batches_at(&self, places: &[u64], from: u64, limit: usize) -> Result<Vec<BatchRow>, PortError> {
        self.find_batches(places, from, limit).await
    }

    async fn batches(&self, from: u64, limit: usize) -> Result<Vec<BatchRow>, PortError> {
        self.read_batches(from, limit).await
    }

    async fn used_groups(&self, range: Range<u64>) -> Result<LeafSet, PortError> {
        self.find_used_groups(range).await
    }

    async fn credentials(&self) -> Result<Vec<CredentialRow>, PortError> {
        self.read_credentials().await
    }

    async fn tenants(&self) -> Result<Vec<(TenantId, String)>, PortError> {
        self.read_tenants().await
    }

    async fn count_interactions(&self) -> Result<u64, PortError> {
        self.sum_interactions().await
    }

    async fn live_blobs(&self, blobs: &[BlobRef]) -> Result<Vec<bool>, PortError> {
        self.find_live_blobs(blobs).await
    }

    async fn switch_blob(&self, from: &BlobRef, to: &BlobRef) -> Result<bool, PortError> {
        self.write(Request::Switch(from.0.clone(), to.0.clone()), Address::Switch).await
    }

    async fn blobs_with_prefix(&self, prefix: &str) -> Result<Vec<BlobRef>, PortError> {
        self.find_blobs(prefix).await
    }

    async fn value(&self, name: &str) -> Result<Option<Vec<u8>>, PortError> {
        self.read_value(name).await
    }
}
