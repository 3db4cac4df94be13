//! The look-up map in memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

use keyforest::Group;

/// Groups under one tag. Most tags have one.
enum Posting {
    One(u64),
    Many(Vec<u64>),
}

/// A hasher for tags, which are hashes already.
#[derive(Clone, Copy, Default)]
struct TagHasher(u64);

impl std::hash::Hasher for TagHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, tag: u64) {
        self.0 = tag;
    }
}

type Tags = HashMap<u64, Posting, std::hash::BuildHasherDefault<TagHasher>>;

/// Tag → groups. A tag is a 64-bit hash of (tenant, kind, normalised key) under a secret drawn at start; two keys may share
/// one, so callers confirm every hit by opening the interaction.
pub struct LookupMap {
    secret: RandomState,
    tags: RwLock<Tags>,
    many: AtomicU64,
}

impl Default for LookupMap {
    fn default() -> Self {
        Self { secret: RandomState::new(), tags: RwLock::default(), many: AtomicU64::new(0) }
    }
}

impl LookupMap {
    /// The tag of a normalised key.
    pub fn tag(&self, tenant: u32, kind: u8, key: &str) -> u64 {
        self.secret.hash_one((tenant, kind, key))
    }

    /// Adds a group under tags; repeated additions change nothing.
    pub fn insert(&self, tags: &[u64], group: Group) {
        let mut map = self.tags.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        for tag in tags {
            match map.entry(*tag) {
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(Posting::One(group.0));
                }
                std::collections::hash_map::Entry::Occupied(mut place) => match place.get_mut() {
                    Posting::One(only) if *only == group.0 => {}
                    Posting::One(only) => {
                        let mut both = vec![*only, group.0];
                        both.sort_unstable();
                        place.insert(Posting::Many(both));
                    }
                    Posting::Many(groups) => {
                        // Groups arrive in ascending order, so this is nearly always a push.
                        if let Err(position) = groups.binary_search(&group.0) {
                            groups.insert(position, group.0);
                            self.many.fetch_add(8, Ordering::Relaxed);
                        }
                    }
                },
            }
        }
    }

    /// Removes groups from tags.
    pub fn remove(&self, removals: &[(u64, Group)]) {
        let mut by_tag: HashMap<u64, Vec<u64>> = HashMap::new();
        for (tag, group) in removals {
            by_tag.entry(*tag).or_default().push(group.0);
        }
        let mut map = self.tags.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (tag, mut gone) in by_tag {
            gone.sort_unstable();
            let empty = match map.get_mut(&tag) {
                None => false,
                Some(Posting::One(only)) => gone.binary_search(only).is_ok(),
                Some(Posting::Many(groups)) => {
                    groups.retain(|group| gone.binary_search(group).is_err());
                    groups.is_empty()
                }
            };
            if empty {
                map.remove(&tag);
            }
        }
    }

    /// Groups under a tag, ascending. May hold groups of other keys; confirm each.
    pub fn find(&self, tag: u64) -> Vec<Group> {
        match self.tags.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(&tag) {
            None => Vec::new(),
            Some(Posting::One(only)) => vec![Group(*only)],
            Some(Posting::Many(groups)) => groups.iter().map(|group| Group(*group)).collect(),
        }
    }

    /// About how many bytes the map takes.
    pub fn bytes(&self) -> u64 {
        let slots = self.tags.read().unwrap_or_else(std::sync::PoisonError::into_inner).capacity();
        slots as u64 * (std::mem::size_of::<(u64, Posting)>() as u64 + 1) + self.many.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_finds_every_group_under_it_until_it_is_removed() {
        let map = LookupMap::default();
        let tag = map.tag(1, 2, "key");
        assert_ne!(tag, map.tag(2, 2, "key"));
        assert!(map.find(tag).is_empty());
        for group in [5, 3, 5, 9] {
            map.insert(&[tag], Group(group));
        }
        assert_eq!(map.find(tag), [Group(3), Group(5), Group(9)]);
        map.remove(&[(tag, Group(5)), (tag, Group(77))]);
        assert_eq!(map.find(tag), [Group(3), Group(9)]);
        map.remove(&[(tag, Group(3)), (tag, Group(9))]);
        assert!(map.find(tag).is_empty());
    }
}
