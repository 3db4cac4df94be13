//! What the readers ask: one function for each question of the port.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use keyforest::{Group, Leaf, LeafSet};
use oubliette_core::model::TenantId;
use oubliette_core::ports::{
    ArrivalRow, BatchRow, BlobRef, ContentRow, CoverRow, CredentialRow, DirectoryRow, InstanceRow, InteractionRow,
    PortError, PurgeRow, RemovedPurge, SealRow,
};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::rows::{self, get, number, stored, to_nanos, wanted};
use super::statements as sql;
use super::{PostgresMetadata, Shared};
use crate::postgres::{Parameter, PostgresError, Session};

/// Groups counted by one statement.
const COUNTED: usize = 20_000;

/// Values of a question.
type Values = Vec<Box<dyn ToSql + Sync + Send>>;

/// Values of different types.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$(Box::new($value) as Box<dyn ToSql + Sync + Send>),*] };
}

/// The instance, over any session.
pub(super) async fn instance(session: &Session) -> Result<InstanceRow, PostgresError> {
    let rows = session.query(sql::INSTANCE, &[]).await?;
    rows::instance(rows.first().ok_or(PostgresError::Unreadable("the instance's row is missing"))?)
}

impl PostgresMetadata {
    /// Rows of one statement.
    async fn all<T: Send + 'static>(
        &self,
        operation: &'static str,
        text: &'static str,
        values: Values,
        take: fn(&Row) -> Result<T, PostgresError>,
    ) -> Result<Vec<T>, PortError> {
        self.shared.serving(operation)?;
        let values = Arc::new(values);
        let answer = self.readers.run(operation, move |session| {
            let values = Arc::clone(&values);
            Box::pin(async move {
                let values: Vec<Parameter<'_>> = values.iter().map(|value| &**value as Parameter<'_>).collect();
                let mut all = Vec::new();
                session
                    .each(text, &values, |row| {
                        all.push(take(&row)?);
                        Ok(())
                    })
                    .await?;
                Ok(all)
            })
        });
        answer.await
    }

    /// The first row, if there is one.
    async fn first<T: Send + 'static>(
        &self,
        operation: &'static str,
        text: &'static str,
        values: Values,
        take: fn(&Row) -> Result<T, PostgresError>,
    ) -> Result<Option<T>, PortError> {
        Ok(self.all(operation, text, values, take).await?.into_iter().next())
    }

    pub(super) async fn read_instance(&self) -> Result<InstanceRow, PortError> {
        let operation = "read the instance";
        let found = self.first(operation, sql::INSTANCE, values![], rows::instance).await?;
        let missing =
            || crate::postgres::port_error(operation, PostgresError::Unreadable("the instance's row is missing"));
        found.ok_or_else(missing)
    }

    pub(super) async fn read_interaction(&self, group: Group) -> Result<Option<InteractionRow>, PortError> {
        let Some(group) = stored(group.0) else { return Ok(None) };
        self.first("read an interaction", sql::INTERACTION, values![group], rows::interaction).await
    }

    pub(super) async fn read_interactions(&self, groups: &[Group]) -> Result<Vec<InteractionRow>, PortError> {
        let asked = wanted(groups.iter().map(|group| group.0));
        let found = self.all("read interactions", sql::INTERACTIONS, values![asked], rows::interaction).await?;
        let mut found: HashMap<Group, InteractionRow> = found.into_iter().map(|row| (row.group, row)).collect();
        Ok(groups.iter().filter_map(|group| found.remove(group)).collect())
    }

    pub(super) async fn read_hour(
        &self,
        tenant: TenantId,
        hour: i64,
        after: Option<Group>,
        limit: usize,
    ) -> Result<Vec<InteractionRow>, PortError> {
        let after = after.map_or(-1, |group| stored(group.0).unwrap_or(i64::MAX));
        let values = values![i64::from(tenant.0), hour, after, bounded(limit)];
        self.all("read interactions of an hour", sql::INTERACTIONS_IN_HOUR, values, rows::interaction).await
    }

    pub(super) async fn find_next_hour(&self, tenant: TenantId, from: i64, to: i64) -> Result<Option<i64>, PortError> {
        let values = values![i64::from(tenant.0), from, to];
        Ok(self.first("find the next hour", sql::NEXT_HOUR, values, |row| get(row, 0)).await?.flatten())
    }

    pub(super) async fn read_contents(&self, interactions: &[Group]) -> Result<Vec<ContentRow>, PortError> {
        let asked = wanted(interactions.iter().map(|group| group.0));
        let mut found = self.all("read contents", sql::CONTENTS, values![asked], rows::content).await?;
        found.sort_unstable_by_key(|row| (row.interaction.0, row.leaf));
        Ok(found)
    }

    /// Counts piece by piece, all of one moment.
    pub(super) async fn sum_contents(&self, interactions: &LeafSet) -> Result<u64, PortError> {
        self.shared.serving("count contents")?;
        let asked = Arc::new(wanted(interactions.as_slice().iter().copied()));
        let answer = self.readers.run("count contents", move |session| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                session.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
                let mut sum = 0;
                for piece in asked.chunks(COUNTED) {
                    let rows = session.query(sql::COUNT_CONTENTS, &[&piece]).await?;
                    sum += number(rows.first().ok_or(PostgresError::Unreadable("a count"))?, 0)?;
                }
                session.batch("COMMIT").await?;
                Ok(sum)
            })
        });
        answer.await
    }

    pub(super) async fn read_contents_by_leaf(&self, leaves: &[Leaf]) -> Result<Vec<ContentRow>, PortError> {
        let asked: HashSet<i64> = leaves.iter().filter_map(|leaf| stored(leaf.0)).collect();
        let asked: Vec<i64> = asked.into_iter().collect();
        let mut found = self.all("read contents by leaf", sql::CONTENTS_BY_LEAF, values![asked], rows::content).await?;
        found.sort_unstable_by_key(|row| row.leaf);
        Ok(found)
    }

    pub(super) async fn read_directory(&self, from: u64, limit: usize) -> Result<Vec<DirectoryRow>, PortError> {
        let Some(from) = stored(from) else { return Ok(Vec::new()) };
        self.all("read the directory", sql::DIRECTORY, values![from, bounded(limit)], rows::directory).await
    }

    pub(super) async fn find_next_block(&self) -> Result<u64, PortError> {
        let take = |row: &Row| {
            let last: Option<i64> = get(row, 0)?;
            Ok(last.and_then(|last| u64::try_from(last).ok()))
        };
        let last =
            self.first("find the last directory block", sql::LAST_DIRECTORY_BLOCK, values![], take).await?.flatten();
        Ok(last.map_or(0, |last| last + 1))
    }

    pub(super) async fn read_blocks(&self, blocks: &[u64]) -> Result<Vec<DirectoryRow>, PortError> {
        let asked = wanted(blocks.iter().copied());
        let mut found =
            self.all("read directory blocks", sql::DIRECTORY_BLOCKS, values![asked], rows::directory).await?;
        found.sort_unstable_by_key(|row| row.block);
        Ok(found)
    }

    pub(super) async fn read_unsealed(&self) -> Result<Vec<PurgeRow>, PortError> {
        self.all("read unsealed erasures", sql::UNSEALED_PURGES, values![], rows::purge).await
    }

    pub(super) async fn read_unswept(&self, due: Option<Timestamp>, limit: usize) -> Result<Vec<PurgeRow>, PortError> {
        self.all(
            "read unswept erasures",
            sql::UNSWEPT_PURGES,
            values![bounded(limit), due.map_or(i64::MAX, to_nanos), due.is_none()],
            rows::purge,
        )
        .await
    }

    pub(super) async fn read_purge(&self, id: Uuid) -> Result<Option<PurgeRow>, PortError> {
        self.first("read an erasure", sql::PURGE, values![id], rows::purge).await
    }

    pub(super) async fn read_brief(&self, id: Uuid) -> Result<Option<PurgeRow>, PortError> {
        self.first("read an erasure in brief", sql::PURGE_BRIEF, values![id], rows::purge).await
    }

    pub(super) async fn read_covers(&self, ids: &[Uuid], bytes: usize) -> Result<Vec<CoverRow>, PortError> {
        self.all("read what erasures cover", sql::COVERS_OF, values![ids.to_vec(), bounded(bytes)], rows::cover).await
    }

    pub(super) async fn read_waiting(&self, limit: usize) -> Result<Vec<Uuid>, PortError> {
        let operation = "read erasures that wait for the log";
        self.all(operation, sql::WAITING_PURGES, values![bounded(limit)], |row| get(row, 0)).await
    }

    pub(super) async fn read_purges(
        &self,
        tenant: TenantId,
        before: Option<(Timestamp, Uuid)>,
        limit: usize,
    ) -> Result<Vec<PurgeRow>, PortError> {
        let (tenant, limit) = (i64::from(tenant.0), bounded(limit));
        let (text, values) = match before {
            None => (sql::PURGES, values![tenant, limit]),
            Some((at, id)) => (sql::PURGES_BEFORE, values![tenant, to_nanos(at), id, limit]),
        };
        self.all("read erasures", text, values, rows::purge).await
    }

    pub(super) async fn read_uncertified(&self, epoch: u64, limit: usize) -> Result<Vec<PurgeRow>, PortError> {
        let values = values![stored(epoch).unwrap_or(i64::MAX), bounded(limit)];
        self.all("read erasures without certificate", sql::UNCERTIFIED_PURGES, values, rows::purge).await
    }

    pub(super) async fn read_entry(&self, entry: u64) -> Result<Vec<PurgeRow>, PortError> {
        let Some(entry) = stored(entry) else { return Ok(Vec::new()) };
        self.all("read erasures of a log entry", sql::PURGES_IN_ENTRY, values![entry], rows::purge).await
    }

    pub(super) async fn read_manifest(&self, id: Uuid) -> Result<Option<Vec<u8>>, PortError> {
        self.first("read a manifest", sql::MANIFEST, values![id], |row| get(row, 0)).await
    }

    pub(super) async fn read_manifests(&self, entry: u64) -> Result<Vec<(Uuid, Vec<u8>)>, PortError> {
        let Some(entry) = stored(entry) else { return Ok(Vec::new()) };
        let take = |row: &Row| Ok((get(row, 0)?, get(row, 1)?));
        self.all("read manifests of a log entry", sql::MANIFESTS_IN_ENTRY, values![entry], take).await
    }

    pub(super) async fn find_purges(&self, places: &[i64]) -> Result<Vec<(i64, Uuid)>, PortError> {
        let take = |row: &Row| Ok((get(row, 0)?, get(row, 1)?));
        let mut found = self.all("look for erasures", sql::PURGES_AT, values![places.to_vec()], take).await?;
        found.sort_unstable();
        Ok(found)
    }

    pub(super) async fn read_removals_due(&self, limit: usize) -> Result<Vec<RemovedPurge>, PortError> {
        self.all("read removals", sql::REMOVALS_DUE, values![bounded(limit)], rows::removal).await
    }

    pub(super) async fn read_removals(&self, entry: u64) -> Result<Vec<RemovedPurge>, PortError> {
        let Some(entry) = stored(entry) else { return Ok(Vec::new()) };
        self.all("read removals of a log entry", sql::REMOVALS_IN_ENTRY, values![entry], rows::removal).await
    }

    pub(super) async fn read_seals(&self, limit: usize) -> Result<Vec<SealRow>, PortError> {
        self.all("read seals", sql::SEALS, values![bounded(limit)], rows::seal).await
    }

    pub(super) async fn read_arrivals(&self, limit: usize) -> Result<Vec<ArrivalRow>, PortError> {
        self.all("read arrivals", sql::ARRIVALS, values![bounded(limit)], rows::arrival).await
    }

    pub(super) async fn find_batches(
        &self,
        places: &[u64],
        from: u64,
        limit: usize,
    ) -> Result<Vec<BatchRow>, PortError> {
        let Some(from) = stored(from) else { return Ok(Vec::new()) };
        let values = values![wanted(places.iter().copied()), from, bounded(limit)];
        self.all("look for ingest batches", sql::BATCHES_AT, values, rows::batch).await
    }

    pub(super) async fn read_batches(&self, from: u64, limit: usize) -> Result<Vec<BatchRow>, PortError> {
        let Some(from) = stored(from) else { return Ok(Vec::new()) };
        self.all("read ingest batches", sql::BATCHES, values![from, bounded(limit)], rows::batch).await
    }

    pub(super) async fn find_used_groups(&self, range: Range<u64>) -> Result<LeafSet, PortError> {
        // A leaf number is below 2^63, so no group beyond this bound can be in use.
        let end = range.end.min((i64::MAX as u64) / Group::SIZE);
        if range.start >= end {
            return Ok(LeafSet::new());
        }
        let bounds = [range.start, end - 1, range.start * Group::SIZE, end * Group::SIZE - 1];
        let [first, last, first_leaf, last_leaf] = bounds.map(|bound| stored(bound).unwrap_or(i64::MAX));
        let values = values![first, last, first_leaf, last_leaf];
        let used = self.all("read the groups in use", sql::USED_GROUPS, values, |row| number(row, 0)).await?;
        Ok(used.into_iter().map(Leaf).collect())
    }

    pub(super) async fn read_credentials(&self) -> Result<Vec<CredentialRow>, PortError> {
        self.all("read credentials", sql::CREDENTIALS, values![], rows::credential).await
    }

    pub(super) async fn read_tenants(&self) -> Result<Vec<(TenantId, String)>, PortError> {
        self.all("read tenants", sql::TENANTS, values![], rows::tenant).await
    }

    pub(super) async fn sum_interactions(&self) -> Result<u64, PortError> {
        let count = self.first("count interactions", sql::COUNT_INTERACTIONS, values![], |row| number(row, 0)).await?;
        Ok(count.unwrap_or(0))
    }

    pub(super) async fn find_live_blobs(&self, blobs: &[BlobRef]) -> Result<Vec<bool>, PortError> {
        let asked: Vec<String> = blobs.iter().map(|blob| blob.0.clone()).collect();
        let live =
            self.all("look for blobs in use", sql::LIVE_BLOBS, values![asked], |row| get::<String>(row, 0)).await?;
        let live: HashSet<String> = live.into_iter().collect();
        Ok(blobs.iter().map(|blob| live.contains(&blob.0)).collect())
    }

    pub(super) async fn find_blobs(&self, prefix: &str) -> Result<Vec<BlobRef>, PortError> {
        // Exactly the texts with this prefix lie between it and itself with the last code point there is behind it (but for
        // texts that go on behind that code point, which no place does).
        let values = values![prefix.to_owned(), format!("{prefix}{}", char::MAX)];
        let mut found =
            self.all("look for blobs by prefix", sql::BLOBS_BETWEEN, values, |row| get(row, 0).map(BlobRef)).await?;
        found.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        Ok(found)
    }

    pub(super) async fn read_value(&self, name: &str) -> Result<Option<Vec<u8>>, PortError> {
        self.first("read a named value", sql::VALUE, values![name.to_owned()], |row| get(row, 0)).await
    }
}

impl Shared {
    /// Refuses once the database is not the one that was opened.
    fn serving(&self, operation: &'static str) -> Result<(), PortError> {
        let stopped = self.stopped.load(std::sync::atomic::Ordering::Acquire);
        if stopped { Err(crate::postgres::port_error(operation, PostgresError::Stopped)) } else { Ok(()) }
    }
}

fn bounded(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
