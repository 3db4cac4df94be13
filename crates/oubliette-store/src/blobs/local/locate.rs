//! Where small contents lie now: for a row of an older copy of the metadata, whose segment was compacted since.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use oubliette_core::ports::{BlobRef, PortError};

use super::files::blocking;
use super::flush::not_done;
use super::place::{Place, SegmentName, Stretch};
use super::{Shared, segments};
use crate::blobs::format::{ENTRY_HEADER, Entry, SEGMENT_HEADER, parse_entry};

/// See [`oubliette_core::ports::Blobs::look_through`].
pub(super) async fn look_through(
    shared: &Arc<Shared>,
    head: usize,
    found: &mut (dyn FnMut(BlobRef, Bytes) + Send),
) -> Result<(), PortError> {
    let mut names: Vec<SegmentName> = shared.segments.table().keys().copied().collect();
    names.sort_unstable();
    // First where blobs lie, then where they lay: a copy of this folder may have been made between their move and what it took.
    for wanted in [|entry| matches!(entry, Entry::There(_)), |entry| matches!(entry, Entry::Moved(_))] {
        for segment in names.iter().copied() {
            let shared = Arc::clone(shared);
            let entries = blocking("look through a segment", move || {
                heads(&shared, segment, head, wanted).map_err(not_done("look through a segment"))
            });
            for (at, bytes) in entries.await? {
                found(Place::Segment(at).to_ref(), bytes.into());
            }
        }
    }
    Ok(())
}

/// The wanted entries of a segment, with their first bytes. Ends where the segment does, or where a crash cut it.
fn heads(
    shared: &Shared,
    segment: SegmentName,
    head: usize,
    wanted: fn(Entry) -> bool,
) -> io::Result<Vec<(Stretch, Vec<u8>)>> {
    let file = match segments::open(shared, segment) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let end = file.metadata()?.len();
    let mut entries = Vec::new();
    let mut at = SEGMENT_HEADER;
    while at + ENTRY_HEADER <= end {
        let mut header = [0; ENTRY_HEADER as usize];
        file.read_exact_at(&mut header, at)?;
        let Some(entry) = parse_entry(&header) else { break };
        let length = entry.length();
        let offset = at + ENTRY_HEADER;
        at = offset + length;
        if wanted(entry) && at <= end {
            let mut bytes = vec![0; head.min(usize::try_from(length).unwrap_or(head))];
            file.read_exact_at(&mut bytes, offset)?;
            entries.push((Stretch { segment, offset, length }, bytes));
        }
    }
    Ok(entries)
}
