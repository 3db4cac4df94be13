//! Copies of sealed contents: ciphertext as it is. Keys are not needed, and do not change.

use std::sync::Arc;

use bytes::Bytes;
use oubliette_core::crypto::chunked::{COMMITMENT, SALT};
use oubliette_core::crypto::layout::{BLOB_HEADER, PREFIX};
use oubliette_core::model::TenantId;
use oubliette_core::ports::{BlobHint, BlobRef, Blobs, ContentRow, PortError, PortErrorKind};

/// Bytes read at once.
const PIECE: u64 = 1 << 20;
/// Up to this length a copy is read back whole, beyond it at both ends. How long it is, is part of its reference.
const READ_BACK: u64 = 1 << 20;
/// What is read back of a long one at its end.
const TAIL: u64 = 64 << 10;
/// Where a blob has its commitment.
const COMMITTED: std::ops::Range<usize> = BLOB_HEADER + SALT..BLOB_HEADER + SALT + COMMITMENT;

/// From where to where.
#[derive(Clone)]
pub struct BlobCopier {
    /// The old place.
    pub from: Arc<dyn Blobs>,
    /// The new one.
    pub to: Arc<dyn Blobs>,
}

/// A copy that was read back.
pub struct Copied {
    /// Where it lies.
    pub blob: BlobRef,
    /// Its length.
    pub bytes: u64,
}

impl BlobCopier {
    /// The stored length of a content here.
    pub async fn length(&self, row: &ContentRow) -> Result<u64, PortError> {
        self.from.length(&row.blob).await
    }

    /// Copies one content, and reads the copy back: its bytes, and that its commitment is the row's.
    pub async fn copy(&self, tenant: TenantId, row: &ContentRow) -> Result<Copied, PortError> {
        let length = self.length(row).await?;
        // Contents of a tenant share segments, as they do when they come in.
        let hint = BlobHint { lane: u64::from(tenant.0) << 8, length: Some(length) };
        let mut writer = self.to.create(hint).await?;
        let (mut head, mut tail) = (Bytes::new(), Bytes::new());
        for start in (0..length).step_by(PIECE as usize) {
            let piece = self.from.read(&row.blob, start..(start + PIECE).min(length)).await?;
            if start == 0 {
                head = piece.clone();
            }
            tail = piece.clone();
            writer.write(piece).await?;
        }
        if head.get(COMMITTED).is_none_or(|commitment| head.len() < PREFIX || commitment != row.commitment) {
            return Err(PortError::bare(PortErrorKind::Corrupt, "copy a content: its commitment is not the row's"));
        }
        let blob = writer.finish().await?;
        let differs = || PortError::bare(PortErrorKind::Corrupt, "read a copied content back: it differs");
        if self.to.length(&blob).await? != length {
            return Err(differs());
        }
        if self.to.read(&blob, 0..head.len() as u64).await? != head {
            return Err(differs());
        }
        if length > READ_BACK {
            let end = tail.slice(tail.len() - tail.len().min(TAIL as usize)..);
            if self.to.read(&blob, length - end.len() as u64..length).await? != end {
                return Err(differs());
            }
        }
        Ok(Copied { blob, bytes: length })
    }
}
