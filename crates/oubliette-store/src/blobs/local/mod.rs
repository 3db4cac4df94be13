//! Blobs in a local folder: large contents as files, small ones in segments.
//!
//! ```text
//! lock        held while a process uses the folder
//! tmp/        files being written
//! f/<x>/<y>/  files, in 256 folders by their last two digits
//! s/          segments
//! ```
//!
//! Invariants: a name under `f/` stands for a whole, durable blob or for nothing; a reference into a segment is given only
//! after the flush that covers it; no name says anything of a content; nothing is unlinked that a live row refers to.
//!
//! Ciphertext only comes here; its keys never do. Whether a blob may be removed is decided elsewhere.

mod compact;
mod files;
mod flush;
mod handles;
mod kept;
mod locate;
mod place;
mod removal;
mod segments;
mod writer;

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use keyforest::{NoProbe, Probe};
use oubliette_core::ports::{
    BlobHint, BlobRef, BlobWriter, Blobs, LiveBlobs, PortError, PortErrorKind, Removal, SweepReport,
};
use rustix::fs::FlockOperation;

use self::files::blocking;
pub use self::flush::{Flush, SystemFlush};
use self::flush::{Folders, not_done, unknown};
use self::handles::Handles;
use self::place::{FileName, Place, Run, SegmentName, Stretch, folder_path};
use self::segments::{Info, Segments};
use self::writer::LocalWriter;
use super::format::Entry;
use super::moved::Moved;

/// Named moments at which a crash is tested; told to [`LocalOptions::probe`].
pub const CRASH_POINTS: &[&str] = &[
    "blob.before_flush",
    "blob.after_flush",
    "blob.before_rename",
    "blob.after_rename",
    "blob.compact_copied",
    "blob.compact_switched",
    "blob.segment_dropped",
];

/// Limits and seams of a local store.
#[derive(Clone)]
pub struct LocalOptions {
    /// Blobs of up to this many bytes go into segments. Each blob being written may hold as much in memory.
    pub small_bytes: u64,
    /// Size at which a segment is closed and the next one begun.
    pub segment_bytes: u64,
    /// Files kept open for reading, and as many segments.
    pub handles: usize,
    /// How long a segment is kept after blobs were moved out of it, for who is copying the folder; less where room is short.
    /// Zero: not at all.
    pub moved_grace: Duration,
    /// Threads that unlink files at once.
    pub parallel: usize,
    /// Told of [`CRASH_POINTS`].
    pub probe: Arc<dyn Probe>,
    /// Makes things durable.
    pub flush: Arc<dyn Flush>,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            small_bytes: 256 << 10,
            segment_bytes: 64 << 20,
            handles: 256,
            moved_grace: Duration::ZERO,
            parallel: 16,
            probe: Arc::new(NoProbe),
            flush: Arc::new(SystemFlush),
        }
    }
}

/// A local store. Cheap to clone; clones share one store. Needs a Tokio runtime; all file work runs on its blocking threads.
#[derive(Clone)]
pub struct LocalBlobs(Arc<Shared>);

struct Shared {
    root: PathBuf,
    options: LocalOptions,
    run: Run,
    folders: Folders,
    files: Handles<FileName>,
    segment_files: Handles<SegmentName>,
    segments: Segments,
    moved: Moved<Stretch>,
    marking: Mutex<()>,
    /// A write found no room since what is kept was last looked at.
    full: AtomicBool,
    compact_cursor: AtomicUsize,
    /// Locked as long as it is open.
    _lock: File,
}

impl LocalBlobs {
    /// Opens the store in `root`, making it when it is not there. Blocks; lists the segments but reads none.
    ///
    /// # Errors
    /// `Refused` when another process uses the folder; `Unavailable` when it cannot be read or made.
    pub fn open(root: &Path, options: LocalOptions) -> Result<Self, PortError> {
        make_folders(root, &*options.flush)?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(root.join("lock"));
        let lock = lock.map_err(not_done("open the blob folder's lock"))?;
        if let Err(error) = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            let in_use = error == rustix::io::Errno::WOULDBLOCK;
            let kind = if in_use { PortErrorKind::Refused } else { PortErrorKind::Unavailable };
            return Err(PortError::new(kind, "lock the blob folder", io::Error::from(error)));
        }
        let earlier = list_segments(root).map_err(not_done("list the segments"))?;
        let mut random = [0; 4];
        let mut run = Run(0);
        // A run must not share its name with an earlier one whose segments are still there.
        while run.0 == 0 || earlier.keys().any(|segment| segment.run() == run) {
            draw(&mut random)?;
            run = Run(u32::from_be_bytes(random));
        }
        let handles = options.handles;
        let shared = Shared {
            root: root.to_owned(),
            options,
            run,
            folders: Folders::default(),
            files: Handles::new(handles),
            segment_files: Handles::new(handles),
            segments: Segments::default(),
            moved: Moved::default(),
            marking: Mutex::new(()),
            full: AtomicBool::new(false),
            compact_cursor: AtomicUsize::new(0),
            _lock: lock,
        };
        *shared.segments.table() = earlier;
        Ok(Self(Arc::new(shared)))
    }
}

impl Shared {
    fn random(&self) -> Result<u128, PortError> {
        let mut random = [0; 16];
        draw(&mut random)?;
        Ok(u128::from_be_bytes(random))
    }
}

fn draw(random: &mut [u8]) -> Result<(), PortError> {
    aws_lc_rs::rand::fill(random).map_err(|_| PortError::bare(PortErrorKind::Unavailable, "draw a random name"))
}

/// Makes what is missing of the folders, durably. Flushes them at every start: whether an earlier process that made them got
/// that far cannot be seen.
fn make_folders(root: &Path, flush: &dyn Flush) -> Result<(), PortError> {
    let make = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path);
    let sync = |path: &Path| File::open(path).and_then(|folder| flush.folder(&folder));
    let folders: Vec<PathBuf> =
        [root.join("tmp"), root.join("s")].into_iter().chain((0..=u8::MAX).map(|at| folder_path(root, at))).collect();
    for folder in &folders {
        make(folder).map_err(not_done("make the blob folders"))?;
    }
    let firsts = (0..16).map(|first| root.join("f").join(format!("{first:x}")));
    let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let above = [root.join("f"), root.to_owned(), parent.to_owned()];
    for folder in firsts.chain(above) {
        sync(&folder).map_err(unknown("flush the blob folders"))?;
    }
    Ok(())
}

fn list_segments(root: &Path) -> io::Result<HashMap<SegmentName, Info>> {
    let mut found = HashMap::new();
    for entry in std::fs::read_dir(root.join("s"))? {
        let entry = entry?;
        if let Some(name) = entry.file_name().to_str().and_then(SegmentName::parse) {
            let length = entry.metadata()?.len();
            found.insert(name, Info { lane: None, length, live: None, active: false, kept: None });
        }
    }
    Ok(found)
}

#[async_trait]
impl Blobs for LocalBlobs {
    async fn create(&self, hint: BlobHint) -> Result<Box<dyn BlobWriter>, PortError> {
        Ok(Box::new(LocalWriter::create(Arc::clone(&self.0), hint).await?))
    }

    async fn read(&self, blob: &BlobRef, range: Range<u64>) -> Result<Bytes, PortError> {
        let place = Place::parse(blob)?;
        let shared = Arc::clone(&self.0);
        blocking("read a blob", move || match place {
            Place::File(name) => files::open(&shared, name).and_then(|file| read_at(&file, range)).map_err(read_error),
            Place::Segment(at) => read_stretch(&shared, at, range),
        })
        .await
    }

    async fn length(&self, blob: &BlobRef) -> Result<u64, PortError> {
        let shared = Arc::clone(&self.0);
        match Place::parse(blob)? {
            Place::Segment(at) => Ok(at.length),
            Place::File(name) => {
                let length = move || files::open(&shared, name).and_then(|file| Ok(file.metadata()?.len()));
                blocking("measure a blob", move || length().map_err(read_error)).await
            }
        }
    }

    async fn remove(&self, blobs: &[BlobRef]) -> Result<Vec<Removal>, PortError> {
        removal::remove(&self.0, blobs).await
    }

    async fn compact(&self, live: &dyn LiveBlobs) -> Result<SweepReport, PortError> {
        compact::compact(&self.0, live).await
    }

    async fn sweep_orphans(&self, live: &dyn LiveBlobs) -> Result<SweepReport, PortError> {
        compact::sweep_orphans(&self.0, live).await
    }

    async fn look_through(&self, head: usize, found: &mut (dyn FnMut(BlobRef, Bytes) + Send)) -> Result<(), PortError> {
        locate::look_through(&self.0, head, found).await
    }
}

fn read_at(file: &File, range: Range<u64>) -> io::Result<Bytes> {
    let length = range.end.checked_sub(range.start).and_then(|length| usize::try_from(length).ok());
    let mut bytes = vec![0; length.ok_or(io::ErrorKind::InvalidInput)?];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}

fn read_stretch(shared: &Shared, at: Stretch, range: Range<u64>) -> Result<Bytes, PortError> {
    if range.start > range.end || range.end > at.length {
        return Err(PortError::bare(PortErrorKind::Corrupt, "read past the end of a blob"));
    }
    let read = |at: Stretch, moved: bool| -> io::Result<Option<Bytes>> {
        let file = segments::open(shared, at.segment)?;
        match segments::entry_at(&file, at)? {
            Some(Entry::Moved(_)) if !moved => Ok(None),
            Some(Entry::There(_) | Entry::Moved(_)) => {
                read_at(&file, at.offset + range.start..at.offset + range.end).map(Some)
            }
            Some(Entry::Removed(_)) => Ok(None),
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    };
    let first = read(at, false);
    if let Ok(Some(bytes)) = first {
        return Ok(bytes);
    }
    // Perhaps compaction moved it after its row was read; or the row is an older copy's, and nobody knows where it went.
    let bytes = match (shared.moved.follow(at), first) {
        (Some(to), _) => read(to, false),
        (None, Ok(_)) => read(at, true),
        (None, first) => first,
    };
    bytes.map_err(read_error)?.ok_or_else(|| PortError::bare(PortErrorKind::Refused, "read a removed blob"))
}

fn read_error(error: io::Error) -> PortError {
    let kind = match error.kind() {
        // Absent, cut or overwritten: what was written is not there.
        io::ErrorKind::NotFound
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::InvalidData
        | io::ErrorKind::InvalidInput => PortErrorKind::Corrupt,
        _ => PortErrorKind::Unavailable,
    };
    PortError::new(kind, "read a blob", error)
}
