//! What the metadata would say of blobs, as a plain set.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::ports::{BlobRef, LiveBlobs, PortError};

/// The references that some row holds.
#[derive(Default)]
pub struct LiveTable(Mutex<HashSet<BlobRef>>);

impl LiveTable {
    /// A row refers to the blob from now on.
    pub fn insert(&self, blob: &BlobRef) {
        self.lock().insert(blob.clone());
    }

    /// The row is deleted.
    pub fn delete(&self, blob: &BlobRef) {
        self.lock().remove(blob);
    }

    /// Whether a row refers to it.
    pub fn contains(&self, blob: &BlobRef) -> bool {
        self.lock().contains(blob)
    }

    /// All references.
    pub fn all(&self) -> Vec<BlobRef> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<BlobRef>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl LiveBlobs for LiveTable {
    async fn live(&self, blobs: &[BlobRef]) -> Result<Vec<bool>, PortError> {
        Ok(blobs.iter().map(|blob| self.contains(blob)).collect())
    }

    async fn switch(&self, from: &BlobRef, to: &BlobRef) -> Result<bool, PortError> {
        let mut rows = self.lock();
        let known = rows.remove(from);
        if known {
            rows.insert(to.clone());
        }
        Ok(known)
    }

    async fn with_prefix(&self, prefix: &str) -> Result<Vec<BlobRef>, PortError> {
        Ok(self.lock().iter().filter(|blob| blob.0.starts_with(prefix)).cloned().collect())
    }
}
