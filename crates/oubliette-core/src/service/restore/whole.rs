//! Whether an older copy holds all that an erasure took which it does not know.

use std::sync::Arc;

use keyforest::{Group, Leaf, LeafStatus};

use crate::ports::ContentRow;
use crate::service::VaultError;
use crate::service::journal::Record;
use crate::service::vault::Inner;

/// Leaves asked for together.
const PAGE: usize = 1_000;

/// Whether everything that this erasure comprised has a row, and no more: as many contents as were counted when it was
/// accepted, none of them erased before. Only then can be stated what it erased.
pub async fn holds_whole(inner: &Arc<Inner>, record: &Record) -> Result<bool, VaultError> {
    let port = |error| inner.port(error);
    let mut found = 0;
    for some in record.set.interactions.as_slice().chunks(PAGE) {
        let groups: Vec<Group> = some.iter().copied().map(Group).collect();
        let contents = inner.metadata.contents(&groups).await.map_err(port)?;
        found += contents.len() as u64;
        if !all_live(inner, contents).await? {
            return Ok(false);
        }
    }
    for some in record.set.leaves.as_slice().chunks(PAGE) {
        let leaves: Vec<Leaf> = some.iter().copied().map(Leaf).collect();
        // Not all of them are contents': blocks of the directory go with what they named.
        found += inner.metadata.contents_by_leaf(&leaves).await.map_err(port)?.len() as u64;
    }
    Ok(found == record.contents)
}

/// Whether none of these was erased; an erasure that waits for its seal does not count.
async fn all_live(inner: &Arc<Inner>, contents: Vec<ContentRow>) -> Result<bool, VaultError> {
    let forest = Arc::clone(&inner.shared.forest);
    let work =
        move || contents.iter().try_fold(true, |all, row| Ok(all && forest.status(row.leaf)? == LeafStatus::Live));
    let live: Result<bool, keyforest::ForestError> =
        tokio::task::spawn_blocking(work).await.map_err(VaultError::internal)?;
    live.map_err(VaultError::internal)
}
