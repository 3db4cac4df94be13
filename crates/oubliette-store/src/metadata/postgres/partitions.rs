//! Partitions of the tables that grow without bound: which there are, and making more.
//!
//! Interactions and contents are cut by the number of the interaction's group, the directory by the number of the block, what
//! is kept of erasures by theirs. Before a batch writes into a partition it is made when it is missing; from the middle of one
//! on a worker makes the next. Making one locks no table against use: it is made apart and then attached.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::SCHEMA;
use super::gather::Keys;
use super::rows::{get, number};
use super::statements as sql;
use crate::postgres::{Connector, LOCKS, PostgresError, Session};

/// Groups in one partition, as a power of two: 16.7 million interactions at most.
const GROUP_BITS: u32 = 24;

/// Blocks in one partition, as a power of two: about as many interactions.
const BLOCK_BITS: u32 = 19;

/// Erasures in one partition, as a power of two.
const SERIAL_BITS: u32 = 24;

/// Second key of the lock under which partitions are made.
const LOCK: i32 = 2;

const MADE: &str = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent IN ('interactions'::regclass, 'contents'::regclass, 'directory'::regclass,
        'purges'::regclass, 'purge_sets'::regclass, 'purge_manifests'::regclass)";

/// A table's partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Part {
    table: &'static str,
    bits: u32,
    index: u64,
}

impl Part {
    fn name(self) -> String {
        format!("{}_p{}", self.table, self.index)
    }

    fn make(self) -> String {
        let Self { table, bits, index } = self;
        let (name, from) = (self.name(), index << bits);
        // The last one there can be has no end within what a column holds.
        let to = i64::try_from((index + 1) << bits).map_or("MAXVALUE".to_owned(), |to| to.to_string());
        format!(
            "CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE);
             ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({to});"
        )
    }

    /// Those a number needs.
    fn of_group(group: u64) -> [Self; 2] {
        ["interactions", "contents"].map(|table| Self { table, bits: GROUP_BITS, index: group >> GROUP_BITS })
    }

    fn of_block(block: u64) -> Self {
        Self { table: "directory", bits: BLOCK_BITS, index: block >> BLOCK_BITS }
    }

    fn of_serial(serial: u64) -> [Self; 3] {
        ["purges", "purge_sets", "purge_manifests"].map(|table| Self {
            table,
            bits: SERIAL_BITS,
            index: serial >> SERIAL_BITS,
        })
    }

    fn next(self) -> Self {
        Self { index: self.index + 1, ..self }
    }
}

/// Whether a number is in the second half of its partition.
fn half(number: u64, bits: u32) -> bool {
    number & ((1 << bits) - 1) >= 1 << (bits - 1)
}

/// What is known of them here.
#[derive(Default)]
pub(super) struct Partitions {
    made: Mutex<HashSet<String>>,
    ahead: Mutex<BTreeSet<Part>>,
    wake: Notify,
}

impl Partitions {
    /// Makes what the keys need and is missing, and has the worker look ahead.
    pub(super) async fn ready(&self, connector: &Connector, keys: &Keys) -> Result<(), PostgresError> {
        let limit = i64::MAX as u64;
        let mut needed = BTreeSet::new();
        let mut ahead = BTreeSet::new();
        for group in keys.new_interactions.iter().copied().filter(|group| *group <= limit) {
            needed.extend(Part::of_group(group));
            if half(group, GROUP_BITS) {
                ahead.extend(Part::of_group(group).map(Part::next));
            }
        }
        for block in keys.new_blocks.iter().copied().filter(|block| *block <= limit) {
            needed.insert(Part::of_block(block));
            if half(block, BLOCK_BITS) {
                ahead.insert(Part::of_block(block).next());
            }
        }
        self.provide(connector, needed, ahead).await
    }

    /// The same for the numbers that erasures got: they are known only within the batch's transaction, which has written nothing
    /// yet.
    pub(super) async fn numbered(&self, connector: &Connector, serials: &[i64]) -> Result<(), PostgresError> {
        let mut needed = BTreeSet::new();
        let mut ahead = BTreeSet::new();
        for serial in serials.iter().filter_map(|serial| u64::try_from(*serial).ok()) {
            needed.extend(Part::of_serial(serial));
            if half(serial, SERIAL_BITS) {
                ahead.extend(Part::of_serial(serial).map(Part::next));
            }
        }
        self.provide(connector, needed, ahead).await
    }

    /// Makes what is needed and missing now, and leaves what is wanted ahead to the worker.
    async fn provide(
        &self,
        connector: &Connector,
        needed: BTreeSet<Part>,
        ahead: BTreeSet<Part>,
    ) -> Result<(), PostgresError> {
        let (needed, mut ahead) = (self.missing(needed), self.missing(ahead));
        ahead.retain(|part| part.index << part.bits <= i64::MAX as u64);
        if !ahead.is_empty() {
            self.ahead.lock().unwrap_or_else(PoisonError::into_inner).extend(ahead);
            self.wake.notify_one();
        }
        if needed.is_empty() { Ok(()) } else { self.make(connector, &needed).await }
    }

    /// Makes the partitions a vault begins or goes on with, and finds those there are.
    pub(super) async fn begin(&self, connector: &Connector) -> Result<(), PostgresError> {
        let session = connector.connect(SCHEMA).await?;
        let made = session.query(MADE, &[]).await?;
        let made = made.iter().map(|row| get(row, 0)).collect::<Result<Vec<String>, _>>()?;
        let serials = session.query(sql::LAST_PURGE_SERIAL, &[]).await?;
        let serial = serials.first().map(|row| number(row, 0)).transpose()?.unwrap_or(0);
        session.close().await;
        self.made.lock().unwrap_or_else(PoisonError::into_inner).extend(made);
        let begun = Part::of_group(0).into_iter().chain([Part::of_block(0)]).chain(Part::of_serial(serial));
        let first = self.missing(begun.collect());
        if first.is_empty() { Ok(()) } else { self.make(connector, &first).await }
    }

    /// Looks ahead until it is dropped. What cannot be made is made when it is needed.
    pub(super) async fn work(&self, connector: &Connector) {
        loop {
            self.wake.notified().await;
            let wanted = std::mem::take(&mut *self.ahead.lock().unwrap_or_else(PoisonError::into_inner));
            let wanted = self.missing(wanted);
            if !wanted.is_empty()
                && let Err(error) = self.make(connector, &wanted).await
            {
                tracing::warn!(%error, "partitions could not be made ahead");
            }
        }
    }

    /// Forgets what is thought to be there: somebody took one away.
    pub(super) fn forget(&self) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn missing(&self, parts: BTreeSet<Part>) -> Vec<Part> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        parts.into_iter().filter(|part| !made.contains(&part.name())).collect()
    }

    async fn make(&self, connector: &Connector, parts: &[Part]) -> Result<(), PostgresError> {
        let session = connector.connect(SCHEMA).await?;
        session.batch(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCKS}, {LOCK})")).await?;
        let made = attached(&session).await?;
        for part in parts.iter().filter(|part| !made.contains(&part.name())) {
            session.batch(&part.make()).await?;
            tracing::info!(partition = part.name(), "a partition was made");
        }
        session.batch("COMMIT").await?;
        session.close().await;
        self.made.lock().unwrap_or_else(PoisonError::into_inner).extend(parts.iter().map(|part| part.name()));
        Ok(())
    }
}

async fn attached(session: &Session) -> Result<HashSet<String>, PostgresError> {
    session.query(MADE, &[]).await?.iter().map(|row| get(row, 0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_numbers_have_a_partition() {
        let highest = Part::of_group(u64::MAX >> 4)[0];
        assert_eq!(highest.name(), "interactions_p68719476735");
        assert!(highest.make().contains("TO (1152921504606846976)"));
        assert!(Part::of_block(i64::MAX as u64).make().contains("TO (MAXVALUE)"));
    }
}
