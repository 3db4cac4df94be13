//! After the seal: telling the metadata, removing rows and blobs. Privacy never waits for any of this.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use keyforest::{Group, Leaf};

use super::VaultError;
use super::vault::Inner;
use crate::ports::{BlobRef, LiveBlobs, PortError, PurgeRow, Removal, Write};

/// Named moments of the sweeper.
pub const CRASH_POINTS: &[&str] = &["sweep.blobs_removed", "sweep.rows_removed"];

/// Seals are noted at the latest this long after they were made; usually the next transaction takes them along.
const NOTE_AFTER: Duration = Duration::from_millis(250);
/// How often the sweeper looks by itself.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Segments are looked at for compaction this many sweeps apart.
const COMPACT_EVERY: u32 = 60;
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
            shared.sealed.notify_one();
        }
        strong.sweep.notify_one();
    }
}

/// Removes rows and blobs of sealed erasures, segments that are mostly dead, and at the start leftovers of crashes.
pub async fn sweep(inner: Weak<Inner>) {
    let mut round = 0_u32;
    loop {
        let Some(strong) = inner.upgrade() else { return };
        if *strong.closing.borrow() {
            return;
        }
        if strong.settings.sweeping
            && let Err(error) = strong.sweep_once(round).await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "sweeping is delayed");
        }
        round = round.wrapping_add(1);
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
        let unmarked = self.take_unmarked();
        if unmarked.is_empty() {
            return Ok(());
        }
        let mut writes = Vec::with_capacity(unmarked.len() * 2);
        for seal in &unmarked {
            writes.push(Write::SealPurges(seal.ids.clone(), seal.epoch, seal.at));
            writes.push(Write::SetEpoch(seal.epoch));
        }
        let noted = self.apply_unchecked("purge.sealed", writes).await;
        if noted.is_err() {
            self.shared.unmarked.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(unmarked);
        }
        noted.map(|_| ())
    }

    async fn sweep_once(&self, round: u32) -> Result<(), VaultError> {
        let live = Live(self);
        if round == 0 {
            self.blobs.sweep_orphans(&live).await.map_err(|error| self.port(error))?;
        }
        loop {
            let purges = self.metadata.unswept_purges(200).await.map_err(|error| self.port(error))?;
            if purges.is_empty() {
                break;
            }
            let mut progress = false;
            let (large, small): (Vec<_>, Vec<_>) = purges.into_iter().partition(|purge| size(purge) > STEP);
            progress |= self.sweep_small(&small).await?;
            for purge in &large {
                progress |= self.sweep_large(purge).await?;
            }
            if !progress || *self.closing.borrow() {
                break;
            }
        }
        if round % COMPACT_EVERY == COMPACT_EVERY - 1 {
            self.blobs.compact(&live).await.map_err(|error| self.port(error))?;
        }
        Ok(())
    }

    /// Many small erasures in few transactions.
    async fn sweep_small(&self, purges: &[PurgeRow]) -> Result<bool, VaultError> {
        let mut swept = false;
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
            let now = self.clock.now();
            let done = some.iter().map(|purge| Write::RemovedPurge(purge.id, now)).collect();
            swept |= self.remove(groups, leaves, done).await?;
            from = to;
        }
        Ok(swept)
    }

    /// One large erasure, step by step; rows removed in an earlier step are simply not there any more.
    async fn sweep_large(&self, purge: &PurgeRow) -> Result<bool, VaultError> {
        let groups: Vec<Group> = groups_of(purge).collect();
        for some in groups.chunks(STEP) {
            if !self.remove(some.to_vec(), Vec::new(), Vec::new()).await? {
                return Ok(false);
            }
        }
        let leaves: Vec<Leaf> = purge.set.leaves.iter().collect();
        for some in leaves.chunks(STEP) {
            if !self.remove(Vec::new(), some.to_vec(), Vec::new()).await? {
                return Ok(false);
            }
        }
        self.apply_unchecked("purge.removed", vec![Write::RemovedPurge(purge.id, self.clock.now())]).await?;
        Ok(true)
    }

    /// Removes blobs first, then rows; `false` when some blob could not be removed now.
    async fn remove(&self, groups: Vec<Group>, leaves: Vec<Leaf>, mut done: Vec<Write>) -> Result<bool, VaultError> {
        let mut rows = Vec::new();
        for some in groups.chunks(STEP) {
            rows.extend(self.metadata.contents(some).await.map_err(|error| self.port(error))?);
        }
        for some in leaves.chunks(STEP) {
            rows.extend(self.metadata.contents_by_leaf(some).await.map_err(|error| self.port(error))?);
        }
        let blobs: Vec<BlobRef> = rows.into_iter().map(|row| row.blob).collect();
        let outcomes = self.blobs.remove(&blobs).await.map_err(|error| self.port(error))?;
        if outcomes.iter().any(|outcome| *outcome != Removal::Removed) {
            return Ok(false);
        }
        self.shared.probe.reached("sweep.blobs_removed");
        let mut writes = Vec::with_capacity(done.len() + 2);
        if !groups.is_empty() {
            writes.push(Write::DeleteInteractions(groups));
        }
        if !leaves.is_empty() {
            writes.push(Write::DeleteContents(leaves));
        }
        writes.append(&mut done);
        self.apply_unchecked("purge.sweep", writes).await?;
        self.shared.probe.reached("sweep.rows_removed");
        Ok(true)
    }
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
