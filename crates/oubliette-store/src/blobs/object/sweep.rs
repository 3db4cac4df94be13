//! Leftovers, from both sides: objects that no row refers to, uploads nobody finished, and rows whose bytes are not there.
//!
//! A bucket is looked at part by part: the names that begin with some digits, as few digits as make one page of a listing. Of
//! each part the objects are listed first and the references asked for after that, so that whatever is listed and not
//! referred to was not referred to later either. A call looks at a bounded number of pages and the next goes on from there.

use std::collections::HashMap;

use jiff::Timestamp;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use oubliette_core::ports::{BlobRef, LiveBlobs, PortError, PortErrorKind, Removal, SweepReport};

use super::Shared;
use super::bucket::{Found, Page};
use super::place::{self, Kind, Name, Place, Stretch, key_prefix, name_of, ref_prefix};
use super::removal::remove_keys;

/// Pages listed in one call.
const PAGES: usize = 64;
/// Digits by which references are asked for at least, so that the answer is never all there are.
const DIGITS: usize = 2;
/// Digits of a name.
const ALL_DIGITS: usize = 32;
/// References asked of the metadata at once.
const ASK: usize = 1000;

/// What is still to be looked at: names of a kind that begin with these digits.
#[derive(Default)]
pub(super) struct Sweeping(Vec<(Kind, String)>);

/// What is listed of one name.
struct Listed {
    /// Length of what a read gets; `None` when it gets nothing.
    readable: Option<u64>,
    /// Bytes of all versions.
    bytes: u64,
    newest: Timestamp,
}

/// See [`oubliette_core::ports::Blobs::sweep_orphans`].
pub(super) async fn sweep_orphans(shared: &Shared, live: &dyn LiveBlobs) -> Result<SweepReport, PortError> {
    let mut left = shared.sweeping.lock().await;
    let mut report = SweepReport::default();
    if left.0.is_empty() {
        give_up_uploads(shared, &mut report).await?;
        left.0 = [Kind::Probe, Kind::Segment, Kind::Object].map(|kind| (kind, String::new())).into();
    }
    for _ in 0..PAGES {
        // Taken off only after it was looked at: a failed call looks again.
        let Some((kind, digits)) = left.0.last().cloned() else { break };
        let at = key_prefix(&shared.prefix, kind, &digits);
        let Page { mut found, next } = shared.bucket.list(&at, None).await.map_err(fail)?;
        if next.is_some() && digits.len() < ALL_DIGITS {
            left.0.pop();
            left.0.extend((0..16).rev().map(|digit| (kind, format!("{digits}{digit:x}"))));
            continue;
        }
        if next.is_some() {
            // More versions of one object than a page has.
            found = shared.bucket.list_all(&at).await.map_err(fail)?;
        }
        look_at(shared, live, kind, &digits, found, &mut report).await?;
        left.0.pop();
    }
    report.unfinished = !left.0.is_empty();
    Ok(report)
}

fn fail(fault: super::Fault) -> PortError {
    fault.port("look for leftovers in the bucket")
}

async fn look_at(
    shared: &Shared,
    live: &dyn LiveBlobs,
    kind: Kind,
    digits: &str,
    found: Vec<Found>,
    report: &mut SweepReport,
) -> Result<(), PortError> {
    let mut listed: HashMap<Name, Listed> = HashMap::new();
    for found in found {
        let Some(name) = name_of(&shared.prefix, kind, &found.key) else { continue };
        let entry = listed.entry(name).or_insert(Listed { readable: None, bytes: 0, newest: found.modified });
        entry.bytes += found.size;
        entry.newest = entry.newest.max(found.modified);
        if found.latest && !found.marker {
            entry.readable = Some(found.size);
        }
    }
    let mut referred: HashMap<Name, bool> = HashMap::new();
    let mut suspects = Vec::new();
    if kind != Kind::Probe {
        for blob in references(live, kind, digits).await? {
            let (name, end) = match Place::parse(&blob) {
                Ok(Place::Object { name, length }) => (name, length),
                Ok(Place::Segment(Stretch { segment, offset, length })) => (segment, offset.saturating_add(length)),
                Err(_) => continue,
            };
            referred.insert(name, true);
            let readable = listed.get(&name).and_then(|listed| listed.readable);
            let whole = match kind {
                Kind::Object => readable == Some(end),
                _ => readable.is_some_and(|size| end <= size),
            };
            if !whole {
                suspects.push((blob, name, end));
            }
        }
    }
    report.missing += missing(shared, live, kind, suspects).await?;
    let orphans: Vec<(Name, u64)> = listed
        .into_iter()
        .filter(|(name, listed)| {
            name.run() != shared.run
                && !referred.contains_key(name)
                && shared.is_older(listed.newest, shared.options.margin)
        })
        .map(|(name, listed)| (name, listed.bytes))
        .collect();
    remove_orphans(shared, kind, orphans, report).await;
    Ok(())
}

/// All references whose names begin with these digits.
async fn references(live: &dyn LiveBlobs, kind: Kind, digits: &str) -> Result<Vec<BlobRef>, PortError> {
    let mut parts = vec![digits.to_owned()];
    while parts[0].len() < DIGITS {
        parts = parts.iter().flat_map(|part| (0..16).map(move |digit| format!("{part}{digit:x}"))).collect();
    }
    let mut found = Vec::new();
    for part in parts {
        found.extend(live.with_prefix(&ref_prefix(kind, &part)).await?);
    }
    Ok(found)
}

/// How many of these references are really without their bytes: still referred to, and not there when asked for by name.
async fn missing(
    shared: &Shared,
    live: &dyn LiveBlobs,
    kind: Kind,
    suspects: Vec<(BlobRef, Name, u64)>,
) -> Result<u64, PortError> {
    let mut missing = 0;
    for some in suspects.chunks(ASK) {
        let mut lengths: HashMap<Name, Option<u64>> = HashMap::new();
        for (_, name, _) in some {
            if lengths.contains_key(name) {
                continue;
            }
            let path = Path::from(shared.key(kind, *name));
            let length = match shared.bucket.store.head(&path).await {
                Ok(meta) => Some(meta.size),
                Err(object_store::Error::NotFound { .. }) => None,
                Err(error) => return Err(super::error::not_done("look for leftovers in the bucket")(error)),
            };
            lengths.insert(*name, length);
        }
        let refs: Vec<BlobRef> = some.iter().map(|(blob, ..)| blob.clone()).collect();
        let known = live.live(&refs).await?;
        if known.len() != refs.len() {
            return Err(PortError::bare(PortErrorKind::Refused, "ask which blobs are live"));
        }
        for ((_, name, end), live) in some.iter().zip(known) {
            let there = lengths.get(name).copied().flatten();
            missing += u64::from(live && there.is_none_or(|length| length < *end));
        }
    }
    Ok(missing)
}

async fn remove_orphans(shared: &Shared, kind: Kind, orphans: Vec<(Name, u64)>, report: &mut SweepReport) {
    let keys: Vec<String> = orphans.iter().map(|(name, _)| shared.key(kind, *name)).collect();
    for ((name, bytes), outcome) in orphans.into_iter().zip(remove_keys(shared, &keys).await) {
        match outcome {
            Removal::Removed => {
                report.orphans += 1;
                report.bytes += bytes;
                shared.segments.forget(name);
            }
            Removal::Retained { .. } => report.retained += 1,
            Removal::Failed(why) => tracing::warn!(why, "a leftover could not be removed"),
        }
    }
}

/// Gives up uploads that earlier runs began.
async fn give_up_uploads(shared: &Shared, report: &mut SweepReport) -> Result<(), PortError> {
    let Some(s3) = shared.bucket.s3.as_ref().filter(|_| shared.capabilities.lists_uploads) else { return Ok(()) };
    let mut after = None;
    for _ in 0..PAGES {
        let (uploads, next) = s3.uploads(&shared.prefix, after).await.map_err(fail)?;
        for upload in uploads {
            let kinds = [Kind::Object, Kind::Segment];
            let name = kinds.into_iter().find_map(|kind| place::name_of(&shared.prefix, kind, &upload.key));
            let ours = name.is_some_and(|name| name.run() != shared.run);
            if ours && shared.is_older(upload.begun, shared.options.margin) {
                s3.abort(&upload).await.map_err(fail)?;
                report.orphans += 1;
            }
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    Ok(())
}
