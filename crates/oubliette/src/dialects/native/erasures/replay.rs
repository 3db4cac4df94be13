//! `Idempotency-Key`: a repeated order is answered with the erasure it led to the first time.
//!
//! Held in memory, per credential, at most [`MAX_KEYS`] for [`LIFETIME`]. After a restart a repeated order is a new one,
//! which is harmless: what the first one erased is gone, so the second names nothing live. Kept are a keyed stamp of the
//! request, an opaque id and counts; nothing personal.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

/// Keys remembered for one credential; the oldest go first.
pub const MAX_KEYS: usize = 1_000;
/// How long a key is remembered.
pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest key.
pub const MAX_KEY_BYTES: usize = 255;

/// What a repeated order is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The erasure.
    pub id: Uuid,
    /// Interactions it took.
    pub interactions: u64,
    /// Contents it took.
    pub contents: u64,
    /// Hash of its plan.
    pub plan_hash: [u8; 32],
    /// Requested ids that named nothing live.
    pub missing: u64,
}

/// What is known of a key.
pub enum Claim {
    /// Nothing: go on, and [`Guard::finish`].
    New(Guard),
    /// It led to this.
    Done(Ordered),
    /// Its first request is still running.
    Running,
    /// It came with another request.
    Reused,
}

struct Entry {
    stamp: [u8; 32],
    at: Timestamp,
    outcome: Option<Ordered>,
}

#[derive(Default)]
struct Keys {
    entries: HashMap<String, Entry>,
    order: VecDeque<(Timestamp, String)>,
}

/// The keys of all credentials.
#[derive(Default)]
pub struct Replays(Mutex<HashMap<Uuid, Keys>>);

impl Replays {
    /// Asks for a key on behalf of a request.
    pub fn claim(self: &Arc<Self>, credential: Uuid, key: &str, stamp: [u8; 32], now: Timestamp) -> Claim {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = all.entry(credential).or_default();
        keys.forget(now);
        match keys.entries.get(key) {
            Some(entry) if entry.stamp != stamp => Claim::Reused,
            Some(Entry { outcome: Some(ordered), .. }) => Claim::Done(*ordered),
            Some(Entry { outcome: None, .. }) => Claim::Running,
            None => {
                keys.entries.insert(key.to_owned(), Entry { stamp, at: now, outcome: None });
                keys.order.push_back((now, key.to_owned()));
                Claim::New(Guard { replays: self.clone(), credential, key: key.to_owned(), at: now })
            }
        }
    }
}

impl Keys {
    fn forget(&mut self, now: Timestamp) {
        while let Some((at, key)) = self.order.front() {
            let old = now.duration_since(*at).unsigned_abs() > LIFETIME;
            if !old && self.entries.len() < MAX_KEYS {
                break;
            }
            // A key that was given up and claimed again has a younger entry.
            if self.entries.get(key).is_some_and(|entry| entry.at == *at) {
                self.entries.remove(key);
            }
            self.order.pop_front();
        }
        // Keys given up by failed requests leave their place in the order; it stays bounded all the same.
        while self.order.len() > 2 * MAX_KEYS {
            self.order.pop_front();
        }
    }
}

/// A claimed key. Dropped without [`Guard::finish`], the key is free again.
pub struct Guard {
    replays: Arc<Replays>,
    credential: Uuid,
    key: String,
    at: Timestamp,
}

impl Guard {
    /// Remembers what the request led to.
    pub fn finish(self, ordered: Ordered) {
        let mut all = self.replays.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = all.get_mut(&self.credential).and_then(|keys| keys.entries.get_mut(&self.key)) {
            entry.outcome = Some(ordered);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut all = self.replays.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(keys) = all.get_mut(&self.credential) else { return };
        if keys.entries.get(&self.key).is_some_and(|entry| entry.outcome.is_none() && entry.at == self.at) {
            keys.entries.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERED: Ordered = Ordered { id: Uuid::nil(), interactions: 1, contents: 2, plan_hash: [3; 32], missing: 0 };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_key_answers_its_own_request_and_no_other() {
        let replays = Arc::new(Replays::default());
        let (me, you) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let Claim::New(guard) = replays.claim(me, "k", [1; 32], at(0)) else { panic!("claimed") };
        assert!(matches!(replays.claim(me, "k", [1; 32], at(1)), Claim::Running));
        assert!(matches!(replays.claim(me, "k", [2; 32], at(1)), Claim::Reused));
        assert!(matches!(replays.claim(you, "k", [2; 32], at(1)), Claim::New(_)));
        guard.finish(ORDERED);
        assert!(matches!(replays.claim(me, "k", [1; 32], at(2)), Claim::Done(ORDERED)));
        assert!(matches!(replays.claim(me, "k", [1; 32], at(100_000)), Claim::New(_)));
    }

    #[test]
    fn a_failed_request_gives_its_key_back() {
        let replays = Arc::new(Replays::default());
        drop(replays.claim(Uuid::nil(), "k", [1; 32], at(0)));
        assert!(matches!(replays.claim(Uuid::nil(), "k", [2; 32], at(0)), Claim::New(_)));
    }

    #[test]
    fn the_oldest_keys_go_first() {
        let replays = Arc::new(Replays::default());
        for number in 0..=MAX_KEYS as i64 {
            let Claim::New(guard) = replays.claim(Uuid::nil(), &format!("k{number}"), [1; 32], at(number)) else {
                panic!("claimed")
            };
            guard.finish(ORDERED);
        }
        assert!(matches!(replays.claim(Uuid::nil(), "k1000", [1; 32], at(1_001)), Claim::Done(_)));
        assert!(matches!(replays.claim(Uuid::nil(), "k0", [1; 32], at(1_001)), Claim::New(_)));
    }
}
