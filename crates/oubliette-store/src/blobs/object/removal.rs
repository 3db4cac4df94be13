//! Removing: objects with all their versions, entries of segments by marks.
//!
//! Removed means that a delete of every version and marker was answered as done, and where there are versions, that a listing
//! shows none any more. What the store may not delete is told apart from what it did not.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use oubliette_core::ports::{BlobRef, PortError, Removal};

use super::Shared;
use super::bucket::{Deleted, Target};
use super::place::{Kind, Name, Place, Stretch};

/// Rounds of listing and deleting that one removal takes at most.
const ROUNDS: usize = 5;

/// See [`oubliette_core::ports::Blobs::remove`].
pub(super) async fn remove(shared: &Shared, blobs: &[BlobRef]) -> Result<Vec<Removal>, PortError> {
    let mut outcomes = vec![Removal::Failed("the reference is not one of this store"); blobs.len()];
    let (mut keys, mut keyed) = (Vec::new(), Vec::new());
    for (at, blob) in blobs.iter().enumerate() {
        match Place::parse(blob) {
            Ok(Place::Object { name, .. }) => {
                keys.push(shared.key(Kind::Object, name));
                keyed.push(at);
            }
            Ok(Place::Segment(stretch)) => {
                outcomes[at] = mark(shared, stretch).await;
                // Its copy too. If that is retained, the outcome says so.
                if let Some(moved) = shared.moved.follow(stretch) {
                    let copy = mark(shared, moved).await;
                    if copy != Removal::Removed {
                        outcomes[at] = copy;
                    }
                }
            }
            Err(_) => {}
        }
    }
    for (at, outcome) in keyed.into_iter().zip(remove_keys(shared, &keys).await) {
        outcomes[at] = outcome;
    }
    Ok(outcomes)
}

/// Marks an entry of a segment removed: in memory, because an object cannot be changed. A mark lost in a crash costs nothing
/// but space: what is live is known from the metadata.
pub(super) async fn mark(shared: &Shared, at: Stretch) -> Removal {
    shared.segments.mark(at);
    if !shared.bucket_locks.load(Ordering::Relaxed) {
        return Removal::Removed;
    }
    match retained_until(shared, at.segment).await {
        Ok(Some(until)) => Removal::Retained { until },
        Ok(None) => Removal::Removed,
        Err(why) => Removal::Failed(why),
    }
}

/// Until when a lock keeps a segment; `None` when none does (any more).
pub(super) async fn retained_until(shared: &Shared, segment: Name) -> Result<Option<Timestamp>, &'static str> {
    let now = shared.now();
    if let Some(until) = shared.segments.retained(segment)
        && until > now
    {
        return Ok(Some(until));
    }
    let target = Target { key: shared.key(Kind::Segment, segment), version: None };
    match shared.bucket.head(&target).await {
        Ok(Some(head)) if head.held => Err("a hold is on the segment"),
        Ok(Some(head)) => {
            let until = head.retain_until.filter(|until| *until > now);
            if let Some(until) = until {
                shared.segments.note_retained(segment, until);
            }
            Ok(until)
        }
        Ok(None) => Ok(None),
        Err(_) => Err("the object store does not say whether the segment is retained"),
    }
}

/// Removes objects with all their versions. One outcome each, in order.
pub(super) async fn remove_keys(shared: &Shared, keys: &[String]) -> Vec<Removal> {
    let mut outcomes: HashMap<String, Removal> = HashMap::new();
    let mut rest: Vec<String> = keys.to_vec();
    let since = std::time::Instant::now();
    for round in 1..=ROUNDS {
        let (settled, unsettled) = one_round(shared, rest).await;
        outcomes.extend(settled);
        rest = unsettled;
        if rest.is_empty() {
            break;
        }
        match shared.patience.wait(round, since) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => break,
        }
    }
    keys.iter()
        .map(|key| outcomes.get(key).cloned().unwrap_or(Removal::Failed("the object store could not delete it now")))
        .collect()
}

/// Deletes what is there of these keys; gives those that are settled, and those that need another round.
async fn one_round(shared: &Shared, keys: Vec<String>) -> (Vec<(String, Removal)>, Vec<String>) {
    if !shared.bucket.is_versioned() {
        let targets: Vec<Target> = keys.iter().map(|key| Target { key: key.clone(), version: None }).collect();
        let deleted = shared.bucket.delete(&targets).await;
        return sort(shared, targets.into_iter().zip(deleted).collect()).await;
    }
    let Ok(mut versions) = shared.bucket.versions(&keys).await else { return (Vec::new(), keys) };
    let mut settled = Vec::new();
    let mut targets = Vec::new();
    for key in keys {
        let found = versions.remove(&key).unwrap_or_default();
        if found.is_empty() {
            settled.push((key, Removal::Removed));
        } else {
            targets.extend(found.into_iter().map(|found| Target { key: found.key, version: found.version }));
        }
    }
    let deleted = shared.bucket.delete(&targets).await;
    // Gone by the delete's own answer; the next round's listing is what settles it.
    let (refused, mut again) = sort(shared, targets.into_iter().zip(deleted).collect()).await;
    for (key, outcome) in refused {
        if outcome == Removal::Removed {
            again.push(key);
        } else {
            settled.push((key, outcome));
        }
    }
    again.retain(|key| settled.iter().all(|(known, _)| known != key));
    again.sort_unstable();
    again.dedup();
    (settled, again)
}

/// What the outcomes of single deletes mean for their keys: the worst of a key's versions counts.
async fn sort(shared: &Shared, outcomes: Vec<(Target, Deleted)>) -> (Vec<(String, Removal)>, Vec<String>) {
    let mut by_key: HashMap<String, Removal> = HashMap::new();
    let mut again = Vec::new();
    for (target, outcome) in outcomes {
        let removal = match outcome {
            Deleted::Gone => Removal::Removed,
            Deleted::Hidden => {
                if !shared.bucket.versioned.swap(true, Ordering::Relaxed) {
                    tracing::warn!("the bucket keeps versions now; they are removed as well from here on");
                }
                again.push(target.key);
                continue;
            }
            Deleted::Again(_) => {
                again.push(target.key);
                continue;
            }
            Deleted::Refused => match shared.bucket.head(&target).await {
                Ok(Some(head)) if head.held => Removal::Failed("a hold is on the object"),
                Ok(Some(head)) => match head.retain_until.filter(|until| *until > shared.now()) {
                    Some(until) => {
                        shared.bucket_locks.store(true, Ordering::Relaxed);
                        Removal::Retained { until }
                    }
                    None => Removal::Failed("the credentials may not delete it"),
                },
                Ok(None) => Removal::Removed,
                Err(_) => Removal::Failed("the object store refuses to delete it"),
            },
        };
        let so_far = by_key.remove(&target.key).unwrap_or(Removal::Removed);
        by_key.insert(target.key, worse(so_far, removal));
    }
    again.sort_unstable();
    again.dedup();
    let settled = by_key.into_iter().filter(|(key, _)| again.binary_search(key).is_err()).collect();
    (settled, again)
}

fn worse(one: Removal, other: Removal) -> Removal {
    match (one, other) {
        (Removal::Failed(why), _) | (_, Removal::Failed(why)) => Removal::Failed(why),
        (Removal::Retained { until: one }, Removal::Retained { until: other }) => {
            Removal::Retained { until: one.max(other) }
        }
        (Removal::Removed, other) => other,
        (one, Removal::Removed) => one,
    }
}
