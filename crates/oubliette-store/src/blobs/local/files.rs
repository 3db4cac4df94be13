//! Large contents: a file each.
//!
//! Written under a temporary name, flushed, renamed, and the folder flushed: a name under `f/` always stands for a whole
//! blob. Writes run one at a time on a blocking thread, beside the sealing of the next batch.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use oubliette_core::ports::{PortError, PortErrorKind, Removal};
use tokio::task::{JoinHandle, spawn_blocking};

use super::Shared;
use super::flush::{not_done, unknown};
use super::place::{FileName, folder_path};

/// Bytes after which a file is flushed while it is still being written, so that the last flush is short.
const FLUSH_EVERY: u64 = 32 << 20;

/// A file under its temporary name. Unlinked when dropped, unless it was renamed.
struct Temporary {
    file: Arc<File>,
    name: FileName,
    path: Option<PathBuf>,
}

impl Temporary {
    fn create(shared: &Shared) -> Result<Self, PortError> {
        let name = FileName::new(shared.run, shared.random()?);
        let path = name.temporary_path(&shared.root);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.inspect_err(|error| shared.note_failed(error)).map_err(not_done("create a blob file"))?;
        Ok(Self { file: Arc::new(file), name, path: Some(path) })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else { return };
        // Best effort: what stays is a leftover that the next process's sweep removes.
        let unlink = move || drop(std::fs::remove_file(path));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(unlink)),
            Err(_) => unlink(),
        }
    }
}

/// A large blob being written.
pub(super) struct FileWriter {
    shared: Arc<Shared>,
    temporary: Temporary,
    length: u64,
    unflushed: u64,
    /// The write under way.
    job: Option<JoinHandle<Result<(), PortError>>>,
    /// An earlier write failed: the file has a hole.
    failed: Option<PortErrorKind>,
}

impl FileWriter {
    pub(super) async fn create(shared: &Arc<Shared>) -> Result<Self, PortError> {
        let temporary = blocking("create a blob file", {
            let shared = Arc::clone(shared);
            move || Temporary::create(&shared)
        })
        .await?;
        Ok(Self { shared: Arc::clone(shared), temporary, length: 0, unflushed: 0, job: None, failed: None })
    }

    /// Begins writing these bytes once the write before is through.
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), PortError> {
        self.settle().await?;
        let (shared, file, at) = (Arc::clone(&self.shared), Arc::clone(&self.temporary.file), self.length);
        self.length += bytes.len() as u64;
        self.unflushed += bytes.len() as u64;
        let flush = self.unflushed >= FLUSH_EVERY;
        if flush {
            self.unflushed = 0;
        }
        self.job = Some(spawn_blocking(move || {
            let written = file.write_all_at(&bytes, at).inspect_err(|error| shared.note_failed(error));
            written.map_err(not_done("write a blob file"))?;
            if flush {
                shared.options.flush.data(&file).map_err(unknown("flush a blob file"))?;
            }
            Ok(())
        }));
        Ok(())
    }

    /// Waits for the write under way.
    async fn settle(&mut self) -> Result<(), PortError> {
        if let Some(kind) = self.failed {
            return Err(PortError::bare(kind, "write a blob file"));
        }
        let Some(job) = self.job.take() else { return Ok(()) };
        let result = match job.await {
            Ok(result) => result,
            Err(error) => Err(PortError::new(PortErrorKind::Unavailable, "write a blob file", error)),
        };
        self.failed = result.as_ref().err().map(|error| error.kind);
        result
    }

    /// Makes the blob durable under its name.
    pub(super) async fn finish(mut self) -> Result<FileName, PortError> {
        self.settle().await?;
        let Self { shared, temporary, .. } = self;
        blocking_or("finish a blob file", PortErrorKind::Unknown, move || commit(&shared, temporary)).await
    }
}

fn commit(shared: &Shared, mut temporary: Temporary) -> Result<FileName, PortError> {
    let (probe, flush) = (&shared.options.probe, &shared.options.flush);
    let name = temporary.name;
    probe.reached("blob.before_flush");
    flush.data(&temporary.file).map_err(unknown("flush a blob file"))?;
    probe.reached("blob.after_flush");
    let Some(path) = temporary.path.take() else {
        return Err(PortError::bare(PortErrorKind::Refused, "finish a blob file"));
    };
    probe.reached("blob.before_rename");
    if let Err(error) = std::fs::rename(&path, name.path(&shared.root)) {
        // Still under its temporary name, which is removed on drop.
        temporary.path = Some(path);
        return Err(not_done("name a blob file")(error));
    }
    probe.reached("blob.after_rename");
    let folder = folder_path(&shared.root, name.folder());
    shared.folders.flush(&**flush, &folder).map_err(unknown("flush a blob folder"))?;
    Ok(name)
}

/// Opens a blob's file for reading, from the cache of open files.
pub(super) fn open(shared: &Shared, name: FileName) -> io::Result<Arc<File>> {
    shared.files.get(name, || File::open(name.path(&shared.root)))
}

/// Unlinks files on a few threads and makes that durable. One outcome each, in order.
pub(super) async fn remove(shared: &Arc<Shared>, names: Vec<FileName>) -> Result<Vec<Removal>, PortError> {
    let share = names.len().div_ceil(shared.options.parallel).max(1);
    let jobs: Vec<_> = names
        .chunks(share)
        .map(|names| {
            let (shared, names) = (Arc::clone(shared), names.to_vec());
            blocking("remove blob files", move || Ok(unlink(&shared, &names)))
        })
        .collect();
    Ok(futures::future::try_join_all(jobs).await?.concat())
}

fn unlink(shared: &Shared, names: &[FileName]) -> Vec<Removal> {
    let mut outcomes: Vec<Removal> = names
        .iter()
        .map(|name| match std::fs::remove_file(name.path(&shared.root)) {
            Ok(()) => Removal::Removed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Removal::Removed,
            Err(_) => Removal::Failed("the file could not be unlinked"),
        })
        .collect();
    let mut folders: Vec<u8> = names.iter().map(|name| name.folder()).collect();
    folders.sort_unstable();
    folders.dedup();
    for folder in folders {
        if shared.folders.flush(&*shared.options.flush, &folder_path(&shared.root, folder)).is_err() {
            for (name, outcome) in names.iter().zip(&mut outcomes) {
                if name.folder() == folder {
                    *outcome = Removal::Failed("the folder could not be flushed");
                }
            }
        }
    }
    for name in names {
        shared.files.forget(*name);
    }
    outcomes
}

/// Runs blocking work off the asynchronous threads; a panic in it counts as `Unavailable`.
pub(super) async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T, PortError> + Send + 'static,
) -> Result<T, PortError> {
    blocking_or(operation, PortErrorKind::Unavailable, work).await
}

/// Like [`blocking`], with the kind that a panic counts as.
pub(super) async fn blocking_or<T: Send + 'static>(
    operation: &'static str,
    kind: PortErrorKind,
    work: impl FnOnce() -> Result<T, PortError> + Send + 'static,
) -> Result<T, PortError> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(PortError::new(kind, operation, error)))
}
