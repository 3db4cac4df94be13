//! A layer around the metadata store: sees what passes, and hands it on.

use std::ops::Range;

use async_trait::async_trait;
use jiff::Timestamp;
use keyforest::{Group, Leaf, LeafSet};
use uuid::Uuid;

use super::{
    Applied, ArrivalRow, BatchRow, BlobRef, ContentRow, CoverRow, CredentialRow, DirectoryRow, InstanceRow,
    InteractionRow, Metadata, PortError, PurgeRow, RemovedPurge, SealRow, Transaction,
};
use crate::model::TenantId;

/// What a layer does besides handing on. Whoever implements it is a [`Metadata`]: all that changes something goes through
/// [`MetadataLayer::change`] and [`MetadataLayer::switch`], every question through [`MetadataLayer::asked`] to the store below.
#[async_trait]
pub trait MetadataLayer: Send + Sync {
    /// The store below.
    fn below(&self) -> &dyn Metadata;

    /// Before a question is handed on, by the name of the port's function. What this refuses is not asked.
    async fn asked(&self, _question: &'static str) -> Result<(), PortError> {
        Ok(())
    }

    /// Before an answer is handed back, by the same name.
    async fn answered(&self, _question: &'static str) {}

    /// Does a transaction ([`Metadata::apply`]).
    async fn change(&self, transaction: Transaction) -> Result<Applied, PortError> {
        self.below().apply(transaction).await
    }

    /// Switches a blob's place ([`Metadata::switch_blob`]).
    async fn switch(&self, from: &BlobRef, to: &BlobRef) -> Result<bool, PortError> {
        self.below().switch_blob(from, to).await
    }
}

/// Hands questions on.
macro_rules! hand_on {
    ($($question:ident($($name:ident: $kind:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl<L: MetadataLayer> Metadata for L {
            async fn apply(&self, transaction: Transaction) -> Result<Applied, PortError> {
                self.change(transaction).await
            }

            async fn switch_blob(&self, from: &BlobRef, to: &BlobRef) -> Result<bool, PortError> {
                self.switch(from, to).await
            }

            async fn close(&self) {
                self.below().close().await;
            }

            $(async fn $question(&self, $($name: $kind),*) -> Result<$answer, PortError> {
                self.asked(stringify!($question)).await?;
                let answer = self.below().$question($($name),*).await?;
                self.answered(stringify!($question)).await;
                Ok(answer)
            })+
        }
    };
}

hand_on! {
    instance() -> InstanceRow;
    interaction(group: Group) -> Option<InteractionRow>;
    interactions(groups: &[Group]) -> Vec<InteractionRow>;
    interactions_in_hour(tenant: TenantId, hour: i64, after: Option<Group>, limit: usize) -> Vec<InteractionRow>;
    next_hour(tenant: TenantId, from: i64, to: i64) -> Option<i64>;
    contents(interactions: &[Group]) -> Vec<ContentRow>;
    count_contents(interactions: &LeafSet) -> u64;
    contents_by_leaf(leaves: &[Leaf]) -> Vec<ContentRow>;
    directory(from: u64, limit: usize) -> Vec<DirectoryRow>;
    next_directory_block() -> u64;
    directory_blocks(blocks: &[u64]) -> Vec<DirectoryRow>;
    unsealed_purges() -> Vec<PurgeRow>;
    unswept_purges(due: Option<Timestamp>, limit: usize) -> Vec<PurgeRow>;
    purge(id: Uuid) -> Option<PurgeRow>;
    purge_brief(id: Uuid) -> Option<PurgeRow>;
    covers(ids: &[Uuid], bytes: usize) -> Vec<CoverRow>;
    purges(tenant: TenantId, before: Option<(Timestamp, Uuid)>, limit: usize) -> Vec<PurgeRow>;
    uncertified_purges(epoch: u64, limit: usize) -> Vec<PurgeRow>;
    waiting_purges(limit: usize) -> Vec<Uuid>;
    purges_in_entry(entry: u64) -> Vec<PurgeRow>;
    manifest(id: Uuid) -> Option<Vec<u8>>;
    manifests_in_entry(entry: u64) -> Vec<(Uuid, Vec<u8>)>;
    purges_at(places: &[i64]) -> Vec<(i64, Uuid)>;
    removals_due(limit: usize) -> Vec<RemovedPurge>;
    removals_in_entry(entry: u64) -> Vec<RemovedPurge>;
    seals(limit: usize) -> Vec<SealRow>;
    arrivals(limit: usize) -> Vec<ArrivalRow>;
    batches_at(places: &[u64], from: u64, limit: usize) -> Vec<BatchRow>;
    batches(from: u64, limit: usize) -> Vec<BatchRow>;
    used_groups(range: Range<u64>) -> LeafSet;
    credentials() -> Vec<CredentialRow>;
    tenants() -> Vec<(TenantId, String)>;
    count_interactions() -> u64;
    live_blobs(blobs: &[BlobRef]) -> Vec<bool>;
    blobs_with_prefix(prefix: &str) -> Vec<BlobRef>;
    value(name: &str) -> Option<Vec<u8>>;
}
