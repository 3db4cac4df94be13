//! The fair-use limit: so many reads and so many deletes a minute for each client.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use uuid::Uuid;

use super::error::Failure;
use crate::http::DialectSettings;

/// Buckets that fill evenly over the minute and hold one minute's worth. Only authenticated clients have one, so there are
/// as many as credentials at most.
pub struct FairUse {
    reads_per_minute: u32,
    deletes_per_minute: u32,
    buckets: Mutex<HashMap<(Uuid, bool), Bucket>>,
}

struct Bucket {
    left: f64,
    at: Instant,
}

impl FairUse {
    /// With the configured limits; zero means no limit.
    pub fn new(settings: &DialectSettings) -> Self {
        Self {
            reads_per_minute: settings.vonage_reads_per_minute,
            deletes_per_minute: settings.vonage_deletes_per_minute,
            buckets: Mutex::default(),
        }
    }

    /// Counts one call of a client, or says when to come again.
    pub fn admit(&self, client: Uuid, reads: bool, now: Instant) -> Result<(), Failure> {
        let limit = if reads { self.reads_per_minute } else { self.deletes_per_minute };
        if limit == 0 {
            return Ok(());
        }
        let limit = f64::from(limit);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry((client, reads)).or_insert(Bucket { left: limit, at: now });
        bucket.left = limit.min(bucket.left + now.duration_since(bucket.at).as_secs_f64() * limit / 60.0);
        bucket.at = now;
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        let seconds = ((1.0 - bucket.left) * 60.0 / limit).ceil().max(1.0);
        Err(Failure::too_many("Fair use limit exceeded, please try again later", seconds as u64))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_client_is_slowed_down_without_touching_others_or_other_kinds_of_calls() {
        let settings =
            DialectSettings { vonage_reads_per_minute: 0, vonage_deletes_per_minute: 2, ..DialectSettings::default() };
        let (fair_use, start) = (FairUse::new(&settings), Instant::now());
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let delete = |client, second| {
            let answer = fair_use.admit(client, false, start + Duration::from_secs(second));
            answer.err().map(|failure| failure.status().as_u16())
        };
        assert_eq!(delete(one, 0), None);
        assert_eq!(delete(one, 0), None);
        assert_eq!(delete(one, 0), Some(429));
        assert_eq!(delete(other, 0), None);
        assert!((0..100).all(|_| fair_use.admit(one, true, start).is_ok()));
        assert_eq!(delete(one, 29), Some(429));
        assert_eq!(delete(one, 30), None);
        assert_eq!(delete(one, 30), Some(429));
    }
}
