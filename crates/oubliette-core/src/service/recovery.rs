//! What happens before the vault serves: do database and key state belong together, and what did a crash leave?

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use keyforest::{Group, Leaf, LeafSet, LeafStatus};
use uuid::Uuid;

use super::shared::Pending;
use super::vault::Inner;
use super::{VaultError, journal, walk};
use crate::directory::tags;
use crate::ports::{DirectoryRow, PurgeKind, PurgeRow, PurgeSet, PurgeState, Write};

/// Buckets added to the supply at a time: 64 buckets take 8,192 interactions.
pub const PROVISION_BUCKETS: u64 = 64;

/// Named moments of recovery.
pub const CRASH_POINTS: &[&str] = &["recovery.before_seal", "recovery.after_seal", "recovery.closed"];

/// Database, key state and log do not belong together. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Mismatch {
    /// Two different vaults.
    #[error("the database and the key state are of different vaults")]
    Instance,
    /// The database lacks commits that the key state has seen.
    #[error(
        "the database is older than the key state: commit {found}, but commit {pinned} was seen. If an older copy was put \
         back on purpose, `oubliette restore attach` opens it for reading"
    )]
    DatabaseBehind {
        /// Its commit counter.
        found: u64,
        /// The counter pinned by the last seal.
        pinned: u64,
    },
    /// The database lacks an erasure that the key state has in its journal.
    #[error(
        "the database is older than the key state: it does not know erasure {erasure}, which was accepted. If an older copy was \
         put back on purpose, `oubliette restore attach` opens it for reading"
    )]
    ErasureUnknown {
        /// The erasure.
        erasure: Uuid,
    },
    /// The log tells of what came in or was removed, and the database knows nothing of it.
    #[error(
        "the database is older than the key state: {unknown} entries of the log tell of what it does not know. If an older \
         copy was put back on purpose, `oubliette restore attach` opens it for reading"
    )]
    DatabaseBehindLog {
        /// Those entries.
        unknown: u64,
    },
    /// The register holds an epoch that was left behind: old keys came back.
    #[error("the key state is older than the database: epoch {found}, but epoch {known} was in force")]
    RegisterBehind {
        /// The register's epoch.
        found: u64,
        /// The epoch the database knows.
        known: u64,
    },
    /// Entries of the log are missing that were there when a seal was made.
    #[error(
        "the log is shorter than it was: {found} entries are there, and {pinned} were when the last seal was made. Bring its \
         files back; if they are lost, `oubliette log reopen` begins another log"
    )]
    LogShort {
        /// Entries that are there.
        found: u64,
        /// Entries pinned by the last seal.
        pinned: u64,
    },
    /// The log is another one than was pinned.
    #[error(
        "the log is not the one that the last seal was made with: its first {pinned} entries differ. Bring its own files \
         back; if they are lost, `oubliette log reopen` begins another log"
    )]
    LogForked {
        /// Entries pinned by the last seal.
        pinned: u64,
    },
    /// The log's first entry does not name it.
    #[error("the log's files are those of another log")]
    LogOfAnother,
    /// The log has another origin than the configuration says.
    #[error(
        "the log's origin is {found}, and transparency.origin says {configured}: a log keeps its origin. Set it back, or begin \
         another log with `oubliette log reopen`"
    )]
    LogOrigin {
        /// What it is.
        found: String,
        /// What it should be.
        configured: String,
    },
    /// There was a log, and its key is not in the key state.
    #[error("the key state has no key for the log that it pins")]
    LogWithoutKey,
    /// An older copy was to be attached, and there is none.
    #[error("the database is as new as the key state: there is nothing to attach")]
    NotBehind,
}

/// Seals every accepted erasure, closes the buckets of earlier runs, and tells the database. While a store that seals need
/// does not answer, that is left to the sealer: what is erased is hidden, and what is live can be served meanwhile.
pub async fn finish_what_a_crash_left(inner: &Arc<Inner>) -> Result<(), VaultError> {
    for (position, record) in journal::records(&inner.shared.forest).await? {
        // The database knows it. It is sealed before any other, so the record can go with any seal.
        inner.shared.journaled.note(position, record.id);
        inner.shared.journaled.forget(position);
    }
    let unsealed = inner.metadata.unsealed_purges().await.map_err(|error| inner.port(error))?;
    let mut waits = Vec::new();
    let mut pending = Vec::new();
    for purge in unsealed {
        inner.unanswered.remember_recovered(&purge, inner.settings.retry_grace);
        let set = Arc::new(purge.set);
        waits.push(inner.shared.expect(purge.id));
        inner.shared.hidden.insert(purge.id, &set);
        pending.push(Pending { id: purge.id, set });
    }
    if !pending.is_empty() {
        tracing::info!(erasures = pending.len(), "sealing what was accepted before the stop");
        inner.shared.probe.reached("recovery.before_seal");
        inner.sealer.purge(pending.clone(), None)?;
        let mut stalled = false;
        for mut wait in waits {
            tokio::select! {
                sealed = wait.wait_for(|sealed| *sealed) => {
                    sealed.map_err(|_| VaultError::Unavailable(None))?;
                }
                () = poisoned(inner) => return Err(VaultError::Unavailable(None)),
                () = inner.shared.stalled() => {
                    stalled = true;
                    break;
                }
            }
        }
        if stalled {
            // Requests are served before these are sealed, and must not take them for sealed.
            for due in &pending {
                inner.remember_due(due).await?;
            }
        }
        inner.shared.probe.reached("recovery.after_seal");
        inner.mark_unmarked().await?;
    }
    close_buckets(inner).await
}

async fn poisoned(inner: &Inner) {
    let _ = inner.shared.poisoned.subscribe().wait_for(|poisoned| *poisoned).await;
}

/// Over an older copy of the database nothing is destroyed yet: what was accepted and is not sealed is hidden. Gives the
/// erasures.
pub async fn hide_what_is_due(inner: &Arc<Inner>) -> Result<Vec<Pending>, VaultError> {
    replay_journal(inner).await?;
    let unsealed = inner.metadata.unsealed_purges().await.map_err(|error| inner.port(error))?;
    let mut due = Vec::with_capacity(unsealed.len());
    for purge in unsealed {
        let pending = Pending { id: purge.id, set: Arc::new(purge.set) };
        // Done twice when the copy becomes the vault's database.
        if !is_punctured(inner, &pending.set)? && inner.shared.awaiting(pending.id).is_none() {
            inner.shared.expect(pending.id);
            inner.remember_due(&pending).await?;
            inner.shared.hidden.insert(pending.id, &pending.set);
        }
        due.push(pending);
    }
    Ok(due)
}

/// Whether an erasure was sealed: all its leaves are punctured at once, so one tells of all.
fn is_punctured(inner: &Inner, set: &PurgeSet) -> Result<bool, VaultError> {
    let first = set.interactions.iter().next().map(|group| Group(group.0).leaf(0));
    let Some(leaf) = first.or_else(|| set.leaves.iter().next()) else { return Ok(false) };
    Ok(inner.shared.forest.status(leaf).map_err(VaultError::internal)? == LeafStatus::Punctured)
}

/// Does again over an older copy what the journal knows and the copy does not.
async fn replay_journal(inner: &Arc<Inner>) -> Result<(), VaultError> {
    for (position, record) in journal::records(&inner.shared.forest).await? {
        let known = inner.metadata.purge(record.id).await.map_err(|error| inner.port(error))?;
        if known.is_none() {
            tracing::warn!(purge = %record.id, "an accepted erasure was missing in the database; it is done again");
            // Of what an older copy does not hold whole nothing can be stated: it is erased, without a certificate.
            let whole = super::restore::holds_whole(inner, &record).await?;
            let row = PurgeRow {
                id: record.id,
                tenant: Some(record.tenant),
                credential: record.credential,
                kind: if whole { PurgeKind::Order } else { PurgeKind::Upkeep },
                state: PurgeState::Planned,
                set: PurgeSet::clone(&record.set),
                interactions: record.interactions,
                contents: record.contents,
                order_leaf: None,
                sealed_order: Vec::new(),
                accepted_at: record.at,
                sealed_at: None,
                sealed_epoch: None,
                removed_at: None,
                retained_until: None,
                stated: record.stated,
                place: None,
                removal: None,
            };
            let writes = vec![Write::InsertPurge(row), super::attached::replayed(&*inner.metadata).await?];
            inner.apply_unchecked("purge.replay", writes).await?;
        }
        inner.shared.journaled.note(position, record.id);
    }
    Ok(())
}

/// Punctures whole groups that earlier runs opened buckets for and never used, and makes a fresh supply: leaf numbers of
/// earlier runs are never issued again.
async fn close_buckets(inner: &Arc<Inner>) -> Result<(), VaultError> {
    let range = inner.shared.forest.unclosed();
    let groups = range.start / Group::SIZE..range.end.div_ceil(Group::SIZE);
    let mut unused = LeafSet::new();
    if !groups.is_empty() {
        let used = inner.metadata.used_groups(groups.clone()).await.map_err(|error| inner.port(error))?;
        let free = groups.filter(|group| !used.contains(Leaf(*group)));
        unused = free.flat_map(|group| Group(group).leaves()).collect();
    }
    let sealing = Arc::clone(inner);
    let upkeep = tokio::spawn(async move { sealing.sealer.upkeep(unused, range.end, PROVISION_BUCKETS).await });
    tokio::select! {
        done = upkeep => done.map_err(VaultError::internal)??,
        () = inner.shared.stalled() => {
            tracing::error!("seals are put off from the start: reads are served, nothing new is taken in and nothing erased");
        }
    }
    inner.shared.probe.reached("recovery.closed");
    Ok(())
}

/// The number after the last directory block.
pub async fn next_directory_block(inner: &Arc<Inner>) -> Result<u64, VaultError> {
    inner.metadata.next_directory_block().await.map_err(|error| inner.port(error))
}

/// Blocks read at a time.
const BLOCKS: usize = 256;

/// Fills the look-up map from the stored blocks. Until it is complete look-ups answer *not ready*, never *not found*.
pub async fn rebuild_lookups(inner: Weak<Inner>, blocks: u64) {
    let mut pause = Duration::from_millis(50);
    while let Err(error) = rebuild(&inner, blocks).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "rebuilding the look-up map is delayed");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

/// Does it once; gives up when the vault closes.
async fn rebuild(inner: &Weak<Inner>, blocks: u64) -> Result<(), VaultError> {
    let mut from = 0;
    // By number: blocks whose leaf was punctured, and that leaf.
    let mut closed: BTreeMap<u64, Leaf> = BTreeMap::new();
    loop {
        let Some(inner) = inner.upgrade().filter(|inner| !*inner.closing.borrow()) else { return Ok(()) };
        let port = |error| inner.port(error);
        if from < blocks {
            let rows = inner.metadata.directory(from, BLOCKS).await.map_err(port)?;
            from = rows.last().map_or(blocks, |row| row.block + 1);
            closed.append(&mut add_blocks(&inner, rows).await?);
        } else if !closed.is_empty() {
            // Absent ones were emptied meanwhile; the others have a fresh leaf by now.
            let numbers: Vec<u64> = closed.keys().copied().take(BLOCKS).collect();
            let rows = inner.metadata.directory_blocks(&numbers).await.map_err(port)?;
            let again = add_blocks(&inner, rows).await?;
            if let Some((block, _)) = again.iter().find(|(block, leaf)| closed.get(block) == Some(leaf)) {
                tracing::error!(block, "a block of the directory has lost its key: look-ups are made from all rows");
                walk::rebuild(&inner).await?;
                closed.clear();
                continue;
            }
            closed.retain(|block, _| numbers.binary_search(block).is_err());
            closed.extend(again);
        } else {
            inner.lookups_ready.send_replace(true);
            return Ok(());
        }
    }
}

/// Adds the entries of some blocks; gives those whose leaves are punctured.
async fn add_blocks(inner: &Arc<Inner>, rows: Vec<DirectoryRow>) -> Result<BTreeMap<u64, Leaf>, VaultError> {
    let work = Arc::clone(inner);
    tokio::task::spawn_blocking(move || {
        let region = work.settings.default_region.as_deref();
        let mut closed = BTreeMap::new();
        for row in rows {
            let block = match work.open_block(&row) {
                Ok(block) => block,
                Err(VaultError::Gone) => {
                    closed.insert(row.block, row.leaf);
                    continue;
                }
                Err(error) => return Err(error),
            };
            for entry in &block.entries {
                let tags: Vec<u64> = entry
                    .keys
                    .iter()
                    .flat_map(|(kind, text)| tags(&work.lookup, entry.tenant.0, *kind, text, region))
                    .collect();
                work.lookup.insert(&tags, entry.group);
            }
        }
        Ok(closed)
    })
    .await
    .map_err(VaultError::internal)?
}
