//! Whether the vault stands on an older copy of its database, and what the copy itself says of that (design §6).
//!
//! A database behind the key state is refused unless an operator attached it: one that lacks commits which the last seal
//! pinned, or an erasure of the journal, which it knew before the journal did, or what the log tells of (`certify::behind`),
//! which it knew before the log did. Then the copy bears a mark, and until the
//! restore is committed everything that changes is refused: nothing that the copy does not know may be touched, because
//! another copy may know it. The mark alone decides, not the counters: a marked copy that is copied again is still one.
//!
//! A copy's own counter goes on where the copy stood. So that it is never taken for an older one once it is committed, an
//! offset is added to it from then on, which lies beyond everything that was pinned before.
//!
//! The log is told of a commit once its seal is in force: what it is to be told is noted in the step that takes the mark away,
//! and told by the certifier before anything else ([`Untold`]).

use std::future::Future;
use std::sync::Arc;

use jiff::Timestamp;
use keyforest::Forest;
use oubliette_proof::Seconds;
use oubliette_proof::entry::{Body, Entry, RestoreEntry, RestoreStage};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::certify::Unknown;
use super::log::LogError;
use super::recovery::Mismatch;
use super::{VaultError, journal};
use crate::ports::{InstanceRow, Metadata, PortError, PortErrorKind, Transaction, Write};

/// Name of the value that marks a copy.
const ATTACHED: &str = "restore.attached";
/// Name of the value that is added to the commit counter.
const OFFSET: &str = "restore.offset";
/// Name of the value that the log is still to be told.
pub const RESTORE_UNTOLD: &str = "restore.untold";

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
    /// The counter that the key state had pinned. Not beyond `found` where the log alone showed that the copy is older.
    pub pinned: u64,
    /// Erasures of the journal that the copy did not know.
    #[serde(default)]
    pub replayed: u64,
    /// Once the seal is to be made by which the restore is committed.
    pub committing: Option<Committing>,
}

/// The seal that commits a restore, before it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committing {
    /// The counter that it pins.
    pub counter: u64,
    /// Interactions that live on.
    pub live: u64,
    /// Rows of interactions and contents whose keys are gone.
    pub dropped: u64,
    /// Leaves that it punctures.
    pub punctured: u64,
    /// Entries in the log.
    pub logged: u64,
}

/// What the log is to be told of a committed restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untold {
    /// When it was committed, in seconds.
    at: i64,
    data_epoch: u64,
    key_epoch: u64,
    live: u64,
    dropped: u64,
    replayed: u64,
    punctured: u64,
    /// Entries in the log before.
    pub logged: u64,
}

impl Untold {
    fn new(mark: &Attachment, committing: &Committing, key_epoch: u64, at: Timestamp) -> Self {
        let Committing { live, dropped, punctured, logged, .. } = *committing;
        let (data_epoch, replayed) = (mark.epoch, mark.replayed);
        Self { at: at.as_second(), data_epoch, key_epoch, live, dropped, replayed, punctured, logged }
    }

    /// As an entry; `None` for a time that the log does not know.
    pub fn entry(&self) -> Option<Entry> {
        let Self { data_epoch, key_epoch, live, dropped, replayed, punctured, .. } = *self;
        let stage = RestoreStage::Commit;
        let body = RestoreEntry { stage, data_epoch, key_epoch, live, dropped, replayed, punctured };
        let time = u64::try_from(self.at).ok().and_then(Seconds::new)?;
        Some(Entry { time, body: Body::Restore(body) })
    }
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
    /// Refuse it, unless nothing but an entry of the log that cannot be read could tell: another log is about to begin.
    RefuseKnown,
    /// Mark it.
    Attach,
}

/// Nothing but the log could tell what the database is, and it does not.
#[derive(Debug, thiserror::Error)]
#[error(
    "an entry of the log cannot be read that would tell whether the database is an older copy. Bring the log's files back; if \
     they are lost and the database is the newest one, `oubliette log reopen` begins another log; if an older copy was put back \
     on purpose, `oubliette restore attach` opens it for reading"
)]
struct Undecided(#[source] LogError);

/// Finds out what the database is to the key state; finishes a restore whose seal is in force; marks a copy where that is asked.
/// `unknown`: what the log says of an unmarked database; looked for only where nothing else shows that it is older.
pub async fn standing(
    metadata: &dyn Metadata,
    forest: &Arc<Forest>,
    unknown: impl Future<Output = Result<Unknown, VaultError>>,
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
        Some(mark) if mark.committing.as_ref().is_some_and(|one| one.counter == pins.commit_counter) => {
            tracing::info!(restore = %mark.id, "the seal of a restore was made before the stop; it is committed");
            finish(metadata, &mark, forest.epoch(), now).await?;
            match older {
                Older::Refuse | Older::RefuseKnown => settled(metadata).await,
                Older::Attach => refused(Mismatch::NotBehind),
            }
        }
        Some(mark) => Ok(Standing { attached: Some(mark), ..settled_from(metadata, &instance).await? }),
        None => {
            let standing = settled_from(metadata, &instance).await?;
            let (found, pinned) = (standing.counter, pins.commit_counter);
            let behind = if found < pinned {
                Some(Mismatch::DatabaseBehind { found, pinned })
            } else if let Some(erasure) = unknown_erasure(metadata, forest).await? {
                Some(Mismatch::ErasureUnknown { erasure })
            } else {
                by_the_log(unknown.await?, older)?
            };
            match (behind, older) {
                (None, Older::Refuse | Older::RefuseKnown) => return Ok(standing),
                (None, Older::Attach) => return refused(Mismatch::NotBehind),
                (Some(behind), Older::Refuse | Older::RefuseKnown) => return refused(behind),
                (Some(_), Older::Attach) => {}
            }
            let (id, epoch) = (Uuid::new_v4(), instance.epoch);
            let mark = Attachment { id, at: now, found, epoch, pinned, replayed: 0, committing: None };
            set(metadata, vec![mark_as(Some(&mark))?]).await?;
            Ok(Standing { attached: Some(mark), ..standing })
        }
    }
}

/// What the log's word makes of a database that nothing else shows to be older.
fn by_the_log(unknown: Unknown, older: Older) -> Result<Option<Mismatch>, VaultError> {
    match (unknown, older) {
        (Unknown::Entries(unknown), _) => Ok((unknown > 0).then_some(Mismatch::DatabaseBehindLog { unknown })),
        (Unknown::Unread(error), Older::Refuse) => Err(VaultError::internal(Undecided(error))),
        (Unknown::Unread(error), Older::RefuseKnown | Older::Attach) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "an entry of the log cannot be read that would tell whether the database is an older copy; the operator's word decides"
            );
            Ok((older == Older::Attach).then_some(Mismatch::DatabaseBehindLog { unknown: 0 }))
        }
    }
}

/// The first erasure of the journal that the database does not know. It knew each of them before it was written there, so it
/// lacks what followed. Doing the erasure again is not enough then: look-up entries lie elsewhere than when it was accepted, and
/// whoever holds the newer rows opens with keys that are still there what comes to be erased later.
async fn unknown_erasure(metadata: &dyn Metadata, forest: &Arc<Forest>) -> Result<Option<Uuid>, VaultError> {
    for (_, record) in journal::records(forest).await? {
        if metadata.purge_brief(record.id).await.map_err(unread)?.is_none() {
            return Ok(Some(record.id));
        }
    }
    Ok(None)
}

/// Notes that the seal is to be made which commits the restore, and what it does. The counter given is the one that is
/// pinned; the one that the seal pins is beyond all that was ever pinned or counted.
pub async fn begin_commit(metadata: &dyn Metadata, committing: Committing) -> Result<Attachment, VaultError> {
    let standing = settled(metadata).await?;
    let Some(mark) = attachment(metadata).await? else { return Err(VaultError::Conflict("no older copy is attached")) };
    // Nobody's but this commit's, and further on than any branch that is left behind ever counts.
    let counter = standing.counter.max(committing.counter).saturating_add(apart()?);
    let mark = Attachment { committing: Some(Committing { counter, ..committing }), ..mark };
    set(metadata, vec![mark_as(Some(&mark))?]).await?;
    Ok(mark)
}

/// How far the counter of a commit is from all that was counted: more than a vault ever commits, and drawn, so that the seal of
/// one restore is never taken for that of another.
fn apart() -> Result<u64, VaultError> {
    let mut drawn = [0; 4];
    aws_lc_rs::rand::fill(&mut drawn).map_err(VaultError::internal)?;
    Ok((1 << 40) + u64::from(u32::from_be_bytes(drawn)))
}

/// The seal is made: the copy is the vault's database from now on, and the log is to be told. May be repeated.
pub async fn finish(metadata: &dyn Metadata, mark: &Attachment, epoch: u64, now: Timestamp) -> Result<(), VaultError> {
    let Some(committing) = &mark.committing else { return Err(VaultError::Internal(None)) };
    let untold = serde_json::to_vec(&Untold::new(mark, committing, epoch, now)).map_err(VaultError::internal)?;
    let value = |name: &str, value| Write::PutValue(name.to_owned(), Some(value));
    let writes = vec![
        mark_as(None)?,
        value(OFFSET, committing.counter.to_be_bytes().to_vec()),
        value(RESTORE_UNTOLD, untold),
        Write::SetEpoch(epoch),
    ];
    set(metadata, writes).await
}

/// What counts one more erasure of the journal that the copy did not know.
pub async fn replayed(metadata: &dyn Metadata) -> Result<Write, VaultError> {
    let mark = attachment(metadata).await?.ok_or(VaultError::Internal(None))?;
    mark_as(Some(&Attachment { replayed: mark.replayed + 1, ..mark }))
}

/// What the log is still to be told.
pub async fn untold(metadata: &dyn Metadata) -> Result<Option<Untold>, VaultError> {
    let bytes = metadata.value(RESTORE_UNTOLD).await.map_err(unread)?;
    bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose().map_err(VaultError::internal)
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
