//! Which leaf a further content of an interaction takes: the next one of its newest group, else the first of one that it
//! grows by. No leaf is issued in a group that the interaction's row does not name ([`super::growing`]).

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use keyforest::{Group, Leaf};

use super::VaultError;
use super::ingest::AMEND_TRIES;
use super::vault::Inner;
#[cfg(feature = "testing")]
use super::vault::Vault;
use crate::ports::{Check, InteractionRow, Write};

/// Which leaf the next content of an interaction takes, while uploads run.
#[derive(Default)]
pub(super) struct LeafCursor {
    /// The newest group and its next leaf, from when the first upload has read the row.
    at: Option<(Group, u64)>,
    uploads: usize,
}

/// A leaf issued for an upload; gives its place in the cursor back when dropped.
pub(super) struct IssuedLeaf {
    /// The leaf.
    pub leaf: Leaf,
    _upload: Upload,
}

/// An upload's place in the cursor of its interaction: the cursor is there while an upload is.
struct Upload {
    inner: Arc<Inner>,
    interaction: Group,
}

impl Upload {
    fn begin(inner: &Arc<Inner>, interaction: Group) -> Self {
        inner.cursors().entry(interaction).or_default().uploads += 1;
        Self { inner: Arc::clone(inner), interaction }
    }

    /// The next leaf; `None` when the interaction must grow first, by this row. The row is to be read after the upload began:
    /// one of before does not tell of uploads that have ended in between.
    fn take(&self, row: &InteractionRow) -> Option<Leaf> {
        let mut cursors = self.inner.cursors();
        let cursor = cursors.get_mut(&self.interaction)?;
        let (newest, next) = cursor.at.get_or_insert_with(|| {
            let newest = row.extra_groups.last().copied().unwrap_or(row.group);
            (newest, self.inner.first_unused(newest, row))
        });
        loop {
            while *next < Group::SIZE {
                let leaf = newest.leaf(*next);
                *next += 1;
                // That of an upload which was refused is erased, though no row tells of it.
                if !matches!(self.inner.readable(leaf), Err(VaultError::Gone)) {
                    return Some(leaf);
                }
            }
            // Only forward: the row may be older than the cursor.
            let groups = std::iter::once(row.group).chain(row.extra_groups.iter().copied());
            let newer = groups.skip_while(|group| group != newest).skip(1).last()?;
            (*newest, *next) = (newer, self.inner.first_unused(newer, row));
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let mut cursors = self.inner.cursors();
        if let Some(cursor) = cursors.get_mut(&self.interaction) {
            cursor.uploads -= 1;
            if cursor.uploads == 0 {
                cursors.remove(&self.interaction);
            }
        }
    }
}

impl Inner {
    /// Issues the next leaf of an interaction.
    pub(super) async fn issue_leaf(self: &Arc<Self>, group: Group) -> Result<IssuedLeaf, VaultError> {
        self.readable(group.leaf(0))?;
        let upload = Upload::begin(self, group);
        let mut row = self.row(group).await?;
        if let Some(leaf) = upload.take(&row) {
            return Ok(IssuedLeaf { leaf, _upload: upload });
        }
        let mut fresh = None;
        for _ in 0..AMEND_TRIES {
            let by = match fresh {
                Some(by) => by,
                None => *fresh.insert(self.allocate_group(row.tenant).await?),
            };
            row = match self.grow(row, by).await? {
                Some(row) => {
                    fresh = None;
                    row
                }
                None => {
                    // Changed by somebody, who may have made it grow.
                    self.readable(group.leaf(0))?;
                    self.row(group).await?
                }
            };
            if let Some(leaf) = upload.take(&row) {
                return Ok(IssuedLeaf { leaf, _upload: upload });
            }
        }
        Err(VaultError::Conflict("the interaction is being changed by others"))
    }

    /// Has the row name a further group; `None` when it has changed meanwhile. Nothing of the group is in use yet.
    async fn grow(self: &Arc<Self>, mut row: InteractionRow, by: Group) -> Result<Option<InteractionRow>, VaultError> {
        let interaction = row.group;
        let listed = tokio::time::timeout(self.settings.seal_timeout, self.growing.list(interaction, by));
        listed.await.map_err(|_| VaultError::Unavailable(None))?;
        let checks = vec![Check::Version(interaction, row.version), Check::NotErased(interaction.leaf(0))];
        row.extra_groups.push(by);
        row.next_leaf = 0;
        let inner = Arc::clone(self);
        // Goes on when nobody waits for it any more: it must be found out whether the row names the group.
        let growing = self.unattended.spawn(async move {
            let grown = inner.apply("interaction.grow", checks, vec![Write::UpdateInteraction(row.clone())]).await;
            match &grown {
                Ok(Ok(_)) => inner.growing.named(interaction, by),
                // Unknown: nothing is forgotten, and the process ends.
                Err(_) if inner.shared.is_poisoned() => {}
                Ok(Err(_)) | Err(_) => inner.growing.not_named(interaction, by),
            }
            row.version += 1;
            grown.map(|grown| grown.is_ok().then_some(row))
        });
        growing.await.map_err(VaultError::internal)?
    }

    /// The first leaf of one of the row's groups that no content used yet. Of a group of an earlier run none is issued: whether
    /// its row tells of all that were, this run cannot know. An older copy may have taken the place of the rows without a trace.
    fn first_unused(&self, newest: Group, row: &InteractionRow) -> u64 {
        if newest.leaf(0).0 < self.shared.forest.unclosed().end { Group::SIZE } else { u64::from(row.next_leaf) }
    }

    fn cursors(&self) -> MutexGuard<'_, HashMap<Group, LeafCursor>> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(feature = "testing")]
impl Vault {
    /// How many interactions and groups are kept in memory for uploads that run, and for erasures that could miss some of theirs.
    pub fn kept_of_uploads(&self) -> (usize, usize) {
        (self.inner.cursors().len(), self.inner.growing.len())
    }
}
