//! What is hidden: erasures accepted but not yet sealed, and the keys in use that they revoke.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use keyforest::{Group, Leaf};
use uuid::Uuid;

use crate::crypto::KeyCell;
use crate::ports::PurgeSet;

/// Sets with more entries than this are searched where they are instead of being indexed entry by entry.
const INDEXED: usize = 4_096;

#[derive(Default)]
struct Sets {
    groups: HashMap<u64, Uuid>,
    leaves: HashMap<u64, Uuid>,
    bulk: Vec<(Uuid, Arc<PurgeSet>)>,
}

/// Every leaf of an erasure that is accepted and not sealed. After the seal the key forest itself says *punctured*.
#[derive(Default)]
pub struct Hidden {
    sets: RwLock<Sets>,
}

impl Hidden {
    /// Hides a set.
    pub fn insert(&self, id: Uuid, set: &Arc<PurgeSet>) {
        let mut sets = self.sets.write().unwrap_or_else(PoisonError::into_inner);
        if set.interactions.len() + set.groups.len() + set.leaves.len() > INDEXED {
            sets.bulk.push((id, Arc::clone(set)));
            return;
        }
        for group in set.interactions.iter().chain(set.groups.iter()) {
            sets.groups.entry(group.0).or_insert(id);
        }
        for leaf in set.leaves.iter() {
            sets.leaves.entry(leaf.0).or_insert(id);
        }
    }

    /// Forgets a set that is sealed.
    pub fn remove(&self, id: Uuid, set: &PurgeSet) {
        let mut sets = self.sets.write().unwrap_or_else(PoisonError::into_inner);
        sets.bulk.retain(|(other, _)| *other != id);
        for group in set.interactions.iter().chain(set.groups.iter()) {
            if sets.groups.get(&group.0) == Some(&id) {
                sets.groups.remove(&group.0);
            }
        }
        for leaf in set.leaves.iter() {
            if sets.leaves.get(&leaf.0) == Some(&id) {
                sets.leaves.remove(&leaf.0);
            }
        }
    }

    /// The erasure that hides the leaf, if any.
    pub fn covering(&self, leaf: Leaf) -> Option<Uuid> {
        let sets = self.sets.read().unwrap_or_else(PoisonError::into_inner);
        sets.groups
            .get(&Group::of(leaf).0)
            .or_else(|| sets.leaves.get(&leaf.0))
            .copied()
            .or_else(|| sets.bulk.iter().find(|(_, set)| set.contains(leaf)).map(|(id, _)| *id))
    }
}

/// Leaf keys that running uploads and downloads hold.
///
/// A stream registers its cell *before* it checks whether the leaf is hidden; an erasure hides *before* it revokes. So
/// either the stream sees that it is hidden, or the erasure sees the cell.
#[derive(Default)]
pub struct ActiveKeys {
    cells: Arc<Mutex<HashMap<u64, Vec<Weak<KeyCell>>>>>,
}

/// A registered key; deregisters when dropped.
pub struct ActiveKey {
    leaf: Leaf,
    cell: Arc<KeyCell>,
    cells: Arc<Mutex<HashMap<u64, Vec<Weak<KeyCell>>>>>,
}

impl ActiveKey {
    /// The key.
    pub fn cell(&self) -> &Arc<KeyCell> {
        &self.cell
    }
}

impl Drop for ActiveKey {
    fn drop(&mut self) {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = cells.get_mut(&self.leaf.0) {
            let own = Arc::as_ptr(&self.cell);
            list.retain(|other| other.strong_count() > 0 && !std::ptr::eq(other.as_ptr(), own));
            if list.is_empty() {
                cells.remove(&self.leaf.0);
            }
        }
    }
}

impl ActiveKeys {
    /// Registers a key in use.
    pub fn register(&self, leaf: Leaf, cell: Arc<KeyCell>) -> ActiveKey {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.entry(leaf.0).or_default().push(Arc::downgrade(&cell));
        ActiveKey { leaf, cell, cells: Arc::clone(&self.cells) }
    }

    /// Wipes every key in use that the set covers. When this returns no stream can open or seal another chunk of it.
    pub fn revoke(&self, set: &PurgeSet) {
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        for (leaf, list) in cells.iter() {
            if set.contains(Leaf(*leaf)) {
                list.iter().filter_map(Weak::upgrade).for_each(|cell| cell.revoke());
            }
        }
    }
}
