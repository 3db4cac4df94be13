//! What a bucket can do, tried out when it is attached: some servers answer *done* to what they ignore.

use std::fmt;
use std::sync::atomic::Ordering;

use jiff::{SignedDuration, Timestamp};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStoreExt, PutPayload};
use oubliette_core::ports::{PortError, PortErrorKind};

use super::bucket::{Bucket, Deleted, Target};
use super::error::Fault;
use super::s3::S3;

const FIRST: &[u8] = b"the first version of a probe";
const SECOND: &[u8] = b"another";

/// Whether a bucket keeps what was overwritten or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versioning {
    /// It never did.
    Never,
    /// It does.
    Enabled,
    /// It did once; what it kept then is still there.
    Suspended,
}

/// What a bucket with Object Lock does to new objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Locks are possible; nothing is locked by itself.
    NotByDefault,
    /// Everything is locked for so long; those with a special right may delete it earlier.
    Governance {
        /// Days.
        days: u32,
    },
    /// Everything is locked for so long, for everybody.
    Compliance {
        /// Days.
        days: u32,
    },
    /// The bucket says that it locks, and does not.
    Ignored,
}

/// What the bucket can do, as seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether it keeps versions.
    pub versioning: Versioning,
    /// Whether versions can be listed.
    pub lists_versions: bool,
    /// Its Object Lock, if it has one.
    pub retention: Option<Retention>,
    /// *Write only if there is none* is honoured. The vault does without.
    pub conditional_put: bool,
    /// A thousand deletes in one request, with an outcome each.
    pub bulk_delete: bool,
    /// Unfinished uploads can be listed, and so be given up.
    pub lists_uploads: bool,
}

impl Capabilities {
    /// What an operator should know of this bucket.
    pub fn warnings(&self) -> Vec<&'static str> {
        let mut warnings = Vec::new();
        if self.versioning == Versioning::Suspended {
            warnings.push("versioning is suspended: earlier versions are still there; removals take them along");
        }
        match self.retention {
            Some(Retention::Governance { .. } | Retention::Compliance { .. }) => warnings.push(
                "Object Lock keeps every object: an erasure destroys the key at once, the ciphertext stays until the lock ends",
            ),
            Some(Retention::Ignored) => warnings.push("the bucket says that it locks objects, and does not"),
            Some(Retention::NotByDefault) | None => {}
        }
        if !self.bulk_delete {
            warnings.push("the server has no bulk delete: removals take one request an object");
        }
        if !self.lists_uploads {
            warnings.push("unfinished uploads cannot be listed: give them up by a lifecycle rule");
        }
        warnings
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |yes: bool| if yes { "yes" } else { "no" };
        write!(f, "versions: ")?;
        match self.versioning {
            Versioning::Never => write!(f, "never kept")?,
            Versioning::Enabled => write!(f, "kept")?,
            Versioning::Suspended => write!(f, "suspended")?,
        }
        write!(f, "; object lock: ")?;
        match self.retention {
            None => write!(f, "none")?,
            Some(Retention::NotByDefault) => write!(f, "possible, not by default")?,
            Some(Retention::Governance { days }) => write!(f, "governance, {days} days")?,
            Some(Retention::Compliance { days }) => write!(f, "compliance, {days} days")?,
            Some(Retention::Ignored) => write!(f, "said, but ignored")?,
        }
        write!(
            f,
            "; conditional put: {}; bulk delete: {}; lists uploads: {}",
            yes(self.conditional_put),
            yes(self.bulk_delete),
            yes(self.lists_uploads)
        )
    }
}

/// Tries out a bucket with objects of these two keys; gives what it can do and the store's own time. `retention` is what the
/// bucket says of itself.
///
/// # Errors
/// `Refused` for a bucket that does not list, does not give back what was written, or does not delete; `Unavailable` when it
/// could not be asked.
pub(super) async fn probe(
    bucket: &Bucket,
    [key, in_parts]: [&str; 2],
    retention: Option<Retention>,
) -> Result<(Capabilities, Timestamp), PortError> {
    bucket.list(key, None).await.map_err(refusal("list the bucket"))?;
    let versioned = write_twice(bucket, key).await?;
    let mut capabilities = Capabilities {
        versioning: Versioning::Never,
        lists_versions: false,
        retention,
        conditional_put: false,
        bulk_delete: false,
        lists_uploads: false,
    };
    let path = Path::from(key);
    let meta = bucket.store.head(&path).await.map_err(client("look at an object of the bucket"))?;
    let mut now = Timestamp::from_second(meta.last_modified.timestamp()).unwrap_or(Timestamp::MIN);
    upload_in_parts(bucket, in_parts).await?;
    if let Some(s3) = &bucket.s3 {
        ask_s3(s3, key, versioned, &mut capabilities).await?;
        let head = s3.head(&Target { key: key.to_owned(), version: None }).await;
        if let Ok(Some(head)) = head {
            // Told in whole seconds, rounded down: it is no later than this.
            now = head.date.map_or(now, |date| date + SignedDuration::from_secs(1));
            let locks = matches!(retention, Some(Retention::Governance { .. } | Retention::Compliance { .. }));
            if locks && head.retain_until.is_none() {
                capabilities.retention = Some(Retention::Ignored);
            }
        }
    }
    bucket.versioned.store(capabilities.versioning != Versioning::Never, Ordering::Relaxed);
    capabilities.bulk_delete = delete(bucket, [key, in_parts]).await?;
    bucket.bulk.store(capabilities.bulk_delete, Ordering::Relaxed);
    Ok((capabilities, now))
}

/// Writes, reads a range, overwrites and reads again; whether the store spoke of versions.
async fn write_twice(bucket: &Bucket, key: &str) -> Result<bool, PortError> {
    const READ: &str = "read a range of an object in the bucket";
    let path = Path::from(key);
    let mut versioned = false;
    for bytes in [FIRST, SECOND] {
        let put = bucket.store.put(&path, PutPayload::from_static(bytes)).await;
        let put = put.map_err(client("write to the bucket"))?;
        versioned |= put.version.is_some_and(|version| !version.is_empty() && version != "null");
        let range = GetOptions { range: Some(GetRange::Bounded(2..5)), ..GetOptions::default() };
        let got = bucket.store.get_opts(&path, range).await.map_err(client(READ))?;
        if got.bytes().await.map_err(client(READ))? != bytes[2..5] {
            return Err(PortError::bare(PortErrorKind::Refused, "read what was written to the bucket"));
        }
    }
    Ok(versioned)
}

async fn upload_in_parts(bucket: &Bucket, key: &str) -> Result<(), PortError> {
    const OPERATION: &str = "upload in parts to the bucket";
    let path = Path::from(key);
    let mut upload = bucket.store.put_multipart(&path).await.map_err(client(OPERATION))?;
    let part = upload.put_part(PutPayload::from_static(FIRST)).await;
    let done = match part {
        Ok(()) => upload.complete().await.map(|_| ()),
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        let _ = upload.abort().await;
        return Err(client(OPERATION)(error));
    }
    let meta = bucket.store.head(&path).await.map_err(client(OPERATION))?;
    if meta.size == FIRST.len() as u64 { Ok(()) } else { Err(PortError::bare(PortErrorKind::Refused, OPERATION)) }
}

/// Versions, conditional writes, unfinished uploads.
async fn ask_s3(s3: &S3, key: &str, versioned: bool, found: &mut Capabilities) -> Result<(), PortError> {
    const VERSIONS: &str = "list the versions that the bucket keeps";
    let said = s3.versioning().await.map_err(refusal("ask whether the bucket keeps versions"))?;
    let listed = match s3.list_versions(key, None).await {
        Ok(page) => Some(page.found.iter().filter(|found| found.key == key).count()),
        Err(fault) if fault.is_unsupported() || fault.is_forbidden() => None,
        // Some servers answer with the list they know.
        Err(Fault::Unreadable(_)) => None,
        Err(fault) => return Err(refusal(VERSIONS)(fault)),
    };
    found.lists_versions = listed.is_some();
    found.versioning = match (listed, said) {
        (Some(2..), _) => Versioning::Enabled,
        (_, Some(Versioning::Suspended)) => Versioning::Suspended,
        (_, Some(Versioning::Enabled)) => Versioning::Enabled,
        _ if versioned => Versioning::Enabled,
        _ => Versioning::Never,
    };
    if found.versioning != Versioning::Never && !found.lists_versions {
        // What cannot be seen cannot be removed.
        return Err(PortError::bare(PortErrorKind::Refused, VERSIONS));
    }
    found.conditional_put = match s3.put_new(key, FIRST).await {
        Ok(written) => !written,
        Err(fault @ Fault::Transport(_)) => return Err(refusal("write to the bucket")(fault)),
        Err(_) => false,
    };
    found.lists_uploads = match s3.uploads(key, None).await {
        Ok(_) => true,
        Err(fault @ Fault::Transport(_)) => return Err(refusal("list unfinished uploads")(fault)),
        Err(_) => false,
    };
    Ok(())
}

/// Deletes what the probe wrote and looks whether it is gone; whether in bulk.
async fn delete(bucket: &Bucket, keys: [&str; 2]) -> Result<bool, PortError> {
    const OPERATION: &str = "delete in the bucket";
    let left = async || -> Result<Vec<Target>, PortError> {
        let mut left = Vec::new();
        for key in keys {
            let found = bucket.list_all(key).await.map_err(refusal(OPERATION))?;
            left.extend(found.into_iter().map(|found| Target { key: found.key, version: found.version }));
        }
        Ok(left)
    };
    let mut bulk = false;
    for in_bulk in [true, false] {
        bucket.bulk.store(in_bulk, Ordering::Relaxed);
        let outcomes = bucket.delete(&left().await?).await;
        let done = outcomes.iter().all(|outcome| matches!(outcome, Deleted::Gone));
        if in_bulk {
            bulk = bucket.s3.is_some() && outcomes.iter().all(|outcome| !matches!(outcome, Deleted::Again(_)));
        }
        if done && left().await?.is_empty() {
            return Ok(bulk);
        }
    }
    // Still there: a lock is a reason, nothing else is.
    for target in left().await? {
        let head = bucket.head(&target).await.map_err(refusal(OPERATION))?;
        if head.is_some_and(|head| head.retain_until.is_none() && !head.held) {
            return Err(PortError::bare(PortErrorKind::Refused, OPERATION));
        }
    }
    Ok(bulk)
}

/// The first word on a bucket: what passes is unavailable, everything else is refused.
fn refusal(operation: &'static str) -> impl Fn(Fault) -> PortError {
    move |fault| {
        let kind = if fault.is_passing() { PortErrorKind::Unavailable } else { PortErrorKind::Refused };
        PortError::new(kind, operation, fault)
    }
}

fn client(operation: &'static str) -> impl Fn(object_store::Error) -> PortError {
    move |error| {
        let kind = match &error {
            object_store::Error::Generic { .. } => PortErrorKind::Unavailable,
            _ => PortErrorKind::Refused,
        };
        PortError::new(kind, operation, error)
    }
}
