//! Small contents: appended to segments, many to one flush.
//!
//! `format` says how a segment looks. Each lane appends to one segment at a time, and only to segments of this run. Whoever finishes a
//! blob queues it; one worker a lane takes everything queued, writes it and flushes once for all. Bytes of a write or flush
//! that failed are never referred to; after a failed flush the segment takes no more.
//!
//! A removal marks the entry, unflushed: a mark lost in a crash costs nothing but space, because what is live is known from
//! [`oubliette_core::ports::LiveBlobs`]. Bytes are given back by whole segments (`compact`).

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use oubliette_core::ports::{PortError, PortErrorKind};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::Shared;
use super::flush::{not_done, unknown};
use super::place::{SegmentName, Stretch};
use crate::blobs::format::{
    ENTRY_HEADER, Entry, SEGMENT_HEADER, entry_header, parse_entry, parse_segment_header, segment_header,
};

/// Most bytes that one flush covers.
const BATCH_BYTES: u64 = 16 << 20;
/// Bytes gathered for one write.
const WRITE_BYTES: usize = 1 << 20;
/// Where an entry's header has its state, and the state of a moved one.
const STATE: u64 = 8;
const MOVED: u8 = 2;

/// What is known of a segment.
#[derive(Clone, Copy)]
pub(super) struct Info {
    /// Its lane; `None` for one of an earlier run whose header was not read yet.
    pub lane: Option<u64>,
    /// Bytes of the file that count.
    pub length: u64,
    /// Bytes of live entries, headers included; `None` for one of an earlier run that was not counted yet.
    pub live: Option<u64>,
    /// A lane appends to it.
    pub active: bool,
    /// When it was emptied, of one that no row refers to and that is kept for now (`kept`).
    pub kept: Option<SystemTime>,
}

/// Segments and lanes of this store.
#[derive(Default)]
pub(super) struct Segments {
    table: Mutex<HashMap<SegmentName, Info>>,
    lanes: Mutex<HashMap<u64, Arc<Lane>>>,
    next: AtomicU32,
}

struct Lane {
    number: u64,
    state: Mutex<LaneState>,
}

#[derive(Default)]
struct LaneState {
    queue: Vec<Pending>,
    /// A worker is at it.
    busy: bool,
    active: Option<Active>,
}

#[derive(Clone, Copy)]
struct Active {
    segment: SegmentName,
    end: u64,
    /// Its name was flushed.
    named: bool,
}

struct Pending {
    parts: Vec<Bytes>,
    length: u64,
    done: oneshot::Sender<Result<Stretch, PortError>>,
}

impl Segments {
    pub(super) fn table(&self) -> MutexGuard<'_, HashMap<SegmentName, Info>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lane(&self, number: u64) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(number).or_insert_with(|| Arc::new(Lane { number, state: Mutex::default() }));
        Arc::clone(lane)
    }

    /// Lets idle lanes give up active segments that are mostly dead, so that these can be compacted.
    pub(super) fn retire_dead(&self) {
        let lanes: Vec<_> = self.lanes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for lane in lanes {
            let mut state = lane.lock();
            if state.busy {
                continue;
            }
            let Some(active) = state.active else { continue };
            if let Some(info) = self.table().get_mut(&active.segment)
                && info.live.is_some_and(|live| live * 2 < info.length - SEGMENT_HEADER)
            {
                info.active = false;
                state.active = None;
            }
        }
    }

    /// Notes that `bytes` of a segment's live entries are dead now.
    pub(super) fn note_dead(&self, segment: SegmentName, bytes: u64) {
        if let Some(info) = self.table().get_mut(&segment) {
            info.live = info.live.map(|live| live.saturating_sub(bytes));
        }
    }
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a blob; whether a worker must be started for it.
    fn enqueue(&self, pending: Pending) -> bool {
        let mut state = self.lock();
        state.queue.push(pending);
        !std::mem::replace(&mut state.busy, true)
    }
}

/// Appends a blob to the lane's segment; durable on return.
pub(super) async fn append(shared: &Arc<Shared>, lane: u64, parts: Vec<Bytes>) -> Result<Stretch, PortError> {
    let length = parts.iter().map(|part| part.len() as u64).sum();
    if u32::try_from(length).is_err() {
        return Err(PortError::bare(PortErrorKind::Refused, "append to a segment"));
    }
    let lane = shared.segments.lane(lane);
    let (done, finished) = oneshot::channel();
    if lane.enqueue(Pending { parts, length, done }) {
        let (shared, lane) = (Arc::clone(shared), Arc::clone(&lane));
        drop(spawn_blocking(move || work(&shared, &lane)));
    }
    let lost = |_| Err(PortError::bare(PortErrorKind::Unknown, "append to a segment"));
    finished.await.unwrap_or_else(lost)
}

/// Takes what is queued until nothing is.
fn work(shared: &Shared, lane: &Lane) {
    let guard = Worker(lane);
    loop {
        let mut state = lane.lock();
        if state.queue.is_empty() {
            state.busy = false;
            std::mem::forget(guard);
            return;
        }
        let mut bytes = 0;
        let fitting = state.queue.iter().take_while(|pending| {
            bytes += ENTRY_HEADER + pending.length;
            bytes <= BATCH_BYTES
        });
        let count = fitting.count().max(1);
        let mut batch: Vec<Pending> = state.queue.drain(..count).collect();
        let mut active = state.active;
        drop(state);
        while !batch.is_empty() {
            match room(shared, lane, &mut active, &batch[0]) {
                Ok(segment) => {
                    let rest = batch.split_off(how_many_fit(shared, &segment, &batch));
                    write_batch(shared, lane, &mut active, segment, std::mem::replace(&mut batch, rest));
                }
                Err(error) => {
                    let rest = batch.split_off(1);
                    let first = std::mem::replace(&mut batch, rest);
                    answer(first, |_| Err(PortError::bare(error.kind, error.operation)));
                }
            }
        }
        lane.lock().active = active;
    }
}

/// A worker that panics (a probe of a test may) answers *unknown* to all who wait, and leaves the lane usable.
struct Worker<'a>(&'a Lane);

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.busy = false;
        state.active = None;
        state.queue.clear();
    }
}

fn how_many_fit(shared: &Shared, segment: &Active, batch: &[Pending]) -> usize {
    let mut end = segment.end;
    let fitting = batch.iter().take_while(|pending| {
        end += ENTRY_HEADER + pending.length;
        end <= shared.options.segment_bytes
    });
    fitting.count().max(1)
}

/// The segment to append to: the active one if the blob fits, else a new one.
fn room(shared: &Shared, lane: &Lane, active: &mut Option<Active>, first: &Pending) -> Result<Active, PortError> {
    if let Some(current) = *active {
        let fits = current.end + ENTRY_HEADER + first.length <= shared.options.segment_bytes;
        if fits || current.end == SEGMENT_HEADER {
            return Ok(current);
        }
        retire(shared, active);
    }
    let segment = SegmentName::new(shared.run, shared.segments.next.fetch_add(1, Ordering::Relaxed));
    let path = segment.path(&shared.root);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
    let file = file.inspect_err(|error| shared.note_failed(error)).map_err(not_done("create a segment"))?;
    if let Err(error) = file.write_all_at(&segment_header(lane.number), 0) {
        let _ = std::fs::remove_file(&path);
        shared.note_failed(&error);
        return Err(not_done("begin a segment")(error));
    }
    let info = Info { lane: Some(lane.number), length: SEGMENT_HEADER, live: Some(0), active: true, kept: None };
    shared.segments.table().insert(segment, info);
    let new = Active { segment, end: SEGMENT_HEADER, named: false };
    *active = Some(new);
    Ok(new)
}

fn retire(shared: &Shared, active: &mut Option<Active>) {
    if let Some(old) = active.take()
        && let Some(info) = shared.segments.table().get_mut(&old.segment)
    {
        info.active = false;
    }
}

/// Writes a batch into one segment, flushes, and answers everyone who waits for it.
fn write_batch(shared: &Shared, lane: &Lane, active: &mut Option<Active>, mut segment: Active, batch: Vec<Pending>) {
    let (probe, flush) = (&shared.options.probe, &shared.options.flush);
    let start = segment.end;
    let written = open(shared, segment.segment).and_then(|file| {
        write_entries(&file, start, &batch)?;
        Ok(file)
    });
    let file = match written {
        Ok(file) => file,
        Err(error) => {
            // The end did not move: the next batch overwrites what was written of this one. Give its space back meanwhile.
            let _ = open(shared, segment.segment).and_then(|file| file.set_len(start));
            shared.note_failed(&error);
            let error = not_done("write to a segment")(error);
            tracing::warn!(lane = lane.number, error = ?error.source, "small contents could not be written");
            answer(batch, |_| Err(PortError::bare(error.kind, error.operation)));
            return;
        }
    };
    probe.reached("blob.before_flush");
    let mut flushed = flush.data(&file);
    if flushed.is_ok() && !segment.named {
        flushed = shared.folders.flush(&**flush, &shared.root.join("s"));
    }
    if let Err(error) = flushed {
        let error = unknown("flush a segment")(error);
        tracing::error!(lane = lane.number, error = ?error.source, "a segment could not be flushed");
        retire(shared, active);
        answer(batch, |_| Err(PortError::bare(error.kind, error.operation)));
        return;
    }
    probe.reached("blob.after_flush");
    segment.named = true;
    segment.end += batch.iter().map(|pending| ENTRY_HEADER + pending.length).sum::<u64>();
    *active = Some(segment);
    if let Some(info) = shared.segments.table().get_mut(&segment.segment) {
        info.length = segment.end;
        info.live = info.live.map(|live| live + (segment.end - start));
    }
    let mut at = start;
    answer(batch, |length| {
        let offset = at + ENTRY_HEADER;
        at = offset + length;
        Ok(Stretch { segment: segment.segment, offset, length })
    });
}

fn answer(batch: Vec<Pending>, mut outcome: impl FnMut(u64) -> Result<Stretch, PortError>) {
    for pending in batch {
        // Who gave up waiting leaves an entry that nobody refers to: space until the next run.
        let _ = pending.done.send(outcome(pending.length));
    }
}

fn write_entries(file: &File, mut at: u64, batch: &[Pending]) -> io::Result<()> {
    let mut buffer = Vec::new();
    for pending in batch {
        buffer.extend_from_slice(&entry_header(pending.length));
        for part in &pending.parts {
            buffer.extend_from_slice(part);
        }
        if buffer.len() >= WRITE_BYTES {
            file.write_all_at(&buffer, at)?;
            at += buffer.len() as u64;
            buffer.clear();
        }
    }
    file.write_all_at(&buffer, at)
}

/// The lane of a segment, read from its header.
pub(super) fn read_lane(file: &File) -> io::Result<u64> {
    let mut header = [0; SEGMENT_HEADER as usize];
    file.read_exact_at(&mut header, 0)?;
    parse_segment_header(&header).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Opens a segment, from the cache of open files.
pub(super) fn open(shared: &Shared, segment: SegmentName) -> io::Result<Arc<File>> {
    shared.segment_files.get(segment, || OpenOptions::new().read(true).write(true).open(segment.path(&shared.root)))
}

/// The entry a reference names.
pub(super) fn entry_at(file: &File, at: Stretch) -> io::Result<Option<Entry>> {
    let Some(header_at) = at.offset.checked_sub(ENTRY_HEADER) else { return Ok(None) };
    let mut header = [0; ENTRY_HEADER as usize];
    file.read_exact_at(&mut header, header_at)?;
    Ok(parse_entry(&header).filter(|entry| entry.length() == at.length))
}

/// Marks an entry removed. The caller read it as there.
pub(super) fn mark_removed(file: &File, at: Stretch) -> io::Result<()> {
    file.write_all_at(&[1], at.offset - ENTRY_HEADER + STATE)
}

/// Marks an entry moved: its copy is durable elsewhere. The caller read it as there.
pub(super) fn mark_moved(file: &File, at: Stretch) -> io::Result<()> {
    file.write_all_at(&[MOVED], at.offset - ENTRY_HEADER + STATE)
}

/// Marks what is still there of a segment that no row refers to as moved: a crash may have come before the mark, or taken it.
/// Whether something was moved out of it. Ends where its entries do, or where a crash cut it.
pub(super) fn mark_rest_moved(file: &File) -> io::Result<bool> {
    let end = file.metadata()?.len();
    let mut moved = false;
    let mut at = SEGMENT_HEADER;
    while at + ENTRY_HEADER <= end {
        let mut header = [0; ENTRY_HEADER as usize];
        file.read_exact_at(&mut header, at)?;
        let Some(entry) = parse_entry(&header) else { break };
        let next = at + ENTRY_HEADER + entry.length();
        match entry {
            Entry::Moved(_) => moved = true,
            Entry::There(_) if next <= end => {
                file.write_all_at(&[MOVED], at + STATE)?;
                moved = true;
            }
            Entry::There(_) | Entry::Removed(_) => {}
        }
        at = next;
    }
    Ok(moved)
}

/// All entries of a segment up to `end`.
pub(super) fn entries(file: &File, segment: SegmentName, end: u64) -> io::Result<Vec<(Stretch, Entry)>> {
    let mut found = Vec::new();
    let mut at = SEGMENT_HEADER;
    while at < end {
        let mut header = [0; ENTRY_HEADER as usize];
        file.read_exact_at(&mut header, at)?;
        let entry = parse_entry(&header).ok_or(io::ErrorKind::InvalidData)?;
        let length = entry.length();
        let offset = at + ENTRY_HEADER;
        found.push((Stretch { segment, offset, length }, entry));
        at = offset + length;
    }
    Ok(found)
}
