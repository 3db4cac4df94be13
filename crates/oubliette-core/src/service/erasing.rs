//! Session ids and ids of other systems whose interactions are hidden and not yet sealed: for dialects whose status keeps its
//! value until then, and for deletes that are asked for again by such an id.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use keyforest::Group;
use uuid::Uuid;

use super::read::{LOOK_UP, ROWS};
use super::shared::Pending;
use super::vault::{Inner, Vault};
use super::{Interaction, VaultError};
use crate::directory::{Entry, KeyKind, keys_of};
use crate::model::{Actor, TenantId};

/// Ids remembered at one time. Of an erasure for which there is no room it is remembered that it has more.
const MAX_IDS: usize = 2_000_000;

/// What is known of an id that names nothing that lives.
pub enum Named {
    /// It names an interaction that this erasure hides.
    Due(Uuid, Group),
    /// It may: of some erasure ([`ErasingIds::partly`]) not all ids are remembered.
    Perhaps,
    /// Nothing that is still to be sealed.
    Nothing,
}

/// By the tag of the id: none in clear is kept.
pub struct ErasingIds {
    ids: Mutex<Ids>,
    most: usize,
}

#[derive(Default)]
struct Ids {
    by_tag: HashMap<u64, (Uuid, Group)>,
    by_erasure: HashMap<Uuid, Vec<u64>>,
    partly: HashSet<Uuid>,
}

impl Default for ErasingIds {
    fn default() -> Self {
        Self { ids: Mutex::default(), most: MAX_IDS }
    }
}

impl ErasingIds {
    /// Remembers what an erasure hides, all of it or some more. Called before it hides it: whoever asks sees the live interaction
    /// or this, never a gap between the two.
    pub fn remember(&self, erasure: Uuid, ids: impl Iterator<Item = (u64, Group)>) {
        let mut all = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let all = &mut *all;
        let mut tags = Vec::new();
        for (tag, group) in ids {
            if all.by_tag.len() >= self.most && !all.by_tag.contains_key(&tag) {
                all.partly.insert(erasure);
                break;
            }
            all.by_tag.insert(tag, (erasure, group));
            tags.push(tag);
        }
        if !tags.is_empty() {
            all.by_erasure.entry(erasure).or_default().append(&mut tags);
        }
    }

    /// Notes that an erasure hides more than is remembered of it.
    pub fn remember_more(&self, erasure: Uuid) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).partly.insert(erasure);
    }

    /// Forgets what an erasure hid; called once it is sealed.
    pub fn forget(&self, erasure: Uuid) {
        let mut all = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        all.partly.remove(&erasure);
        for tag in all.by_erasure.remove(&erasure).unwrap_or_default() {
            if all.by_tag.get(&tag).is_some_and(|(other, _)| *other == erasure) {
                all.by_tag.remove(&tag);
            }
        }
    }

    /// Erasures that hide more than is remembered of them.
    pub fn partly(&self) -> Vec<Uuid> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).partly.iter().copied().collect()
    }

    fn find(&self, tag: u64) -> Named {
        let all = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        match all.by_tag.get(&tag) {
            Some((erasure, group)) => Named::Due(*erasure, *group),
            None if all.partly.is_empty() => Named::Nothing,
            None => Named::Perhaps,
        }
    }
}

impl Inner {
    /// What an id of another system names that was not found among the living.
    pub(super) fn external_being_erased(&self, tenant: TenantId, id: &str) -> Named {
        self.shared.erasing.find(self.lookup.tag(tenant.0, KeyKind::External.to_u8(), id))
    }

    /// The ids by which what is being erased is asked for, as tags.
    pub(super) fn ids_of(&self, entry: &Entry) -> impl Iterator<Item = (u64, Group)> {
        let ids = entry.keys.iter().filter(|key| matches!(key.0, KeyKind::Session | KeyKind::External));
        ids.map(|(kind, id)| (self.lookup.tag(entry.tenant.0, kind.to_u8(), id), entry.group))
    }

    /// Remembers the ids of an erasure that was accepted before the start and is to be served over. Its rows are there until it
    /// is sealed, and open: nothing here asks whether they are hidden. A row that an older copy lacks came in after it, and its
    /// ids are not found over it like those of all that did.
    ///
    /// # Errors
    /// Of the rows' store. Of a row that cannot be opened the ids are not known, and no id is called *not found* before the seal.
    pub(super) async fn remember_due(self: &Arc<Self>, due: &Pending) -> Result<(), VaultError> {
        for some in due.set.interactions.as_slice().chunks(ROWS) {
            let groups: Vec<Group> = some.iter().copied().map(Group).collect();
            let rows = self.metadata.interactions(&groups).await.map_err(|error| self.port(error))?;
            let (inner, id) = (Arc::clone(self), due.id);
            // Opening may read a page.
            let read = tokio::task::spawn_blocking(move || {
                for row in rows {
                    match inner.open_meta(&row) {
                        Ok(meta) => {
                            let keys = keys_of(&meta, &inner.settings);
                            let entry = Entry { tenant: row.tenant, group: row.group, keys };
                            inner.shared.erasing.remember(id, inner.ids_of(&entry));
                        }
                        // Sealed.
                        Err(VaultError::Gone) => {}
                        Err(error) => {
                            let error = &error as &dyn std::error::Error;
                            tracing::warn!(error, purge = %id, "the ids of what is being erased cannot be told");
                            inner.shared.erasing.remember_more(id);
                        }
                    }
                }
            });
            read.await.map_err(VaultError::internal)?;
        }
        // Sealed meanwhile: the sealer may have forgotten it before it was remembered.
        if self.shared.awaiting(due.id).is_none() {
            self.shared.erasing.forget(due.id);
        }
        Ok(())
    }
}

impl Vault {
    /// The interaction that this session id names and that is hidden but not yet sealed, whoever ordered its erasure. Nobody else
    /// may be shown more of it than that it is still on its way. Scope as [`Vault::lookup`].
    pub async fn session_being_erased(&self, actor: &Actor, session: &str) -> Result<Option<Interaction>, VaultError> {
        let inner = &self.inner;
        inner.allow(actor, LOOK_UP)?;
        let tag = inner.lookup.tag(actor.tenant.0, KeyKind::Session.to_u8(), session);
        let (erasure, group) = match inner.shared.erasing.find(tag) {
            Named::Due(erasure, group) => (erasure, group),
            Named::Perhaps => return Err(VaultError::Unavailable(None)),
            Named::Nothing => return Ok(None),
        };
        let row = inner.metadata.interaction(group).await.map_err(|error| inner.port(error))?;
        let Some(row) = row.filter(|row| row.tenant == actor.tenant) else { return Ok(None) };
        match inner.open_interaction(&row) {
            Ok(found) => Ok((found.meta.session_id.as_deref() == Some(session)).then_some(found)),
            // Its key is destroyed: *sealed* is a moment away at most, and nobody may be told before.
            Err(VaultError::Gone | VaultError::NotFound) => {
                inner.wait_for(&[erasure], inner.settings.seal_timeout).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(erasing: &ErasingIds, tag: u64) -> Option<(Uuid, Group)> {
        match erasing.find(tag) {
            Named::Due(erasure, group) => Some((erasure, group)),
            Named::Nothing => None,
            Named::Perhaps => panic!("{tag} cannot be told"),
        }
    }

    #[test]
    fn a_session_is_remembered_until_the_last_erasure_that_took_it_is_sealed() {
        let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let erasing = ErasingIds::default();
        erasing.remember(first, [(7, Group(70))].into_iter());
        erasing.remember(first, [(8, Group(80))].into_iter());
        // The session id was used again, and that interaction is erased too.
        erasing.remember(second, [(7, Group(71))].into_iter());
        erasing.forget(first);
        assert_eq!((found(&erasing, 7), found(&erasing, 8)), (Some((second, Group(71))), None));
        erasing.forget(second);
        assert_eq!(found(&erasing, 7), None);
        assert!(erasing.ids.lock().unwrap().by_erasure.is_empty());
    }

    #[test]
    fn an_id_for_which_there_was_no_room_is_never_called_unknown_before_the_seal() {
        let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let erasing = ErasingIds { most: 2, ..ErasingIds::default() };
        erasing.remember(first, [(1, Group(1)), (2, Group(2)), (1, Group(3))].into_iter());
        assert!(erasing.partly().is_empty());
        erasing.remember(second, [(2, Group(4)), (3, Group(5)), (4, Group(6))].into_iter());
        assert_eq!((found(&erasing, 1), found(&erasing, 2)), (Some((first, Group(3))), Some((second, Group(4)))));
        for tag in [3, 4, 5] {
            assert!(matches!(erasing.find(tag), Named::Perhaps));
        }
        erasing.forget(first);
        assert_eq!(erasing.partly(), [second]);
        erasing.forget(second);
        assert_eq!(found(&erasing, 3), None);
    }
}
