//! Open files, kept open up to a limit.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shards, so that one slow `open` holds up few others.
const SHARDS: usize = 16;

/// A cache of open files that drops the least recently used.
pub(super) struct Handles<K> {
    shards: Vec<Mutex<Shard<K>>>,
    per_shard: usize,
}

struct Shard<K> {
    open: HashMap<K, (Arc<File>, u64)>,
    tick: u64,
}

impl<K: Copy + Eq + Hash> Handles<K> {
    /// Keeps at most about `limit` files open, at least one a shard.
    pub(super) fn new(limit: usize) -> Self {
        let shard = || Mutex::new(Shard { open: HashMap::new(), tick: 0 });
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), per_shard: (limit / SHARDS).max(1) }
    }

    /// The open file, opened by `open` when needed.
    ///
    /// The file is opened under the shard's lock: with [`Handles::forget`] after the unlink, no file that is gone stays open.
    pub(super) fn get(&self, key: K, open: impl FnOnce() -> io::Result<File>) -> io::Result<Arc<File>> {
        let mut shard = self.shard(&key);
        shard.tick += 1;
        let tick = shard.tick;
        if let Some((file, used)) = shard.open.get_mut(&key) {
            *used = tick;
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(open()?);
        if shard.open.len() >= self.per_shard {
            let oldest = shard.open.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
            oldest.and_then(|key| shard.open.remove(&key));
        }
        shard.open.insert(key, (Arc::clone(&file), tick));
        Ok(file)
    }

    /// Closes a file that was unlinked.
    pub(super) fn forget(&self, key: K) {
        self.shard(&key).open.remove(&key);
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, Shard<K>> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let at = (hasher.finish() % SHARDS as u64) as usize;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_stays_open_and_a_forgotten_file_is_opened_anew() {
        let handles = Handles::new(32);
        let mut opened = 0;
        for key in 0..500_u32 {
            handles.get(key, || File::open("/dev/null")).unwrap();
        }
        let open: usize = handles.shards.iter().map(|shard| shard.lock().unwrap().open.len()).sum();
        assert!(open <= 32);
        for _ in 0..3 {
            handles
                .get(1000, || {
                    opened += 1;
                    File::open("/dev/null")
                })
                .unwrap();
        }
        assert_eq!(opened, 1);
        handles.forget(1000);
        handles
            .get(1000, || {
                opened += 1;
                File::open("/dev/null")
            })
            .unwrap();
        assert_eq!(opened, 2);
    }
}
