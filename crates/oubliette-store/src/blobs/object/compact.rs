//! Giving space back: segments that are mostly dead are written anew, and small ones of a lane joined.
//!
//! What is live is asked of the metadata. That answer is final for a segment older than the margin. In a younger one a blob
//! may be durable whose row is not committed yet: one of this run counts as settled when each of its blobs is either referred
//! to or was removed here; one of another run is left to grow older.
//!
//! A segment whose blobs were moved is not dropped at once: a reader in another process may just have read the old place.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use oubliette_core::ports::{LiveBlobs, PortError, PortErrorKind, Removal, SweepReport};

use super::place::{Kind, Name, Place, Stretch, key_prefix, name_of};
use super::segments::{self, Info};
use super::{Shared, removal};
use crate::blobs::format::{ENTRY_HEADER, Entry, SEGMENT_HEADER, parse_entry, parse_segment_header};

/// Pages of the listing of segments read in one call.
const PAGES: usize = 8;
/// The listing is read anew this often, for segments of other processes.
const LIST_AGAIN: Duration = Duration::from_secs(3600);
/// Segments looked at in one call.
const LOOK_AT: usize = 512;
/// Bytes and segments written anew in one call.
const REWRITE_BYTES: u64 = 64 << 20;
const REWRITE: usize = 256;
/// A lane's segments that are smaller than this part of a full one are joined when there are [`JOIN_FROM`] of them.
const SMALL_PART: u64 = 8;
const JOIN_FROM: usize = 4;
/// However short the margin: a blob of this run may be without its row for this long.
const OWN_MARGIN: Duration = Duration::from_secs(3600);

/// Where the last call ended.
#[derive(Default)]
pub(super) struct Compacting {
    /// Next page of the listing.
    page: Option<String>,
    listed: Option<Instant>,
    at: usize,
}

/// See [`oubliette_core::ports::Blobs::compact`].
pub(super) async fn compact(shared: &Arc<Shared>, live: &dyn LiveBlobs) -> Result<SweepReport, PortError> {
    let mut state = shared.compacting.lock().await;
    discover(shared, &mut state).await?;
    let mut report = SweepReport::default();
    let (candidates, joinable) = candidates(shared, &mut state);
    let (mut drops, mut rewrites, mut bytes) = (Vec::new(), Vec::new(), 0);
    for segment in candidates {
        let Some(census) = census(shared, segment, live).await? else { continue };
        let Some(info) = shared.segments.table().get(&segment).copied() else { continue };
        if census.is_empty() {
            // A reader may still hold a place in it.
            if info.emptied.is_none_or(|emptied| emptied.elapsed() >= shared.options.drop_after) {
                drops.push(segment);
            }
        } else if (mostly_dead(&info) || joinable.contains(&segment.lane_mark()) && is_small(shared, &info))
            && rewrites.len() < REWRITE
            && bytes < REWRITE_BYTES
        {
            // Writing anew what a lock keeps would only add to it.
            let locks = shared.bucket_locks.load(Ordering::Relaxed);
            if locks && removal::retained_until(shared, segment).await != Ok(None) {
                continue;
            }
            bytes += info.size;
            rewrites.push((segment, census));
        }
    }
    // One alone gains nothing by being written anew, unless it is mostly dead.
    let alone: Vec<u32> = rewrites.iter().map(|(segment, _)| segment.lane_mark()).collect();
    rewrites.retain(|(segment, _)| {
        let others = alone.iter().filter(|mark| **mark == segment.lane_mark()).count();
        let dead = shared.segments.table().get(segment).is_some_and(mostly_dead);
        dead || others > 1
    });
    rewrite(shared, rewrites, live).await?;
    drop_segments(shared, drops, &mut report).await;
    Ok(report)
}

/// Learns of segments that other runs wrote, some pages a call.
async fn discover(shared: &Shared, state: &mut Compacting) -> Result<(), PortError> {
    if state.page.is_none() && state.listed.is_some_and(|listed| listed.elapsed() < LIST_AGAIN) {
        return Ok(());
    }
    let prefix = key_prefix(&shared.prefix, Kind::Segment, "");
    for _ in 0..PAGES {
        let page = shared.bucket.list(&prefix, state.page.as_deref()).await;
        let page = page.map_err(|fault| fault.port("list the segments"))?;
        let mut table = shared.segments.table();
        for found in page.found.into_iter().filter(|found| found.latest && !found.marker) {
            let Some(name) = name_of(&shared.prefix, Kind::Segment, &found.key) else { continue };
            table.entry(name).or_insert(Info {
                size: found.size,
                modified: found.modified,
                entries: None,
                live: None,
                retained: None,
                emptied: None,
            });
        }
        state.page = page.next;
        if state.page.is_none() {
            state.listed = Some(Instant::now());
            break;
        }
    }
    Ok(())
}

/// Segments that may be worth a look, and the marks of lanes that have many small ones.
fn candidates(shared: &Shared, state: &mut Compacting) -> (Vec<Name>, BTreeSet<u32>) {
    let table = shared.segments.table();
    let mut small: HashMap<u32, usize> = HashMap::new();
    for (name, _) in table.iter().filter(|(_, info)| info.emptied.is_none() && is_small(shared, info)) {
        *small.entry(name.lane_mark()).or_default() += 1;
    }
    let joinable: BTreeSet<u32> =
        small.into_iter().filter(|(_, count)| *count >= JOIN_FROM).map(|(mark, _)| mark).collect();
    let now = shared.now();
    let mut found: Vec<Name> = table
        .iter()
        .filter(|(name, info)| {
            info.retained.is_none_or(|until| until <= now)
                && (info.live.is_none()
                    || mostly_dead(info)
                    || is_small(shared, info) && joinable.contains(&name.lane_mark()))
        })
        .map(|(name, _)| *name)
        .collect();
    // Segments of a lane stand together, to be joined together.
    found.sort_unstable_by_key(|name| (name.lane_mark(), *name));
    // Begin where the last call ended, so that segments that must be left alone do not stand before all others.
    if found.len() > LOOK_AT {
        let start = state.at % found.len();
        found.rotate_left(start);
        state.at = start + LOOK_AT;
        found.truncate(LOOK_AT);
    }
    (found, joinable)
}

fn is_small(shared: &Shared, info: &Info) -> bool {
    info.size < shared.options.segment_bytes / SMALL_PART
}

fn mostly_dead(info: &Info) -> bool {
    info.live.is_some_and(|live| live * 2 < info.size.saturating_sub(SEGMENT_HEADER).max(1))
}

/// Finds out what of a segment is live. `None` when it must be left alone for now.
async fn census(shared: &Shared, segment: Name, live: &dyn LiveBlobs) -> Result<Option<Vec<Stretch>>, PortError> {
    let referred: Vec<Stretch> = live
        .with_prefix(&Stretch::prefix_of(segment))
        .await?
        .iter()
        .filter_map(|blob| match Place::parse(blob) {
            Ok(Place::Segment(at)) if at.segment == segment => Some(at),
            _ => None,
        })
        .collect();
    let marked = shared.segments.marked(segment);
    if referred.iter().any(|at| marked.contains(&at.offset)) {
        // A removal is under way.
        return Ok(None);
    }
    let own = segment.run() == shared.run;
    let mut table = shared.segments.table();
    let Some(info) = table.get_mut(&segment) else { return Ok(None) };
    let margin = if own { shared.options.margin.max(OWN_MARGIN) } else { shared.options.margin };
    let settled = shared.is_older(info.modified, margin)
        || own && info.entries.is_some_and(|entries| referred.len() + marked.len() == entries);
    if !settled {
        return Ok(None);
    }
    info.live = Some(referred.iter().map(|at| ENTRY_HEADER + at.length).sum());
    Ok(Some(referred))
}

/// A live blob on its way: from where, and its bytes.
type Moving = (Stretch, Bytes);

/// The lane of a segment with its live blobs.
type Read = Result<(u64, Vec<Moving>), PortError>;

/// Copies the live blobs of segments into new ones and has their references switched.
async fn rewrite(
    shared: &Arc<Shared>,
    segments: Vec<(Name, Vec<Stretch>)>,
    live: &dyn LiveBlobs,
) -> Result<(), PortError> {
    let mut reads: Vec<BoxFuture<'_, (Name, Read)>> = Vec::new();
    for (segment, stretches) in segments {
        reads.push(Box::pin(async move { (segment, read_live(shared, segment, &stretches).await) }));
    }
    let mut lanes: HashMap<u64, Vec<Moving>> = HashMap::new();
    let mut emptied = Vec::new();
    let mut reads = stream::iter(reads).buffer_unordered(shared.options.parallel);
    while let Some((segment, read)) = reads.next().await {
        match read {
            Ok((lane, blobs)) => {
                lanes.entry(lane).or_default().extend(blobs);
                emptied.push(segment);
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a segment could not be read and is left alone"
                );
                if error.kind == PortErrorKind::Corrupt {
                    // Not there any more, or damaged: the sweep for leftovers tells of the latter.
                    shared.segments.forget(segment);
                }
            }
        }
    }
    for (lane, moving) in lanes {
        let contents = moving.iter().map(|(_, bytes)| vec![bytes.clone()]).collect();
        let new = segments::append_all(shared, lane, contents).await?;
        for ((from, _), to) in moving.into_iter().zip(new) {
            // Known before the switch, so that who reads the row from now on finds the bytes whichever place it names.
            shared.moved.insert(from, to);
            if live.switch(&Place::Segment(from).to_ref(), &Place::Segment(to).to_ref()).await? {
                shared.segments.mark(from);
            } else {
                shared.moved.forget(from);
                shared.segments.mark(to);
            }
        }
    }
    let mut table = shared.segments.table();
    for segment in emptied {
        if let Some(info) = table.get_mut(&segment) {
            info.emptied = Some(Instant::now());
            info.live = Some(0);
        }
    }
    Ok(())
}

/// The lane of a segment and its blobs at these places.
async fn read_live(shared: &Shared, segment: Name, live: &[Stretch]) -> Read {
    const OPERATION: &str = "copy out of a segment";
    let damaged = || PortError::bare(PortErrorKind::Corrupt, OPERATION);
    let size = shared.segments.table().get(&segment).map_or(0, |info| info.size);
    let bytes = shared.get(&shared.key(Kind::Segment, segment), 0..size).await?;
    let lane = bytes.first_chunk().and_then(parse_segment_header).ok_or_else(damaged)?;
    let part = |from: u64, length: u64| {
        let from = usize::try_from(from).ok()?;
        let to = from.checked_add(usize::try_from(length).ok()?)?;
        (to <= bytes.len()).then(|| bytes.slice(from..to))
    };
    let mut found = Vec::with_capacity(live.len());
    for at in live {
        let header = at.offset.checked_sub(ENTRY_HEADER).and_then(|from| part(from, ENTRY_HEADER));
        if header.and_then(|header| parse_entry(&header)) != Some(Entry::There(at.length)) {
            return Err(damaged());
        }
        found.push((*at, part(at.offset, at.length).ok_or_else(damaged)?));
    }
    Ok((lane, found))
}

/// Drops segments that nobody refers to.
async fn drop_segments(shared: &Shared, segments: Vec<Name>, report: &mut SweepReport) {
    let keys: Vec<String> = segments.iter().map(|segment| shared.key(Kind::Segment, *segment)).collect();
    let outcomes = removal::remove_keys(shared, &keys).await;
    for (segment, outcome) in segments.into_iter().zip(outcomes) {
        match outcome {
            Removal::Removed => {
                report.segments += 1;
                report.bytes += shared.segments.table().get(&segment).map_or(0, |info| info.size);
                shared.segments.forget(segment);
            }
            Removal::Retained { until } => {
                report.retained += 1;
                shared.segments.note_retained(segment, until);
            }
            Removal::Failed(why) => tracing::warn!(why, "a segment could not be dropped"),
        }
    }
}
