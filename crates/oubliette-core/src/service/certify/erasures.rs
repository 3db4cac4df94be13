//! From the rows of erasures to their manifests and receipts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use keyforest::{Group, Leaf, LeafSet};
use oubliette_proof::Hash;
use oubliette_proof::tree::TreeHead;
use uuid::Uuid;

use crate::ids::{IdCipher, IdCipherError};
use crate::model::TenantId;
use crate::ports::{ContentRow, PurgeRow, PurgeSet};
use crate::proof::{Manifest, ManifestBuilder, Receipts, RootBuilder, Salts, Stated, places_of};
use crate::service::VaultError;
use crate::service::vault::Inner;

/// Interactions whose rows are looked at together.
const PAGE: usize = 1_000;
/// An erasure of no more interactions, or contents, has its rows read together with those of others.
const SMALL: usize = 4;
/// Leaves that a round remembers of earlier erasures.
const REMEMBERED: usize = 4 << 20;

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

    /// Makes its receipts.
    pub fn receipts<'a>(&'a self, salts: &'a Salts, cipher: &'a IdCipher) -> Receipts<'a> {
        Receipts::new(&self.row, &self.stated, &self.manifest, salts, cipher)
    }

    /// About so many bytes of memory.
    pub fn size(&self) -> usize {
        let PurgeSet { interactions, groups, leaves } = &self.row.set;
        let numbers = interactions.len() + groups.len() + leaves.len();
        numbers * size_of::<u64>() + self.manifest.size()
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
    certified: Remembered,
    /// What was read for several erasures at once.
    ahead: Ahead,
}

/// What was read of certified erasures; of many large ones not all, which are read again then.
#[derive(Default)]
struct Remembered {
    sets: HashMap<Uuid, LeafSet>,
    leaves: usize,
}

impl Remembered {
    fn put(&mut self, id: Uuid, leaves: LeafSet) {
        if self.leaves + leaves.len() <= REMEMBERED {
            self.leaves += leaves.len();
            self.sets.insert(id, leaves);
        }
    }
}

/// Rows read for several erasures at once: an erasure by itself would cost three questions.
#[derive(Default)]
struct Ahead {
    /// Rows of contents by the interaction they are of.
    contents: HashMap<Group, Vec<ContentRow>>,
    /// Certified erasures by the places at which they are to be found.
    found: HashMap<i64, Vec<Uuid>>,
    /// Rows of contents that are erased by themselves.
    singles: HashMap<Leaf, ContentRow>,
    /// Erasures whose rows these are.
    of: HashSet<Uuid>,
}

impl Earlier {
    /// Of a round over these.
    pub fn of_round(rows: &[PurgeRow], without_key: Arc<LeafSet>) -> Self {
        let round = rows.iter().flat_map(|row| row.set.leaves.iter()).collect();
        Self { round, without_key, ..Self::default() }
    }

    /// Reads the rows for as many of these erasures as there is room for, beginning with the first: small ones only. What was
    /// read before is forgotten.
    pub async fn read_ahead(&mut self, inner: &Inner, rows: &[PurgeRow]) -> Result<(), VaultError> {
        let port = |error| inner.port(error);
        let mut ahead = Ahead::default();
        let (mut groups, mut leaves) = (Vec::new(), Vec::new());
        for row in rows {
            if !Self::is_small(row) {
                continue;
            }
            let (some, single) = (row.set.interactions.as_slice(), row.set.leaves.as_slice());
            if groups.len() + some.len() > PAGE || leaves.len() + single.len() > PAGE {
                break;
            }
            groups.extend(some.iter().copied().map(Group));
            leaves.extend(single.iter().copied().map(Leaf));
            ahead.of.insert(row.id);
        }
        groups.sort_unstable_by_key(|group| group.0);
        groups.dedup();
        for row in inner.metadata.contents(&groups).await.map_err(port)? {
            ahead.contents.entry(row.interaction).or_default().push(row);
        }
        for (place, id) in inner.metadata.purges_at(&places(&groups)).await.map_err(port)? {
            ahead.found.entry(place).or_default().push(id);
        }
        if !leaves.is_empty() {
            let rows = inner.metadata.contents_by_leaf(&leaves).await.map_err(port)?;
            ahead.singles = rows.into_iter().map(|row| (row.leaf, row)).collect();
        }
        self.ahead = ahead;
        Ok(())
    }

    /// Whether the rows of this erasure should be read ahead and were not.
    pub fn lacks(&self, row: &PurgeRow) -> bool {
        Self::is_small(row) && !self.has_read(row.id)
    }

    fn is_small(row: &PurgeRow) -> bool {
        row.set.interactions.len() <= SMALL && row.set.leaves.len() <= SMALL
    }

    fn has_read(&self, id: Uuid) -> bool {
        self.ahead.of.contains(&id)
    }

    /// Rows of the contents of these interactions, without those that went by themselves.
    async fn contents(
        &mut self,
        inner: &Inner,
        row: &PurgeRow,
        groups: &[Group],
    ) -> Result<Vec<ContentRow>, VaultError> {
        let port = |error| inner.port(error);
        if self.has_read(row.id) {
            let contents =
                groups.iter().filter_map(|group| self.ahead.contents.get(group)).flatten().cloned().collect();
            let found = places(groups).into_iter().filter_map(|place| self.ahead.found.get(&place)).flatten();
            let found = found.copied().collect();
            return self.without(inner, found, contents).await;
        }
        let contents = inner.metadata.contents(groups).await.map_err(port)?;
        let found = inner.metadata.purges_at(&places(groups)).await.map_err(port)?;
        self.without(inner, found.into_iter().map(|(_, id)| id).collect(), contents).await
    }

    /// Rows of these contents.
    async fn singles(&self, inner: &Inner, row: &PurgeRow, leaves: &[Leaf]) -> Result<Vec<ContentRow>, VaultError> {
        if self.has_read(row.id) {
            let mut rows: Vec<_> = leaves.iter().filter_map(|leaf| self.ahead.singles.get(leaf)).cloned().collect();
            rows.sort_unstable_by_key(|row| row.leaf);
            return Ok(rows);
        }
        inner.metadata.contents_by_leaf(leaves).await.map_err(|error| inner.port(error))
    }

    /// Takes out the rows of contents that went by themselves, with one of these erasures or in this round.
    async fn without(
        &mut self,
        inner: &Inner,
        mut ids: Vec<Uuid>,
        mut contents: Vec<ContentRow>,
    ) -> Result<Vec<ContentRow>, VaultError> {
        contents.retain(|row| !self.round.contains(row.leaf) && !self.without_key.contains(row.leaf));
        ids.sort_unstable();
        ids.dedup();
        if contents.is_empty() {
            return Ok(contents);
        }
        let mut unknown = Vec::new();
        for id in ids {
            match self.certified.sets.get(&id) {
                Some(leaves) => contents.retain(|row| !leaves.contains(row.leaf)),
                None => unknown.push(id),
            }
        }
        // Swept or not: the rows of contents may have been read before they were swept.
        let certified = &mut self.certified;
        inner
            .each_cover(&unknown, |row| {
                let leaves = row.set.all_single_leaves().ok_or_else(|| VaultError::internal(Unreadable))?;
                contents.retain(|row| !leaves.contains(row.leaf));
                certified.put(row.id, leaves);
                Ok(true)
            })
            .await?;
        Ok(contents)
    }
}

/// Where erasures that cover something of these interactions may be found.
fn places(groups: &[Group]) -> Vec<i64> {
    let mut places: Vec<i64> = groups.iter().flat_map(|group| places_of(*group)).collect();
    places.sort_unstable();
    places.dedup();
    places
}

impl Inner {
    /// What an erasure consists of, from the rows that are still there.
    pub async fn manifest_of(&self, row: &PurgeRow, earlier: &mut Earlier) -> Result<Manifest, VaultError> {
        let mut builder = ManifestBuilder::default();
        for some in row.set.interactions.as_slice().chunks(PAGE) {
            let groups: Vec<Group> = some.iter().copied().map(Group).collect();
            let contents = earlier.contents(self, row, &groups).await?;
            builder.interactions(&groups, &contents);
        }
        for some in row.set.leaves.as_slice().chunks(PAGE) {
            let leaves: Vec<Leaf> = some.iter().copied().map(Leaf).collect();
            builder.singles(&earlier.singles(self, row, &leaves).await?);
        }
        Ok(builder.finish())
    }

    /// Hands out the commitments of these erasures' receipts, in the order of the entry. Computes: not for a thread that
    /// others wait for.
    pub fn commitments(&self, erasures: &[Whole], mut take: impl FnMut(&Hash)) -> Result<(), VaultError> {
        for whole in erasures {
            let cipher = self.cipher_of(whole.tenant()?)?;
            let all = whole.receipts(&self.salts, &cipher).each(|some| {
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
