//! Blobs in a bucket of an object store: large contents as objects, small ones packed into segments.
//!
//! ```text
//! PREFIX o/<2 hex>/<32 hex>      a large content
//! PREFIX p/<2 hex>/<32 hex>      a segment of small contents
//! PREFIX probe/<2 hex>/<32 hex>  written and removed while the bucket is attached
//! ```
//!
//! Whole objects go through the object store client, also to Azure and Google; what it does not ask for (versions, locks,
//! bulk deletes with an outcome each, unfinished uploads) is asked in requests of our own, signed by the same client (`s3`).
//!
//! Invariants: no object is ever changed; a reference is given only after the store said that all of it is there; no name
//! says anything of a content; *removed* is never said of what a lock, a version or a marker still keeps; nothing is removed
//! that a live row refers to, nor what may still come to be referred to by this process or another.
//!
//! Ciphertext only comes here; its keys never do. Whether a blob may be removed is decided elsewhere.

mod bucket;
mod compact;
mod credentials;
mod error;
mod large;
mod locate;
mod options;
mod place;
mod probe;
mod removal;
mod s3;
mod segments;
mod sweep;
mod writer;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use object_store::aws::Checksum;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use oubliette_core::ports::{
    BlobHint, BlobRef, BlobWriter, Blobs, LiveBlobs, PortError, PortErrorKind, Removal, SweepReport,
};

use self::bucket::Bucket;
pub use self::credentials::Credentials;
use self::error::{Fault, read_error};
use self::options::checked_prefix;
pub use self::options::{Encryption, ObjectOptions, S3Options, Style};
use self::place::{Kind, Name, Place, Run, Stretch};
pub use self::probe::{Capabilities, Retention, Versioning};
use self::s3::Patience;
use self::segments::Segments;
use self::writer::ObjectWriter;
use super::moved::Moved;

/// Blobs in a bucket. Cheap to clone; clones share one store. Needs a Tokio runtime.
#[derive(Clone)]
pub struct ObjectBlobs(Arc<Shared>);

struct Shared {
    bucket: Bucket,
    /// Objects may be locked: a removal has to ask.
    bucket_locks: AtomicBool,
    /// What all keys begin with: empty, or with a slash at the end.
    prefix: String,
    options: ObjectOptions,
    patience: Patience,
    capabilities: Capabilities,
    run: Run,
    /// The store's clock when the bucket was attached, and ours.
    attached: (Timestamp, Instant),
    segments: Segments,
    moved: Moved<Stretch>,
    sweeping: tokio::sync::Mutex<sweep::Sweeping>,
    compacting: tokio::sync::Mutex<compact::Compacting>,
}

impl ObjectBlobs {
    /// Attaches an S3 bucket: tries out what it can do, leaving nothing behind (but in a bucket that locks every object).
    ///
    /// # Errors
    /// `Refused` for settings that make no sense and for a bucket that cannot be listed, written to, read or deleted in, or
    /// that keeps versions which cannot be listed; `Unavailable` when it could not be asked.
    pub async fn attach(bucket: &S3Options, options: ObjectOptions) -> Result<Self, PortError> {
        options.check()?;
        let (mut store, mut s3) = bucket.connect(&options, None)?;
        let retention = s3.lock().await.map_err(|fault: Fault| fault.port("ask whether the bucket locks objects"))?;
        if retention.is_some() {
            // Such buckets take no object without a checksum.
            (store, s3) = bucket.connect(&options, Some(Checksum::SHA256))?;
        }
        let opened = Bucket {
            store: Arc::new(store),
            s3: Some(s3),
            versioned: AtomicBool::new(false),
            bulk: AtomicBool::new(true),
            parallel: options.parallel,
        };
        Self::try_out(opened, &bucket.prefix, retention, options).await
    }

    /// Attaches what the client knows as a store of another kind, such as Azure's or Google's: without versions, locks, bulk
    /// deletes and without giving up what earlier runs left of uploads. Not tested against those services.
    ///
    /// # Errors
    /// As [`ObjectBlobs::attach`].
    pub async fn attach_store(
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        options: ObjectOptions,
    ) -> Result<Self, PortError> {
        options.check()?;
        let opened = Bucket {
            store,
            s3: None,
            versioned: AtomicBool::new(false),
            bulk: AtomicBool::new(false),
            parallel: options.parallel,
        };
        Self::try_out(opened, prefix, None, options).await
    }

    async fn try_out(
        bucket: Bucket,
        prefix: &str,
        retention: Option<Retention>,
        options: ObjectOptions,
    ) -> Result<Self, PortError> {
        let prefix = checked_prefix(prefix)?;
        let run = Run(random()? as u32);
        let keys = [random()?, random()?].map(|random| place::key(&prefix, Kind::Probe, Name::new(run, random)));
        let (capabilities, now) = probe::probe(&bucket, [&keys[0], &keys[1]], retention).await?;
        tracing::info!(%capabilities, "attached a bucket");
        Ok(Self(Arc::new(Shared {
            bucket,
            bucket_locks: AtomicBool::new(capabilities.retention.is_some()),
            prefix,
            patience: options.patience(),
            options,
            capabilities,
            run,
            attached: (now, Instant::now()),
            segments: Segments::default(),
            moved: Moved::default(),
            sweeping: tokio::sync::Mutex::default(),
            compacting: tokio::sync::Mutex::default(),
        })))
    }

    /// What the bucket was seen to be able to do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }
}

fn random() -> Result<u128, PortError> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random)
        .map_err(|_| PortError::bare(PortErrorKind::Unavailable, "draw a random name"))?;
    Ok(u128::from_be_bytes(random))
}

impl Shared {
    fn random(&self) -> Result<u128, PortError> {
        random()
    }

    fn key(&self, kind: Kind, name: Name) -> String {
        place::key(&self.prefix, kind, name)
    }

    /// The store's time.
    fn now(&self) -> Timestamp {
        let since = SignedDuration::try_from(self.attached.1.elapsed()).unwrap_or(SignedDuration::ZERO);
        self.attached.0.checked_add(since).unwrap_or(self.attached.0)
    }

    /// Whether something written at `modified` is older than `margin`.
    fn is_older(&self, modified: Timestamp, margin: std::time::Duration) -> bool {
        let margin = SignedDuration::try_from(margin).unwrap_or(SignedDuration::MAX);
        self.now().checked_sub(margin).is_ok_and(|limit| modified <= limit)
    }

    /// Reads exactly a range of an object.
    async fn get(&self, key: &str, range: Range<u64>) -> Result<Bytes, PortError> {
        let path = Path::from(key);
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let got = match self.bucket.store.get_opts(&path, options).await {
            Ok(got) => got.bytes().await,
            Err(error) => Err(error),
        };
        match got {
            Ok(bytes) if bytes.len() as u64 == range.end - range.start => Ok(bytes),
            Ok(_) => Err(PortError::bare(PortErrorKind::Corrupt, "read a blob: it is shorter than what was written")),
            Err(error @ object_store::Error::Generic { .. }) => match self.bucket.store.head(&path).await {
                // The client does not tell a range that is not there from a failed request.
                Ok(meta) if meta.size < range.end => Err(PortError::new(PortErrorKind::Corrupt, "read a blob", error)),
                _ => Err(read_error(error)),
            },
            Err(error) => Err(read_error(error)),
        }
    }

    async fn read_stretch(&self, at: Stretch, range: Range<u64>) -> Result<Bytes, PortError> {
        let removed = || PortError::bare(PortErrorKind::Refused, "read a removed blob");
        let one = async |at: Stretch| {
            if self.segments.is_marked(at) {
                return Err(removed());
            }
            if range.is_empty() {
                return Ok(Bytes::new());
            }
            self.get(&self.key(Kind::Segment, at.segment), at.offset + range.start..at.offset + range.end).await
        };
        match one(at).await {
            // Perhaps compaction moved it after its row was read.
            Err(error) if matches!(error.kind, PortErrorKind::Corrupt | PortErrorKind::Refused) => {
                match self.moved.follow(at) {
                    Some(moved) => one(moved).await,
                    None => Err(error),
                }
            }
            read => read,
        }
    }
}

#[async_trait]
impl Blobs for ObjectBlobs {
    async fn create(&self, hint: BlobHint) -> Result<Box<dyn BlobWriter>, PortError> {
        Ok(Box::new(ObjectWriter::create(&self.0, hint)?))
    }

    async fn read(&self, blob: &BlobRef, range: Range<u64>) -> Result<Bytes, PortError> {
        let place = Place::parse(blob)?;
        let (Place::Object { length, .. } | Place::Segment(Stretch { length, .. })) = place;
        if range.start > range.end || range.end > length {
            return Err(PortError::bare(PortErrorKind::Corrupt, "read past the end of a blob"));
        }
        match place {
            Place::Segment(at) => self.0.read_stretch(at, range).await,
            Place::Object { .. } if range.is_empty() => Ok(Bytes::new()),
            Place::Object { name, .. } => self.0.get(&self.0.key(Kind::Object, name), range).await,
        }
    }

    async fn length(&self, blob: &BlobRef) -> Result<u64, PortError> {
        let (Place::Object { length, .. } | Place::Segment(Stretch { length, .. })) = Place::parse(blob)?;
        Ok(length)
    }

    async fn remove(&self, blobs: &[BlobRef]) -> Result<Vec<Removal>, PortError> {
        removal::remove(&self.0, blobs).await
    }

    async fn compact(&self, live: &dyn LiveBlobs) -> Result<SweepReport, PortError> {
        compact::compact(&self.0, live).await
    }

    async fn sweep_orphans(&self, live: &dyn LiveBlobs) -> Result<SweepReport, PortError> {
        sweep::sweep_orphans(&self.0, live).await
    }

    async fn look_through(&self, head: usize, found: &mut (dyn FnMut(BlobRef, Bytes) + Send)) -> Result<(), PortError> {
        locate::look_through(&self.0, head, found).await
    }
}
