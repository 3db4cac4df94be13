//! Certificates: made again from what is kept, each time somebody asks.

use std::sync::Arc;

use keyforest::{Group, Leaf, LeafStatus};
use oubliette_proof::Hash;
use oubliette_proof::certificate::{Certificate, Parts, Receipt, Subject};
use oubliette_proof::note::TlogProof;
use oubliette_proof::receipt::{Erased, ReceiptTree};
use uuid::Uuid;

use super::certify::Whole;
use super::log::TransparencyLog;
use super::receipts::EntryTree;
use super::vault::Inner;
use super::{ErasureView, PublicId, Vault, VaultError};
use crate::model::{Actor, Scope, TenantId};
use crate::ports::{PurgeKind, PurgeRow, ReceiptPlace};
use crate::proof::{Arrival, Manifest, Receipts, place_of, places_of, read_arrivals};

/// Stored rows do not lead to what the log says.
#[derive(Debug, thiserror::Error)]
#[error("what is kept of an erasure does not lead to the receipts in the log")]
pub(super) struct Drifted;

/// What an item's certificate is about.
#[derive(Clone, Copy)]
enum Item {
    Interaction(Group),
    Content(Group, Leaf),
}

impl Item {
    fn interaction(self) -> Group {
        match self {
            Self::Interaction(group) | Self::Content(group, _) => group,
        }
    }

    fn leaf(self) -> Leaf {
        match self {
            Self::Interaction(group) => group.leaf(0),
            Self::Content(_, leaf) => leaf,
        }
    }

    fn in_set_of(self, row: &PurgeRow) -> bool {
        match self {
            Self::Interaction(group) => row.set.interactions.contains(Leaf(group.0)),
            Self::Content(_, leaf) => row.set.leaves.contains(leaf),
        }
    }
}

impl Vault {
    /// Certificate of an order; `reference` is told in it only when it is what the order was called. Scope:
    /// InteractionPurge or InteractionDelete.
    ///
    /// # Errors
    /// `NotFound` for no erasure of the tenant, `Uncertified` while there is none yet, `NoReceipt` for one that was over
    /// before there were certificates, and for one of which a log tells that is lost.
    pub async fn certificate(
        &self,
        actor: &Actor,
        erasure: Uuid,
        reference: Option<&str>,
    ) -> Result<Certificate, VaultError> {
        let (whole, place, tree) = self.inner.erasure_with_tree(actor, erasure).await?;
        self.inner.order_certificate(&whole, place, &tree, reference).await
    }

    /// Certificate of one erased interaction, or of one content that was erased by itself, by its id
    /// ([`Vault::content_id`]). Scope: InteractionPurge or InteractionDelete.
    ///
    /// # Errors
    /// `NotFound` for what was never issued here, and for what lives; otherwise as [`Vault::certificate`].
    pub async fn item_certificate(
        &self,
        actor: &Actor,
        id: &str,
        content: Option<&str>,
    ) -> Result<Certificate, VaultError> {
        let inner = &self.inner;
        inner.allow(actor, &[Scope::InteractionPurge, Scope::InteractionDelete])?;
        let item = inner.item(actor.tenant, id, content)?;
        let row = match inner.look_for(actor.tenant, item).await? {
            Search::Found(row) => *row,
            Search::Nothing => return Err(inner.without_record(item)?),
            Search::CutShort => {
                // Gone, and perhaps one of those that wait for the log.
                let error = inner.without_record(item)?;
                return Err(if matches!(error, VaultError::NoReceipt) { VaultError::Uncertified } else { error });
            }
        };
        let (whole, place, tree) = inner.with_tree(row).await?;
        inner.certificate_of(&whole, place, &tree, item).await
    }

    /// The order that erases or erased what has this public id; `None` when there is no record of one. Any scope.
    ///
    /// # Errors
    /// `NotFound` for what was never issued here, and for what lives.
    pub async fn erasure_of(
        &self,
        actor: &Actor,
        id: &str,
        content: Option<Uuid>,
    ) -> Result<Option<ErasureView>, VaultError> {
        let inner = &self.inner;
        inner.allow(actor, &[])?;
        let content = content.map(|content| content.to_string());
        let item = inner.item(actor.tenant, id, content.as_deref())?;
        let mut found = inner.erasure_of(actor.tenant, item).await?;
        if let (None, Item::Content(group, _)) = (&found, item) {
            // It went with its interaction, perhaps.
            found = inner.erasure_of(actor.tenant, Item::Interaction(group)).await?;
        }
        if found.is_none() && inner.readable(item.leaf()).is_ok() {
            return Err(VaultError::NotFound);
        }
        Ok(found.map(|row| inner.view(row)))
    }

    /// The id that a content has in certificates.
    pub fn content_id(&self, tenant: TenantId, content: &super::Content) -> Result<Uuid, VaultError> {
        let cipher = self.inner.cipher_of(tenant)?;
        cipher.encode_content(content.leaf).map(|id| id.0).map_err(VaultError::internal)
    }
}

impl Inner {
    /// What ids name; `NotFound` for what was never issued here.
    fn item(&self, tenant: TenantId, id: &str, content: Option<&str>) -> Result<Item, VaultError> {
        let group = self.decode_id(tenant, id).ok_or(VaultError::NotFound)?;
        let item = match content {
            None => Item::Interaction(group),
            Some(content) => {
                let id = Uuid::try_parse(content).map_err(|_| VaultError::NotFound)?;
                let leaf = self.cipher_of(tenant)?.decode_content(PublicId(id)).ok_or(VaultError::NotFound)?;
                Item::Content(group, leaf)
            }
        };
        match self.shared.forest.status(item.leaf()).map_err(VaultError::internal)? {
            LeafStatus::NeverIssued => Err(VaultError::NotFound),
            LeafStatus::Live | LeafStatus::Punctured => Ok(item),
        }
    }

    /// What to say of an item that no record tells of.
    fn without_record(&self, item: Item) -> Result<VaultError, VaultError> {
        Ok(match self.readable(item.leaf()) {
            Ok(()) | Err(VaultError::NotFound) => VaultError::NotFound,
            Err(VaultError::Gone) => VaultError::NoReceipt,
            Err(error) => return Err(error),
        })
    }

    /// The erasure that took this item, however far it is; `None` when none is found.
    async fn erasure_of(&self, tenant: TenantId, item: Item) -> Result<Option<PurgeRow>, VaultError> {
        Ok(match self.look_for(tenant, item).await? {
            Search::Found(row) => Some(*row),
            Search::Nothing | Search::CutShort => None,
        })
    }

    async fn look_for(&self, tenant: TenantId, item: Item) -> Result<Search, VaultError> {
        let port = |error| self.port(error);
        let found = |row: Option<PurgeRow>| row.map_or(Search::Nothing, |row| Search::Found(Box::new(row)));
        let own = |row: &PurgeRow| row.tenant == Some(tenant) && row.kind != PurgeKind::Upkeep;
        if let Some(id) = self.shared.hidden.covering(item.leaf()) {
            let row = self.metadata.purge(id).await.map_err(port)?;
            return Ok(found(row.filter(|row| own(row) && item.in_set_of(row))));
        }
        if let Some(row) = self.certified_with(tenant, item).await? {
            return Ok(found(Some(row)));
        }
        // In the order in which an erasure goes on, so that none slips through between two questions.
        let unsealed = self.metadata.unsealed_purges().await.map_err(port)?;
        let waiting = self.metadata.uncertified_purges(u64::MAX, WAITING).await.map_err(port)?;
        let all = waiting.len() < WAITING;
        if let Some(row) = unsealed.into_iter().chain(waiting).find(|row| own(row) && item.in_set_of(row)) {
            return Ok(found(Some(row)));
        }
        match self.certified_with(tenant, item).await? {
            None if !all => Ok(Search::CutShort),
            row => Ok(found(row)),
        }
    }

    /// The certified erasure that took this item.
    async fn certified_with(&self, tenant: TenantId, item: Item) -> Result<Option<PurgeRow>, VaultError> {
        let port = |error| self.port(error);
        for (_, id) in self.metadata.purges_at(&places_of(item.interaction())).await.map_err(port)? {
            let row = self.metadata.purge(id).await.map_err(port)?;
            if let Some(row) = row.filter(|row| row.tenant == Some(tenant) && item.in_set_of(row)) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// An erasure of the actor's tenant with the tree of its entry.
    pub(super) async fn erasure_with_tree(
        self: &Arc<Self>,
        actor: &Actor,
        erasure: Uuid,
    ) -> Result<(Whole, ReceiptPlace, Arc<EntryTree>), VaultError> {
        let row = self.purge_of(actor, erasure).await?;
        self.with_tree(row).await
    }

    async fn with_tree(self: &Arc<Self>, row: PurgeRow) -> Result<(Whole, ReceiptPlace, Arc<EntryTree>), VaultError> {
        let Some(place) = row.place else {
            let never = row.kind == PurgeKind::Upkeep || row.removed_at.is_some();
            return Err(if never { VaultError::NoReceipt } else { VaultError::Uncertified });
        };
        let tree = self.tree_of(place.entry).await?;
        Ok((self.whole(row).await?, place, tree))
    }

    /// An erasure with its manifest.
    pub(super) async fn whole(&self, row: PurgeRow) -> Result<Whole, VaultError> {
        let bytes = self.metadata.manifest(row.id).await.map_err(|error| self.port(error))?;
        let manifest = bytes.and_then(|bytes| Manifest::decode(&bytes));
        Whole::new(row, manifest.ok_or_else(|| VaultError::internal(Drifted))?)
    }

    /// The certificate of an order as a whole.
    pub(super) async fn order_certificate(
        self: &Arc<Self>,
        whole: &Whole,
        place: ReceiptPlace,
        tree: &EntryTree,
        reference: Option<&str>,
    ) -> Result<Certificate, VaultError> {
        let cipher = self.cipher_of(whole.tenant()?)?;
        let receipts = Receipts::new(&whole.row, &whole.stated, &whole.manifest, &self.salts, &cipher);
        let told = reference.filter(|text| {
            let committed = self.salts.reference(whole.row.id, text);
            committed.is_some() && committed == whole.stated.reference && !text.contains(char::is_control)
        });
        let stated = Stated { receipt: receipts.order(), facts: receipts.order_facts(), index: place.receipts - 1 };
        self.put_together(whole, place, tree, stated, told, Vec::new()).await
    }

    async fn certificate_of(
        self: &Arc<Self>,
        whole: &Whole,
        place: ReceiptPlace,
        tree: &EntryTree,
        item: Item,
    ) -> Result<Certificate, VaultError> {
        let drifted = || VaultError::internal(Drifted);
        let cipher = self.cipher_of(whole.tenant()?)?;
        let receipts = Receipts::new(&whole.row, &whole.stated, &whole.manifest, &self.salts, &cipher);
        let ((receipt, facts), index) = match item {
            Item::Interaction(group) => {
                let index = whole.row.set.interactions.as_slice().binary_search(&group.0).map_err(|_| drifted())?;
                (receipts.interaction(index).map_err(VaultError::internal)?.ok_or_else(drifted)?, index as u64)
            }
            Item::Content(group, leaf) => {
                let singles = &whole.manifest.singles;
                let at =
                    singles.binary_search_by_key(&leaf, |single| single.leaf).map_err(|_| VaultError::NoReceipt)?;
                if singles[at].interaction != group {
                    return Err(VaultError::NotFound);
                }
                let index = whole.manifest.interactions() + at as u64;
                (receipts.single(&singles[at]).map_err(VaultError::internal)?, index)
            }
        };
        let existed = self.arrivals_of(item, &whole.row, place.entry).await?;
        self.put_together(whole, place, tree, Stated { receipt, facts, index }, None, existed).await
    }

    /// Batches of this log in which an item came in before this entry, with the positions of what belongs to it.
    async fn arrivals_of(&self, item: Item, row: &PurgeRow, entry: u64) -> Result<Vec<Batch>, VaultError> {
        let port = |error| self.port(error);
        let group = item.interaction();
        // What went by itself earlier is not this erasure's.
        let mut others = Vec::new();
        if let Item::Interaction(_) = item {
            for (_, id) in self.metadata.purges_at(&places_of(group)).await.map_err(port)? {
                let other = self.metadata.purge(id).await.map_err(port)?;
                others.extend(other.filter(|other| other.id != row.id).map(|other| other.set.leaves));
            }
        }
        let mine = |arrival: &Arrival| match item {
            Item::Interaction(group) => {
                arrival.interaction == group
                    && (arrival.blob.is_none() || !others.iter().any(|leaves| leaves.contains(arrival.leaf)))
            }
            Item::Content(group, leaf) => {
                arrival.interaction == group && arrival.leaf == leaf && arrival.blob.is_some()
            }
        };
        let mut batches = Vec::new();
        for batch in self.metadata.batches_at(&[place_of(group)]).await.map_err(port)? {
            let items = read_arrivals(&batch.items).ok_or_else(|| VaultError::internal(Drifted))?;
            let positions: Vec<usize> = (0..items.len()).filter(|at| mine(&items[*at])).collect();
            let before = batch.entry < entry && self.log.entry_in_rows(batch.entry).is_some();
            if before && !positions.is_empty() {
                batches.push(Batch { entry: batch.entry, items, positions });
            }
        }
        Ok(batches)
    }

    /// All proofs under one checkpoint; and checked before anybody gets it.
    async fn put_together(
        self: &Arc<Self>,
        whole: &Whole,
        place: ReceiptPlace,
        tree: &EntryTree,
        stated: Stated,
        reference: Option<&str>,
        existed: Vec<Batch>,
    ) -> Result<Certificate, VaultError> {
        let removed = match whole.row.removal {
            Some(at) => {
                let orders = self.metadata.removals_in_entry(at.entry).await.map_err(|error| self.port(error))?;
                let own = orders.iter().position(|order| order.id == whole.row.id);
                own.filter(|own| *own as u64 == at.index).ok_or_else(|| VaultError::internal(Drifted))?;
                Some((at, orders))
            }
            None => None,
        };
        let Stated { receipt, facts, index } = stated;
        let own_path = tree.path(place.first + index).ok_or_else(|| VaultError::internal(Drifted))?;
        let reference = reference.map(str::to_owned);
        let inner = Arc::clone(self);
        let make = move || {
            let log = Arc::clone(&inner.log);
            let newest = removed.as_ref().map_or(place.entry, |(at, _)| at.entry.max(place.entry));
            let under = Under::over(&log, newest);
            let place_in_log = |entry: u64, index: u64, path: Vec<Hash>, salt| under.receipt(entry, index, path, salt);
            let subject = Subject { id: receipt.id, kind: receipt.kind };
            let own = place_in_log(place.entry, place.first + index, own_path, receipt.salt)?;
            let mut came = Vec::new();
            for Batch { entry, items, positions } in existed {
                let receipts = inner.existed(&items)?;
                let tree = ReceiptTree::new(receipts.iter().map(|receipt| receipt.commitment()));
                for at in positions {
                    let path = tree.path(at as u64).ok_or_else(|| VaultError::internal(Drifted))?;
                    let place = place_in_log(entry, at as u64, path, receipts[at].salt)?;
                    came.push((receipts[at].content, receipts[at].blob, place));
                }
            }
            let removed = match removed {
                Some((at, orders)) => {
                    let receipts: Vec<_> =
                        orders.iter().map(|order| inner.salts.removed(order.id, order.blobs)).collect();
                    let tree = ReceiptTree::new(receipts.iter().map(|receipt| receipt.commitment()));
                    let path = tree.path(at.index).ok_or_else(|| VaultError::internal(Drifted))?;
                    let own = &receipts[at.index as usize];
                    Some((own.blobs, place_in_log(at.entry, at.index, path, own.salt)?))
                }
                None => None,
            };
            let parts = Parts { subject, facts, receipt: own, reference, existed: came, removed };
            let certificate = Certificate::new(parts).map_err(VaultError::internal)?;
            certificate.verify(&log.trusted()).map_err(VaultError::internal)?;
            Ok(certificate)
        };
        tokio::task::spawn_blocking(make).await.map_err(VaultError::internal)?
    }
}

/// Erasures sealed and not certified that are looked through for an item.
const WAITING: usize = 1_000;

/// What a search for an item's erasure came to.
enum Search {
    Found(Box<PurgeRow>),
    Nothing,
    /// Not found, but not all that wait for the log were looked through.
    CutShort,
}

/// What is certified of a subject: its receipt, facts, and place among the order's receipts.
struct Stated {
    receipt: Erased,
    facts: oubliette_proof::certificate::Facts,
    index: u64,
}

/// An ingest batch and which of its items are wanted.
struct Batch {
    entry: u64,
    items: Vec<Arrival>,
    positions: Vec<usize>,
}

/// The log under one checkpoint.
struct Under<'a> {
    log: &'a TransparencyLog,
    checkpoint: String,
}

impl<'a> Under<'a> {
    /// The newest checkpoint over the entry that witnesses signed, or without one the newest of all. Entries are given as rows
    /// know them, here and below.
    fn over(log: &'a TransparencyLog, entry: u64) -> Self {
        let size = |note: &String| note.lines().nth(1).and_then(|size| size.parse().ok());
        let covers = |size: u64| log.entry_in_rows(entry).is_some_and(|entry| size > entry);
        let cosigned = log.cosigned().filter(|note| size(note).is_some_and(covers));
        Self { log, checkpoint: cosigned.unwrap_or_else(|| log.checkpoint()) }
    }

    fn receipt(
        &self,
        entry: u64,
        index: u64,
        path: Vec<Hash>,
        salt: oubliette_proof::Salt,
    ) -> Result<Receipt, VaultError> {
        let entry = self.log.entry_in_rows(entry).ok_or_else(|| VaultError::internal(Drifted))?;
        let proof: TlogProof = self.log.inclusion(entry, &self.checkpoint).map_err(VaultError::internal)?;
        let entry = self.log.entry(entry).map_err(VaultError::internal)?;
        Ok(Receipt { entry, index, path, proof: proof.to_string(), salt })
    }
}
