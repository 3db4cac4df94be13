//! Which leaf a further content of an interaction takes.

use std::sync::{Arc, PoisonError};

use keyforest::{Group, Leaf};

use super::VaultError;
use super::vault::Inner;
use crate::ports::InteractionRow;

/// Which leaf the next content of an interaction takes, while uploads run.
pub(super) struct LeafCursor {
    newest: Group,
    next: u64,
    uploads: usize,
}

/// A leaf issued for an upload; gives its place in the cursor back when dropped.
pub(super) struct IssuedLeaf {
    inner: Arc<Inner>,
    interaction: Group,
    /// The leaf.
    pub leaf: Leaf,
}

impl Drop for IssuedLeaf {
    fn drop(&mut self) {
        let mut cursors = self.inner.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cursor) = cursors.get_mut(&self.interaction) {
            cursor.uploads -= 1;
            if cursor.uploads == 0 {
                cursors.remove(&self.interaction);
            }
        }
    }
}

impl Inner {
    /// Issues the next leaf of an interaction: of its newest group, else of a fresh extra group. Of a group of an earlier run
    /// none is issued: whether its row tells of all that were, this run cannot know. An older copy may have taken the place of
    /// the rows without a trace.
    pub(super) async fn issue_leaf(self: &Arc<Self>, row: &InteractionRow) -> Result<IssuedLeaf, VaultError> {
        let interaction = row.group;
        let own = self.shared.forest.unclosed().end;
        let take = |fresh: Option<Group>| {
            let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
            let cursor = cursors.entry(interaction).or_insert_with(|| {
                let newest = row.extra_groups.last().copied().unwrap_or(interaction);
                let next = if newest.leaf(0).0 < own { Group::SIZE } else { u64::from(row.next_leaf) };
                LeafCursor { newest, next, uploads: 0 }
            });
            if cursor.next >= Group::SIZE {
                let fresh = fresh?;
                // Known before it is used, so that an erasure planned meanwhile takes it along.
                let mut extra = self.recent_extra.lock().unwrap_or_else(PoisonError::into_inner);
                extra.entry(interaction).or_default().push(fresh);
                cursor.newest = fresh;
                cursor.next = 0;
            }
            let leaf = cursor.newest.leaf(cursor.next);
            cursor.next += 1;
            cursor.uploads += 1;
            Some(leaf)
        };
        let leaf = match take(None) {
            Some(leaf) => leaf,
            None => {
                let fresh = self.allocate_group(row.tenant).await?;
                take(Some(fresh)).ok_or(VaultError::Internal(None))?
            }
        };
        Ok(IssuedLeaf { inner: Arc::clone(self), interaction, leaf })
    }
}
