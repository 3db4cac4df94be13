//! Segments that no row refers to any more and that are kept for now, and when they go.
//!
//! Somebody may be copying rows and this folder from outside, file by file: his rows may name what was moved since, and he has
//! the file that took it already. So a segment stays for [`super::LocalOptions::moved_grace`] after something was moved out of it.
//! When that was is told by its last change, so that a restart changes nothing; a clock that was set back keeps it longer.
//!
//! What is kept is room that an erasure was to give back. So it is never more than a part of what is free ([`PART_OF_FREE`]), and
//! nothing once a write found no room: the oldest goes first.
//!
//! Nothing goes that a row names: the rows are asked once more. Until then nobody asks for what is kept.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use oubliette_core::ports::{LiveBlobs, PortError, SweepReport};
use rustix::fs::FallocateFlags;

use super::compact::drop_segment;
use super::files::blocking;
use super::flush::not_done;
use super::place::{FileName, SegmentName};
use super::{Shared, segments};

/// What is kept is at most this part of what is free on its file system,
const PART_OF_FREE: u64 = 4;
/// or so many segments where that cannot be told.
const SEGMENTS: u64 = 16;
/// This part of a segment is left free by what compaction writes, for the rows that it changes and for who stores meanwhile.
const MARGIN: u64 = 4;

impl Shared {
    /// Notes that a write failed for lack of room, if that is why.
    pub(super) fn note_failed(&self, error: &io::Error) {
        if is_lack_of_room(error) {
            self.full.store(true, Ordering::Relaxed);
        }
    }
}

fn is_lack_of_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What becomes of a segment that no row refers to: it is dropped, or kept for now. Bytes given back.
pub(super) async fn emptied(shared: &Arc<Shared>, segment: SegmentName) -> Result<Option<u64>, PortError> {
    match kept_since(shared, segment).await? {
        None => drop_segment(shared, segment).await.map(Some),
        Some(since) => {
            if let Some(info) = shared.segments.table().get_mut(&segment) {
                info.kept = Some(since);
            }
            Ok(None)
        }
    }
}

/// When a segment was emptied for which the time is not over.
async fn kept_since(shared: &Arc<Shared>, segment: SegmentName) -> Result<Option<SystemTime>, PortError> {
    let (shared, grace) = (Arc::clone(shared), shared.options.moved_grace);
    if grace.is_zero() {
        return Ok(None);
    }
    let look = move || -> io::Result<Option<SystemTime>> {
        let file = segments::open(&shared, segment)?;
        let moved = {
            let _marking = shared.marking.lock().unwrap_or_else(PoisonError::into_inner);
            segments::mark_rest_moved(&file)?
        };
        let since = file.metadata()?.modified()?;
        let over = since.elapsed().is_ok_and(|age| age >= grace);
        Ok((moved && !over).then_some(since))
    };
    blocking("look when a segment was emptied", move || match look() {
        Err(error) if error.kind() == io::ErrorKind::NotFound || is_lack_of_room(&error) => Ok(None),
        looked => looked.map_err(not_done("look when a segment was emptied")),
    })
    .await
}

/// Drops what was kept long enough, and of the rest the oldest, until no more is kept than may be and `needed` bytes can be
/// written. Whether they can. Adds to `report` what it did.
pub(super) async fn release(
    shared: &Arc<Shared>,
    live: &dyn LiveBlobs,
    needed: u64,
    report: &mut SweepReport,
) -> Result<bool, PortError> {
    let segment_bytes = shared.options.segment_bytes;
    let mut kept: Vec<(SystemTime, SegmentName, u64)> = {
        let table = shared.segments.table();
        table.iter().filter_map(|(name, info)| info.kept.map(|since| (since, *name, info.length))).collect()
    };
    kept.sort_unstable();
    let mut total: u64 = kept.iter().map(|(.., length)| length).sum();
    let mut free = free(shared).await?;
    let full = shared.full.swap(false, Ordering::Relaxed);
    let needed = if needed == 0 { 0 } else { needed + segment_bytes / MARGIN };
    let mut room = has_room(shared, needed).await?;
    let mut early = 0;
    for (since, segment, length) in kept {
        let over = since.elapsed().is_ok_and(|age| age >= shared.options.moved_grace);
        let most = free.map_or(SEGMENTS * segment_bytes, |free| free / PART_OF_FREE);
        let short = full || !room || total > most;
        if !over && !short {
            break;
        }
        total = total.saturating_sub(length);
        if !live.with_prefix(&segment.prefix()).await?.is_empty() {
            // A row names it after all (of an older copy that was put back): looked at like any other from now on.
            if let Some(info) = shared.segments.table().get_mut(&segment) {
                (info.kept, info.live) = (None, None);
            }
            continue;
        }
        let bytes = drop_segment(shared, segment).await?;
        // Counted rather than asked for: some file systems give room back a while later.
        free = free.map(|free| free + bytes);
        room = room || has_room(shared, needed).await?;
        report.segments += 1;
        report.bytes += bytes;
        early += u64::from(!over);
    }
    if early > 0 {
        tracing::warn!(
            segments = early,
            "too little room on the disk: what contents were moved out of is given back before its time, and a copy of the \
             folder that somebody is making may lack them"
        );
    }
    Ok(room)
}

/// Whether this process can write so much: quotas and what is kept back for root count, so it is tried.
async fn has_room(shared: &Arc<Shared>, needed: u64) -> Result<bool, PortError> {
    if needed == 0 {
        return Ok(true);
    }
    let shared = Arc::clone(shared);
    blocking("look for room in the blob folder", move || {
        // Named like what a crash leaves behind.
        let path = FileName::new(shared.run, shared.random()?).temporary_path(&shared.root);
        let set_aside = || -> io::Result<()> {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            Ok(rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, needed)?)
        };
        let lacking = set_aside().is_err_and(|error| is_lack_of_room(&error));
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(not_done("look for room in the blob folder")(error))
            }
            // Where nothing can be set aside the write will tell.
            _ => Ok(!lacking),
        }
    })
    .await
}

/// Bytes free on the store's file system, for whoever is not root. `None` where it does not tell.
async fn free(shared: &Arc<Shared>) -> Result<Option<u64>, PortError> {
    let shared = Arc::clone(shared);
    blocking("look how much room is left", move || {
        let disk = rustix::fs::statvfs(&shared.root).ok().filter(|disk| disk.f_blocks > 0);
        Ok(disk.map(|disk| disk.f_bavail * disk.f_frsize))
    })
    .await
}
