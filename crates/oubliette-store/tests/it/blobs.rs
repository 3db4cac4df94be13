//! Local blobs on real files.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, io};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use keyforest::Probe;
use oubliette_core::ports::{BlobHint, BlobRef, Blobs, PortError, PortErrorKind};
use oubliette_core::testing::conformance::blobs::{self as contract, BlobsFixture};
use oubliette_core::testing::live::LiveTable;
use oubliette_core::testing::machine::cannot_run;
use oubliette_store::blobs::local::{CRASH_POINTS, Flush, SystemFlush};
use oubliette_store::blobs::{LocalBlobs, LocalOptions};
use tempfile::TempDir;

struct Local {
    home: TempDir,
    options: LocalOptions,
}

impl Local {
    fn new(options: LocalOptions) -> Self {
        Self { home: TempDir::new().unwrap(), options }
    }

    fn root(&self) -> std::path::PathBuf {
        self.home.path().join("blobs")
    }

    async fn start(&self) -> LocalBlobs {
        start(&self.root(), &self.options).await
    }
}

/// A thread of the store opened before may hold the folder a moment longer.
pub async fn start(root: &Path, options: &LocalOptions) -> LocalBlobs {
    for _ in 0..500 {
        match LocalBlobs::open(root, options.clone()) {
            Ok(blobs) => return blobs,
            Err(error) if error.kind == PortErrorKind::Refused => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("the blob folder stayed locked");
}

#[async_trait]
impl BlobsFixture for Local {
    async fn open(&self) -> Arc<dyn Blobs> {
        Arc::new(self.start().await)
    }
}

fn small_segments() -> LocalOptions {
    LocalOptions { segment_bytes: 100_000, small_bytes: 50_000, handles: 16, ..LocalOptions::default() }
}

macro_rules! conformance {
    ($($name:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            contract::$name(&Local::new(LocalOptions::default())).await;
            contract::$name(&Local::new(small_segments())).await;
        }
    )*};
}

conformance!(
    what_was_finished_reads_back_exactly,
    any_range_reads_exactly_and_one_past_the_end_fails,
    finished_blobs_survive_a_restart,
    concurrent_finishes_keep_their_own_bytes,
    removing_is_idempotent_and_touches_nothing_else,
    a_foreign_reference_reads_and_removes_nothing,
    a_sweep_removes_only_what_earlier_processes_left,
    compaction_keeps_every_live_blob,
    compaction_spares_what_no_row_refers_to_yet_and_follows_removals,
);

pub async fn put(blobs: &dyn Blobs, lane: u64, bytes: Vec<u8>) -> Result<BlobRef, PortError> {
    let mut writer = blobs.create(BlobHint { lane, length: None }).await?;
    for part in bytes.chunks(1 << 17) {
        writer.write(Bytes::copy_from_slice(part)).await?;
    }
    writer.finish().await
}

pub fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

/// Counts flushes, and fails them while told to.
#[derive(Default)]
struct Counting {
    data: AtomicU64,
    folders: AtomicU64,
    fail: AtomicBool,
}

impl Flush for Counting {
    fn data(&self, file: &fs::File) -> io::Result<()> {
        self.data.fetch_add(1, Ordering::SeqCst);
        if self.fail.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        SystemFlush.data(file)
    }

    fn folder(&self, folder: &fs::File) -> io::Result<()> {
        self.folders.fetch_add(1, Ordering::SeqCst);
        SystemFlush.folder(folder)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_small_finishes_share_flushes() {
    let counting = Arc::new(Counting::default());
    let local = Local::new(LocalOptions { flush: counting.clone(), ..LocalOptions::default() });
    let blobs = local.start().await;
    join_all((0..1_000).map(|_| put(&blobs, 1, vec![1; 2_000]))).await.into_iter().for_each(|blob| drop(blob.unwrap()));
    let flushes = counting.data.load(Ordering::SeqCst);
    assert!(flushes <= 250, "{flushes} flushes for 1000 blobs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_flush_is_unknown_and_what_was_acknowledged_before_stays() {
    let counting = Arc::new(Counting::default());
    let local = Local::new(LocalOptions { flush: counting.clone(), ..LocalOptions::default() });
    let blobs = local.start().await;
    let before = put(&blobs, 1, vec![1; 1_000]).await.unwrap();
    counting.fail.store(true, Ordering::SeqCst);
    for size in [1_000, 1_000_000] {
        let error = put(&blobs, 1, vec![2; size]).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Unknown);
    }
    counting.fail.store(false, Ordering::SeqCst);
    let after = put(&blobs, 1, vec![3; 1_000]).await.unwrap();
    let segment = |blob: &BlobRef| blob.0.rsplit_once('/').unwrap().0.to_owned();
    assert_ne!(segment(&before), segment(&after), "a segment whose flush failed was written to again");
    assert_eq!(blobs.read(&before, 0..1_000).await.unwrap(), vec![1; 1_000]);
    assert_eq!(blobs.read(&after, 0..1_000).await.unwrap(), vec![3; 1_000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_writer_leaves_no_file() {
    let local = Local::new(LocalOptions::default());
    let blobs = local.start().await;
    let mut writer = blobs.create(BlobHint { lane: 0, length: None }).await.unwrap();
    for _ in 0..10 {
        writer.write(Bytes::from(vec![7; 100_000])).await.unwrap();
    }
    assert_eq!(files_below(&local.root().join("tmp")).len(), 1);
    drop(writer);
    for _ in 0..500 {
        if files_below(&local.root().join("tmp")).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the temporary file is still there");
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let local = Local::new(LocalOptions::default());
    let blobs = local.start().await;
    let second = LocalBlobs::open(&local.root(), LocalOptions::default());
    assert!(second.is_err_and(|error| error.kind == PortErrorKind::Refused));
    drop(blobs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_goes_when_its_last_blob_is_removed() {
    let local = Local::new(LocalOptions { segment_bytes: 1 << 20, ..LocalOptions::default() });
    let blobs = local.start().await;
    let rows = LiveTable::default();
    let mut all = Vec::new();
    for _ in 0..100 {
        all.push(put(&blobs, 1, vec![1; 50_000]).await.unwrap());
    }
    assert_eq!(files_below(&local.root().join("s")).len(), 5);
    blobs.remove(&all).await.unwrap();
    // The last one is left for the next time while its lane is just being done with it.
    let (mut dropped, mut bytes) = (0, 0);
    for _ in 0..100 {
        let report = blobs.compact(&rows).await.unwrap();
        (dropped, bytes) = (dropped + report.segments, bytes + report.bytes);
        if dropped == 5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(dropped, 5);
    assert!(bytes >= 5_000_000);
    assert!(files_below(&local.root().join("s")).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_segments_of_earlier_runs_are_joined() {
    let local = Local::new(LocalOptions::default());
    let rows = LiveTable::default();
    for run in 0..6 {
        let blobs = local.start().await;
        rows.insert(&put(&blobs, 4, vec![run; 3_000]).await.unwrap());
    }
    let blobs = local.start().await;
    for _ in 0..4 {
        blobs.compact(&rows).await.unwrap();
    }
    assert!(files_below(&local.root().join("s")).len() <= 4);
    let mut seen: Vec<u8> = Vec::new();
    for blob in rows.all() {
        seen.push(blobs.read(&blob, 0..3_000).await.unwrap()[2_999]);
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
}

struct NoFlush;

impl Flush for NoFlush {
    fn data(&self, _file: &fs::File) -> io::Result<()> {
        Ok(())
    }

    fn folder(&self, _folder: &fs::File) -> io::Result<()> {
        Ok(())
    }
}

/// Copies the folder whenever a point is reached: what a process killed there leaves behind.
#[derive(Default)]
struct Archive {
    root: Mutex<Option<std::path::PathBuf>>,
    /// Blobs acknowledged and live so far, with their fill byte and size.
    expected: Mutex<Vec<(BlobRef, u8, u64)>>,
    taken: Mutex<Vec<Copy>>,
}

struct Copy {
    point: &'static str,
    folder: TempDir,
    expected: Vec<(BlobRef, u8, u64)>,
}

impl Probe for Archive {
    fn reached(&self, point: &'static str) {
        let Some(root) = self.root.lock().unwrap().clone() else { return };
        let mut taken = self.taken.lock().unwrap();
        if taken.iter().filter(|copy| copy.point == point).count() >= 3 {
            return;
        }
        // In memory where there is such a folder: hundreds of folders are made and removed for each copy.
        let folder = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        for from in files_below(&root) {
            let to = folder.path().join(from.strip_prefix(&root).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            // A temporary file may go meanwhile.
            let _ = fs::copy(from, to);
        }
        taken.push(Copy { point, folder, expected: self.expected.lock().unwrap().clone() });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_named_point_loses_nothing_acknowledged_and_leaves_nothing_for_good() {
    let archive = Arc::new(Archive::default());
    let local = Local::new(LocalOptions { probe: archive.clone(), ..small_segments() });
    let blobs = local.start().await;
    *archive.root.lock().unwrap() = Some(local.root());
    let rows = LiveTable::default();
    for round in 0..12_u8 {
        let size = if round % 3 == 0 { 70_000 } else { 9_000 };
        let blob = put(&blobs, 1, vec![round; size]).await.unwrap();
        rows.insert(&blob);
        archive.expected.lock().unwrap().push((blob, round, size as u64));
    }
    let small: Vec<BlobRef> = archive.expected.lock().unwrap().iter().map(|(blob, ..)| blob.clone()).collect();
    let dead: Vec<BlobRef> = small.into_iter().filter(|blob| blob.0.starts_with('s')).skip(1).collect();
    archive.expected.lock().unwrap().retain(|(blob, ..)| !dead.contains(blob));
    dead.iter().for_each(|blob| rows.delete(blob));
    blobs.remove(&dead).await.unwrap();
    // A segment that is just being closed is left for the next time.
    for _ in 0..50 {
        blobs.compact(&rows).await.unwrap();
        let reached = |point: &str| archive.taken.lock().unwrap().iter().any(|copy| copy.point == point);
        if CRASH_POINTS.iter().all(|point| reached(point)) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }

    let taken = std::mem::take(&mut *archive.taken.lock().unwrap());
    for point in CRASH_POINTS {
        assert!(taken.iter().any(|copy| copy.point == *point), "{point} was never reached");
    }
    // The copies themselves need not survive anything.
    let options = LocalOptions { flush: Arc::new(NoFlush), ..small_segments() };
    for copy in taken {
        let blobs = start(copy.folder.path(), &options).await;
        // The rows as they may be: before the switch, except where the segment is gone (then after it).
        let now = LiveTable::default();
        for (blob, fill, size) in &copy.expected {
            let read = blobs.read(blob, 0..*size).await;
            if read.is_ok() || copy.point != "blob.segment_dropped" && copy.point != "blob.compact_switched" {
                assert!(read.unwrap() == vec![*fill; *size as usize], "{} changed at {}", blob.0, copy.point);
                now.insert(blob);
            }
        }
        if matches!(copy.point, "blob.segment_dropped" | "blob.compact_switched") {
            for blob in rows.all() {
                blobs.read(&blob, 0..9_000).await.unwrap();
                now.insert(&blob);
            }
        }
        blobs.sweep_orphans(&now).await.unwrap();
        assert!(files_below(&copy.folder.path().join("tmp")).is_empty(), "leftovers of {}", copy.point);
        for blob in now.all() {
            blobs.read(&blob, 0..9_000).await.unwrap();
        }
        assert_eq!(blobs.sweep_orphans(&now).await.unwrap().orphans, 0);
    }
}

/// A file system of 8 MiB.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one; `None` where `test` cannot run.
    pub fn mount(test: &str) -> Option<Self> {
        let home = TempDir::new().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(home.path())
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            cannot_run(test, "needs the right to mount");
            return None;
        }
        Some(Self(home))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A thread of the store that lay on it may hold it a moment longer.
    pub async fn unmount(self) {
        for _ in 0..500 {
            if std::process::Command::new("umount").arg(self.path()).status().is_ok_and(|status| status.success()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the file system stayed busy");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_unavailable_loses_nothing_and_heals() {
    let Some(home) = SmallDisk::mount("a_full_disk_is_unavailable_loses_nothing_and_heals") else { return };
    let options = small_segments();
    let blobs = start(&home.path().join("blobs"), &options).await;
    let (mut kept, mut refused) = (Vec::new(), 0);
    for round in 0..60_u32 {
        let size = if round % 2 == 0 { 400_000 } else { 20_000 };
        match put(&blobs, 1, vec![round as u8; size]).await {
            Ok(blob) => kept.push((blob, round as u8, size)),
            Err(error) => {
                assert_eq!(error.kind, PortErrorKind::Unavailable, "{error:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 10 && kept.len() > 10, "{refused} refused, {} kept", kept.len());
    for (blob, fill, size) in &kept {
        assert!(blobs.read(blob, 0..*size as u64).await.unwrap() == vec![*fill; *size], "{} changed", blob.0);
    }
    let large: Vec<BlobRef> = kept.iter().filter(|(.., size)| *size > 100_000).map(|(blob, ..)| blob.clone()).collect();
    blobs.remove(&large).await.unwrap();
    for size in [400_000, 20_000] {
        let blob = put(&blobs, 1, vec![9; size]).await.unwrap();
        assert!(blobs.read(&blob, 0..size as u64).await.unwrap() == vec![9; size]);
    }
    drop(blobs);
    home.unmount().await;
}
