//! Whether the log tells of what the rows know nothing of: then the rows were set back.
//!
//! What an entry over arrivals or removals comprises is written down in the rows before the log is told ([`super::round`]), and
//! noted there in the step that forgets that plan. So rows that lost nothing know all such entries but one of each kind at
//! most, and of those they have the plan. That holds whatever a crash took; of seals it does not, because a seal's record may
//! be lost with the process that made it.
//!
//! After a restore the rows are older on purpose: what the log tells before its entry over the restore is not theirs to know.

use oubliette_proof::entry::{Body, Entry};

use super::ledger::batches_noted;
use super::round::settled;
use crate::ports::Metadata;
use crate::service::VaultError;
use crate::service::attached;
use crate::service::log::Looked;

/// How many entries over arrivals and removals the log has that these rows know nothing of. Not to be asked about a copy
/// that is attached.
pub async fn unknown_batches(metadata: &dyn Metadata, looked: Looked) -> Result<(Looked, u64), VaultError> {
    let Some(noted) = batches_noted(metadata).await? else { return Ok((looked, 0)) };
    let settled = settled(metadata).await?;
    // Committed, and the log was not told of that yet.
    let restored = attached::untold(metadata).await?.map_or(0, |untold| untold.logged);
    let mut found = [0_u64; 2];
    let count = move |entry: &Entry| {
        match entry.body {
            Body::Ingest(_) => found[0] += 1,
            Body::Removal(_) => found[1] += 1,
            Body::Restore(_) => found = [0; 2],
            _ => {}
        }
        found
    };
    let (looked, found) = looked.fold(noted, restored, count).await?;
    let unknown = found.unwrap_or_default().into_iter().zip(settled).map(|(found, plan)| found.saturating_sub(plan));
    Ok((looked, unknown.sum()))
}
