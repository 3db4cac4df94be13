//! The port's questions, handed to the readers and the writer.

use std::ops::Range;

use async_trait::async_trait;
use jiff::Timestamp;
use keyforest::{Group, Leaf, LeafSet};
use oubliette_core::model::TenantId;
use oubliette_core::ports::{
    Applied, ArrivalRow, BatchRow, BlobRef, ContentRow, CoverRow, CredentialRow, DirectoryRow, InstanceRow,
    InteractionRow, Metadata, PortError, PurgeRow, RemovedPurge, SealRow, Transaction,
};
use rusqlite::Connection;
use uuid::Uuid;

use super::error::{port_error, refused};
use super::writer::Work;
use super::{MAX_ASKED, SqliteMetadata, read};
use crate::metadata::MAX_PLACES;

impl SqliteMetadata {
    async fn ask<T: Send + 'static>(
        &self,
        operation: &'static str,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        let question =
            move |connection: &Connection| question(connection).map_err(|error| port_error(operation, error));
        self.readers.read(operation, question).await
    }
}

fn few(asked: usize, operation: &'static str) -> Result<(), PortError> {
    if asked > MAX_ASKED { Err(refused(operation)) } else { Ok(()) }
}

#[async_trait]
impl Metadata for SqliteMetadata {
    async fn instance(&self) -> Result<InstanceRow, PortError> {
        self.ask("read the instance", read::instance).await
    }

    async fn apply(&self, transaction: Transaction) -> Result<Applied, PortError> {
        self.transact(transaction).await
    }

    async fn interaction(&self, group: Group) -> Result<Option<InteractionRow>, PortError> {
        self.ask("read an interaction", move |connection| read::interaction(connection, group)).await
    }

    async fn interactions(&self, groups: &[Group]) -> Result<Vec<InteractionRow>, PortError> {
        few(groups.len(), "read more than 1,000 interactions at once")?;
        let groups = groups.to_vec();
        self.ask("read interactions", move |connection| read::interactions(connection, &groups)).await
    }

    async fn interactions_in_hour(
        &self,
        tenant: TenantId,
        hour: i64,
        after: Option<Group>,
        limit: usize,
    ) -> Result<Vec<InteractionRow>, PortError> {
        let question =
            move |connection: &Connection| read::interactions_in_hour(connection, tenant, hour, after, limit);
        self.ask("read interactions of an hour", question).await
    }

    async fn next_hour(&self, tenant: TenantId, from: i64, to: i64) -> Result<Option<i64>, PortError> {
        self.ask("find the next hour", move |connection| read::next_hour(connection, tenant, from, to)).await
    }

    async fn contents(&self, interactions: &[Group]) -> Result<Vec<ContentRow>, PortError> {
        few(interactions.len(), "read contents of more than 1,000 interactions at once")?;
        let interactions = interactions.to_vec();
        self.ask("read contents", move |connection| read::contents(connection, &interactions)).await
    }

    async fn count_contents(&self, interactions: &LeafSet) -> Result<u64, PortError> {
        let interactions = interactions.clone();
        self.ask("count contents", move |connection| read::count_contents(connection, &interactions)).await
    }

    async fn contents_by_leaf(&self, leaves: &[Leaf]) -> Result<Vec<ContentRow>, PortError> {
        let leaves = leaves.to_vec();
        self.ask("read contents by leaf", move |connection| read::contents_by_leaf(connection, &leaves)).await
    }

    async fn directory(&self, from: u64, limit: usize) -> Result<Vec<DirectoryRow>, PortError> {
        self.ask("read the directory", move |connection| read::directory(connection, from, limit)).await
    }

    async fn close(&self) {
        Self::close(self).await;
    }

    async fn next_directory_block(&self) -> Result<u64, PortError> {
        self.ask("find the last directory block", read::next_directory_block).await
    }

    async fn directory_blocks(&self, blocks: &[u64]) -> Result<Vec<DirectoryRow>, PortError> {
        few(blocks.len(), "read more than 1,000 directory blocks at once")?;
        let blocks = blocks.to_vec();
        self.ask("read directory blocks", move |connection| read::directory_blocks(connection, &blocks)).await
    }

    async fn unsealed_purges(&self) -> Result<Vec<PurgeRow>, PortError> {
        self.ask("read unsealed erasures", read::unsealed_purges).await
    }

    async fn unswept_purges(&self, due: Option<Timestamp>, limit: usize) -> Result<Vec<PurgeRow>, PortError> {
        self.ask("read unswept erasures", move |connection| read::unswept_purges(connection, due, limit)).await
    }

    async fn purge(&self, id: Uuid) -> Result<Option<PurgeRow>, PortError> {
        self.ask("read an erasure", move |connection| read::purge(connection, id)).await
    }

    async fn purge_brief(&self, id: Uuid) -> Result<Option<PurgeRow>, PortError> {
        self.ask("read an erasure in brief", move |connection| read::purge_brief(connection, id)).await
    }

    async fn covers(&self, ids: &[Uuid], bytes: usize) -> Result<Vec<CoverRow>, PortError> {
        few(ids.len(), "read what more than 1,000 erasures cover at once")?;
        let ids = ids.to_vec();
        self.ask("read what erasures cover", move |connection| read::covers(connection, &ids, bytes)).await
    }

    async fn purges(
        &self,
        tenant: TenantId,
        before: Option<(Timestamp, Uuid)>,
        limit: usize,
    ) -> Result<Vec<PurgeRow>, PortError> {
        self.ask("read erasures", move |connection| read::purges(connection, tenant, before, limit)).await
    }

    async fn uncertified_purges(&self, epoch: u64, limit: usize) -> Result<Vec<PurgeRow>, PortError> {
        let operation = "read erasures without certificate";
        self.ask(operation, move |connection| read::uncertified_purges(connection, epoch, limit)).await
    }

    async fn waiting_purges(&self, limit: usize) -> Result<Vec<Uuid>, PortError> {
        self.ask("read erasures that wait for the log", move |connection| read::waiting_purges(connection, limit)).await
    }

    async fn purges_in_entry(&self, entry: u64) -> Result<Vec<PurgeRow>, PortError> {
        self.ask("read erasures of a log entry", move |connection| read::purges_in_entry(connection, entry)).await
    }

    async fn manifest(&self, id: Uuid) -> Result<Option<Vec<u8>>, PortError> {
        self.ask("read a manifest", move |connection| read::manifest(connection, id)).await
    }

    async fn manifests_in_entry(&self, entry: u64) -> Result<Vec<(Uuid, Vec<u8>)>, PortError> {
        self.ask("read manifests of a log entry", move |connection| read::manifests_in_entry(connection, entry)).await
    }

    async fn purges_at(&self, places: &[i64]) -> Result<Vec<(i64, Uuid)>, PortError> {
        if places.len() > MAX_PLACES {
            return Err(refused("look for erasures at more than 10,000 places at once"));
        }
        let places = places.to_vec();
        self.ask("look for erasures", move |connection| read::purges_at(connection, &places)).await
    }

    async fn removals_due(&self, limit: usize) -> Result<Vec<RemovedPurge>, PortError> {
        self.ask("read removals", move |connection| read::removals_due(connection, limit)).await
    }

    async fn removals_in_entry(&self, entry: u64) -> Result<Vec<RemovedPurge>, PortError> {
        self.ask("read removals of a log entry", move |connection| read::removals_in_entry(connection, entry)).await
    }

    async fn seals(&self, limit: usize) -> Result<Vec<SealRow>, PortError> {
        self.ask("read seals", move |connection| read::seals(connection, limit)).await
    }

    async fn arrivals(&self, limit: usize) -> Result<Vec<ArrivalRow>, PortError> {
        self.ask("read arrivals", move |connection| read::arrivals(connection, limit)).await
    }

    async fn batches_at(&self, places: &[u64], from: u64, limit: usize) -> Result<Vec<BatchRow>, PortError> {
        let places = places.to_vec();
        let operation = "look for ingest batches";
        self.ask(operation, move |connection| read::batches_at(connection, &places, from, limit)).await
    }

    async fn batches(&self, from: u64, limit: usize) -> Result<Vec<BatchRow>, PortError> {
        self.ask("read ingest batches", move |connection| read::batches(connection, from, limit)).await
    }

    async fn used_groups(&self, range: Range<u64>) -> Result<LeafSet, PortError> {
        self.ask("read the groups in use", move |connection| read::used_groups(connection, range)).await
    }

    async fn credentials(&self) -> Result<Vec<CredentialRow>, PortError> {
        self.ask("read credentials", read::credentials).await
    }

    async fn tenants(&self) -> Result<Vec<(TenantId, String)>, PortError> {
        self.ask("read tenants", read::tenants).await
    }

    async fn count_interactions(&self) -> Result<u64, PortError> {
        self.ask("count interactions", read::count_interactions).await
    }

    async fn live_blobs(&self, blobs: &[BlobRef]) -> Result<Vec<bool>, PortError> {
        let blobs = blobs.to_vec();
        self.ask("look for blobs in use", move |connection| read::live_blobs(connection, &blobs)).await
    }

    async fn switch_blob(&self, from: &BlobRef, to: &BlobRef) -> Result<bool, PortError> {
        let (from, to) = (from.0.clone(), to.0.clone());
        self.write(|answer| Work::Switch(from, to, answer)).await
    }

    async fn blobs_with_prefix(&self, prefix: &str) -> Result<Vec<BlobRef>, PortError> {
        let prefix = prefix.to_owned();
        self.ask("look for blobs by prefix", move |connection| read::blobs_with_prefix(connection, &prefix)).await
    }

    async fn value(&self, name: &str) -> Result<Option<Vec<u8>>, PortError> {
        let name = name.to_owned();
        self.ask("read a named value", move |connection| read::value(connection, &name)).await
    }
}
