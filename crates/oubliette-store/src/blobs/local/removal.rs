//! Removing: files are unlinked, entries of segments are marked.

use std::io;
use std::sync::{Arc, PoisonError};

use oubliette_core::ports::{BlobRef, PortError, Removal};

use super::Shared;
use super::files::{self, blocking};
use super::place::{Place, Stretch};
use super::segments;
use crate::blobs::format::{ENTRY_HEADER, Entry};

/// See [`oubliette_core::ports::Blobs::remove`].
pub(super) async fn remove(shared: &Arc<Shared>, blobs: &[BlobRef]) -> Result<Vec<Removal>, PortError> {
    let mut outcomes = vec![Removal::Failed("the reference is not one of this store"); blobs.len()];
    let (mut names, mut named) = (Vec::new(), Vec::new());
    let (mut stretches, mut stretched) = (Vec::new(), Vec::new());
    for (at, blob) in blobs.iter().enumerate() {
        match Place::parse(blob) {
            Ok(Place::File(name)) => {
                names.push(name);
                named.push(at);
            }
            Ok(Place::Segment(stretch)) => {
                stretches.push(stretch);
                stretched.push(at);
                // Its copy too. If that cannot be marked, the outcome says so: it is the later of the two.
                if let Some(moved) = shared.moved.follow(stretch) {
                    stretches.push(moved);
                    stretched.push(at);
                }
            }
            Err(_) => {}
        }
    }
    let (of_files, of_stretches) =
        futures::future::try_join(files::remove(shared, names), mark(shared, stretches)).await?;
    for (at, outcome) in named.into_iter().zip(of_files).chain(stretched.into_iter().zip(of_stretches)) {
        outcomes[at] = outcome;
    }
    Ok(outcomes)
}

/// Marks entries of segments removed. One outcome each, in order.
pub(super) async fn mark(shared: &Arc<Shared>, stretches: Vec<Stretch>) -> Result<Vec<Removal>, PortError> {
    if stretches.is_empty() {
        return Ok(Vec::new());
    }
    let shared = Arc::clone(shared);
    blocking("remove from segments", move || {
        let one = |at: &Stretch| match mark_one(&shared, *at) {
            Ok(true) => Removal::Removed,
            Ok(false) => Removal::Failed("the reference names no entry"),
            Err(_) => Removal::Failed("the entry could not be marked"),
        };
        Ok(stretches.iter().map(one).collect())
    })
    .await
}

fn mark_one(shared: &Shared, at: Stretch) -> io::Result<bool> {
    let file = match segments::open(shared, at.segment) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    // One marker at a time a store: an entry is counted dead once.
    let _marking = shared.marking.lock().unwrap_or_else(PoisonError::into_inner);
    match segments::entry_at(&file, at)? {
        Some(Entry::Removed(_)) => Ok(true),
        Some(Entry::There(_) | Entry::Moved(_)) => {
            segments::mark_removed(&file, at)?;
            shared.segments.note_dead(at.segment, ENTRY_HEADER + at.length);
            Ok(true)
        }
        None => Ok(false),
    }
}

/// Marks an entry moved, once its row names the copy.
pub(super) async fn mark_moved(shared: &Arc<Shared>, at: Stretch) -> Result<(), PortError> {
    let shared = Arc::clone(shared);
    blocking("mark what was moved", move || {
        let mark = || -> io::Result<()> {
            let file = segments::open(&shared, at.segment)?;
            let _marking = shared.marking.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(Entry::There(_)) = segments::entry_at(&file, at)? {
                segments::mark_moved(&file, at)?;
                shared.segments.note_dead(at.segment, ENTRY_HEADER + at.length);
            }
            Ok(())
        };
        // Not marked, it is as if it were to be referred to yet, until nobody refers to the segment (`kept`).
        if let Err(error) = mark() {
            tracing::warn!(error = &error as &dyn std::error::Error, "what was moved could not be marked");
        }
        Ok(())
    })
    .await
}
