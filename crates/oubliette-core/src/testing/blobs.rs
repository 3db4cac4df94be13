//! A blob store in memory that is a *judge*: it gives back what was written and notes what must never happen.
//!
//! Noted are: removing a blob before its key is destroyed (as far as the test can tell, see [`JudgeBlobs::with_witness`]), and
//! writing again what was removed. A judge that is dropped with something noted fails the test; [`JudgeBlobs::verdict`] asks
//! earlier.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::crypto::layout::PREFIX;
use crate::ports::{BlobHint, BlobRef, BlobWriter, Blobs, LiveBlobs, PortError, PortErrorKind, Removal, SweepReport};

type Witness = Box<dyn Fn(&BlobRef) -> bool + Send + Sync>;

/// The judge. Clones share one store.
#[derive(Clone)]
pub struct JudgeBlobs(Arc<Inner>);

struct Inner {
    witness: Witness,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    blobs: HashMap<String, Vec<u8>>,
    next: u64,
    /// First bytes (header, salt, commitment) of everything removed: they are never drawn twice.
    removed: HashSet<Vec<u8>>,
    violations: Vec<String>,
    fault: Option<PortErrorKind>,
    removal_fault: Option<PortErrorKind>,
    /// Removals that failed by it, and compactions.
    asked: (u64, u64),
    /// Blobs that cannot be removed, and what a removal of them answers.
    kept: HashMap<String, Removal>,
}

impl Default for JudgeBlobs {
    fn default() -> Self {
        Self::new()
    }
}

impl JudgeBlobs {
    /// A judge that takes every removal as rightful.
    pub fn new() -> Self {
        Self::with_witness(|_| true)
    }

    /// A judge that asks `witness` at each removal whether the blob may go: its key is destroyed, or it was never referred to.
    pub fn with_witness(witness: impl Fn(&BlobRef) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { witness: Box::new(witness), state: Mutex::default() }))
    }

    /// What was noted so far, cleared by asking. Names places only.
    pub fn verdict(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().violations)
    }

    /// From now on writing fails with this kind; `None` heals it.
    pub fn set_fault(&self, fault: Option<PortErrorKind>) {
        self.0.lock().fault = fault;
    }

    /// From now on removing fails with this kind; `None` heals it.
    pub fn fail_removals(&self, fault: Option<PortErrorKind>) {
        self.0.lock().removal_fault = fault;
    }

    /// How many removals failed so, and how often it was asked to compact.
    pub fn asked(&self) -> (u64, u64) {
        self.0.lock().asked
    }

    /// From now on removing this blob answers `outcome` and leaves it there; `Removed` heals it.
    pub fn keep(&self, blob: &BlobRef, outcome: Removal) {
        let mut state = self.0.lock();
        if outcome == Removal::Removed {
            state.kept.remove(&blob.0);
        } else {
            state.kept.insert(blob.0.clone(), outcome);
        }
    }

    /// How many blobs there are.
    pub fn len(&self) -> usize {
        self.0.lock().blobs.len()
    }

    /// Whether there is no blob.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every stored byte of a blob.
    pub fn stored(&self, blob: &BlobRef) -> Option<Vec<u8>> {
        self.0.lock().blobs.get(&blob.0).cloned()
    }

    /// Changes a stored blob behind the vault's back.
    pub fn tamper(&self, blob: &BlobRef, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(bytes) = self.0.lock().blobs.get_mut(&blob.0) {
            change(bytes);
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let noted = std::mem::take(&mut self.lock().violations);
        assert!(noted.is_empty() || std::thread::panicking(), "the blob judge noted: {noted:?}");
    }
}

impl State {
    fn check(&self, operation: &'static str) -> Result<(), PortError> {
        self.fault.map_or(Ok(()), |kind| Err(PortError::bare(kind, operation)))
    }
}

fn fingerprint(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len().min(PREFIX)].to_vec()
}

struct JudgeWriter {
    judge: Arc<Inner>,
    bytes: Vec<u8>,
}

#[async_trait]
impl BlobWriter for JudgeWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), PortError> {
        self.judge.lock().check("write a blob")?;
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<BlobRef, PortError> {
        let mut state = self.judge.lock();
        state.check("finish a blob")?;
        state.next += 1;
        let place = format!("m/{}", state.next);
        if state.removed.contains(&fingerprint(&self.bytes)) {
            state.violations.push(format!("{place} holds again what was removed"));
        }
        state.blobs.insert(place.clone(), self.bytes);
        Ok(BlobRef(place))
    }
}

#[async_trait]
impl Blobs for JudgeBlobs {
    async fn create(&self, _hint: BlobHint) -> Result<Box<dyn BlobWriter>, PortError> {
        self.0.lock().check("create a blob")?;
        Ok(Box::new(JudgeWriter { judge: Arc::clone(&self.0), bytes: Vec::new() }))
    }

    async fn read(&self, blob: &BlobRef, range: Range<u64>) -> Result<Bytes, PortError> {
        let state = self.0.lock();
        let gone = || PortError::bare(PortErrorKind::Corrupt, "read a blob");
        let bytes = state.blobs.get(&blob.0).ok_or_else(gone)?;
        let range = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let part = range.and_then(|(start, end)| bytes.get(start..end)).ok_or_else(gone)?;
        Ok(Bytes::copy_from_slice(part))
    }

    async fn length(&self, blob: &BlobRef) -> Result<u64, PortError> {
        let length = self.0.lock().blobs.get(&blob.0).map(|bytes| bytes.len() as u64);
        length.ok_or_else(|| PortError::bare(PortErrorKind::Corrupt, "measure a blob"))
    }

    async fn remove(&self, blobs: &[BlobRef]) -> Result<Vec<Removal>, PortError> {
        {
            let mut state = self.0.lock();
            if let Some(kind) = state.removal_fault {
                state.asked.0 += 1;
                return Err(PortError::bare(kind, "remove blobs"));
            }
        }
        let mut outcomes = Vec::with_capacity(blobs.len());
        for blob in blobs {
            let rightful = (self.0.witness)(blob);
            let mut state = self.0.lock();
            if let Some(kept) = state.kept.get(&blob.0) {
                outcomes.push(kept.clone());
                continue;
            }
            outcomes.push(Removal::Removed);
            if let Some(bytes) = state.blobs.remove(&blob.0) {
                if !rightful {
                    state.violations.push(format!("{} was removed before its key was destroyed", blob.0));
                }
                state.removed.insert(fingerprint(&bytes));
            }
        }
        Ok(outcomes)
    }

    async fn compact(&self, _live: &dyn LiveBlobs) -> Result<SweepReport, PortError> {
        self.0.lock().asked.1 += 1;
        Ok(SweepReport::default())
    }

    async fn sweep_orphans(&self, _live: &dyn LiveBlobs) -> Result<SweepReport, PortError> {
        // Everything here is younger than this process.
        Ok(SweepReport::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn put(judge: &JudgeBlobs, bytes: &'static [u8]) -> BlobRef {
        let mut writer = judge.create(BlobHint { lane: 0, length: None }).await.unwrap();
        writer.write(Bytes::from_static(bytes)).await.unwrap();
        writer.finish().await.unwrap()
    }

    #[tokio::test]
    async fn removing_before_the_key_is_destroyed_is_noted() {
        let judge = JudgeBlobs::with_witness(|_| false);
        let blob = put(&judge, b"sealed").await;
        judge.remove(&[blob]).await.unwrap();
        assert_eq!(judge.verdict(), ["m/1 was removed before its key was destroyed"]);
    }

    #[tokio::test]
    async fn writing_a_removed_blob_again_is_noted() {
        let judge = JudgeBlobs::new();
        let blob = put(&judge, b"sealed").await;
        judge.remove(&[blob]).await.unwrap();
        put(&judge, b"sealed").await;
        assert_eq!(judge.verdict(), ["m/2 holds again what was removed"]);
    }
}
