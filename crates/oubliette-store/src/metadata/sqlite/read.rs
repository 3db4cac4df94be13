//! What the readers ask: one function for each question of the port, over one connection.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use jiff::Timestamp;
use keyforest::{Group, Leaf, LeafSet};
use oubliette_core::model::TenantId;
use oubliette_core::ports::{
    ArrivalRow, BatchRow, BlobRef, ContentRow, CoverRow, CredentialRow, DirectoryRow, InstanceRow, InteractionRow,
    PurgeRow, RemovedPurge, SealRow,
};
use rusqlite::{Connection, OptionalExtension, Params, Result, Row};
use uuid::Uuid;

use super::rows::{self, List, numbers, texts, to_nanos};
use super::statements as sql;

/// The instance.
pub(super) fn instance(connection: &Connection) -> Result<InstanceRow> {
    connection.prepare_cached(sql::INSTANCE)?.query_row([], rows::instance)
}

/// One interaction.
pub(super) fn interaction(connection: &Connection, group: Group) -> Result<Option<InteractionRow>> {
    interactions_where(connection, sql::INTERACTION, [number(group.0)]).map(|mut found| found.pop())
}

/// Many interactions, in the order asked, each once.
pub(super) fn interactions(connection: &Connection, groups: &[Group]) -> Result<Vec<InteractionRow>> {
    let found = interactions_where(connection, sql::INTERACTIONS, [groups_list(groups)])?;
    let mut found: HashMap<Group, InteractionRow> = found.into_iter().map(|row| (row.group, row)).collect();
    Ok(groups.iter().filter_map(|group| found.remove(group)).collect())
}

/// One hour of one tenant, from behind an interaction on.
pub(super) fn interactions_in_hour(
    connection: &Connection,
    tenant: TenantId,
    hour: i64,
    after: Option<Group>,
    limit: usize,
) -> Result<Vec<InteractionRow>> {
    let after = after.map_or(-1, |group| i64::try_from(group.0).unwrap_or(i64::MAX));
    interactions_where(connection, sql::INTERACTIONS_IN_HOUR, (tenant.0, hour, after, bounded(limit)))
}

/// Rows and their extra groups, of one moment.
fn interactions_where(connection: &Connection, text: &'static str, values: impl Params) -> Result<Vec<InteractionRow>> {
    let snapshot = connection.unchecked_transaction()?;
    let found = all(&snapshot, text, values, rows::interaction)?;
    let extended: Vec<u64> = found.iter().filter(|(_, extra)| *extra > 0).map(|(row, _)| row.group.0).collect();
    let mut groups: HashMap<Group, Vec<Group>> = HashMap::new();
    if !extended.is_empty() {
        let pair = |row: &Row<'_>| Ok((Group(row.get(0)?), Group(row.get(1)?)));
        for (interaction, group) in all(&snapshot, sql::EXTRA_GROUPS_OF, [numbers(extended)], pair)? {
            groups.entry(interaction).or_default().push(group);
        }
    }
    let complete = |(mut row, _): (InteractionRow, u32)| {
        row.extra_groups = groups.remove(&row.group).unwrap_or_default();
        row
    };
    let complete = found.into_iter().map(complete).collect();
    snapshot.finish()?;
    Ok(complete)
}

/// The next hour with an interaction.
pub(super) fn next_hour(connection: &Connection, tenant: TenantId, from: i64, to: i64) -> Result<Option<i64>> {
    connection.prepare_cached(sql::NEXT_HOUR)?.query_row((tenant.0, from, to), |row| row.get(0))
}

/// One more than the highest directory block.
pub(super) fn next_directory_block(connection: &Connection) -> Result<u64> {
    let last: Option<u64> = connection.prepare_cached(sql::LAST_DIRECTORY_BLOCK)?.query_row([], |row| row.get(0))?;
    Ok(last.map_or(0, |last| last + 1))
}

/// Contents of interactions.
pub(super) fn contents(connection: &Connection, interactions: &[Group]) -> Result<Vec<ContentRow>> {
    let mut found = all(connection, sql::CONTENTS, [groups_list(interactions)], rows::content)?;
    found.sort_unstable_by_key(|row| (row.interaction.0, row.leaf));
    Ok(found)
}

/// How many contents these interactions have.
pub(super) fn count_contents(connection: &Connection, interactions: &LeafSet) -> Result<u64> {
    let list = numbers(interactions.as_slice().iter().copied());
    connection.prepare_cached(sql::COUNT_CONTENTS)?.query_row([list], |row| row.get(0))
}

/// Contents by leaf.
pub(super) fn contents_by_leaf(connection: &Connection, leaves: &[Leaf]) -> Result<Vec<ContentRow>> {
    let mut found = all(connection, sql::CONTENTS_BY_LEAF, [numbers(leaves.iter().map(|leaf| leaf.0))], rows::content)?;
    found.sort_unstable_by_key(|row| row.leaf);
    Ok(found)
}

/// Directory blocks from a number on.
pub(super) fn directory(connection: &Connection, from: u64, limit: usize) -> Result<Vec<DirectoryRow>> {
    let Ok(from) = i64::try_from(from) else { return Ok(Vec::new()) };
    all(connection, sql::DIRECTORY, (from, bounded(limit)), rows::directory)
}

/// Directory blocks by number.
pub(super) fn directory_blocks(connection: &Connection, blocks: &[u64]) -> Result<Vec<DirectoryRow>> {
    all(connection, sql::DIRECTORY_BLOCKS, [numbers(blocks.iter().copied())], rows::directory)
}

/// Erasures not yet sealed.
pub(super) fn unsealed_purges(connection: &Connection) -> Result<Vec<PurgeRow>> {
    all(connection, sql::UNSEALED_PURGES, [], rows::purge)
}

/// Erasures not yet swept.
pub(super) fn unswept_purges(connection: &Connection, due: Option<Timestamp>, limit: usize) -> Result<Vec<PurgeRow>> {
    let values = (bounded(limit), due.map_or(i64::MAX, to_nanos), due.is_none());
    all(connection, sql::UNSWEPT_PURGES, values, rows::purge)
}

/// One erasure.
pub(super) fn purge(connection: &Connection, id: Uuid) -> Result<Option<PurgeRow>> {
    connection.prepare_cached(sql::PURGE)?.query_row([id], rows::purge).optional()
}

/// One erasure without what it covers.
pub(super) fn purge_brief(connection: &Connection, id: Uuid) -> Result<Option<PurgeRow>> {
    connection.prepare_cached(sql::PURGE_BRIEF)?.query_row([id], rows::purge).optional()
}

/// What erasures cover, so many bytes of it.
pub(super) fn covers(connection: &Connection, ids: &[Uuid], bytes: usize) -> Result<Vec<CoverRow>> {
    let (mut found, mut read) = (Vec::<CoverRow>::new(), 0);
    let mut one = connection.prepare_cached(sql::COVER)?;
    for id in ids {
        if let Some(row) = one.query_row([id], rows::cover).optional()? {
            read += row.set.size();
            found.push(row);
        }
        if !found.is_empty() && read >= bytes {
            break;
        }
    }
    Ok(found)
}

/// Erasures of a tenant.
pub(super) fn purges(
    connection: &Connection,
    tenant: TenantId,
    before: Option<(Timestamp, Uuid)>,
    limit: usize,
) -> Result<Vec<PurgeRow>> {
    match before {
        None => all(connection, sql::PURGES, (tenant.0, bounded(limit)), rows::purge),
        Some((at, id)) => {
            let values = (tenant.0, to_nanos(at), id, bounded(limit));
            all(connection, sql::PURGES_BEFORE, values, rows::purge)
        }
    }
}

/// Erasures sealed and not in the log.
pub(super) fn uncertified_purges(connection: &Connection, epoch: u64, limit: usize) -> Result<Vec<PurgeRow>> {
    let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
    all(connection, sql::UNCERTIFIED_PURGES, (epoch, bounded(limit)), rows::purge)
}

/// Erasures that the log will tell of.
pub(super) fn waiting_purges(connection: &Connection, limit: usize) -> Result<Vec<Uuid>> {
    all(connection, sql::WAITING_PURGES, [bounded(limit)], |row| row.get(0))
}

/// Erasures of one log entry.
pub(super) fn purges_in_entry(connection: &Connection, entry: u64) -> Result<Vec<PurgeRow>> {
    all(connection, sql::PURGES_IN_ENTRY, [number(entry)], rows::purge)
}

/// What an erasure's receipts are made from.
pub(super) fn manifest(connection: &Connection, id: Uuid) -> Result<Option<Vec<u8>>> {
    connection.prepare_cached(sql::MANIFEST)?.query_row([id], |row| row.get(0)).optional()
}

/// What the receipts of all erasures of an entry are made from.
pub(super) fn manifests_in_entry(connection: &Connection, entry: u64) -> Result<Vec<(Uuid, Vec<u8>)>> {
    all(connection, sql::MANIFESTS_IN_ENTRY, [number(entry)], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Who is looked for at these places.
pub(super) fn purges_at(connection: &Connection, places: &[i64]) -> Result<Vec<(i64, Uuid)>> {
    let pair = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let mut found = all(connection, sql::PURGES_AT, [rows::integers(places)], pair)?;
    found.sort_unstable();
    Ok(found)
}

/// Removals the log does not tell of.
pub(super) fn removals_due(connection: &Connection, limit: usize) -> Result<Vec<RemovedPurge>> {
    all(connection, sql::REMOVALS_DUE, [bounded(limit)], rows::removal)
}

/// Removals of one log entry.
pub(super) fn removals_in_entry(connection: &Connection, entry: u64) -> Result<Vec<RemovedPurge>> {
    all(connection, sql::REMOVALS_IN_ENTRY, [number(entry)], rows::removal)
}

/// Seals the log does not tell of.
pub(super) fn seals(connection: &Connection, limit: usize) -> Result<Vec<SealRow>> {
    all(connection, sql::SEALS, [bounded(limit)], rows::seal)
}

/// Arrivals in no batch.
pub(super) fn arrivals(connection: &Connection, limit: usize) -> Result<Vec<ArrivalRow>> {
    all(connection, sql::ARRIVALS, [bounded(limit)], rows::arrival)
}

/// Ingest batches that are looked for at these places.
pub(super) fn batches_at(connection: &Connection, places: &[u64], from: u64, limit: usize) -> Result<Vec<BatchRow>> {
    let Ok(from) = i64::try_from(from) else { return Ok(Vec::new()) };
    all(connection, sql::BATCHES_AT, (numbers(places.iter().copied()), from, bounded(limit)), rows::batch)
}

/// Ingest batches in order.
pub(super) fn batches(connection: &Connection, from: u64, limit: usize) -> Result<Vec<BatchRow>> {
    let Ok(from) = i64::try_from(from) else { return Ok(Vec::new()) };
    all(connection, sql::BATCHES, (from, bounded(limit)), rows::batch)
}

/// Groups in the range that a row refers to, of one moment.
pub(super) fn used_groups(connection: &Connection, range: Range<u64>) -> Result<LeafSet> {
    // A leaf number is below 2^63, so no group beyond this bound can be in use.
    let end = range.end.min((i64::MAX as u64) / Group::SIZE);
    if range.start >= end {
        return Ok(LeafSet::new());
    }
    let snapshot = connection.unchecked_transaction()?;
    let mut used: Vec<u64> = Vec::new();
    for text in [sql::USED_BY_INTERACTIONS, sql::USED_BY_EXTRA_GROUPS] {
        used.extend(all(&snapshot, text, (range.start, end - 1), |row| row.get::<_, u64>(0))?);
    }
    for text in [sql::USED_BY_CONTENTS, sql::USED_BY_DIRECTORY, sql::USED_BY_ORDERS] {
        let bounds = (range.start * Group::SIZE, end * Group::SIZE - 1);
        let group = |row: &Row<'_>| row.get::<_, u64>(0).map(|leaf| Group::of(Leaf(leaf)).0);
        used.extend(all(&snapshot, text, bounds, group)?);
    }
    snapshot.finish()?;
    Ok(used.into_iter().map(Leaf).collect())
}

/// All credentials.
pub(super) fn credentials(connection: &Connection) -> Result<Vec<CredentialRow>> {
    all(connection, sql::CREDENTIALS, [], rows::credential)
}

/// All tenants.
pub(super) fn tenants(connection: &Connection) -> Result<Vec<(TenantId, String)>> {
    all(connection, sql::TENANTS, [], rows::tenant)
}

/// How many interactions there are.
pub(super) fn count_interactions(connection: &Connection) -> Result<u64> {
    connection.prepare_cached(sql::COUNT_INTERACTIONS)?.query_row([], |row| row.get(0))
}

/// Which blob places are referred to.
pub(super) fn live_blobs(connection: &Connection, blobs: &[BlobRef]) -> Result<Vec<bool>> {
    let list = texts(blobs.iter().map(|blob| blob.0.as_str()));
    let live: HashSet<String> = all(connection, sql::LIVE_BLOBS, [list], |row| row.get(0))?.into_iter().collect();
    Ok(blobs.iter().map(|blob| live.contains(&blob.0)).collect())
}

/// Blob places that begin with a text.
pub(super) fn blobs_with_prefix(connection: &Connection, prefix: &str) -> Result<Vec<BlobRef>> {
    // Exactly the texts with this prefix lie between it and itself with the last code point there is behind it (but for texts
    // that go on behind that code point, which no place does).
    let last = format!("{prefix}{}", char::MAX);
    all(connection, sql::BLOBS_BETWEEN, [prefix, &last], |row| row.get(0).map(BlobRef))
}

/// One named value.
pub(super) fn value(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>> {
    connection.prepare_cached(sql::VALUE)?.query_row([name], |row| row.get(0)).optional()
}

fn all<T>(
    connection: &Connection,
    text: &'static str,
    values: impl Params,
    row: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    connection.prepare_cached(text)?.query_map(values, row)?.collect()
}

fn groups_list(groups: &[Group]) -> List {
    numbers(groups.iter().map(|group| group.0))
}

/// A number no column holds matches no row.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(-1)
}

fn bounded(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
