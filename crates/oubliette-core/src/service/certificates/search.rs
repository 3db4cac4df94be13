//! Which erasure took an item.
//!
//! Erasures that took anything near an item are found by place, and there may be many and large ones. Of each only what it
//! covers is read, as it is stored, a few at a time; the row and all that receipts are made from are read of the one that
//! it is.

use keyforest::{Group, Leaf, LeafSet, LeafStatus};
use uuid::Uuid;

use super::Drifted;
use crate::model::TenantId;
use crate::ports::{CoverRow, PurgeKind};
use crate::proof::places_of;
use crate::service::vault::Inner;
use crate::service::{PublicId, VaultError};

/// Bytes of stored sets that one search has in memory, and one set more.
const READ: usize = 1 << 20;
/// Erasures asked for at once.
const ASKED: usize = 256;
/// Searches under way: the others wait for their turn.
pub(in crate::service) const SEARCHES: usize = 16;
/// Erasures not told of that are looked through for an item.
const WAITING: usize = 1_000;

/// What an item's certificate is about.
#[derive(Clone, Copy)]
pub(super) enum Item {
    Interaction(Group),
    Content(Group, Leaf),
}

impl Item {
    pub(super) fn interaction(self) -> Group {
        match self {
            Self::Interaction(group) | Self::Content(group, _) => group,
        }
    }

    pub(super) fn leaf(self) -> Leaf {
        match self {
            Self::Interaction(group) => group.leaf(0),
            Self::Content(_, leaf) => leaf,
        }
    }

    fn in_set_of(self, row: &CoverRow) -> Result<bool, VaultError> {
        let there = match self {
            Self::Interaction(group) => row.set.has_interaction(group),
            Self::Content(_, leaf) => {
                row.set.single_leaves(&LeafSet::from_iter([leaf])).map(|common| !common.is_empty())
            }
        };
        there.ok_or_else(|| VaultError::internal(Drifted))
    }
}

/// What a search for an item's erasure came to.
pub(super) enum Search {
    Found(Uuid),
    Nothing,
    /// Not found, but not all that wait for the log were looked through.
    CutShort,
}

impl From<Option<Uuid>> for Search {
    fn from(found: Option<Uuid>) -> Self {
        found.map_or(Self::Nothing, Self::Found)
    }
}

impl Inner {
    /// What ids name; `NotFound` for what was never issued here.
    pub(super) fn item(&self, tenant: TenantId, id: &str, content: Option<&str>) -> Result<Item, VaultError> {
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
            LeafStatus::NeverIssued => Err(self.never_issued()),
            LeafStatus::Live | LeafStatus::Punctured => Ok(item),
        }
    }

    /// What to say of an item that no record tells of.
    pub(super) fn without_record(&self, item: Item) -> Result<VaultError, VaultError> {
        Ok(match self.readable(item.leaf()) {
            Ok(()) | Err(VaultError::NotFound) => VaultError::NotFound,
            Err(VaultError::Gone) => VaultError::NoReceipt,
            Err(error) => return Err(error),
        })
    }

    /// The erasure that took this item, however far it is.
    pub(super) async fn look_for(&self, tenant: TenantId, item: Item) -> Result<Search, VaultError> {
        if let Some(id) = self.shared.hidden.covering(item.leaf())
            && let Some(id) = self.among(tenant, item, &[id]).await?
        {
            return Ok(Search::Found(id));
        }
        // A content that was erased by itself before its interaction is being erased went with that one.
        if let Some(id) = self.certified_with(tenant, item).await? {
            return Ok(Search::Found(id));
        }
        // In the order in which an erasure goes on, so that none slips through between two questions.
        let waiting = self.metadata.waiting_purges(WAITING).await.map_err(|error| self.port(error))?;
        if let Some(id) = self.among(tenant, item, &waiting).await? {
            return Ok(Search::Found(id));
        }
        match self.certified_with(tenant, item).await? {
            None if waiting.len() == WAITING => Ok(Search::CutShort),
            found => Ok(found.into()),
        }
    }

    /// The certified erasure that took this item.
    async fn certified_with(&self, tenant: TenantId, item: Item) -> Result<Option<Uuid>, VaultError> {
        self.among(tenant, item, &self.found_near(item.interaction()).await?).await
    }

    /// Certified erasures that may have taken something of this interaction.
    async fn found_near(&self, interaction: Group) -> Result<Vec<Uuid>, VaultError> {
        let found = self.metadata.purges_at(&places_of(interaction)).await.map_err(|error| self.port(error))?;
        Ok(found.into_iter().map(|(_, id)| id).collect())
    }

    /// The one of these erasures that took this item.
    async fn among(&self, tenant: TenantId, item: Item, ids: &[Uuid]) -> Result<Option<Uuid>, VaultError> {
        let mut found = None;
        self.each_cover(ids, |row| {
            if row.tenant == Some(tenant) && row.kind != PurgeKind::Upkeep && item.in_set_of(row)? {
                found = Some(row.id);
            }
            Ok(found.is_none())
        })
        .await?;
        Ok(found)
    }

    /// Those of some leaves of an interaction that went by themselves, with other erasures than this one.
    pub(super) async fn went_before(
        &self,
        interaction: Group,
        leaves: &LeafSet,
        erasure: Uuid,
    ) -> Result<LeafSet, VaultError> {
        let mut others = self.found_near(interaction).await?;
        others.retain(|id| *id != erasure);
        let mut went = LeafSet::new();
        self.each_cover(&others, |row| {
            went.extend(row.set.single_leaves(leaves).ok_or_else(|| VaultError::internal(Drifted))?.iter());
            Ok(went.len() < leaves.len())
        })
        .await?;
        Ok(went)
    }

    /// Looks at what these erasures cover, until `look` has seen enough.
    pub(in crate::service) async fn each_cover(
        &self,
        ids: &[Uuid],
        mut look: impl FnMut(&CoverRow) -> Result<bool, VaultError>,
    ) -> Result<(), VaultError> {
        let mut rest = ids;
        while !rest.is_empty() {
            let _turn = self.searches.acquire().await.map_err(VaultError::internal)?;
            let asked = &rest[..rest.len().min(ASKED)];
            let rows = self.metadata.covers(asked, READ).await.map_err(|error| self.port(error))?;
            for row in &rows {
                if !look(row)? {
                    return Ok(());
                }
            }
            let last = rows.last().and_then(|last| asked.iter().rposition(|id| *id == last.id));
            rest = &rest[last.map_or(asked.len(), |last| last + 1)..];
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}
