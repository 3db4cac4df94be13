//! Entries over receipts *existed* and *removed*.

use std::collections::HashMap;
use std::sync::Arc;

use keyforest::{Group, Leaf};
use oubliette_proof::entry::BatchEntry;
use oubliette_proof::receipt::Existed;
use oubliette_proof::{Hash, ItemId, Seconds};

use crate::ids::IdCipher;
use crate::model::TenantId;
use crate::ports::RemovedPurge;
use crate::proof::{Arrival, RootBuilder};
use crate::service::vault::Inner;
use crate::service::{PublicId, VaultError};

impl Inner {
    /// Receipts of what came in, in order. Computes: not for a thread that others wait for.
    pub fn existed(&self, items: &[Arrival]) -> Result<Vec<Existed>, VaultError> {
        let mut by_tenant: HashMap<TenantId, Vec<usize>> = HashMap::new();
        for (at, item) in items.iter().enumerate() {
            by_tenant.entry(item.tenant).or_default().push(at);
        }
        let none = Existed {
            salt: oubliette_proof::Salt([0; 32]),
            interaction: ItemId([0; 16]),
            content: ItemId([0; 16]),
            blob: Hash([0; 32]),
        };
        let mut receipts = vec![none; items.len()];
        for (tenant, positions) in by_tenant {
            let cipher = self.cipher_of(tenant)?;
            let (groups, contents) = ids(&cipher, items, &positions)?;
            for at in positions {
                let item = &items[at];
                let content = contents.get(&item.leaf).filter(|_| item.blob.is_some()).copied();
                let interaction = groups.get(&item.interaction).copied().unwrap_or(ItemId([0; 16]));
                receipts[at] = self.salts.existed(interaction, content, item.blob);
            }
        }
        Ok(receipts)
    }

    /// The id permutation of a tenant that rows name.
    pub fn cipher_of(&self, tenant: TenantId) -> Result<Arc<IdCipher>, VaultError> {
        self.id_cipher(tenant).ok_or(VaultError::Internal(None))
    }
}

type Ids<K> = HashMap<K, ItemId>;

/// Ids of the interactions and the contents among some items.
fn ids(cipher: &IdCipher, items: &[Arrival], positions: &[usize]) -> Result<(Ids<Group>, Ids<Leaf>), VaultError> {
    let mut groups: Vec<Group> = positions.iter().map(|at| items[*at].interaction).collect();
    groups.sort_unstable();
    groups.dedup();
    let leaves: Vec<Leaf> =
        positions.iter().filter(|at| items[**at].blob.is_some()).map(|at| items[*at].leaf).collect();
    let item = |id: PublicId| ItemId(*id.0.as_bytes());
    let group_ids = cipher.encode_all(&groups).map_err(VaultError::internal)?.into_iter().map(item);
    let leaf_ids = cipher.encode_contents(&leaves).map_err(VaultError::internal)?.into_iter().map(item);
    Ok((groups.iter().copied().zip(group_ids).collect(), leaves.iter().copied().zip(leaf_ids).collect()))
}

/// An entry over these receipts of this interval; `None` for none.
pub fn batch_entry(times: [u64; 2], commitments: impl IntoIterator<Item = Hash>) -> Option<BatchEntry> {
    let mut root = RootBuilder::default();
    commitments.into_iter().for_each(|commitment| root.push(&commitment));
    let head = root.head();
    let [from, to] = [Seconds::new(times[0])?, Seconds::new(times[1])?];
    (head.size > 0).then_some(BatchEntry { from, to, count: head.size, root: head.root })
}

/// First and last second in which these were removed.
pub fn removed_between(removed: &[RemovedPurge]) -> [u64; 2] {
    let seconds = |one: &RemovedPurge| u64::try_from(one.at.as_second()).unwrap_or(0);
    let (from, to) = (removed.iter().map(seconds).min(), removed.iter().map(seconds).max());
    [from.unwrap_or(0), to.unwrap_or(0)]
}
