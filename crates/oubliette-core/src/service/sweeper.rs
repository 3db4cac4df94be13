//! After the seal: telling the metadata, removing rows and blobs. Privacy never waits for any of this.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use keyforest::{Group, Leaf};
use uuid::Uuid;

use super::VaultError;
use super::vault::Inner;
use crate::ports::{BlobRef, ContentRow, LiveBlobs, PortError, PortErrorKind, PurgeRow, Removal, SweepReport, Write};

/// Named moments of the sweeper.
pub const CRASH_POINTS: &[&str] = &["sweep.blobs_removed", "sweep.rows_removed"];

/// Seals are noted at the latest this long after they were made; usually the next transaction takes them along.
const NOTE_AFTER: Duration = Duration::from_millis(250);
/// How often the sweeper looks by itself.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Segments are looked at for compaction this many sweeps apart.
const COMPACT_EVERY: u32 = 60;
/// Leftovers are looked for at the start and then this often.
const ORPHANS_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// An erasure (or a look for leftovers) that failed is left alone for this long, so that it does not stand before others.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Failing erasures remembered; with more of them the blob store is down rather than they are special.
const MAX_FAILING: usize = 2_000;
/// Erasures looked at together.
const LOOK_AT: usize = 200;
/// Interactions whose rows and blobs are removed in one step.
const STEP: usize = 500;

/// Tells the metadata of seals when no other transaction does it first.
pub async fn mark_seals(inner: Weak<Inner>) {
    loop {
        let Some(strong) = inner.upgrade() else { return };
        let (shared, mut closing) = (Arc::clone(&strong.shared), strong.closing.subscribe());
        drop(strong);
        tokio::select! {
            () = shared.sealed.notified() => {}
            _ = closing.wait_for(|closing| *closing) => return,
        }
        tokio::time::sleep(NOTE_AFTER).await;
        let Some(strong) = inner.upgrade() else { return };
        if let Err(error) = strong.mark_unmarked().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "noting a seal is delayed");
        }
        strong.tell.notify_one();
    }
}

/// What the sweeper remembers from round to round. A clock that is set back puts nothing off.
struct Sweeper {
    round: u32,
    /// When leftovers are looked for next.
    orphans_at: Instant,
    /// Erasures whose blobs could not be removed, and when they are tried again.
    failing: HashMap<Uuid, Instant>,
}

#[expect(clippy::disallowed_methods, reason = "measures a duration, not a date")]
fn now() -> Instant {
    Instant::now()
}

/// Removes rows and blobs of sealed erasures, segments that are mostly dead, and leftovers of crashes.
pub async fn sweep(inner: Weak<Inner>) {
    let mut sweeper = Sweeper { round: 0, orphans_at: now(), failing: HashMap::new() };
    loop {
        let Some(strong) = inner.upgrade() else { return };
        if *strong.closing.borrow() {
            return;
        }
        if strong.settings.sweeping
            && let Err(error) = strong.sweep_once(&mut sweeper).await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "sweeping is delayed");
        }
        sweeper.round = sweeper.round.wrapping_add(1);
        let mut closing = strong.closing.subscribe();
        let nudged = Arc::clone(&strong);
        drop(strong);
        tokio::select! {
            () = tokio::time::sleep(SWEEP_EVERY) => {}
            () = nudged.sweep.notified() => {}
            _ = closing.wait_for(|closing| *closing) => return,
        }
    }
}

impl Inner {
    /// Notes seals that the metadata has not heard of.
    pub async fn mark_unmarked(&self) -> Result<(), VaultError> {
        let noting = self.shared.note().await;
        let writes = noting.writes(self.settings.telling);
        if !writes.is_empty() {
            self.note("purge.sealed", writes).await?;
        }
        noting.done();
        Ok(())
    }

    async fn sweep_once(&self, sweeper: &mut Sweeper) -> Result<(), VaultError> {
        let live = Live(self);
        if sweeper.orphans_at <= now() {
            let again = self.sweep_orphans(&live).await?;
            sweeper.orphans_at = now() + again;
        }
        // On a full disk rows cannot be removed, and compaction may be what makes room for it.
        let removed = self.remove_due(sweeper).await;
        if sweeper.round % COMPACT_EVERY == COMPACT_EVERY - 1
            && let Ok(_moving) = self.places.try_write()
        {
            let report = self.blobs.compact(&live).await.map_err(|error| self.port(error))?;
            tell(&report);
        }
        removed
    }

    /// Removes rows and blobs of what is due.
    async fn remove_due(&self, sweeper: &mut Sweeper) -> Result<(), VaultError> {
        loop {
            let before = now();
            sweeper.failing.retain(|_, again| *again > before);
            if sweeper.failing.len() >= MAX_FAILING {
                break;
            }
            // What a certificate is made from is not removed before it is made: these have theirs.
            let due = self.metadata.unswept_purges(Some(self.clock.now()), LOOK_AT + sweeper.failing.len()).await;
            let mut purges = due.map_err(|error| self.port(error))?;
            purges.retain(|purge| !sweeper.failing.contains_key(&purge.id));
            if purges.is_empty() {
                break;
            }
            let (large, small): (Vec<_>, Vec<_>) = purges.into_iter().partition(|purge| size(purge) > STEP);
            self.sweep_small(&small, &mut sweeper.failing).await?;
            for purge in &large {
                self.sweep_large(purge, &mut sweeper.failing).await?;
            }
            // Every erasure looked at is through, retained or failing now, so this ends.
            if *self.closing.borrow() {
                break;
            }
        }
        Ok(())
    }

    /// Looks for leftovers; tells when to look again. That they cannot be looked for holds up nothing else.
    async fn sweep_orphans(&self, live: &Live<'_>) -> Result<Duration, VaultError> {
        match self.blobs.sweep_orphans(live).await {
            Ok(report) => {
                tell(&report);
                Ok(if report.unfinished { Duration::ZERO } else { ORPHANS_EVERY })
            }
            Err(error) => {
                let error = self.port(error);
                if self.shared.is_poisoned() {
                    return Err(error);
                }
                tracing::warn!(error = &error as &dyn std::error::Error, "looking for leftover blobs is delayed");
                Ok(TRY_AGAIN_AFTER)
            }
        }
    }

    /// Many small erasures in few transactions. One whose blobs cannot be removed now holds up none of the others.
    async fn sweep_small(&self, purges: &[PurgeRow], failing: &mut HashMap<Uuid, Instant>) -> Result<(), VaultError> {
        let mut from = 0;
        while from < purges.len() {
            let mut to = from;
            let mut weight = 0;
            while to < purges.len() && (to == from || weight + size(&purges[to]) <= STEP) {
                weight += size(&purges[to]);
                to += 1;
            }
            let some = &purges[from..to];
            let groups: Vec<Group> = some.iter().flat_map(groups_of).collect();
            let leaves: Vec<Leaf> = some.iter().flat_map(|purge| purge.set.leaves.iter()).collect();
            let removed = self.remove_blobs(&groups, &leaves).await?;
            let (mut groups, mut leaves, mut marks) = (Vec::new(), Vec::new(), Vec::new());
            for purge in some {
                let mut outcome = Removal::Removed;
                for (_, removal) in removed.iter().filter(|(row, _)| covers(purge, row)) {
                    outcome = worse(outcome, removal.clone());
                }
                if let Some(mark) = self.settle(purge.id, outcome, failing) {
                    if matches!(mark, Write::RemovedPurge(..)) {
                        groups.extend(groups_of(purge));
                        leaves.extend(purge.set.leaves.iter());
                    }
                    marks.push(mark);
                }
            }
            self.remove_rows(groups, leaves, marks).await?;
            from = to;
        }
        Ok(())
    }

    /// One large erasure, step by step; rows removed in an earlier step are simply not there any more.
    async fn sweep_large(&self, purge: &PurgeRow, failing: &mut HashMap<Uuid, Instant>) -> Result<(), VaultError> {
        let groups: Vec<Group> = groups_of(purge).collect();
        let leaves: Vec<Leaf> = purge.set.leaves.iter().collect();
        let of_groups = groups.chunks(STEP).map(|groups| (groups, &[] as &[Leaf]));
        let of_leaves = leaves.chunks(STEP).map(|leaves| (&[] as &[Group], leaves));
        let mut outcome = Removal::Removed;
        for (groups, leaves) in of_groups.chain(of_leaves) {
            let step = self.remove_blobs(groups, leaves).await?.into_iter().map(|(_, removal)| removal);
            let step = step.fold(Removal::Removed, worse);
            if step == Removal::Removed {
                self.remove_rows(groups.to_vec(), leaves.to_vec(), Vec::new()).await?;
            }
            outcome = worse(outcome, step);
            if matches!(outcome, Removal::Failed(_)) {
                break;
            }
        }
        match self.settle(purge.id, outcome, failing) {
            Some(mark) => self.note("purge.removed", vec![mark]).await,
            None => Ok(()),
        }
    }

    /// What is to be written of an erasure whose blobs came out like this; one that failed is tried again later.
    fn settle(&self, id: Uuid, outcome: Removal, failing: &mut HashMap<Uuid, Instant>) -> Option<Write> {
        let at = self.clock.now();
        match outcome {
            Removal::Removed => return Some(Write::RemovedPurge(id, at)),
            Removal::Retained { until } if until > at => return Some(Write::RetainPurge(id, until)),
            // Over by this clock, not yet by the backend's.
            Removal::Retained { .. } => {}
            Removal::Failed(why) => tracing::warn!(why, "blobs of an erasure could not be removed yet"),
        }
        failing.insert(id, now() + TRY_AGAIN_AFTER);
        None
    }

    /// Removes the blobs of these interactions and contents; says what came of each.
    async fn remove_blobs(&self, groups: &[Group], leaves: &[Leaf]) -> Result<Vec<(ContentRow, Removal)>, VaultError> {
        let mut rows = Vec::new();
        for some in groups.chunks(STEP) {
            rows.extend(self.metadata.contents(some).await.map_err(|error| self.port(error))?);
        }
        for some in leaves.chunks(STEP) {
            rows.extend(self.metadata.contents_by_leaf(some).await.map_err(|error| self.port(error))?);
        }
        let blobs: Vec<BlobRef> = rows.iter().map(|row| row.blob.clone()).collect();
        let outcomes = self.blobs.remove(&blobs).await.map_err(|error| self.port(error))?;
        if outcomes.len() != rows.len() {
            return Err(VaultError::internal(PortError::bare(PortErrorKind::Refused, "remove blobs")));
        }
        self.shared.probe.reached("sweep.blobs_removed");
        Ok(rows.into_iter().zip(outcomes).collect())
    }

    /// Removes rows whose blobs are gone, with the marks that say so.
    async fn remove_rows(
        &self,
        groups: Vec<Group>,
        leaves: Vec<Leaf>,
        mut marks: Vec<Write>,
    ) -> Result<(), VaultError> {
        let mut writes = Vec::with_capacity(marks.len() + 2);
        if !groups.is_empty() {
            writes.push(Write::DeleteInteractions(groups));
        }
        if !leaves.is_empty() {
            writes.push(Write::DeleteContents(leaves));
        }
        writes.append(&mut marks);
        if writes.is_empty() {
            return Ok(());
        }
        self.note("purge.sweep", writes).await?;
        self.tell.notify_one();
        self.shared.probe.reached("sweep.rows_removed");
        Ok(())
    }
}

/// Tells operators what they should know of a sweep. No names.
fn tell(report: &SweepReport) {
    if report.missing > 0 {
        tracing::error!(missing = report.missing, "stored contents are not in the blob store, or not all of them");
    }
    if report.orphans > 0 || report.segments > 0 || report.retained > 0 {
        let SweepReport { orphans, segments, bytes, retained, .. } = report;
        tracing::info!(orphans, segments, bytes, retained, "swept the blob store");
    }
}

/// The outcome of two together: one failed is failed, one retained is retained, for the longer time.
fn worse(one: Removal, other: Removal) -> Removal {
    match (one, other) {
        (Removal::Failed(why), _) | (_, Removal::Failed(why)) => Removal::Failed(why),
        (Removal::Retained { until: one }, Removal::Retained { until: other }) => {
            Removal::Retained { until: one.max(other) }
        }
        (retained @ Removal::Retained { .. }, _) | (_, retained @ Removal::Retained { .. }) => retained,
        (Removal::Removed, Removal::Removed) => Removal::Removed,
    }
}

fn covers(purge: &PurgeRow, row: &ContentRow) -> bool {
    purge.set.interactions.contains(Leaf(row.interaction.0)) || purge.set.leaves.contains(row.leaf)
}

fn groups_of(purge: &PurgeRow) -> impl Iterator<Item = Group> + '_ {
    purge.set.interactions.iter().map(|group| Group(group.0))
}

fn size(purge: &PurgeRow) -> usize {
    purge.set.interactions.len() + purge.set.leaves.len()
}

struct Live<'a>(&'a Inner);

#[async_trait]
impl LiveBlobs for Live<'_> {
    async fn live(&self, blobs: &[BlobRef]) -> Result<Vec<bool>, PortError> {
        self.0.metadata.live_blobs(blobs).await
    }
    async fn switch(&self, from: &BlobRef, to: &BlobRef) -> Result<bool, PortError> {
        self.0.metadata.switch_blob(from, to).await
    }
    async fn with_prefix(&self, prefix: &str) -> Result<Vec<BlobRef>, PortError> {
        self.0.metadata.blobs_with_prefix(prefix).await
    }
}
