//! Rows to the port's types and back.

use jiff::Timestamp;
use keyforest::{Group, Leaf};
use oubliette_core::model::{ContentKind, CredentialKind, InteractionKind, Scopes, SizeClass, State, TenantId};
use oubliette_core::ports::{
    ArrivalRow, BatchRow, BlobRef, ContentRow, CoverRow, CredentialRow, DirectoryRow, InstanceRow, InteractionRow,
    PurgeKind, PurgeRow, PurgeSet, PurgeState, ReceiptPlace, RemovalPlace, RemovedPurge, SealRow, StoredSet,
};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::postgres::PostgresError;

type Result<T> = std::result::Result<T, PostgresError>;

/// A column; a value of another type is a damaged database.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T> {
    row.try_get(column).map_err(|_| PostgresError::Unreadable("a column of another type"))
}

/// A number that is never negative.
pub(super) fn number(row: &Row, column: usize) -> Result<u64> {
    let value: i64 = get(row, column)?;
    u64::try_from(value).map_err(|_| PostgresError::Unreadable("a negative number"))
}

/// A small number.
pub(super) fn small(row: &Row, column: usize) -> Result<u8> {
    let value: i16 = get(row, column)?;
    u8::try_from(value).map_err(|_| PostgresError::Unreadable("a number beyond a byte"))
}

/// A 32-bit number.
fn medium(row: &Row, column: usize) -> Result<u32> {
    let value: i64 = get(row, column)?;
    u32::try_from(value).map_err(|_| PostgresError::Unreadable("a number beyond 32 bits"))
}

fn known<T>(value: Option<T>) -> Result<T> {
    value.ok_or(PostgresError::Unreadable("a value this program does not know"))
}

/// A number as a column holds it. One beyond that is in no row: `None`.
pub(super) fn stored(number: u64) -> Option<i64> {
    i64::try_from(number).ok()
}

/// Numbers to look for; those no column can hold are left out.
pub(super) fn wanted(numbers: impl IntoIterator<Item = u64>) -> Vec<i64> {
    numbers.into_iter().filter_map(stored).collect()
}

/// Nanoseconds since 1970. Times outside 1677 to 2262 are kept as that bound.
pub(super) fn to_nanos(at: Timestamp) -> i64 {
    let nanos = at.as_nanosecond();
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

fn to_time(nanos: i64) -> Result<Timestamp> {
    Timestamp::from_nanosecond(i128::from(nanos)).map_err(|_| PostgresError::Unreadable("a time"))
}

fn time(row: &Row, column: usize) -> Result<Option<Timestamp>> {
    get::<Option<i64>>(row, column)?.map(to_time).transpose()
}

fn some_time(row: &Row, column: usize) -> Result<Timestamp> {
    to_time(get(row, column)?)
}

fn hash(row: &Row, column: usize) -> Result<[u8; 32]> {
    let bytes: &[u8] = get(row, column)?;
    bytes.try_into().map_err(|_| PostgresError::Unreadable("a hash of another length"))
}

/// The instance.
pub(super) fn instance(row: &Row) -> Result<InstanceRow> {
    Ok(InstanceRow {
        instance: get(row, 0)?,
        epoch: number(row, 1)?,
        commit_counter: number(row, 2)?,
        extra_group_serial: number(row, 3)?,
    })
}

/// An interaction.
pub(super) fn interaction(row: &Row) -> Result<InteractionRow> {
    let extra: Vec<i64> = get::<Option<_>>(row, 6)?.unwrap_or_default();
    let group =
        |number: i64| u64::try_from(number).map(Group).map_err(|_| PostgresError::Unreadable("a negative number"));
    Ok(InteractionRow {
        group: Group(number(row, 0)?),
        tenant: TenantId(medium(row, 1)?),
        kind: known(InteractionKind::from_u8(small(row, 2)?))?,
        state: known(State::from_u8(small(row, 3)?))?,
        start_hour: get(row, 4)?,
        next_leaf: small(row, 5)?,
        extra_groups: extra.into_iter().map(group).collect::<Result<_>>()?,
        directory_block: number(row, 7)?,
        version: number(row, 8)?,
        sealed_meta: get(row, 9)?,
    })
}

/// A content.
pub(super) fn content(row: &Row) -> Result<ContentRow> {
    Ok(ContentRow {
        leaf: Leaf(number(row, 0)?),
        interaction: Group(number(row, 1)?),
        kind: known(ContentKind::from_u8(small(row, 2)?))?,
        size_class: SizeClass(small(row, 3)?),
        blob: BlobRef(get(row, 4)?),
        commitment: hash(row, 5)?,
        sealed_meta: get(row, 6)?,
    })
}

/// A directory block.
pub(super) fn directory(row: &Row) -> Result<DirectoryRow> {
    Ok(DirectoryRow {
        block: number(row, 0)?,
        leaf: Leaf(number(row, 1)?),
        entries: small(row, 2)?,
        sealed: get(row, 3)?,
    })
}

/// A credential.
pub(super) fn credential(row: &Row) -> Result<CredentialRow> {
    Ok(CredentialRow {
        id: get(row, 0)?,
        tenant: TenantId(medium(row, 1)?),
        kind: known(CredentialKind::parse(get(row, 2)?))?,
        scopes: Scopes::from_bits(medium(row, 3)?),
        label: get(row, 4)?,
        secret_hash: hash(row, 5)?,
        created_at: some_time(row, 6)?,
        expires_at: time(row, 7)?,
        revoked_at: time(row, 8)?,
    })
}

/// A tenant.
pub(super) fn tenant(row: &Row) -> Result<(TenantId, String)> {
    Ok((TenantId(medium(row, 0)?), get(row, 1)?))
}

/// An erasure.
pub(super) fn purge(row: &Row) -> Result<PurgeRow> {
    let leaf: Option<i64> = get(row, 7)?;
    let epoch: Option<i64> = get(row, 10)?;
    let positive = |value: i64| u64::try_from(value).map_err(|_| PostgresError::Unreadable("a negative number"));
    Ok(PurgeRow {
        id: get(row, 0)?,
        tenant: match get::<Option<i64>>(row, 1)? {
            Some(_) => Some(TenantId(medium(row, 1)?)),
            None => None,
        },
        credential: get(row, 2)?,
        kind: known(purge_kind(small(row, 3)?))?,
        state: known(purge_state(small(row, 4)?))?,
        interactions: number(row, 5)?,
        contents: number(row, 6)?,
        order_leaf: leaf.map(positive).transpose()?.map(Leaf),
        accepted_at: some_time(row, 8)?,
        sealed_at: time(row, 9)?,
        sealed_epoch: epoch.map(positive).transpose()?,
        removed_at: time(row, 11)?,
        retained_until: time(row, 14)?,
        set: known(PurgeSet::decode(get(row, 12)?))?,
        sealed_order: get::<Option<_>>(row, 13)?.unwrap_or_default(),
        stated: get(row, 15)?,
        place: match get::<Option<i64>>(row, 16)? {
            Some(_) => Some(ReceiptPlace {
                entry: number(row, 16)?,
                first: number(row, 17)?,
                receipts: number(row, 18)?,
                blobs: number(row, 19)?,
            }),
            None => None,
        },
        removal: match get::<Option<i64>>(row, 20)? {
            Some(_) => Some(RemovalPlace { entry: number(row, 20)?, index: number(row, 21)? }),
            None => None,
        },
    })
}

/// What an erasure covers.
pub(super) fn cover(row: &Row) -> Result<CoverRow> {
    Ok(CoverRow {
        id: get(row, 0)?,
        tenant: match get::<Option<i64>>(row, 1)? {
            Some(_) => Some(TenantId(medium(row, 1)?)),
            None => None,
        },
        kind: known(purge_kind(small(row, 2)?))?,
        set: StoredSet::new(get(row, 3)?),
    })
}

/// A removal the log is to tell of, or tells of.
pub(super) fn removal(row: &Row) -> Result<RemovedPurge> {
    Ok(RemovedPurge { id: get(row, 0)?, blobs: number(row, 1)?, at: some_time(row, 2)? })
}

/// A seal the log does not tell of.
pub(super) fn seal(row: &Row) -> Result<SealRow> {
    Ok(SealRow { epoch: number(row, 0)?, at: some_time(row, 1)?, facts: get(row, 2)? })
}

/// Arrivals of one commit.
pub(super) fn arrival(row: &Row) -> Result<ArrivalRow> {
    Ok(ArrivalRow { serial: number(row, 0)?, items: get(row, 1)? })
}

/// An ingest batch.
pub(super) fn batch(row: &Row) -> Result<BatchRow> {
    Ok(BatchRow { entry: number(row, 0)?, items: get(row, 1)? })
}

/// The stored number of a kind.
pub(super) fn purge_kind_number(kind: PurgeKind) -> i16 {
    match kind {
        PurgeKind::Order => 1,
        PurgeKind::Replaced => 2,
        PurgeKind::Upkeep => 3,
    }
}

fn purge_kind(number: u8) -> Option<PurgeKind> {
    [PurgeKind::Order, PurgeKind::Replaced, PurgeKind::Upkeep]
        .into_iter()
        .find(|kind| purge_kind_number(*kind) == i16::from(number))
}

/// The stored number of a state.
pub(super) fn purge_state_number(state: PurgeState) -> i16 {
    match state {
        PurgeState::Accepted => 1,
        PurgeState::Planned => 2,
        PurgeState::Sealed => 3,
    }
}

/// The state of a stored number.
pub(super) fn purge_state(number: u8) -> Option<PurgeState> {
    [PurgeState::Accepted, PurgeState::Planned, PurgeState::Sealed]
        .into_iter()
        .find(|state| purge_state_number(*state) == i16::from(number))
}
