//! Whether the log tells of what the rows know nothing of: then the rows were set back.
//!
//! What an entry over arrivals or removals comprises is written down in the rows before the log is told ([`super::round`]), and
//! noted there in the step that forgets that plan. So rows that lost nothing know all such entries but one of each kind at
//! most, and of those they have the plan. That holds whatever a crash took; of seals it does not, because a seal's record may
//! be lost with the process that made it.
//!
//! After a restore the rows are older on purpose: what the log tells before its entry over the restore is not theirs to know.
//! So entries are gone through from the newest back, and what lies before that entry need not be readable.

use std::ops::ControlFlow;

use oubliette_proof::entry::{Body, Entry};

use super::ledger::batches_noted;
use super::round::settled;
use crate::ports::Metadata;
use crate::service::VaultError;
use crate::service::attached;
use crate::service::log::{Entries, LogError, Looked, TransparencyLog};

/// What the log says of rows.
pub enum Unknown {
    /// So many entries over arrivals and removals that the rows know nothing of; at least so many where one cannot be read.
    Entries(u64),
    /// None that can be read; but one cannot be, and might be such an entry or have some before it.
    Unread(LogError),
}

/// What the log says of these rows. Not to be asked about a copy that is attached.
pub async fn unknown_batches(metadata: &dyn Metadata, looked: &Looked) -> Result<Unknown, VaultError> {
    let Some(entries) = looked.entries() else { return Ok(Unknown::Entries(0)) };
    let Some((found, unread)) = unnoted(metadata, entries).await? else { return Ok(Unknown::Entries(0)) };
    let planned = settled(metadata).await?;
    let unknown = found.into_iter().zip(planned).map(|(found, planned)| found.saturating_sub(planned)).sum();
    Ok(match unread {
        Some(error) if unknown == 0 => Unknown::Unread(error),
        _ => Unknown::Entries(unknown),
    })
}

/// Whether these rows have noted every entry over arrivals and removals that the log has, so that they can be set beside it
/// without the plan. Rows that do not say how far they noted have, as long as they plan nothing.
///
/// # Errors
/// When the log cannot be read there.
pub async fn has_noted_all(metadata: &dyn Metadata, log: &TransparencyLog) -> Result<bool, VaultError> {
    match unnoted(metadata, log.entries()).await? {
        Some((_, Some(error))) => Err(VaultError::internal(error)),
        Some((found, None)) => Ok(found == [0; 2]),
        None => Ok(settled(metadata).await? == [0; 2]),
    }
}

/// How many entries over arrivals, and over removals, the log has beyond those that the rows have noted, and what kept the look
/// back from going that far. `None` when the rows do not say what they have noted.
async fn unnoted(
    metadata: &dyn Metadata,
    entries: Entries,
) -> Result<Option<([u64; 2], Option<LogError>)>, VaultError> {
    let Some(noted) = batches_noted(metadata).await? else { return Ok(None) };
    // Committed, and the log was not told of that yet.
    let restored = attached::untold(metadata).await?.map_or(0, |untold| untold.logged);
    entries.back(noted, restored, [0; 2], count).await.map(Some)
}

fn count(found: &mut [u64; 2], entry: &Entry) -> ControlFlow<()> {
    match entry.body {
        Body::Ingest(_) => found[0] += 1,
        Body::Removal(_) => found[1] += 1,
        Body::Restore(_) => return ControlFlow::Break(()),
        _ => {}
    }
    ControlFlow::Continue(())
}
