//! Giving space back: segments that are mostly dead, and what crashes left behind.
//!
//! What is live is asked of the metadata. That answer is final for segments and files of earlier runs: whatever those runs
//! acknowledged is committed or never will be. For a segment of *this* run a blob may be durable whose row is not committed
//! yet, so an entry counts as dead only when it was removed explicitly, and a segment with an entry that is neither removed
//! nor referred to is left alone until the next time.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::future::join_all;
use oubliette_core::ports::{BlobRef, LiveBlobs, PortError, PortErrorKind, SweepReport};

use super::files::blocking;
use super::flush::{not_done, unknown};
use super::place::{FileName, Place, SegmentName, Stretch, folder_path};
use super::segments::{self, Info};
use super::{Shared, kept, removal};
use crate::blobs::format::{ENTRY_HEADER, Entry, SEGMENT_HEADER};

/// Segments looked at in one call.
const LOOK_AT: usize = 64;
/// Segments rewritten in one call.
const REWRITE: usize = 4;
/// Bytes copied at once.
const COPY_BYTES: u64 = 4 << 20;
/// A lane's segments of earlier runs that are smaller than this part of a full one are joined when there are
/// [`JOIN_FROM`] of them.
const SMALL_PART: u64 = 8;
const JOIN_FROM: usize = 4;
/// References asked of the metadata at once.
const ASK: usize = 1000;

/// See [`oubliette_core::ports::Blobs::compact`].
pub(super) async fn compact(shared: &Arc<Shared>, live: &dyn LiveBlobs) -> Result<SweepReport, PortError> {
    shared.segments.retire_dead();
    let mut report = SweepReport::default();
    kept::release(shared, live, 0, &mut report).await?;
    let (mut rewritten, mut failed, mut no_room) = (0, None, false);
    for segment in candidates(shared) {
        if rewritten == REWRITE {
            break;
        }
        let Some(census) = census(shared, segment, live).await? else { continue };
        if census.live.is_empty() {
            given_back(&mut report, kept::emptied(shared, segment).await?);
        } else if census.worth_it && failed.is_none() {
            let bytes = census.live.iter().map(|at| ENTRY_HEADER + at.length).sum();
            if !kept::release(shared, live, bytes, &mut report).await? {
                no_room = true;
                continue;
            }
            rewritten += 1;
            // What is wholly dead after it needs no room, and may be what makes some.
            match rewrite(shared, segment, census, live).await {
                Ok(bytes) => given_back(&mut report, bytes),
                Err(error) => failed = Some(error),
            }
        }
    }
    kept::release(shared, live, 0, &mut report).await?;
    if no_room {
        tracing::warn!("too little room on the disk to rewrite segments that are mostly dead");
    }
    failed.map_or(Ok(report), Err)
}

fn given_back(report: &mut SweepReport, bytes: Option<u64>) {
    if let Some(bytes) = bytes {
        report.segments += 1;
        report.bytes += bytes;
    }
}

/// Segments that may be worth a look: not counted yet, mostly dead, or small ones of a lane that has many. None that is kept.
fn candidates(shared: &Shared) -> Vec<SegmentName> {
    let table = shared.segments.table();
    let small = |info: &Info| info.length < shared.options.segment_bytes / SMALL_PART;
    let mut small_ones: HashMap<u64, usize> = HashMap::new();
    for (name, info) in table.iter() {
        if name.run() != shared.run
            && info.kept.is_none()
            && small(info)
            && let Some(lane) = info.lane
        {
            *small_ones.entry(lane).or_default() += 1;
        }
    }
    let join = |name: &SegmentName, info: &Info| {
        name.run() != shared.run
            && small(info)
            && info.lane.and_then(|lane| small_ones.get(&lane)).is_some_and(|count| *count >= JOIN_FROM)
    };
    let mut found: Vec<SegmentName> = table
        .iter()
        .filter(|(name, info)| {
            !info.active
                && info.kept.is_none()
                && (info.live.is_none_or(|live| mostly_dead(info, live)) || join(name, info))
        })
        .map(|(name, _)| *name)
        .collect();
    found.sort_unstable();
    // Begin where the last call ended, so that segments that must be left alone do not stand before all others.
    if !found.is_empty() {
        let start = shared.compact_cursor.fetch_add(LOOK_AT, Ordering::Relaxed) % found.len();
        found.rotate_left(start);
    }
    found.truncate(LOOK_AT);
    found
}

fn mostly_dead(info: &Info, live: u64) -> bool {
    live * 2 < info.length.saturating_sub(SEGMENT_HEADER).max(1)
}

struct Census {
    lane: u64,
    live: Vec<Stretch>,
    worth_it: bool,
}

/// Finds out what of a segment is live. `None` when it must be left alone for now.
async fn census(shared: &Arc<Shared>, segment: SegmentName, live: &dyn LiveBlobs) -> Result<Option<Census>, PortError> {
    let Some(info) = shared.segments.table().get(&segment).copied() else { return Ok(None) };
    let referred: Vec<Stretch> = live
        .with_prefix(&segment.prefix())
        .await?
        .iter()
        .filter_map(|blob| match Place::parse(blob) {
            Ok(Place::Segment(at)) if at.segment == segment => Some(at),
            _ => None,
        })
        .collect();
    let own = segment.run() == shared.run;
    let checked = blocking("look through a segment", {
        let shared = Arc::clone(shared);
        move || Ok(check(&shared, segment, info, own, referred))
    })
    .await?;
    let Ok(Some((lane, stretches))) = checked else {
        if checked.is_err() {
            tracing::warn!(%segment, "a segment could not be looked through and is left alone");
        }
        return Ok(None);
    };
    let bytes = stretches.iter().map(|at| ENTRY_HEADER + at.length).sum();
    let mut table = shared.segments.table();
    let Some(entry) = table.get_mut(&segment) else { return Ok(None) };
    let first_time = entry.live.is_none();
    entry.lane = Some(lane);
    entry.live = Some(bytes);
    let worth_it = mostly_dead(entry, bytes) || (!first_time && !own);
    Ok(Some(Census { lane, live: stretches, worth_it }))
}

/// Compares what the metadata refers to with the entries themselves. `None` when they do not settle it yet.
fn check(
    shared: &Shared,
    segment: SegmentName,
    info: Info,
    own: bool,
    referred: Vec<Stretch>,
) -> io::Result<Option<(u64, Vec<Stretch>)>> {
    let file = segments::open(shared, segment)?;
    let lane = match segments::read_lane(&file) {
        Ok(lane) => lane,
        // A crash before the first flush: nothing in it was ever acknowledged.
        Err(_) if referred.is_empty() && !own => return Ok(Some((0, referred))),
        Err(error) => return Err(error),
    };
    for at in &referred {
        match segments::entry_at(&file, *at)? {
            // A row of an older copy may name what was moved since.
            Some(Entry::There(_) | Entry::Moved(_)) => {}
            // Removed but still referred to: a removal under way. Or no entry at all: damaged. Either way hands off.
            Some(Entry::Removed(_)) | None => return Ok(None),
        }
    }
    if own {
        let known: HashSet<Stretch> = referred.iter().copied().collect();
        let entries = segments::entries(&file, segment, info.length)?;
        if entries.iter().any(|(at, entry)| matches!(entry, Entry::There(_)) && !known.contains(at)) {
            return Ok(None);
        }
    }
    Ok(Some((lane, referred)))
}

/// Copies the live blobs of a segment elsewhere, has their references switched, and drops it. `None` when it stays for now:
/// some reference could not be settled, or the time is not over for which it is kept.
async fn rewrite(
    shared: &Arc<Shared>,
    segment: SegmentName,
    census: Census,
    live: &dyn LiveBlobs,
) -> Result<Option<u64>, PortError> {
    let mut copied = 0;
    let mut rest = &census.live[..];
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest.iter().take_while(|at| {
            bytes += at.length;
            bytes <= COPY_BYTES
        });
        let (some, others) = rest.split_at(fitting.count().max(1));
        rest = others;
        let contents = read_all(shared, segment, some.to_vec()).await?;
        let new = copy(shared, census.lane, contents).await?;
        shared.options.probe.reached("blob.compact_copied");
        let mut pairs = some.iter().zip(new);
        while let Some((from, to)) = pairs.next() {
            let (old, new) = (Place::Segment(*from), Place::Segment(to));
            // Known before the switch, so that who reads the row from now on finds the bytes whichever place it names.
            shared.moved.insert(*from, to);
            match live.switch(&old.to_ref(), &new.to_ref()).await {
                Ok(true) => {
                    copied += ENTRY_HEADER + to.length;
                    removal::mark_moved(shared, *from).await?;
                }
                Ok(false) => {
                    shared.moved.forget(*from);
                    removal::mark(shared, vec![to]).await?;
                }
                // Which place its row names is not known; the copies after it are named by none.
                Err(error) => {
                    removal::mark(shared, pairs.map(|(_, to)| to).collect()).await?;
                    return Err(error);
                }
            }
        }
        shared.options.probe.reached("blob.compact_switched");
    }
    // Asked once more: only a segment nobody refers to may go.
    if !live.with_prefix(&segment.prefix()).await?.is_empty() {
        return Ok(None);
    }
    Ok(kept::emptied(shared, segment).await?.map(|bytes| bytes.saturating_sub(copied)))
}

/// Appends contents to the lane: all of them, or what was appended of them is dead again.
async fn copy(shared: &Arc<Shared>, lane: u64, contents: Vec<Bytes>) -> Result<Vec<Stretch>, PortError> {
    let appends = contents.into_iter().map(|bytes| segments::append(shared, lane, vec![bytes]));
    let (mut new, mut failed) = (Vec::new(), None);
    for appended in join_all(appends).await {
        match appended {
            Ok(at) => new.push(at),
            Err(error) => failed = Some(error),
        }
    }
    let Some(error) = failed else { return Ok(new) };
    removal::mark(shared, new).await?;
    Err(error)
}

async fn read_all(
    shared: &Arc<Shared>,
    segment: SegmentName,
    stretches: Vec<Stretch>,
) -> Result<Vec<Bytes>, PortError> {
    let shared = Arc::clone(shared);
    blocking("copy out of a segment", move || {
        let read = || -> io::Result<Vec<Bytes>> {
            let file = segments::open(&shared, segment)?;
            let one = |at: &Stretch| {
                let mut bytes = vec![0; usize::try_from(at.length).map_err(|_| io::ErrorKind::InvalidData)?];
                file.read_exact_at(&mut bytes, at.offset)?;
                Ok(Bytes::from(bytes))
            };
            stretches.iter().map(one).collect()
        };
        read().map_err(not_done("copy out of a segment"))
    })
    .await
}

/// Unlinks a segment durably; gives its length.
pub(super) async fn drop_segment(shared: &Arc<Shared>, segment: SegmentName) -> Result<u64, PortError> {
    let shared = Arc::clone(shared);
    blocking("drop a segment", move || {
        let path = segment.path(&shared.root);
        let length = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(not_done("drop a segment")(error)),
            _ => {}
        }
        shared.options.probe.reached("blob.segment_dropped");
        let folder = shared.root.join("s");
        shared.folders.flush(&*shared.options.flush, &folder).map_err(unknown("flush the folder of segments"))?;
        shared.segments.table().remove(&segment);
        shared.segment_files.forget(segment);
        Ok(length)
    })
    .await
}

/// See [`oubliette_core::ports::Blobs::sweep_orphans`].
pub(super) async fn sweep_orphans(shared: &Arc<Shared>, live: &dyn LiveBlobs) -> Result<SweepReport, PortError> {
    let mut report = SweepReport::default();
    let temporary = list(shared.root.join("tmp")).await?;
    for name in temporary.into_iter().filter(|name| name.run() != shared.run) {
        let removed = blocking("remove a leftover", {
            let path = name.temporary_path(&shared.root);
            move || Ok(unlinked(&path))
        });
        count(&mut report, removed.await?);
    }
    for folder in 0..=u8::MAX {
        let mut names = list(folder_path(&shared.root, folder)).await?;
        names.retain(|name| name.run() != shared.run);
        for some in names.chunks(ASK) {
            let refs: Vec<BlobRef> = some.iter().map(|name| Place::File(*name).to_ref()).collect();
            let known = live.live(&refs).await?;
            if known.len() != refs.len() {
                return Err(PortError::bare(PortErrorKind::Refused, "ask which blobs are live"));
            }
            let orphans: Vec<FileName> =
                some.iter().zip(known).filter(|(_, live)| !live).map(|(name, _)| *name).collect();
            for name in orphans {
                let removed = blocking("remove an orphan", {
                    let (shared, path) = (Arc::clone(shared), name.path(&shared.root));
                    move || {
                        let removed = unlinked(&path);
                        shared.files.forget(name);
                        Ok(removed)
                    }
                });
                count(&mut report, removed.await?);
            }
        }
    }
    let old: Vec<SegmentName> = {
        let table = shared.segments.table();
        let old = table.iter().filter(|(name, info)| name.run() != shared.run && info.kept.is_none());
        old.map(|(name, _)| *name).collect()
    };
    for segment in old {
        if live.with_prefix(&segment.prefix()).await?.is_empty() {
            count(&mut report, kept::emptied(shared, segment).await?);
        }
    }
    kept::release(shared, live, 0, &mut report).await?;
    Ok(report)
}

fn count(report: &mut SweepReport, removed: Option<u64>) {
    if let Some(bytes) = removed {
        report.orphans += 1;
        report.bytes += bytes;
    }
}

fn unlinked(path: &std::path::Path) -> Option<u64> {
    let length = std::fs::metadata(path).ok()?.len();
    std::fs::remove_file(path).ok()?;
    Some(length)
}

async fn list(folder: std::path::PathBuf) -> Result<Vec<FileName>, PortError> {
    blocking("list a blob folder", move || {
        let entries = std::fs::read_dir(folder).map_err(not_done("list a blob folder"))?;
        Ok(entries.filter_map(|entry| FileName::parse(entry.ok()?.file_name().to_str()?)).collect())
    })
    .await
}
