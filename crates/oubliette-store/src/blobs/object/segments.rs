//! Small contents: packed into segments, many to one object.
//!
//! Whoever finishes a blob queues it in its lane. One task a lane takes everything queued, makes an object of it and puts
//! that: a lone blob is put at once, and while one object is under way the next blobs gather. A segment never changes after
//! that; `format` says how it looks.
//!
//! What is dead in a segment is known from the metadata. Removals of this run are remembered beside it, in memory.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use object_store::PutPayload;
use oubliette_core::ports::{PortError, PortErrorKind};
use tokio::sync::oneshot;

use super::place::{Kind, Name, Stretch};
use super::{Shared, large};
use crate::blobs::format::{ENTRY_HEADER, SEGMENT_HEADER, entry_header, segment_header};

/// Most blobs of one segment.
const ENTRIES: usize = 4096;
/// Removals remembered; older ones are forgotten, which costs space until the segment is old enough to be judged without.
const MARKS: usize = 1 << 20;

/// What is known of a segment.
#[derive(Clone, Copy)]
pub(super) struct Info {
    /// Bytes of the object.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: Timestamp,
    /// Blobs in it; known of segments of this run.
    pub entries: Option<usize>,
    /// Bytes of live entries, headers included, as last counted.
    pub live: Option<u64>,
    /// A lock keeps it until then.
    pub retained: Option<Timestamp>,
    /// Its live blobs were moved: it goes some time after.
    pub emptied: Option<Instant>,
}

/// Segments and lanes of this store.
#[derive(Default)]
pub(super) struct Segments {
    table: Mutex<HashMap<Name, Info>>,
    marks: Mutex<Marks>,
    /// Lanes with something queued or under way.
    lanes: Mutex<HashMap<u64, Vec<Pending>>>,
}

#[derive(Default)]
struct Marks {
    of: HashMap<Name, BTreeSet<u64>>,
    count: usize,
}

struct Pending {
    parts: Vec<Bytes>,
    length: u64,
    done: oneshot::Sender<Result<Stretch, PortError>>,
}

impl Segments {
    pub(super) fn table(&self) -> MutexGuard<'_, HashMap<Name, Info>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<u64, Vec<Pending>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks an entry removed.
    pub(super) fn mark(&self, at: Stretch) {
        let mut marks = self.marks();
        if marks.count >= MARKS
            && let Some(any) = marks.of.keys().copied().find(|name| *name != at.segment)
        {
            marks.count -= marks.of.remove(&any).map_or(0, |gone| gone.len());
        }
        if marks.of.entry(at.segment).or_default().insert(at.offset) {
            marks.count += 1;
            drop(marks);
            if let Some(info) = self.table().get_mut(&at.segment) {
                info.live = info.live.map(|live| live.saturating_sub(ENTRY_HEADER + at.length));
            }
        }
    }

    /// Entries of a segment that were marked removed, by offset.
    pub(super) fn marked(&self, segment: Name) -> BTreeSet<u64> {
        self.marks().of.get(&segment).cloned().unwrap_or_default()
    }

    /// Whether an entry was marked removed.
    pub(super) fn is_marked(&self, at: Stretch) -> bool {
        self.marks().of.get(&at.segment).is_some_and(|marked| marked.contains(&at.offset))
    }

    /// The segment is gone.
    pub(super) fn forget(&self, segment: Name) {
        self.table().remove(&segment);
        let mut marks = self.marks();
        marks.count -= marks.of.remove(&segment).map_or(0, |gone| gone.len());
    }

    /// Until when a lock keeps a segment, as far as known.
    pub(super) fn retained(&self, segment: Name) -> Option<Timestamp> {
        self.table().get(&segment).and_then(|info| info.retained)
    }

    /// A lock keeps the segment until then.
    pub(super) fn note_retained(&self, segment: Name, until: Timestamp) {
        if let Some(info) = self.table().get_mut(&segment) {
            info.retained = Some(until);
        }
    }
}

/// Packs a blob into a segment of the lane; durable on return.
pub(super) async fn append(shared: &Arc<Shared>, lane: u64, parts: Vec<Bytes>) -> Result<Stretch, PortError> {
    let place = append_all(shared, lane, vec![parts]).await?.pop();
    place.ok_or_else(|| PortError::bare(PortErrorKind::Unavailable, "pack a blob"))
}

/// Packs blobs into as few segments of the lane as they need; their places, in order. Durable on return.
pub(super) async fn append_all(
    shared: &Arc<Shared>,
    lane: u64,
    blobs: Vec<Vec<Bytes>>,
) -> Result<Vec<Stretch>, PortError> {
    let mut new = Vec::with_capacity(blobs.len());
    let mut waiting = Vec::with_capacity(blobs.len());
    for parts in blobs {
        let length = parts.iter().map(|part| part.len() as u64).sum();
        if u32::try_from(length).is_err() {
            return Err(PortError::bare(PortErrorKind::Refused, "pack a blob"));
        }
        let (done, finished) = oneshot::channel();
        new.push(Pending { parts, length, done });
        waiting.push(finished);
    }
    let idle = {
        let mut lanes = shared.segments.lanes();
        let idle = !lanes.contains_key(&lane);
        lanes.entry(lane).or_default().append(&mut new);
        idle
    };
    if idle {
        tokio::spawn(work(Arc::clone(shared), lane));
    }
    let mut places = Vec::with_capacity(waiting.len());
    for finished in waiting {
        // Whoever is not answered is referred to by nothing.
        let lost = |_| Err(PortError::bare(PortErrorKind::Unavailable, "pack a blob"));
        places.push(finished.await.unwrap_or_else(lost)?);
    }
    Ok(places)
}

/// Puts what is queued until nothing is.
async fn work(shared: Arc<Shared>, lane: u64) {
    let mut guard = Lane { shared: &shared, lane, idle: false };
    while let Some(batch) = take(&shared, lane) {
        let put = put_segment(&shared, lane, &batch).await;
        for (at, pending) in batch.into_iter().enumerate() {
            // Who gave up waiting leaves an entry that nobody refers to.
            let _ = pending.done.send(match &put {
                Ok(places) => Ok(places[at]),
                Err(error) => Err(PortError::bare(error.kind, error.operation)),
            });
        }
    }
    guard.idle = true;
}

/// A task that ends early (its runtime goes away) leaves the lane usable.
struct Lane<'a> {
    shared: &'a Shared,
    lane: u64,
    idle: bool,
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        if !self.idle {
            self.shared.segments.lanes().remove(&self.lane);
        }
    }
}

/// What goes into the next segment; `None` when nothing is queued, and the lane is idle then.
fn take(shared: &Shared, lane: u64) -> Option<Vec<Pending>> {
    let mut lanes = shared.segments.lanes();
    let queue = lanes.get_mut(&lane)?;
    if queue.is_empty() {
        lanes.remove(&lane);
        return None;
    }
    let mut size = SEGMENT_HEADER;
    let fitting = queue.iter().take(ENTRIES).take_while(|pending| {
        size += ENTRY_HEADER + pending.length;
        size <= shared.options.segment_bytes
    });
    let count = fitting.count().max(1);
    Some(queue.drain(..count).collect())
}

/// Puts one segment; gives the places of its blobs.
async fn put_segment(shared: &Shared, lane: u64, batch: &[Pending]) -> Result<Vec<Stretch>, PortError> {
    let segment = Name::of_segment(shared.run, lane, shared.random()?);
    let mut parts = vec![Bytes::copy_from_slice(&segment_header(lane))];
    let mut places = Vec::with_capacity(batch.len());
    let mut size = SEGMENT_HEADER;
    for pending in batch {
        parts.push(Bytes::copy_from_slice(&entry_header(pending.length)));
        parts.extend(pending.parts.iter().filter(|part| !part.is_empty()).cloned());
        size += ENTRY_HEADER;
        places.push(Stretch { segment, offset: size, length: pending.length });
        size += pending.length;
    }
    let payload: PutPayload = parts.into_iter().collect();
    if let Err(error) = large::put_whole(shared, &shared.key(Kind::Segment, segment), payload, size).await {
        tracing::warn!(lane, error = ?error.source, "small contents could not be written");
        return Err(error);
    }
    let info = Info {
        size,
        modified: shared.now(),
        entries: Some(batch.len()),
        live: Some(size - SEGMENT_HEADER),
        retained: None,
        emptied: None,
    };
    shared.segments.table().insert(segment, info);
    Ok(places)
}
