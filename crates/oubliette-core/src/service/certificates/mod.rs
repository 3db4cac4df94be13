//! Certificates: made again from what is kept, each time somebody asks.

mod arrivals;
mod batches;
mod bulk;
mod search;
mod trees;

use std::sync::Arc;

use oubliette_proof::Hash;
use oubliette_proof::certificate::{Certificate, Facts, Parts, Receipt, Subject};
use oubliette_proof::note::TlogProof;
use oubliette_proof::receipt::{Erased, ReceiptTree};
use uuid::Uuid;

use arrivals::Came;
pub(super) use batches::BatchTrees;
pub use bulk::BulkLimits;
pub(super) use bulk::turns as bulk_turns;
pub(super) use search::SEARCHES;
use search::{Item, Search};
use trees::EntryTree;
pub(super) use trees::Trees;

use super::certify::Whole;
use super::log::TransparencyLog;
use super::vault::Inner;
use super::{ErasureView, Vault, VaultError};
use crate::model::{Actor, Scope, TenantId};
use crate::ports::{PurgeKind, PurgeRow, PurgeState, ReceiptPlace, RemovalPlace};

/// Stored rows do not lead to what the log says.
#[derive(Debug, thiserror::Error)]
#[error("what is kept of an erasure does not lead to the receipts in the log")]
pub(super) struct Drifted;

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
        let inner = &self.inner;
        let told = inner.with_tree(inner.told_of(actor, erasure).await?).await?;
        inner.order_certificate(&told, reference).await
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
        let erasure = match inner.look_for(actor.tenant, item).await? {
            Search::Found(erasure) => erasure,
            Search::Nothing => return Err(inner.without_record(item)?),
            Search::CutShort => {
                // Gone, and perhaps one of those that wait for the log.
                let error = inner.without_record(item)?;
                return Err(if matches!(error, VaultError::NoReceipt) { VaultError::Uncertified } else { error });
            }
        };
        let told = inner.with_tree(inner.told_of(actor, erasure).await?).await?;
        inner.certificate_of(&told, item).await
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
        let mut found = inner.erasure_of(item, actor.tenant).await?;
        if let (None, Item::Content(group, _)) = (found, item) {
            // It went with its interaction, perhaps.
            found = inner.erasure_of(Item::Interaction(group), actor.tenant).await?;
        }
        let Some(id) = found else {
            return if inner.readable(item.leaf()).is_ok() { Err(VaultError::NotFound) } else { Ok(None) };
        };
        let port = |error| inner.port(error);
        let row = match inner.metadata.purge_brief(id).await.map_err(port)? {
            // Before it is marked as sealed, that is told by what it covers; and then it has words of its own.
            Some(row) if row.state < PurgeState::Sealed => inner.metadata.purge(id).await.map_err(port)?,
            row => row,
        };
        Ok(row.map(|row| inner.view(row)))
    }

    /// The id that a content has in certificates.
    pub fn content_id(&self, tenant: TenantId, content: &super::Content) -> Result<Uuid, VaultError> {
        let cipher = self.inner.cipher_of(tenant)?;
        cipher.encode_content(content.leaf).map(|id| id.0).map_err(VaultError::internal)
    }
}

impl Inner {
    /// The erasure that took this item, however far it is; `None` when none is found.
    async fn erasure_of(&self, item: Item, tenant: TenantId) -> Result<Option<Uuid>, VaultError> {
        Ok(match self.look_for(tenant, item).await? {
            Search::Found(id) => Some(id),
            Search::Nothing | Search::CutShort => None,
        })
    }

    /// An erasure of the actor's tenant, in brief.
    async fn told_of(&self, actor: &Actor, erasure: Uuid) -> Result<PurgeRow, VaultError> {
        self.allow(actor, &[Scope::InteractionPurge, Scope::InteractionDelete])?;
        let row = self.metadata.purge_brief(erasure).await.map_err(|error| self.port(error))?;
        row.filter(|row| row.tenant == Some(actor.tenant)).ok_or(VaultError::NotFound)
    }

    /// What the log tells of an erasure, by its row in brief.
    async fn with_tree(self: &Arc<Self>, row: PurgeRow) -> Result<Told, VaultError> {
        let Some(place) = row.place else {
            let never = row.kind == PurgeKind::Upkeep || row.removed_at.is_some();
            return Err(if never { VaultError::NoReceipt } else { VaultError::Uncertified });
        };
        let tree = self.tree_of(place.entry).await?;
        let whole = tree.erasure(row.id).ok_or_else(|| VaultError::internal(Drifted))?;
        Ok(Told { whole, place, removal: row.removal, tree })
    }

    /// The certificate of an order as a whole.
    async fn order_certificate(
        self: &Arc<Self>,
        told: &Told,
        reference: Option<&str>,
    ) -> Result<Certificate, VaultError> {
        let whole = &told.whole;
        let cipher = self.cipher_of(whole.tenant()?)?;
        let receipts = whole.receipts(&self.salts, &cipher);
        let repeated = reference.filter(|text| {
            let committed = self.salts.reference(whole.row.id, text);
            committed.is_some() && committed == whole.stated.reference && !text.contains(char::is_control)
        });
        let index = told.place.receipts - 1;
        let stated = Stated { receipt: receipts.order(), facts: receipts.order_facts(), index };
        self.put_together(told, stated, repeated, Vec::new()).await
    }

    async fn certificate_of(self: &Arc<Self>, told: &Told, item: Item) -> Result<Certificate, VaultError> {
        let drifted = || VaultError::internal(Drifted);
        let whole = &told.whole;
        let cipher = self.cipher_of(whole.tenant()?)?;
        let receipts = whole.receipts(&self.salts, &cipher);
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
        let existed = self.arrivals_of(item, whole.row.id, told.place.entry).await?;
        self.put_together(told, Stated { receipt, facts, index }, None, existed).await
    }

    /// All proofs under one checkpoint; and checked before anybody gets it.
    async fn put_together(
        self: &Arc<Self>,
        told: &Told,
        stated: Stated,
        reference: Option<&str>,
        existed: Vec<Came>,
    ) -> Result<Certificate, VaultError> {
        let (place, order) = (told.place, told.whole.row.id);
        let removed = match told.removal {
            Some(at) => {
                let orders = self.metadata.removals_in_entry(at.entry).await.map_err(|error| self.port(error))?;
                let own = orders.iter().position(|other| other.id == order);
                own.filter(|own| *own as u64 == at.index).ok_or_else(|| VaultError::internal(Drifted))?;
                Some((at, orders))
            }
            None => None,
        };
        let Stated { receipt, facts, index } = stated;
        let own_path = told.tree.path(place.first + index).ok_or_else(|| VaultError::internal(Drifted))?;
        let reference = reference.map(str::to_owned);
        let inner = Arc::clone(self);
        let make = move || {
            let log = Arc::clone(&inner.log);
            let newest = removed.as_ref().map_or(place.entry, |(at, _)| at.entry.max(place.entry));
            let under = Under::over(&log, newest);
            let place_in_log = |entry: u64, index: u64, path: Vec<Hash>, salt| under.receipt(entry, index, path, salt);
            let subject = Subject { id: receipt.id, kind: receipt.kind };
            let own = place_in_log(place.entry, place.first + index, own_path, receipt.salt)?;
            let mut came = Vec::with_capacity(existed.len());
            for Came { entry, index, path, receipt, .. } in existed {
                let place = place_in_log(entry, index, path, receipt.salt)?;
                came.push((receipt.content, receipt.blob, place));
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

/// What the log tells of an erasure.
struct Told {
    whole: Arc<Whole>,
    place: ReceiptPlace,
    /// As it is now: the log may have told of it since the tree was built.
    removal: Option<RemovalPlace>,
    tree: Arc<EntryTree>,
}

/// What is certified of a subject: its receipt, facts, and place among the order's receipts.
struct Stated {
    receipt: Erased,
    facts: Facts,
    index: u64,
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
