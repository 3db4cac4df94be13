//! The metadata store: rows whose personal parts are sealed, changed by transactions that are *data*.
//!
//! A [`Transaction`] is a list of checks and a list of writes. It happens wholly or not at all; when a check does not hold
//! nothing changes and the number of the check is told. Adapters may commit many transactions in one durable commit (group
//! commit). All reads see every transaction whose `apply` returned.
//!
//! A write that changes a row needs the row: without it the transaction is refused ([`PortErrorKind::Refused`], nothing
//! changed), as is a second row of one number or id. Removing what is not there is fine, and a mark repeated (planned, sealed,
//! removed, revoked) keeps the first. Times are kept to the nanosecond, between the years 1677 and 2262.
//!
//! [`PortErrorKind::Refused`]: super::PortErrorKind::Refused

use async_trait::async_trait;
use jiff::Timestamp;
use keyforest::{Group, Leaf, LeafSet};
use uuid::Uuid;

use super::{
    ArrivalRow, BatchRow, BlobRef, Certified, CoverRow, PortError, ReceiptPlace, RemovalPlace, RemovedPurge, SealRow,
};
use crate::model::{ContentKind, CredentialKind, InteractionKind, Scopes, SizeClass, State, TenantId};

/// What the database knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceRow {
    /// The vault's id, drawn when it was made.
    pub instance: Uuid,
    /// The newest key epoch this database has heard of.
    pub epoch: u64,
    /// Durable commits so far; never goes back.
    pub commit_counter: u64,
    /// Counts insertions of extra groups (see [`Check::ExtraGroupSerial`]).
    pub extra_group_serial: u64,
}

/// One interaction.
#[derive(Clone)]
pub struct InteractionRow {
    /// Its primary group; leaf 0 of it seals `sealed_meta`.
    pub group: Group,
    /// Its tenant.
    pub tenant: TenantId,
    /// Channel.
    pub kind: InteractionKind,
    /// Where it stands.
    pub state: State,
    /// Hours since 1970 of its start: all that is clear of its time.
    pub start_hour: i64,
    /// The next leaf index of the newest group that no content used yet; 8 when none is left.
    pub next_leaf: u8,
    /// Further groups, for more than seven contents or for those of later starts, in order of use. A group is named here before
    /// any leaf of it is issued.
    pub extra_groups: Vec<Group>,
    /// The directory block that holds its look-up entry.
    pub directory_block: u64,
    /// Counts changes of this row.
    pub version: u64,
    /// [`crate::model::InteractionMeta`], sealed under leaf 0.
    pub sealed_meta: Vec<u8>,
}

/// One content, all of it stored.
#[derive(Clone)]
pub struct ContentRow {
    /// The leaf that seals its bytes and its description.
    pub leaf: Leaf,
    /// Primary group of its interaction.
    pub interaction: Group,
    /// What it is.
    pub kind: ContentKind,
    /// Class of its stored size.
    pub size_class: SizeClass,
    /// [`crate::model::ContentMeta`], sealed under `leaf`.
    pub sealed_meta: Vec<u8>,
    /// Where its bytes lie.
    pub blob: BlobRef,
    /// The blob's key commitment (C2SP chunked encryption): a swapped blob is refused.
    pub commitment: [u8; 32],
}

/// One directory block: the look-up entries of up to 32 interactions, sealed.
#[derive(Clone)]
pub struct DirectoryRow {
    /// Number in order of arrival.
    pub block: u64,
    /// The leaf it is sealed under now.
    pub leaf: Leaf,
    /// Interactions in it.
    pub entries: u8,
    /// The entries, sealed under `leaf`.
    pub sealed: Vec<u8>,
}

/// A stored credential.
#[derive(Clone)]
pub struct CredentialRow {
    /// Its id.
    pub id: Uuid,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its protocol.
    pub kind: CredentialKind,
    /// What it may do.
    pub scopes: Scopes,
    /// Label for people.
    pub label: String,
    /// SHA-256 of the 256-bit secret.
    pub secret_hash: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// What an erasure covers: the leaves to puncture, in a short form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurgeSet {
    /// Numbers of primary groups of interactions that go wholly.
    pub interactions: LeafSet,
    /// Numbers of their extra groups.
    pub groups: LeafSet,
    /// Single leaves: contents, old directory leaves, the order's own.
    pub leaves: LeafSet,
}

impl PurgeSet {
    /// Whether the leaf is to be punctured.
    pub fn contains(&self, leaf: Leaf) -> bool {
        let group = Leaf(Group::of(leaf).0);
        self.interactions.contains(group) || self.groups.contains(group) || self.leaves.contains(leaf)
    }

    /// Every leaf to puncture.
    pub fn expand(&self) -> LeafSet {
        let groups = self.interactions.iter().chain(self.groups.iter()).flat_map(|number| Group(number.0).leaves());
        groups.chain(self.leaves.iter()).collect()
    }

    /// Three length-prefixed leaf sets.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for set in [&self.interactions, &self.groups, &self.leaves] {
            let bytes = set.encode();
            out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
            out.extend_from_slice(&bytes);
        }
        out
    }

    /// Reads what [`PurgeSet::encode`] wrote; `None` for anything else.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut take = || {
            let (length, rest) = bytes.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let set = LeafSet::decode(rest.get(..length)?)?;
            bytes = rest.get(length..)?;
            Some(set)
        };
        let (interactions, groups, leaves) = (take()?, take()?, take()?);
        bytes.is_empty().then_some(Self { interactions, groups, leaves })
    }
}

/// What kind of order led to an erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeKind {
    /// Somebody asked for contents or interactions to be erased.
    Order,
    /// A content was replaced by a newer upload.
    Replaced,
    /// House-keeping: unused spares, orphaned directory leaves.
    Upkeep,
}

/// How far an erasure is. Only forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PurgeState {
    /// Accepted and hidden; a hold could still stop it.
    Accepted,
    /// Taken up by an epoch: cannot be undone.
    Planned,
    /// Its leaves are punctured and the old root is destroyed.
    Sealed,
}

/// One erasure.
#[derive(Clone)]
pub struct PurgeRow {
    /// Its id.
    pub id: Uuid,
    /// Its tenant; `None` for upkeep.
    pub tenant: Option<TenantId>,
    /// The credential that ordered it.
    pub credential: Option<Uuid>,
    /// What led to it.
    pub kind: PurgeKind,
    /// How far it is.
    pub state: PurgeState,
    /// What it covers.
    pub set: PurgeSet,
    /// Interactions erased wholly.
    pub interactions: u64,
    /// Contents erased.
    pub contents: u64,
    /// Leaf under which `sealed_order` is sealed (it is in `set` too).
    pub order_leaf: Option<Leaf>,
    /// Selector, reference and reason, sealed; empty without any.
    pub sealed_order: Vec<u8>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it was sealed.
    pub sealed_at: Option<Timestamp>,
    /// The epoch whose seal destroyed its keys.
    pub sealed_epoch: Option<u64>,
    /// When its rows were deleted and its blobs were seen removed.
    pub removed_at: Option<Timestamp>,
    /// Some of its blobs are (or were) kept by the backend until then: ciphertext without a key.
    pub retained_until: Option<Timestamp>,
    /// What the log is to state of it beyond the counts, as it was accepted.
    pub stated: Vec<u8>,
    /// Its place in the log; set by [`Write::CertifyPurge`] alone.
    pub place: Option<ReceiptPlace>,
    /// Place of the log's word that its blobs are gone; set by [`Write::LogRemoval`] alone.
    pub removal: Option<RemovalPlace>,
}

/// Something that must hold for a transaction to happen.
pub enum Check {
    /// The interaction has a row.
    Interaction(Group),
    /// The interaction's row has this version.
    Version(Group, u64),
    /// No erasure that is not yet swept (`removed_at` empty) covers the leaf.
    NotErased(Leaf),
    /// The directory block is still sealed under this leaf.
    DirectoryLeaf(u64, Leaf),
    /// [`InstanceRow::extra_group_serial`] is still this.
    ExtraGroupSerial(u64),
    /// The content row exists.
    Content(Leaf),
}

/// One change.
#[expect(clippy::large_enum_variant, reason = "erasures are few; their rows would be boxed only to be unboxed")]
pub enum Write {
    /// A new interaction. Refused as a conflict when the group has a row.
    InsertInteraction(InteractionRow),
    /// Replaces state, start hour, next leaf, extra groups and sealed metadata; adds one to the version. Adds to the
    /// extra-group serial when a group was added.
    UpdateInteraction(InteractionRow),
    /// Changes only the clear state; adds one to the version.
    SetState(Group, State),
    /// A new content; sets the interaction's next leaf to at least one past it (by index in the newest group) and adds one
    /// to the interaction's version. Refused under a leaf that is not its interaction's, under the leaf of its metadata, or
    /// with a blob another content refers to.
    InsertContent(ContentRow),
    /// Removes content rows.
    DeleteContents(Vec<Leaf>),
    /// Removes interaction rows and all their content rows.
    DeleteInteractions(Vec<Group>),
    /// A new or re-sealed directory block.
    PutDirectory(DirectoryRow),
    /// Removes an empty directory block.
    DeleteDirectory(u64),
    /// A new erasure.
    InsertPurge(PurgeRow),
    /// Marks erasures planned.
    PlanPurges(Vec<Uuid>),
    /// Marks erasures sealed at this epoch and time, and clears what was sealed of their orders.
    SealPurges(Vec<Uuid>, u64, Timestamp),
    /// Marks a sealed erasure's rows and blobs removed.
    RemovedPurge(Uuid, Timestamp),
    /// Notes that a sealed erasure's blobs cannot be removed before this time; a later note replaces it.
    RetainPurge(Uuid, Timestamp),
    /// Remembers a seal until the log tells of it; a second one of its epoch changes nothing.
    InsertSeal(SealRow),
    /// Forgets the seals up to this epoch.
    DeleteSeals(u64),
    /// Notes what comes in with this transaction. The notes of one durable commit become one row, in order.
    NoteArrivals(Vec<u8>),
    /// Forgets arrivals by number.
    DeleteArrivals(Vec<u64>),
    /// A new ingest batch, with where it is looked for ([`Metadata::batches_at`]), none twice.
    InsertBatch(BatchRow, Vec<u64>),
    /// Gives a sealed erasure its place in the log; a repeated mark keeps the first.
    CertifyPurge(Box<Certified>),
    /// Notes the log's word that a certified erasure's blobs are gone; a repeated mark keeps the first.
    LogRemoval(Uuid, RemovalPlace),
    /// A new credential.
    InsertCredential(CredentialRow),
    /// Revokes a credential.
    RevokeCredential(Uuid, Timestamp),
    /// A tenant's public name.
    InsertTenant(TenantId, String),
    /// Remembers the epoch in force; never goes back.
    SetEpoch(u64),
    /// A small named value of the program (for example the progress of an import), sealed by the caller where personal.
    PutValue(String, Option<Vec<u8>>),
}

/// All or nothing.
#[derive(Default)]
pub struct Transaction {
    /// A name for metrics and logs, for example `purge.accept`.
    pub name: &'static str,
    /// What must hold.
    pub checks: Vec<Check>,
    /// What changes.
    pub writes: Vec<Write>,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Done and durable; the commit counter after it.
    Done(u64),
    /// Nothing changed: this check (by position) did not hold.
    Failed(usize),
}

/// The metadata store.
#[async_trait]
pub trait Metadata: Send + Sync {
    /// What the database knows of itself.
    async fn instance(&self) -> Result<InstanceRow, PortError>;

    /// Does a transaction; durable when it answers [`Applied::Done`].
    async fn apply(&self, transaction: Transaction) -> Result<Applied, PortError>;

    /// One interaction.
    async fn interaction(&self, group: Group) -> Result<Option<InteractionRow>, PortError>;

    /// Many interactions in one go, in the order asked, absent ones left out, one asked twice once. At most 1,000 a call;
    /// more is refused, here and below.
    async fn interactions(&self, groups: &[Group]) -> Result<Vec<InteractionRow>, PortError>;

    /// Interactions of a tenant that start in this hour, by group, from behind `after` on, at most `limit`.
    async fn interactions_in_hour(
        &self,
        tenant: TenantId,
        hour: i64,
        after: Option<Group>,
        limit: usize,
    ) -> Result<Vec<InteractionRow>, PortError>;

    /// The first hour at or after `from` and at or before `to` in which the tenant has an interaction.
    async fn next_hour(&self, tenant: TenantId, from: i64, to: i64) -> Result<Option<i64>, PortError>;

    /// Contents of these interactions, by interaction and leaf. At most 1,000 interactions a call.
    async fn contents(&self, interactions: &[Group]) -> Result<Vec<ContentRow>, PortError>;

    /// Counts contents of these interactions (sorted group numbers) without reading them.
    async fn count_contents(&self, interactions: &LeafSet) -> Result<u64, PortError>;

    /// Content rows by leaf, absent ones left out.
    async fn contents_by_leaf(&self, leaves: &[Leaf]) -> Result<Vec<ContentRow>, PortError>;

    /// Directory blocks from number `from` on, ascending, at most `limit`.
    async fn directory(&self, from: u64, limit: usize) -> Result<Vec<DirectoryRow>, PortError>;

    /// One more than the highest directory block ever stored that is still there; 0 without any.
    async fn next_directory_block(&self) -> Result<u64, PortError>;

    /// These directory blocks, absent ones left out. At most 1,000 a call.
    async fn directory_blocks(&self, blocks: &[u64]) -> Result<Vec<DirectoryRow>, PortError>;

    /// Erasures not yet sealed, oldest first.
    async fn unsealed_purges(&self) -> Result<Vec<PurgeRow>, PortError>;

    /// Erasures sealed whose rows and blobs are not yet removed, at most `limit`. With `due` only those that may be swept then:
    /// they have their place in the log (upkeep never will), and their retention (see [`Write::RetainPurge`]) is over. Those never retained come first, by time of acceptance; then by the end of
    /// the retention.
    async fn unswept_purges(&self, due: Option<Timestamp>, limit: usize) -> Result<Vec<PurgeRow>, PortError>;

    /// One erasure.
    async fn purge(&self, id: Uuid) -> Result<Option<PurgeRow>, PortError>;

    /// One erasure without what it covers, which may be megabytes: its `set` is empty.
    async fn purge_brief(&self, id: Uuid) -> Result<Option<PurgeRow>, PortError>;

    /// What these erasures cover, in the order asked, absent ones left out: until what was read is `bytes` long, so one at least.
    /// At most 1,000 a call.
    async fn covers(&self, ids: &[Uuid], bytes: usize) -> Result<Vec<CoverRow>, PortError>;

    /// Erasures of a tenant, newest first, before (accepted time, id), at most `limit`.
    async fn purges(
        &self,
        tenant: TenantId,
        before: Option<(Timestamp, Uuid)>,
        limit: usize,
    ) -> Result<Vec<PurgeRow>, PortError>;

    /// Erasures that are sealed in this epoch at the latest, have no place in the log and are not removed, at most `limit`:
    /// by epoch, time of acceptance and id. Upkeep has no receipts and is left out.
    async fn uncertified_purges(&self, epoch: u64, limit: usize) -> Result<Vec<PurgeRow>, PortError>;

    /// Erasures that no entry of the log tells of and one will, at most `limit`, all of one moment: those that are not sealed,
    /// then those that are, by epoch. Upkeep is left out, and what is removed.
    async fn waiting_purges(&self, limit: usize) -> Result<Vec<Uuid>, PortError>;

    /// Erasures that this entry of the log tells of, by their first receipt.
    async fn purges_in_entry(&self, entry: u64) -> Result<Vec<PurgeRow>, PortError>;

    /// What the receipts of a certified erasure are made from.
    async fn manifest(&self, id: Uuid) -> Result<Option<Vec<u8>>, PortError>;

    /// The same of all erasures that this entry of the log tells of, by their first receipt.
    async fn manifests_in_entry(&self, entry: u64) -> Result<Vec<(Uuid, Vec<u8>)>, PortError>;

    /// Certified erasures that are looked for at these places, with the place, by place and id. At most 10,000 places a call.
    async fn purges_at(&self, places: &[i64]) -> Result<Vec<(i64, Uuid)>, PortError>;

    /// Certified erasures whose blobs are gone without the log's word, by time of removal and id.
    async fn removals_due(&self, limit: usize) -> Result<Vec<RemovedPurge>, PortError>;

    /// Erasures whose removal this entry of the log tells of, in the order of the receipts.
    async fn removals_in_entry(&self, entry: u64) -> Result<Vec<RemovedPurge>, PortError>;

    /// Seals that no log entry tells of, by epoch, at most `limit`.
    async fn seals(&self, limit: usize) -> Result<Vec<SealRow>, PortError>;

    /// Arrivals that no ingest batch holds, by number, at most `limit`.
    async fn arrivals(&self, limit: usize) -> Result<Vec<ArrivalRow>, PortError>;

    /// Ingest batches from this entry on that are looked for at any of these places, by entry, each once, at most `limit`.
    async fn batches_at(&self, places: &[u64], from: u64, limit: usize) -> Result<Vec<BatchRow>, PortError>;

    /// Ingest batches from this entry on, by entry, at most `limit`.
    async fn batches(&self, from: u64, limit: usize) -> Result<Vec<BatchRow>, PortError>;

    /// Group numbers in `range` that any row refers to (interactions, extra groups, directory leaves, orders).
    async fn used_groups(&self, range: std::ops::Range<u64>) -> Result<LeafSet, PortError>;

    /// All credentials of all tenants (they are few and cached).
    async fn credentials(&self) -> Result<Vec<CredentialRow>, PortError>;

    /// All tenants with their names.
    async fn tenants(&self) -> Result<Vec<(TenantId, String)>, PortError>;

    /// Interactions in the vault, for status.
    async fn count_interactions(&self) -> Result<u64, PortError>;

    /// Which of these blob places a content row refers to.
    async fn live_blobs(&self, blobs: &[BlobRef]) -> Result<Vec<bool>, PortError>;

    /// Switches a content row's blob place; `false` when no row refers to `from`.
    async fn switch_blob(&self, from: &BlobRef, to: &BlobRef) -> Result<bool, PortError>;

    /// Live blob places beginning with `prefix`.
    async fn blobs_with_prefix(&self, prefix: &str) -> Result<Vec<BlobRef>, PortError>;

    /// A small named value.
    async fn value(&self, name: &str) -> Result<Option<Vec<u8>>, PortError>;

    /// Finishes what was begun and lets go of files and connections. Later calls answer *unavailable*.
    async fn close(&self);
}
