//! A bucket: what is listed and deleted there, with versions where there are any.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::error::Fault;
use super::s3::{BULK, Head, PAGE, S3};

/// An object, a version of one, or a delete marker, as a listing shows it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub key: String,
    /// `None` where there are no versions.
    pub version: Option<String>,
    pub size: u64,
    pub modified: Timestamp,
    /// What a read without a version gets.
    pub latest: bool,
    pub marker: bool,
}

/// Part of a listing.
pub(super) struct Page {
    pub found: Vec<Found>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// All there is of one key.
type Listing = Result<(String, Vec<Found>), Fault>;

/// What is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub key: String,
    pub version: Option<String>,
}

/// What became of one delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deleted {
    /// It is not there any more.
    Gone,
    /// Only hidden behind a marker: the bucket keeps versions after all.
    Hidden,
    /// Not allowed: by a lock, a hold or missing rights.
    Refused,
    /// Not now.
    Again(&'static str),
}

/// Where objects lie.
pub(super) struct Bucket {
    /// Whole objects: writing, reading.
    pub store: Arc<dyn ObjectStore>,
    /// What only S3 has.
    pub s3: Option<S3>,
    /// Listings show versions, deletes name them. Set by the probe, and later when a delete leaves a marker.
    pub versioned: AtomicBool,
    /// Many keys a request.
    pub bulk: AtomicBool,
    /// Requests at once.
    pub parallel: usize,
}

impl Bucket {
    pub(super) fn is_versioned(&self) -> bool {
        self.versioned.load(Ordering::Relaxed)
    }

    /// A page of what lies under a prefix, with all versions where there are any.
    pub(super) async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Fault> {
        match &self.s3 {
            Some(s3) if self.is_versioned() => s3.list_versions(prefix, after).await,
            Some(s3) => s3.list(prefix, after).await,
            None => self.list_plain(prefix, after).await,
        }
    }

    /// The client lists whole folders only, so the rest of the prefix is sorted out here.
    async fn list_plain(&self, prefix: &str, after: Option<&str>) -> Result<Page, Fault> {
        let folder = prefix.rsplit_once('/').map(|(folder, _)| Path::from(folder));
        let all = match after {
            Some(after) => self.store.list_with_offset(folder.as_ref(), &Path::from(after)),
            None => self.store.list(folder.as_ref()),
        };
        let here = all.try_filter(|meta| std::future::ready(meta.location.as_ref().starts_with(prefix)));
        let metas: Vec<_> = here.take(PAGE + 1).try_collect().await.map_err(transport)?;
        let mut found: Vec<Found> = metas
            .into_iter()
            .map(|meta| Found {
                key: meta.location.into(),
                version: None,
                size: meta.size,
                modified: Timestamp::from_second(meta.last_modified.timestamp()).unwrap_or(Timestamp::MIN),
                latest: true,
                marker: false,
            })
            .collect();
        let more = found.len() > PAGE;
        found.truncate(PAGE);
        let next = found.last().filter(|_| more).map(|last| last.key.clone());
        Ok(Page { found, next })
    }

    /// All that lies under a prefix. For prefixes with little under them.
    pub(super) async fn list_all(&self, prefix: &str) -> Result<Vec<Found>, Fault> {
        let mut page = self.list(prefix, None).await?;
        while let Some(next) = page.next.take() {
            let more = self.list(prefix, Some(&next)).await?;
            page.found.extend(more.found);
            page.next = more.next;
        }
        Ok(page.found)
    }

    /// All versions and markers of exactly these keys.
    pub(super) async fn versions(&self, keys: &[String]) -> Result<HashMap<String, Vec<Found>>, Fault> {
        let mut listings: Vec<BoxFuture<'_, Listing>> = Vec::with_capacity(keys.len());
        for key in keys {
            listings.push(Box::pin(async move {
                let mut found = self.list_all(key).await?;
                found.retain(|found| found.key == *key);
                Ok((key.clone(), found))
            }));
        }
        stream::iter(listings).buffer_unordered(self.parallel).try_collect().await
    }

    /// Deletes these; one outcome each, in order.
    pub(super) async fn delete(&self, targets: &[Target]) -> Vec<Deleted> {
        let bulk = self.s3.as_ref().filter(|_| self.bulk.load(Ordering::Relaxed));
        let mut requests: Vec<BoxFuture<'_, Vec<Deleted>>> = Vec::new();
        match bulk {
            Some(s3) => {
                for some in targets.chunks(BULK) {
                    requests.push(Box::pin(async move {
                        let unheard = |_| vec![Deleted::Again("the object store gave no outcome"); some.len()];
                        s3.delete_bulk(some).await.unwrap_or_else(unheard)
                    }));
                }
            }
            None => {
                for target in targets {
                    requests.push(Box::pin(async move { vec![self.delete_one(target).await] }));
                }
            }
        }
        let outcomes: Vec<_> = stream::iter(requests).buffered(self.parallel).collect().await;
        outcomes.concat()
    }

    async fn delete_one(&self, target: &Target) -> Deleted {
        let outcome = match &self.s3 {
            Some(s3) => s3.delete_one(target).await,
            None => match self.store.delete(&Path::from(target.key.as_str())).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(Deleted::Gone),
                Err(object_store::Error::PermissionDenied { .. }) => Ok(Deleted::Refused),
                Err(error) => Err(transport(error)),
            },
        };
        outcome.unwrap_or(Deleted::Again("the object store gave no outcome"))
    }

    /// What a HEAD says of locks; `None` when it is not there.
    pub(super) async fn head(&self, target: &Target) -> Result<Option<Head>, Fault> {
        match &self.s3 {
            Some(s3) => s3.head(target).await,
            None => Ok(Some(Head::default())),
        }
    }
}

fn transport(error: object_store::Error) -> Fault {
    Fault::Transport(error.into())
}
