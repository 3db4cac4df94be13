//! Rows to the port's types and back.

use std::error::Error;
use std::rc::Rc;

use jiff::Timestamp;
use keyforest::{Group, Leaf};
use oubliette_core::model::{ContentKind, CredentialKind, InteractionKind, Scopes, SizeClass, State, TenantId};
use oubliette_core::ports::{
    ArrivalRow, BatchRow, BlobRef, ContentRow, CoverRow, CredentialRow, DirectoryRow, InstanceRow, InteractionRow,
    PurgeKind, PurgeRow, PurgeSet, PurgeState, ReceiptPlace, RemovalPlace, RemovedPurge, SealRow, StoredSet,
};
use rusqlite::types::{Type, Value};
use rusqlite::{Result, Row};

/// A list for `rarray`.
pub(super) type List = Rc<Vec<Value>>;

/// Numbers for `rarray`; one beyond what a column holds matches no row.
pub(super) fn numbers(numbers: impl IntoIterator<Item = u64>) -> List {
    let value = |number| Value::Integer(i64::try_from(number).unwrap_or(-1));
    Rc::new(numbers.into_iter().map(value).collect())
}

/// Numbers of either sign for `rarray`.
pub(super) fn integers(numbers: &[i64]) -> List {
    Rc::new(numbers.iter().copied().map(Value::Integer).collect())
}

/// Ids for `rarray`.
pub(super) fn ids(ids: &[uuid::Uuid]) -> List {
    Rc::new(ids.iter().map(|id| Value::Blob(id.as_bytes().to_vec())).collect())
}

/// Texts for `rarray`.
pub(super) fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> List {
    Rc::new(texts.into_iter().map(|text| Value::Text(text.to_owned())).collect())
}

/// Nanoseconds since 1970. Times outside 1677 to 2262 are kept as that bound.
pub(super) fn to_nanos(at: Timestamp) -> i64 {
    let nanos = at.as_nanosecond();
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

fn time(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>> {
    let nanos: Option<i64> = row.get(column)?;
    nanos
        .map(|nanos| Timestamp::from_nanosecond(i128::from(nanos)).map_err(|error| unreadable(column, error)))
        .transpose()
}

fn some_time(row: &Row<'_>, column: usize) -> Result<Timestamp> {
    time(row, column)?.ok_or_else(|| unreadable(column, "no time"))
}

fn unreadable(column: usize, error: impl Into<Box<dyn Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, error.into())
}

fn known<T>(column: usize, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| unreadable(column, "a value this program does not know"))
}

/// The instance.
pub(super) fn instance(row: &Row<'_>) -> Result<InstanceRow> {
    Ok(InstanceRow {
        instance: row.get(0)?,
        epoch: row.get(1)?,
        commit_counter: row.get(2)?,
        extra_group_serial: row.get(3)?,
    })
}

/// An interaction without its extra groups, and how many it has.
pub(super) fn interaction(row: &Row<'_>) -> Result<(InteractionRow, u32)> {
    let interaction = InteractionRow {
        group: Group(row.get(0)?),
        tenant: TenantId(row.get(1)?),
        kind: known(2, InteractionKind::from_u8(row.get(2)?))?,
        state: known(3, State::from_u8(row.get(3)?))?,
        start_hour: row.get(4)?,
        next_leaf: row.get(5)?,
        extra_groups: Vec::new(),
        directory_block: row.get(7)?,
        version: row.get(8)?,
        sealed_meta: row.get(9)?,
    };
    Ok((interaction, row.get(6)?))
}

/// A content.
pub(super) fn content(row: &Row<'_>) -> Result<ContentRow> {
    Ok(ContentRow {
        leaf: Leaf(row.get(0)?),
        interaction: Group(row.get(1)?),
        kind: known(2, ContentKind::from_u8(row.get(2)?))?,
        size_class: SizeClass(row.get(3)?),
        blob: BlobRef(row.get(4)?),
        commitment: row.get(5)?,
        sealed_meta: row.get(6)?,
    })
}

/// A directory block.
pub(super) fn directory(row: &Row<'_>) -> Result<DirectoryRow> {
    Ok(DirectoryRow { block: row.get(0)?, leaf: Leaf(row.get(1)?), entries: row.get(2)?, sealed: row.get(3)? })
}

/// A credential.
pub(super) fn credential(row: &Row<'_>) -> Result<CredentialRow> {
    let kind: String = row.get(2)?;
    Ok(CredentialRow {
        id: row.get(0)?,
        tenant: TenantId(row.get(1)?),
        kind: known(2, CredentialKind::parse(&kind))?,
        scopes: Scopes::from_bits(row.get(3)?),
        label: row.get(4)?,
        secret_hash: row.get(5)?,
        created_at: some_time(row, 6)?,
        expires_at: time(row, 7)?,
        revoked_at: time(row, 8)?,
    })
}

/// A tenant.
pub(super) fn tenant(row: &Row<'_>) -> Result<(TenantId, String)> {
    Ok((TenantId(row.get(0)?), row.get(1)?))
}

/// An erasure.
pub(super) fn purge(row: &Row<'_>) -> Result<PurgeRow> {
    let set: Vec<u8> = row.get(12)?;
    Ok(PurgeRow {
        id: row.get(0)?,
        tenant: row.get::<_, Option<u32>>(1)?.map(TenantId),
        credential: row.get(2)?,
        kind: known(3, purge_kind(row.get(3)?))?,
        state: known(4, purge_state(row.get(4)?))?,
        interactions: row.get(5)?,
        contents: row.get(6)?,
        order_leaf: row.get::<_, Option<u64>>(7)?.map(Leaf),
        accepted_at: some_time(row, 8)?,
        sealed_at: time(row, 9)?,
        sealed_epoch: row.get(10)?,
        removed_at: time(row, 11)?,
        retained_until: time(row, 14)?,
        set: known(12, PurgeSet::decode(&set))?,
        sealed_order: row.get::<_, Option<Vec<u8>>>(13)?.unwrap_or_default(),
        stated: row.get(15)?,
        place: match row.get::<_, Option<u64>>(16)? {
            Some(entry) => {
                Some(ReceiptPlace { entry, first: row.get(17)?, receipts: row.get(18)?, blobs: row.get(19)? })
            }
            None => None,
        },
        removal: match row.get::<_, Option<u64>>(20)? {
            Some(entry) => Some(RemovalPlace { entry, index: row.get(21)? }),
            None => None,
        },
    })
}

/// What an erasure covers.
pub(super) fn cover(row: &Row<'_>) -> Result<CoverRow> {
    Ok(CoverRow {
        id: row.get(0)?,
        tenant: row.get::<_, Option<u32>>(1)?.map(TenantId),
        kind: known(2, purge_kind(row.get(2)?))?,
        set: StoredSet::new(row.get(3)?),
    })
}

/// A removal the log is to tell of, or tells of.
pub(super) fn removal(row: &Row<'_>) -> Result<RemovedPurge> {
    Ok(RemovedPurge { id: row.get(0)?, blobs: row.get(1)?, at: some_time(row, 2)? })
}

/// A seal the log does not tell of.
pub(super) fn seal(row: &Row<'_>) -> Result<SealRow> {
    Ok(SealRow { epoch: row.get(0)?, at: some_time(row, 1)?, facts: row.get(2)? })
}

/// Arrivals of one commit.
pub(super) fn arrival(row: &Row<'_>) -> Result<ArrivalRow> {
    Ok(ArrivalRow { serial: row.get(0)?, items: row.get(1)? })
}

/// An ingest batch.
pub(super) fn batch(row: &Row<'_>) -> Result<BatchRow> {
    Ok(BatchRow { entry: row.get(0)?, items: row.get(1)? })
}

/// What an erasure covers, by its id.
pub(super) fn covering_set(row: &Row<'_>) -> Result<(uuid::Uuid, PurgeSet)> {
    let set: Vec<u8> = row.get(1)?;
    Ok((row.get(0)?, known(1, PurgeSet::decode(&set))?))
}

/// The stored number of a kind.
pub(super) fn purge_kind_number(kind: PurgeKind) -> u8 {
    match kind {
        PurgeKind::Order => 1,
        PurgeKind::Replaced => 2,
        PurgeKind::Upkeep => 3,
    }
}

fn purge_kind(number: u8) -> Option<PurgeKind> {
    [PurgeKind::Order, PurgeKind::Replaced, PurgeKind::Upkeep]
        .into_iter()
        .find(|kind| purge_kind_number(*kind) == number)
}

/// The stored number of a state.
pub(super) fn purge_state_number(state: PurgeState) -> u8 {
    match state {
        PurgeState::Accepted => 1,
        PurgeState::Planned => 2,
        PurgeState::Sealed => 3,
    }
}

fn purge_state(number: u8) -> Option<PurgeState> {
    [PurgeState::Accepted, PurgeState::Planned, PurgeState::Sealed]
        .into_iter()
        .find(|state| purge_state_number(*state) == number)
}
