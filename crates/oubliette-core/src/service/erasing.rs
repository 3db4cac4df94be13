//! Session ids and ids of other systems whose interactions are hidden and not yet sealed: for dialects whose status keeps its
//! value until then, and for deletes that are asked for again by such an id.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use keyforest::Group;
use uuid::Uuid;

use super::read::LOOK_UP;
use super::vault::{Inner, Vault};
use super::{Interaction, VaultError};
use crate::directory::KeyKind;
use crate::model::{Actor, TenantId};

/// Ids remembered at one time. Beyond it one reads as not found some moments before its seal.
const MAX_IDS: usize = 2_000_000;

/// By the tag of the id: none in clear is kept.
#[derive(Default)]
pub struct ErasingIds {
    ids: Mutex<Ids>,
}

#[derive(Default)]
struct Ids {
    by_tag: HashMap<u64, (Uuid, Group)>,
    by_erasure: HashMap<Uuid, Vec<u64>>,
}

impl ErasingIds {
    /// Remembers what an erasure hides. Called before it hides it: whoever asks sees the live interaction or this, never a
    /// gap between the two.
    pub fn remember(&self, erasure: Uuid, ids: impl Iterator<Item = (u64, Group)>) {
        let mut all = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_IDS.saturating_sub(all.by_tag.len());
        let mut tags = Vec::new();
        for (tag, group) in ids.take(room) {
            all.by_tag.insert(tag, (erasure, group));
            tags.push(tag);
        }
        if !tags.is_empty() {
            all.by_erasure.insert(erasure, tags);
        }
    }

    /// Forgets what an erasure hid; called once it is sealed.
    pub fn forget(&self, erasure: Uuid) {
        let mut all = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        for tag in all.by_erasure.remove(&erasure).unwrap_or_default() {
            if all.by_tag.get(&tag).is_some_and(|(other, _)| *other == erasure) {
                all.by_tag.remove(&tag);
            }
        }
    }

    fn find(&self, tag: u64) -> Option<(Uuid, Group)> {
        let all = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        all.by_tag.get(&tag).copied()
    }
}

impl Inner {
    /// The erasure, not sealed yet, of the interaction that this id of another system names, and its group. Asked after it was not
    /// found among the living.
    pub(super) fn external_being_erased(&self, tenant: TenantId, id: &str) -> Option<(Uuid, Group)> {
        self.shared.erasing.find(self.lookup.tag(tenant.0, KeyKind::External.to_u8(), id))
    }
}

impl Vault {
    /// The interaction that this session id names and that is hidden but not yet sealed, whoever ordered its erasure. Nobody else
    /// may be shown more of it than that it is still on its way. Scope as [`Vault::lookup`].
    pub async fn session_being_erased(&self, actor: &Actor, session: &str) -> Result<Option<Interaction>, VaultError> {
        let inner = &self.inner;
        inner.allow(actor, LOOK_UP)?;
        let tag = inner.lookup.tag(actor.tenant.0, KeyKind::Session.to_u8(), session);
        let Some((erasure, group)) = inner.shared.erasing.find(tag) else { return Ok(None) };
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

    #[test]
    fn a_session_is_remembered_until_the_last_erasure_that_took_it_is_sealed() {
        let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let erasing = ErasingIds::default();
        erasing.remember(first, [(7, Group(70)), (8, Group(80))].into_iter());
        // The session id was used again, and that interaction is erased too.
        erasing.remember(second, [(7, Group(71))].into_iter());
        erasing.forget(first);
        assert_eq!((erasing.find(7), erasing.find(8)), (Some((second, Group(71))), None));
        erasing.forget(second);
        assert_eq!(erasing.find(7), None);
        assert!(erasing.ids.lock().unwrap().by_erasure.is_empty());
    }
}
