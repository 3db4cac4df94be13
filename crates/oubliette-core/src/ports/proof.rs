//! What the metadata keeps for the log and its certificates: rows that say what an entry was made from. What is in them the
//! domain encodes and reads; a store keeps the bytes.
//!
//! Seals and arrivals are there until an entry of the log tells of them. What an entry was made from stays: without it no
//! receipt could be given out any more. Entries have numbers that are given once: those of a log that took another's place come
//! after all of that one's.

use jiff::Timestamp;
use uuid::Uuid;

/// A seal that no log entry tells of yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealRow {
    /// The epoch after it.
    pub epoch: u64,
    /// When it was made.
    pub at: Timestamp,
    /// What the entry is to say of it.
    pub facts: Vec<u8>,
}

/// What came in with one durable commit and is in no ingest batch yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrivalRow {
    /// Its number.
    pub serial: u64,
    /// The items of all its transactions, one after the other.
    pub items: Vec<u8>,
}

/// What an ingest entry of the log is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRow {
    /// The entry.
    pub entry: u64,
    /// Its items in the order of their receipts.
    pub items: Vec<u8>,
}

/// Where the receipts of an erasure lie in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptPlace {
    /// The entry.
    pub entry: u64,
    /// Number of its first receipt under that entry.
    pub first: u64,
    /// How many it has: one for each item, and its own.
    pub receipts: u64,
    /// Blobs that were its contents'.
    pub blobs: u64,
}

/// Place of a receipt *removed*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovalPlace {
    /// The entry.
    pub entry: u64,
    /// Number of the receipt under that entry.
    pub index: u64,
}

/// That an entry of the log tells of an erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The erasure.
    pub id: Uuid,
    /// Where.
    pub place: ReceiptPlace,
    /// What its receipts are made from.
    pub manifest: Vec<u8>,
    /// Where it is looked for ([`Metadata::purges_at`](super::Metadata::purges_at)), none twice.
    pub found_at: Vec<i64>,
}

/// An erasure whose blobs are gone, of which the log tells but not of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovedPurge {
    /// The erasure.
    pub id: Uuid,
    /// Blobs that were its contents'.
    pub blobs: u64,
    /// When its rows and blobs were seen removed.
    pub at: Timestamp,
}
