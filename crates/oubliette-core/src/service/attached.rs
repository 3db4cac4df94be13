//! Whether the vault stands on an older copy of its database, and what the copy itself says of that (design §6).
//!
//! A database behind the key state is refused unless an operator attached it. Then the copy bears a mark, and until the
//! restore is committed everything that changes is refused: nothing that the copy does not know may be touched, because
//! another copy may know it. The mark alone decides, not the counters: a marked copy that is copied again is still one.
//!
//! A copy's own counter goes on where the copy stood. So that it is never taken for an older one once it is committed, an
//! offset is added to it from then on, which lies beyond everything that was pinned before.

use jiff::Timestamp;
use keyforest::Forest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::VaultError;
use super::recovery::Mismatch;
use crate::ports::{InstanceRow, Metadata, PortError, PortErrorKind, Transaction, Write};

/// Name of the value that marks a copy.
const ATTACHED: &str = "restore.attached";
/// Name of the value that is added to the commit counter.
const OFFSET: &str = "restore.offset";

/// The mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The restore.
    pub id: Uuid,
    /// When the copy was attached.
    pub at: Timestamp,
    /// The copy's commit counter then.
    pub found: u64,
    /// The key epoch that the copy knew then.
    pub epoch: u64,
    /// The counter that the key state had pinned.
    pub pinned: u64,
    /// The counter that the seal pins by which the restore is committed, once that seal is to be made.
    pub committing: Option<u64>,
}

/// What a database is to a key state.
pub struct Standing {
    /// To be added to the database's commit counter.
    pub offset: u64,
    /// The counter with it.
    pub counter: u64,
    /// The mark of an older copy.
    pub attached: Option<Attachment>,
}

/// What to do about a database that is behind the key state and bears no mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Older {
    /// Refuse it.
    Refuse,
    /// Mark it.
    Attach,
}

/// Finds out what the database is to the key state; finishes a restore whose seal is in force; marks a copy where that is asked.
pub async fn standing(
    metadata: &dyn Metadata,
    forest: &Forest,
    older: Older,
    now: Timestamp,
) -> Result<Standing, VaultError> {
    let instance = metadata.instance().await.map_err(unread)?;
    let pins = forest.pins();
    let refused = |mismatch| Err(VaultError::internal(mismatch));
    if pins.instance != *instance.instance.as_bytes() {
        return refused(Mismatch::Instance);
    }
    if instance.epoch > forest.epoch() {
        return refused(Mismatch::RegisterBehind { found: forest.epoch(), known: instance.epoch });
    }
    match attachment(metadata).await? {
        Some(mark) if mark.committing == Some(pins.commit_counter) => {
            tracing::info!(restore = %mark.id, "the seal of a restore was made before the stop; it is committed");
            finish(metadata, &mark, forest.epoch()).await?;
            match older {
                Older::Refuse => settled(metadata).await,
                Older::Attach => refused(Mismatch::NotBehind),
            }
        }
        Some(mark) => Ok(Standing { attached: Some(mark), ..settled_from(metadata, &instance).await? }),
        None => {
            let standing = settled_from(metadata, &instance).await?;
            if pins.commit_counter <= standing.counter {
                return match older {
                    Older::Refuse => Ok(standing),
                    Older::Attach => refused(Mismatch::NotBehind),
                };
            }
            let (found, pinned) = (standing.counter, pins.commit_counter);
            if older == Older::Refuse {
                return refused(Mismatch::DatabaseBehind { found, pinned });
            }
            let mark =
                Attachment { id: Uuid::new_v4(), at: now, found, epoch: instance.epoch, pinned, committing: None };
            set(metadata, vec![mark_as(Some(&mark))?]).await?;
            Ok(Standing { attached: Some(mark), ..standing })
        }
    }
}

/// Notes that the seal is to be made which commits the restore. The counter it pins is beyond all that was ever pinned or
/// counted.
pub async fn begin_commit(metadata: &dyn Metadata, mark: &Attachment, pinned: u64) -> Result<Attachment, VaultError> {
    let standing = settled(metadata).await?;
    let committing = Some(standing.counter.max(pinned) + 1);
    let mark = Attachment { committing, ..mark.clone() };
    set(metadata, vec![mark_as(Some(&mark))?]).await?;
    Ok(mark)
}

/// The seal is made: the copy is the vault's database from now on. May be repeated.
pub async fn finish(metadata: &dyn Metadata, mark: &Attachment, epoch: u64) -> Result<(), VaultError> {
    let offset = mark.committing.unwrap_or(mark.pinned);
    let value = Write::PutValue(OFFSET.to_owned(), Some(offset.to_be_bytes().to_vec()));
    set(metadata, vec![mark_as(None)?, value, Write::SetEpoch(epoch)]).await
}

async fn settled(metadata: &dyn Metadata) -> Result<Standing, VaultError> {
    let instance = metadata.instance().await.map_err(unread)?;
    settled_from(metadata, &instance).await
}

async fn settled_from(metadata: &dyn Metadata, instance: &InstanceRow) -> Result<Standing, VaultError> {
    let offset = commit_offset(metadata).await.map_err(unread)?;
    Ok(Standing { offset, counter: instance.commit_counter + offset, attached: None })
}

/// What is to be added to a database's commit counter before it is compared with a pinned one: zero until a restore.
pub async fn commit_offset(metadata: &dyn Metadata) -> Result<u64, PortError> {
    let Some(bytes) = metadata.value(OFFSET).await? else { return Ok(0) };
    let bytes: Result<[u8; 8], _> = bytes.as_slice().try_into();
    bytes.map(u64::from_be_bytes).map_err(|_| PortError::bare(PortErrorKind::Corrupt, "read what a restore noted"))
}

async fn attachment(metadata: &dyn Metadata) -> Result<Option<Attachment>, VaultError> {
    let bytes = metadata.value(ATTACHED).await.map_err(unread)?;
    bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose().map_err(VaultError::internal)
}

fn mark_as(mark: Option<&Attachment>) -> Result<Write, VaultError> {
    let bytes = mark.map(serde_json::to_vec).transpose().map_err(VaultError::internal)?;
    Ok(Write::PutValue(ATTACHED.to_owned(), bytes))
}

async fn set(metadata: &dyn Metadata, writes: Vec<Write>) -> Result<(), VaultError> {
    let transaction = Transaction { name: "restore.mark", checks: Vec::new(), writes };
    metadata.apply(transaction).await.map(|_| ()).map_err(unread)
}

fn unread(error: PortError) -> VaultError {
    VaultError::Unavailable(Some(error))
}
