//! Opening what lies in a vault's stores without opening the vault: for proving that a copy is whole before anything rests on
//! it. Changes nothing, decides nothing about erasures, and gives nothing personal out: digests and counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use futures::StreamExt as _;
use keyforest::{Forest, Group, Leaf, LeafKey, LeafStatus};

use super::journal::Record;
use super::vault::key_error;
use super::{Lookup, VaultError, VaultSettings};
use crate::crypto::record::{self, Place};
use crate::crypto::{BlobContext, BlobRead, KeyCell, open_range};
use crate::directory::{Block, KeyKind, confirm};
use crate::model::{ContentMeta, InteractionMeta, TenantId};
use crate::ports::{Blobs, ContentRow, DirectoryRow, InteractionRow, Metadata, PortError, PurgeState, Unbounded};

/// What a vault stands on, to be looked into.
#[derive(Clone)]
pub struct Inspection {
    /// Keys.
    pub forest: Arc<Forest>,
    /// Rows.
    pub metadata: Arc<dyn Metadata>,
    /// Bytes.
    pub blobs: Arc<dyn Blobs>,
    /// Rules: how personal keys are compared.
    pub settings: VaultSettings,
}

/// Look-up keys of one kind that were tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Keys looked at.
    pub tried: u64,
    /// Of them, those that the interaction they name still has.
    pub confirmed: u64,
}

/// Tried look-up keys by kind, named as in [`KeyKind`].
pub type LookedUp = BTreeMap<&'static str, Looked>;

impl Inspection {
    /// Whether a leaf can be opened: issued and not erased. Blocks.
    pub fn is_live(&self, leaf: Leaf) -> Result<bool, VaultError> {
        Ok(self.forest.status(leaf).map_err(VaultError::internal)? == LeafStatus::Live)
    }

    /// Opens an interaction's metadata; the digest of what was sealed.
    pub async fn interaction(&self, row: &InteractionRow) -> Result<[u8; 32], VaultError> {
        Ok(digest(&self.open_meta(row).await?))
    }

    /// Opens a content, description and bytes; the digest of both together.
    pub async fn content(&self, tenant: TenantId, row: &ContentRow) -> Result<[u8; 32], VaultError> {
        let key = self.key(row.leaf).await?;
        let place = Place::Content(tenant.0, row.interaction.0, row.leaf.0);
        let described = record::open(&key, place, &row.sealed_meta).map_err(VaultError::internal)?;
        let meta: ContentMeta =
            serde_json::from_slice(&described).map_err(|_| VaultError::internal(record::RecordError))?;
        let read = BlobRead {
            blobs: Arc::clone(&self.blobs),
            blob: row.blob.clone(),
            context: BlobContext { tenant, interaction: row.interaction, leaf: row.leaf, part: 0 },
            commitment: row.commitment,
            length: meta.length,
        };
        let cell = KeyCell::new(key, Arc::new(Unbounded));
        let mut stream = open_range(&cell, read, 0..meta.length).await.map_err(VaultError::internal)?;
        let mut sum = Context::new(&SHA256);
        sum.update(&described);
        while let Some(piece) = stream.next().await {
            sum.update(&piece.map_err(VaultError::internal)?);
        }
        let mut out = [0; 32];
        out.copy_from_slice(sum.finish().as_ref());
        Ok(out)
    }

    /// Opens directory blocks, and of each kind of look-up key up to `most` interactions that are named by one.
    pub async fn lookups(&self, blocks: &[DirectoryRow], most: u64) -> Result<LookedUp, VaultError> {
        let mut looked = LookedUp::new();
        for row in blocks {
            let key = self.key(row.leaf).await?;
            let block = Block::open(row.block, row.leaf, &key, &row.sealed).map_err(VaultError::internal)?;
            for entry in &block.entries {
                for (kind, text) in &entry.keys {
                    let looked = looked.entry(name(*kind)).or_default();
                    if looked.tried == most {
                        continue;
                    }
                    looked.tried += 1;
                    let Some(row) = self.metadata.interaction(entry.group).await.map_err(unread)? else { continue };
                    let meta: InteractionMeta = serde_json::from_slice(&self.open_meta(&row).await?)
                        .map_err(|_| VaultError::internal(record::RecordError))?;
                    let same = row.tenant == entry.tenant && confirm(&meta, &lookup(*kind, text), &self.settings);
                    looked.confirmed += u64::from(same);
                }
            }
        }
        Ok(looked)
    }

    /// Whether every record of the journal stands for an erasure that is sealed: nothing in it is needed any more.
    pub async fn journal_is_done(&self) -> Result<bool, VaultError> {
        let forest = Arc::clone(&self.forest);
        let records = tokio::task::spawn_blocking(move || forest.journal()).await.map_err(VaultError::internal)?;
        for (_, bytes) in records.map_err(VaultError::internal)? {
            let Some(record) = Record::decode(&bytes) else { return Ok(false) };
            let known = self.metadata.purge(record.id).await.map_err(unread)?;
            if known.is_none_or(|purge| purge.state != PurgeState::Sealed) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn open_meta(&self, row: &InteractionRow) -> Result<zeroize::Zeroizing<Vec<u8>>, VaultError> {
        let key = self.key(Group(row.group.0).leaf(0)).await?;
        let place = Place::Interaction(row.tenant.0, row.group.0);
        record::open(&key, place, &row.sealed_meta).map_err(VaultError::internal)
    }

    /// A key may lie in a page that has to be read first.
    async fn key(&self, leaf: Leaf) -> Result<LeafKey, VaultError> {
        let forest = Arc::clone(&self.forest);
        let key = tokio::task::spawn_blocking(move || forest.key(leaf)).await.map_err(VaultError::internal)?;
        key.map_err(key_error)
    }
}

fn unread(error: PortError) -> VaultError {
    VaultError::Unavailable(Some(error))
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(aws_lc_rs::digest::digest(&SHA256, bytes).as_ref());
    out
}

fn name(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Session => "session",
        KeyKind::External => "external",
        KeyKind::Phone => "phone",
        KeyKind::Email => "email",
        KeyKind::Master => "master",
        KeyKind::Case => "case",
        KeyKind::Collection => "collection",
    }
}

fn lookup(kind: KeyKind, text: &str) -> Lookup {
    let text = text.to_owned();
    match kind {
        KeyKind::Session => Lookup::Session(text),
        KeyKind::External => Lookup::External(text),
        KeyKind::Phone => Lookup::Phone(text),
        KeyKind::Email => Lookup::Email(text),
        KeyKind::Master => Lookup::Master(text),
        KeyKind::Case => Lookup::Case(text),
        KeyKind::Collection => Lookup::Collection(text),
    }
}
