//! Which content a recent delete was about.
//!
//! A delete that did not get its answer (the seal took too long, the connection broke) is repeated by name, but a hidden
//! content is not listed under its name any more. For as long as a repeat may come, the name is remembered here, hashed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use keyforest::Leaf;
use oubliette_core::model::ContentKey;
use uuid::Uuid;

/// Deletes remembered at most; when more come in, the oldest half is forgotten.
const MOST: usize = 100_000;

/// Recent deletes of all clients of this process.
#[derive(Default)]
pub struct RecentDeletes {
    known: Mutex<HashMap<[u8; 32], (Leaf, Instant)>>,
}

impl RecentDeletes {
    /// Remembers what a client is about to delete.
    pub fn remember(&self, client: Uuid, interaction: &str, key: &ContentKey, leaf: Leaf, now: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            let mut times: Vec<Instant> = known.values().map(|(_, at)| *at).collect();
            let (_, middle, _) = times.select_nth_unstable(MOST / 2);
            let middle = *middle;
            known.retain(|_, (_, at)| *at > middle);
        }
        known.insert(name(client, interaction, key), (leaf, now));
    }

    /// What the same client deleted under this name within `grace`.
    pub fn recall(
        &self,
        client: Uuid,
        interaction: &str,
        key: &ContentKey,
        grace: Duration,
        now: Instant,
    ) -> Option<Leaf> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (leaf, at) = known.get(&name(client, interaction, key))?;
        (now.duration_since(*at) <= grace).then_some(*leaf)
    }
}

fn name(client: Uuid, interaction: &str, key: &ContentKey) -> [u8; 32] {
    let text = format!("{client}/{interaction}/{}", key.as_str()).to_ascii_lowercase();
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delete_is_remembered_for_its_client_for_a_while() {
        let (recent, now) = (RecentDeletes::default(), Instant::now());
        let (one, other, grace) = (Uuid::from_u128(1), Uuid::from_u128(2), Duration::from_secs(300));
        let key = |text| ContentKey::new(text).unwrap();
        recent.remember(one, "i", &key("callRecording"), Leaf(5), now);
        assert_eq!(recent.recall(one, "I", &key("callrecording"), grace, now), Some(Leaf(5)));
        assert_eq!(recent.recall(one, "i", &key("callRecording"), grace, now + grace), Some(Leaf(5)));
        assert_eq!(recent.recall(one, "i", &key("callRecording"), grace, now + grace * 2), None);
        assert_eq!(recent.recall(other, "i", &key("callRecording"), grace, now), None);
        assert_eq!(recent.recall(one, "i", &key("transcript"), grace, now), None);
    }

    #[test]
    fn memory_stays_bounded() {
        let (recent, now) = (RecentDeletes::default(), Instant::now());
        let key = ContentKey::new("callRecording").unwrap();
        for number in 0..=MOST as u64 {
            let at = now + Duration::from_millis(number);
            recent.remember(Uuid::nil(), &number.to_string(), &key, Leaf(number), at);
        }
        assert!(recent.known.lock().unwrap().len() <= MOST / 2 + 1);
        let newest = recent.recall(Uuid::nil(), &MOST.to_string(), &key, Duration::from_secs(1), now);
        assert_eq!(newest, Some(Leaf(MOST as u64)));
    }
}
