//! What a batch of transactions knows of the database and leaves behind.
//!
//! The rows that a batch could ask for are read first, in one round trip; then its transactions are judged one after the
//! other against these books, each seeing what those before it did; then what differs from the database is written. A
//! transaction that fails is undone here and never reaches the database.

use std::collections::HashMap;

use keyforest::Leaf;
use oubliette_core::ports::{BatchRow, Certified, ContentRow, CredentialRow, InteractionRow, PurgeRow, SealRow};
use uuid::Uuid;

use super::covers::Covers;
use super::ledger::Ledger;
use crate::metadata::erased::{self, Erased};

/// An interaction.
#[derive(Clone)]
pub(super) struct Interaction<'a> {
    pub(super) state: u8,
    pub(super) start_hour: i64,
    pub(super) next_leaf: u8,
    pub(super) version: u64,
    pub(super) extra: Vec<u64>,
    /// Another list than the database has.
    pub(super) regrouped: bool,
    /// Sealed metadata, when it is replaced.
    pub(super) sealed: Option<&'a [u8]>,
    /// The row, when it is new.
    pub(super) new: Option<&'a InteractionRow>,
}

/// A content.
#[derive(Clone)]
pub(super) struct Content<'a> {
    pub(super) interaction: u64,
    pub(super) blob: String,
    /// The row, when it is new.
    pub(super) new: Option<&'a ContentRow>,
}

/// A directory block.
#[derive(Clone)]
pub(super) struct Block<'a> {
    pub(super) leaf: u64,
    /// Entries and their sealed bytes, when it is new or re-sealed.
    pub(super) new: Option<(u8, &'a [u8])>,
}

/// An erasure.
#[derive(Clone)]
pub(super) struct Purge<'a> {
    pub(super) serial: i64,
    pub(super) state: u8,
    /// Epoch and time of its seal, when this batch knows them.
    pub(super) sealed: Option<(i64, i64)>,
    pub(super) removed: bool,
    /// When, when this batch knows it.
    pub(super) removed_at: Option<i64>,
    /// Until when its blobs are kept, when this batch knows it.
    pub(super) retained_until: Option<i64>,
    /// Its words go.
    pub(super) drop_order: bool,
    /// It has its place in the log.
    pub(super) certified: bool,
    /// Its place in the log, when this batch knows it.
    pub(super) certificate: Option<&'a Certified>,
    /// Entry and number of the log's word of its removal, when this batch knows them.
    pub(super) removal: Option<(i64, i64)>,
    /// The row, when it is new.
    pub(super) new: Option<&'a PurgeRow>,
}

/// A credential.
#[derive(Clone)]
pub(super) struct Credential<'a> {
    pub(super) revoked_at: Option<i64>,
    /// The row, when it is new.
    pub(super) new: Option<&'a CredentialRow>,
}

/// What the instance counts, and by how much this batch changed it.
#[derive(Clone, Copy)]
pub(super) struct Counts {
    pub(super) epoch: u64,
    pub(super) extra_group_serial: u64,
    pub(super) added: i64,
    pub(super) new_epoch: bool,
}

/// The books of one batch.
#[derive(Default)]
pub(super) struct Books<'a> {
    pub(super) interactions: Ledger<u64, Interaction<'a>>,
    /// Interaction of each extra group.
    pub(super) owners: Ledger<u64, u64>,
    /// By leaf.
    pub(super) contents: Ledger<u64, Content<'a>>,
    /// Interaction and leaf.
    pub(super) blobs: Ledger<String, (u64, u64)>,
    pub(super) directory: Ledger<u64, Block<'a>>,
    /// Block sealed under each leaf.
    pub(super) block_leaves: Ledger<u64, u64>,
    pub(super) purges: Ledger<Uuid, Purge<'a>>,
    pub(super) covers: Covers,
    /// What erasures of this batch cover.
    pub(super) fresh: Erased,
    /// Numbers for new erasures.
    pub(super) serials: Vec<i64>,
    pub(super) credentials: Ledger<Uuid, Credential<'a>>,
    pub(super) tenants: Ledger<u32, String>,
    /// Tenant of each name.
    pub(super) names: Ledger<String, u32>,
    /// Written without being read; `None` removes.
    pub(super) values: Ledger<String, Option<&'a [u8]>>,
    pub(super) counts: Ledger<(), Counts>,
    /// New seals, written without being read.
    pub(super) seals: Ledger<u64, &'a SealRow>,
    /// Seals are forgotten up to here.
    pub(super) seals_done: Ledger<(), u64>,
    /// What comes in, by order of the notes.
    pub(super) arrivals: Ledger<u64, &'a [u8]>,
    /// Arrivals to forget.
    pub(super) arrived: Ledger<u64, ()>,
    /// New ingest batches, and where they are looked for.
    pub(super) batches: Ledger<u64, (&'a BatchRow, &'a [u64])>,
    /// Leaves and blobs known of an interaction, some of which may be gone again.
    pub(super) parts: HashMap<u64, Vec<u64>>,
    pub(super) places: HashMap<u64, Vec<String>>,
}

/// A place in all undo logs.
pub(super) struct Mark {
    ledgers: [usize; 18],
    fresh: erased::Mark,
}

impl Books<'_> {
    /// Whether any erasure covers the leaf.
    pub(super) fn erased(&self, leaf: Leaf) -> bool {
        self.fresh.contains(leaf) || self.covers.contain(leaf)
    }

    /// Where the undo logs stand.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            ledgers: [
                self.interactions.mark(),
                self.owners.mark(),
                self.contents.mark(),
                self.blobs.mark(),
                self.directory.mark(),
                self.block_leaves.mark(),
                self.purges.mark(),
                self.covers.removed.mark(),
                self.credentials.mark(),
                self.tenants.mark(),
                self.names.mark(),
                self.values.mark(),
                self.counts.mark(),
                self.seals.mark(),
                self.seals_done.mark(),
                self.arrivals.mark(),
                self.arrived.mark(),
                self.batches.mark(),
            ],
            fresh: self.fresh.mark(),
        }
    }

    /// Undoes everything since the mark.
    pub(super) fn undo_to(&mut self, mark: &Mark) {
        let [
            interactions,
            owners,
            contents,
            blobs,
            directory,
            block_leaves,
            purges,
            covers,
            credentials,
            tenants,
            names,
            values,
            counts,
            seals,
            seals_done,
            arrivals,
            arrived,
            batches,
        ] = mark.ledgers;
        self.interactions.undo_to(interactions);
        self.owners.undo_to(owners);
        self.contents.undo_to(contents);
        self.blobs.undo_to(blobs);
        self.directory.undo_to(directory);
        self.block_leaves.undo_to(block_leaves);
        self.purges.undo_to(purges);
        self.covers.removed.undo_to(covers);
        self.credentials.undo_to(credentials);
        self.tenants.undo_to(tenants);
        self.names.undo_to(names);
        self.values.undo_to(values);
        self.counts.undo_to(counts);
        self.seals.undo_to(seals);
        self.seals_done.undo_to(seals_done);
        self.arrivals.undo_to(arrivals);
        self.arrived.undo_to(arrived);
        self.batches.undo_to(batches);
        self.fresh.undo_to(mark.fresh);
    }
}
