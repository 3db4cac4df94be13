//! When what an erasure took had come in.

use std::sync::Arc;

use keyforest::{Leaf, LeafSet};
use oubliette_proof::Hash;
use oubliette_proof::receipt::{Existed, ReceiptTree};
use uuid::Uuid;

use super::Drifted;
use super::search::Item;
use crate::ports::BatchRow;
use crate::proof::{Arrival, place_of, read_arrivals};
use crate::service::VaultError;
use crate::service::vault::Inner;

/// Ingest batches that are in memory together.
const BATCHES: usize = 4;

/// That a thing came in, as the log has it.
pub(super) struct Came {
    /// The entry, as rows know it.
    pub entry: u64,
    /// Number of the receipt under it.
    pub index: u64,
    /// The path of the receipt.
    pub path: Vec<Hash>,
    /// The receipt.
    pub receipt: Existed,
    /// The content; `None` for the interaction itself.
    content: Option<Leaf>,
}

impl Item {
    fn came_with(self, arrival: &Arrival) -> bool {
        match self {
            Self::Interaction(group) => arrival.interaction == group,
            Self::Content(group, leaf) => {
                arrival.interaction == group && arrival.leaf == leaf && arrival.blob.is_some()
            }
        }
    }
}

impl Inner {
    /// That an item, and what belongs to it, came in before this entry of this log.
    pub(super) async fn arrivals_of(
        self: &Arc<Self>,
        item: Item,
        erasure: Uuid,
        entry: u64,
    ) -> Result<Vec<Came>, VaultError> {
        let (mut came, mut from) = (Vec::new(), 0);
        while from < entry {
            let place = [place_of(item.interaction())];
            let batches = self.metadata.batches_at(&place, from, BATCHES).await.map_err(|error| self.port(error))?;
            let Some(last) = batches.last() else { break };
            from = last.entry.saturating_add(1);
            let inner = Arc::clone(self);
            let work = move || {
                let before = |batch: &&BatchRow| batch.entry < entry && inner.log.entry_in_rows(batch.entry).is_some();
                let mut some = Vec::new();
                for batch in batches.iter().filter(before) {
                    inner.came_with(item, batch, &mut some)?;
                }
                Ok::<_, VaultError>(some)
            };
            came.append(&mut tokio::task::spawn_blocking(work).await.map_err(VaultError::internal)??);
        }
        // What went by itself earlier is not this erasure's.
        if let Item::Interaction(group) = item {
            let contents: LeafSet = came.iter().filter_map(|came| came.content).collect();
            let others = self.went_before(group, &contents, erasure).await?;
            came.retain(|came| came.content.is_none_or(|leaf| !others.contains(leaf)));
        }
        Ok(came)
    }

    fn came_with(&self, item: Item, batch: &BatchRow, came: &mut Vec<Came>) -> Result<(), VaultError> {
        let drifted = || VaultError::internal(Drifted);
        let items = read_arrivals(&batch.items).ok_or_else(drifted)?;
        let mine: Vec<usize> = (0..items.len()).filter(|at| item.came_with(&items[*at])).collect();
        if mine.is_empty() {
            return Ok(());
        }
        let tree = self.batch_trees.get(batch.entry, || {
            let receipts = self.existed(&items)?;
            Ok::<_, VaultError>(ReceiptTree::new(receipts.iter().map(|receipt| receipt.commitment())))
        })?;
        let own: Vec<Arrival> = mine.iter().map(|at| items[*at].clone()).collect();
        for ((at, arrival), receipt) in mine.into_iter().zip(&own).zip(self.existed(&own)?) {
            let path = tree.path(at as u64).ok_or_else(drifted)?;
            let content = arrival.blob.map(|_| arrival.leaf);
            came.push(Came { entry: batch.entry, index: at as u64, path, receipt, content });
        }
        Ok(())
    }
}
