//! Large contents: an object each, uploaded in parts.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use oubliette_core::ports::{PortError, PortErrorKind};
use tokio::task::JoinSet;

use super::Shared;
use super::error::not_done;
use super::place::{Kind, Name, Place};

/// Parts that one upload may have.
const PARTS: u64 = 10_000;
/// Longest content.
const LONGEST: u64 = 5 << 40;

/// Bytes of part number `number` (from 0). The first thousand are short; a content that turns out to be long has longer ones,
/// so that five terabytes fit into ten thousand parts.
fn part_bytes(first: u64, number: u64) -> u64 {
    match number {
        0..1_000 => first,
        1_000..2_000 => first * 8,
        // Eight thousand of these are 5 TiB and more.
        _ => (first * 8).max(672 << 20),
    }
}

/// A large blob being written. Dropping it gives the upload up.
pub(super) struct LargeWriter {
    shared: Arc<Shared>,
    name: Name,
    since: Instant,
    length: u64,
    /// The part being filled.
    parts: Vec<Bytes>,
    filled: u64,
    number: u64,
    upload: Option<Upload>,
    failed: bool,
}

/// What an upload needs; gives it up when dropped before its end.
struct Upload {
    handle: Option<Box<dyn MultipartUpload>>,
    /// Parts under way; they go on beside whoever fills the next one.
    running: JoinSet<object_store::Result<()>>,
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut handle) = self.handle.take() else { return };
        // Best effort: what stays is a leftover that a later sweep gives up.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let mut running = std::mem::take(&mut self.running);
            runtime.spawn(async move {
                // A part that arrives after the abort would bring the upload back.
                running.shutdown().await;
                if let Err(error) = handle.abort().await {
                    tracing::debug!(error = &error as &dyn std::error::Error, "an upload could not be given up yet");
                }
            });
        }
    }
}

impl LargeWriter {
    pub(super) fn new(shared: &Arc<Shared>) -> Result<Self, PortError> {
        Ok(Self {
            shared: Arc::clone(shared),
            name: Name::new(shared.run, shared.random()?),
            since: Instant::now(),
            length: 0,
            parts: Vec::new(),
            filled: 0,
            number: 0,
            upload: None,
            failed: false,
        })
    }

    fn path(&self) -> Path {
        Path::from(self.shared.key(Kind::Object, self.name))
    }

    /// Takes bytes; waits while as many parts as allowed are under way.
    pub(super) async fn write(&mut self, mut bytes: Bytes) -> Result<(), PortError> {
        self.usable()?;
        self.length += bytes.len() as u64;
        if self.length > LONGEST {
            return Err(PortError::bare(PortErrorKind::Refused, "write a blob of more than 5 TiB"));
        }
        while !bytes.is_empty() {
            let room = part_bytes(self.shared.options.part_bytes, self.number) - self.filled;
            if room == 0 {
                // Not before there are more bytes: the last part may be any length, but there must be one.
                self.send_part().await?;
                continue;
            }
            let take = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            self.filled += take as u64;
            self.parts.push(bytes.split_to(take));
        }
        Ok(())
    }

    fn usable(&self) -> Result<(), PortError> {
        const OPERATION: &str = "write a blob";
        let limit = self.shared.options.margin / 2;
        if self.failed {
            return Err(PortError::bare(PortErrorKind::Unavailable, OPERATION));
        }
        // Other processes take what is older than the margin for a leftover.
        if !limit.is_zero() && self.since.elapsed() > limit {
            return Err(PortError::bare(PortErrorKind::Unavailable, "write a blob: the upload takes too long"));
        }
        Ok(())
    }

    /// Begins sending the part being filled.
    async fn send_part(&mut self) -> Result<(), PortError> {
        const OPERATION: &str = "upload a part of a blob";
        let sent = self.try_send_part().await;
        self.failed |= sent.is_err();
        if self.number >= PARTS {
            self.failed = true;
            return Err(PortError::bare(PortErrorKind::Refused, OPERATION));
        }
        sent.map_err(not_done(OPERATION))
    }

    async fn try_send_part(&mut self) -> object_store::Result<()> {
        if self.upload.is_none() {
            let handle = begin(&self.shared, &self.path()).await?;
            self.upload = Some(Upload { handle: Some(handle), running: JoinSet::new() });
        }
        let Some(upload) = &mut self.upload else { return Ok(()) };
        while upload.running.len() >= self.shared.options.parallel_parts {
            next_part(&mut upload.running).await?;
        }
        let payload: PutPayload = std::mem::take(&mut self.parts).into_iter().collect();
        self.filled = 0;
        self.number += 1;
        if let Some(handle) = &mut upload.handle {
            upload.running.spawn(handle.put_part(payload));
        }
        Ok(())
    }

    /// Makes the blob durable under its name.
    pub(super) async fn finish(mut self) -> Result<Place, PortError> {
        const OPERATION: &str = "finish a blob";
        self.usable()?;
        let place = Place::Object { name: self.name, length: self.length };
        if self.upload.is_none() {
            let payload: PutPayload = std::mem::take(&mut self.parts).into_iter().collect();
            let key = self.shared.key(Kind::Object, self.name);
            put_whole(&self.shared, &key, payload, self.length).await?;
            return Ok(place);
        }
        if self.filled > 0 {
            self.send_part().await?;
        }
        let (path, length, shared) = (self.path(), self.length, Arc::clone(&self.shared));
        let Some(mut upload) = self.upload.take() else { return Ok(place) };
        while !upload.running.is_empty() {
            next_part(&mut upload.running).await.map_err(not_done("upload a part of a blob"))?;
        }
        let Some(mut handle) = upload.handle.take() else { return Ok(place) };
        let completed = handle.complete().await;
        // Also when it was answered as done: what counts is that all of it is there.
        let there = length_of(&shared, &path).await;
        match (completed, there) {
            (_, Ok(Some(there))) if there == length => Ok(place),
            (Ok(_), Err(error)) => Err(not_done(OPERATION)(error)),
            (Ok(_), Ok(_)) => Err(PortError::bare(
                PortErrorKind::Unavailable,
                "finish a blob: the object is not as long as what was sent",
            )),
            (Err(error), _) => {
                // Nothing came of it, as far as can be seen; what was uploaded goes.
                upload.handle = Some(handle);
                Err(not_done(OPERATION)(error))
            }
        }
    }
}

/// Begins an upload. The client tries again when no answer came; an answer of which only a part came is tried again here. What
/// an unheard answer began is a leftover.
async fn begin(shared: &Shared, path: &Path) -> object_store::Result<Box<dyn MultipartUpload>> {
    let since = Instant::now();
    let mut tried = 0;
    loop {
        let error = match shared.bucket.store.put_multipart(path).await {
            Err(error @ object_store::Error::Generic { .. }) => error,
            begun => return begun,
        };
        tried += 1;
        match shared.patience.wait(tried, since) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return Err(error),
        }
    }
}

/// Waits for one of the parts under way, if there is one.
async fn next_part(running: &mut JoinSet<object_store::Result<()>>) -> object_store::Result<()> {
    match running.join_next().await {
        Some(Ok(result)) => result,
        Some(Err(source)) => Err(object_store::Error::JoinError { source }),
        None => Ok(()),
    }
}

/// Puts an object in one request. When no answer came, looks whether it is there: the name is drawn at random and a put
/// happens wholly or not at all, so an object of this length is this object.
pub(super) async fn put_whole(shared: &Shared, key: &str, payload: PutPayload, length: u64) -> Result<(), PortError> {
    let path = Path::from(key);
    let Err(error) = shared.bucket.store.put(&path, payload).await else { return Ok(()) };
    match length_of(shared, &path).await {
        Ok(Some(there)) if there == length => Ok(()),
        _ => Err(not_done("write a blob")(error)),
    }
}

/// How long an object is; `None` when it is not there.
async fn length_of(shared: &Shared, path: &Path) -> object_store::Result<Option<u64>> {
    match shared.bucket.store.head(path).await {
        Ok(meta) => Ok(Some(meta.size)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_content_fits_into_its_parts() {
        for first in [5 << 20, 8 << 20, 64 << 20, 512 << 20] {
            let parts: Vec<u64> = (0..PARTS).map(|number| part_bytes(first, number)).collect();
            assert!(parts.iter().sum::<u64>() >= LONGEST, "{first}");
            assert!(parts.iter().all(|part| *part <= 5 << 30), "{first}");
            assert!(parts.is_sorted());
        }
    }
}
