//! From the rows of erasures to their manifests and receipts.

use std::collections::HashMap;
use std::sync::Arc;

use keyforest::{Group, Leaf, LeafSet};
use oubliette_proof::Hash;
use oubliette_proof::tree::TreeHead;
use uuid::Uuid;

use crate::ids::IdCipherError;
use crate::model::TenantId;
use crate::ports::{ContentRow, PurgeRow};
use crate::proof::{Manifest, ManifestBuilder, Receipts, RootBuilder, Stated, places_of};
use crate::service::VaultError;
use crate::service::vault::Inner;

/// Interactions whose rows are looked at together.
const PAGE: usize = 1_000;

/// A row of an erasure cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("what is to be stated of an erasure cannot be read")]
struct Unreadable;

/// An erasure with all that its receipts are made of.
pub struct Whole {
    /// Its row.
    pub row: PurgeRow,
    /// What is stated of it.
    pub stated: Stated,
    /// What it consisted of.
    pub manifest: Manifest,
}

impl Whole {
    /// From rows.
    pub fn new(row: PurgeRow, manifest: Manifest) -> Result<Self, VaultError> {
        let stated = Stated::decode(&row.stated).ok_or_else(|| VaultError::internal(Unreadable))?;
        Ok(Self { row, stated, manifest })
    }

    /// Its tenant.
    pub fn tenant(&self) -> Result<TenantId, VaultError> {
        self.row.tenant.ok_or(VaultError::Internal(None))
    }
}

/// Single contents that erasures took, by erasure: their rows may still be there, but belong to nobody who erases the
/// interaction later.
#[derive(Default)]
pub struct Earlier {
    /// Those of the erasures of this round.
    round: LeafSet,
    /// Those that have no key although nothing tells who erased them.
    without_key: Arc<LeafSet>,
    /// Those of certified erasures.
    certified: HashMap<Uuid, LeafSet>,
}

impl Earlier {
    /// Of a round over these.
    pub fn of_round(rows: &[PurgeRow], without_key: Arc<LeafSet>) -> Self {
        let round = rows.iter().flat_map(|row| row.set.leaves.iter()).collect();
        Self { round, without_key, certified: HashMap::new() }
    }

    /// Takes out the rows of contents that went by themselves.
    async fn without(
        &mut self,
        inner: &Inner,
        groups: &[Group],
        mut contents: Vec<ContentRow>,
    ) -> Result<Vec<ContentRow>, VaultError> {
        contents.retain(|row| !self.round.contains(row.leaf) && !self.without_key.contains(row.leaf));
        let mut places: Vec<i64> = groups.iter().flat_map(|group| places_of(*group)).collect();
        places.sort_unstable();
        places.dedup();
        let found = inner.metadata.purges_at(&places).await.map_err(|error| inner.port(error))?;
        let mut ids: Vec<Uuid> = found.into_iter().map(|(_, id)| id).collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let leaves = match self.certified.get(&id) {
                Some(leaves) => leaves,
                None => {
                    let row = inner.metadata.purge(id).await.map_err(|error| inner.port(error))?;
                    // Swept or not: the rows of contents may have been read before they were swept.
                    self.certified.entry(id).or_insert(row.map(|row| row.set.leaves).unwrap_or_default())
                }
            };
            contents.retain(|row| !leaves.contains(row.leaf));
        }
        Ok(contents)
    }
}

impl Inner {
    /// What an erasure consists of, from the rows that are still there.
    pub async fn manifest_of(&self, row: &PurgeRow, earlier: &mut Earlier) -> Result<Manifest, VaultError> {
        let port = |error| self.port(error);
        let mut builder = ManifestBuilder::default();
        for some in row.set.interactions.as_slice().chunks(PAGE) {
            let groups: Vec<Group> = some.iter().copied().map(Group).collect();
            let contents = self.metadata.contents(&groups).await.map_err(port)?;
            let contents = earlier.without(self, &groups, contents).await?;
            builder.interactions(&groups, &contents);
        }
        for some in row.set.leaves.as_slice().chunks(PAGE) {
            let leaves: Vec<Leaf> = some.iter().copied().map(Leaf).collect();
            builder.singles(&self.metadata.contents_by_leaf(&leaves).await.map_err(port)?);
        }
        Ok(builder.finish())
    }

    /// Hands out the commitments of these erasures' receipts, in the order of the entry. Computes: not for a thread that
    /// others wait for.
    pub fn commitments(&self, erasures: &[Whole], mut take: impl FnMut(&Hash)) -> Result<(), VaultError> {
        for whole in erasures {
            let cipher = self.cipher_of(whole.tenant()?)?;
            let receipts = Receipts::new(&whole.row, &whole.stated, &whole.manifest, &self.salts, &cipher);
            let all = receipts.each(|some| {
                some.iter().for_each(|receipt| take(&receipt.commitment()));
                Ok::<(), IdCipherError>(())
            });
            all.map_err(VaultError::internal)?;
        }
        Ok(())
    }

    /// Number of receipts of these erasures and the root over them; gives the erasures back.
    pub async fn root_of(self: &Arc<Self>, erasures: Vec<Whole>) -> Result<(Vec<Whole>, TreeHead), VaultError> {
        let inner = Arc::clone(self);
        let root = move || {
            let mut root = RootBuilder::default();
            inner.commitments(&erasures, |commitment| root.push(commitment))?;
            Ok((erasures, root.head()))
        };
        tokio::task::spawn_blocking(root).await.map_err(VaultError::internal)?
    }
}
