//! Where small contents lie now: for a row of an older copy of the metadata, whose segment was compacted since.

use bytes::Bytes;
use oubliette_core::ports::{BlobRef, PortError};

use super::Shared;
use super::place::{Kind, Place, Stretch, key_prefix, name_of};
use crate::blobs::format::{ENTRY_HEADER, Entry, SEGMENT_HEADER, parse_entry};

/// See [`oubliette_core::ports::Blobs::look_through`]. Reads every segment whole: fewer requests than one an entry.
pub(super) async fn look_through(
    shared: &Shared,
    head: usize,
    found: &mut (dyn FnMut(BlobRef, Bytes) + Send),
) -> Result<(), PortError> {
    let prefix = key_prefix(&shared.prefix, Kind::Segment, "");
    let mut after = None;
    loop {
        let page = shared.bucket.list(&prefix, after.as_deref()).await;
        let page = page.map_err(|fault| fault.port("look through the bucket's segments"))?;
        for object in page.found.iter().filter(|object| object.latest && !object.marker) {
            let Some(segment) = name_of(&shared.prefix, Kind::Segment, &object.key) else { continue };
            let whole = shared.get(&object.key, 0..object.size).await?;
            for (offset, length) in entries(&whole) {
                let at = Stretch { segment, offset, length };
                let from = offset as usize;
                let to = from + head.min(length as usize);
                if !shared.segments.is_marked(at) {
                    found(Place::Segment(at).to_ref(), whole.slice(from..to));
                }
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Offset and length of every blob that is whole.
fn entries(whole: &Bytes) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let mut at = SEGMENT_HEADER;
    while let Some(header) = whole.get(at as usize..(at + ENTRY_HEADER) as usize) {
        let Some(length) = parse_entry(header).map(Entry::length) else { break };
        let offset = at + ENTRY_HEADER;
        at = offset + length;
        if at > whole.len() as u64 {
            break;
        }
        found.push((offset, length));
    }
    found
}
