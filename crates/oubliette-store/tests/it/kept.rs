//! Segments that are kept for who is copying the folder: what they may cost, and what a crash makes of them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use oubliette_core::ports::{BlobRef, Blobs, LiveBlobs, PortError, PortErrorKind, Unbounded};
use oubliette_core::testing::blobs::JudgeBlobs;
use oubliette_core::testing::live::LiveTable;
use oubliette_store::blobs::local::{Flush, SystemFlush};
use oubliette_store::blobs::{LocalBlobs, LocalOptions};
use tempfile::TempDir;

use crate::blobs::{SmallDisk, files_below, put, start};
use crate::vault::{capture, leased, of};

const LONG: Duration = Duration::from_secs(3_600);
/// A content's length; [`FULL`] of them fill a segment.
const CONTENT: usize = 9_000;
const FULL: usize = 11;

fn keeping() -> LocalOptions {
    LocalOptions {
        segment_bytes: 100_000,
        small_bytes: 50_000,
        handles: 16,
        moved_grace: LONG,
        ..LocalOptions::default()
    }
}

/// Rows that count how often they are asked for those of a segment, and may break just after a switch.
#[derive(Default)]
struct Rows {
    table: LiveTable,
    asked: AtomicUsize,
    broken: AtomicBool,
}

#[async_trait]
impl LiveBlobs for Rows {
    async fn live(&self, blobs: &[BlobRef]) -> Result<Vec<bool>, PortError> {
        self.table.live(blobs).await
    }

    async fn switch(&self, from: &BlobRef, to: &BlobRef) -> Result<bool, PortError> {
        let switched = self.table.switch(from, to).await;
        if self.broken.load(Ordering::SeqCst) {
            return Err(PortError::bare(PortErrorKind::Unknown, "switch a row"));
        }
        switched
    }

    async fn with_prefix(&self, prefix: &str) -> Result<Vec<BlobRef>, PortError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.table.with_prefix(prefix).await
    }
}

impl Rows {
    /// First byte of every content there is a row of, all of it being there.
    async fn contents(&self, blobs: &LocalBlobs) -> Vec<u8> {
        let mut seen = Vec::new();
        for blob in self.table.all() {
            let bytes = blobs.read(&blob, 0..CONTENT as u64).await.unwrap();
            assert!(bytes.iter().all(|byte| *byte == bytes[0]), "{} changed", blob.0);
            seen.push(bytes[0]);
        }
        seen.sort_unstable();
        seen
    }

    async fn make(&self, blobs: &LocalBlobs, count: usize) -> Vec<BlobRef> {
        let mut made = Vec::new();
        for number in 0..count {
            made.push(put(blobs, 1, vec![number as u8; CONTENT]).await.unwrap());
            self.table.insert(&made[number]);
        }
        made
    }

    /// As the sweeper does it.
    async fn erase<'a>(&self, blobs: &LocalBlobs, erased: impl Iterator<Item = &'a BlobRef>) {
        let erased: Vec<BlobRef> = erased.cloned().collect();
        erased.iter().for_each(|blob| self.table.delete(blob));
        blobs.remove(&erased).await.unwrap();
    }

    async fn compact(&self, blobs: &LocalBlobs, rounds: usize) {
        for _ in 0..rounds {
            blobs.compact(self).await.unwrap();
        }
    }

    /// Segments that hold something and that no row names.
    fn kept(&self, root: &Path) -> Vec<PathBuf> {
        let names = self.table.all();
        let named = |path: &PathBuf| names.iter().any(|blob| blob.0.starts_with(&prefix(path)));
        segments(root).into_iter().filter(|path| length(path) > 64 && !named(path)).collect()
    }
}

fn prefix(segment: &Path) -> String {
    format!("s/{}/", segment.file_name().unwrap().to_str().unwrap())
}

fn length(path: &Path) -> u64 {
    path.metadata().unwrap().len()
}

fn segments(root: &Path) -> Vec<PathBuf> {
    let mut found = files_below(&root.join("s"));
    found.sort();
    found
}

fn total(segments: &[PathBuf]) -> u64 {
    segments.iter().map(|path| length(path)).sum()
}

fn free(root: &Path) -> u64 {
    let disk = rustix::fs::statvfs(root).unwrap();
    disk.f_bavail * disk.f_frsize
}

/// As if it had been changed last so long ago.
fn age(segment: &Path, by: Duration) {
    let file = OpenOptions::new().write(true).open(segment).unwrap();
    let changed = file.metadata().unwrap().modified().unwrap();
    file.set_modified(changed - by).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rows_are_asked_for_a_kept_segment_once_in_a_start_and_not_in_every_round() {
    let (home, rows) = (TempDir::new().unwrap(), Rows::default());
    let blobs = start(home.path(), &keeping()).await;
    let made = rows.make(&blobs, 4 * FULL).await;
    rows.erase(&blobs, made.iter().enumerate().filter(|(at, _)| at % 5 != 0).map(|(_, blob)| blob)).await;
    rows.compact(&blobs, 5).await;
    let kept = rows.kept(home.path());
    assert!(kept.len() >= 3, "{kept:?}");
    rows.asked.store(0, Ordering::SeqCst);
    rows.compact(&blobs, 3).await;
    assert_eq!(rows.asked.load(Ordering::SeqCst), 0);

    drop(blobs);
    let blobs = start(home.path(), &keeping()).await;
    blobs.sweep_orphans(&rows).await.unwrap();
    rows.compact(&blobs, 2).await;
    rows.asked.store(0, Ordering::SeqCst);
    rows.compact(&blobs, 3).await;
    assert_eq!(rows.asked.load(Ordering::SeqCst), 0);
    assert!(kept.iter().all(|path| path.exists()));
    assert_eq!(rows.contents(&blobs).await.len(), made.len().div_ceil(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_segments_that_were_joined_are_not_joined_again_while_they_are_kept() {
    let (home, rows) = (TempDir::new().unwrap(), Rows::default());
    let options = LocalOptions { moved_grace: LONG, ..LocalOptions::default() };
    for _ in 0..8 {
        rows.make(&start(home.path(), &options).await, 1).await;
    }
    let blobs = start(home.path(), &options).await;
    rows.compact(&blobs, 4).await;
    assert_eq!((segments(home.path()).len(), rows.kept(home.path()).len()), (9, 8));
    let places = |rows: &Rows| {
        let mut all: Vec<String> = rows.table.all().into_iter().map(|blob| blob.0).collect();
        all.sort();
        all
    };
    let joined = places(&rows);
    drop(blobs);
    let blobs = start(home.path(), &options).await;
    rows.compact(&blobs, 4).await;
    assert_eq!(places(&rows), joined);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_disk_with_little_room_what_was_erased_comes_back_and_little_is_kept() {
    let Some(disk) = SmallDisk::mount("on_a_disk_with_little_room_what_was_erased_comes_back_and_little_is_kept")
    else {
        return;
    };
    let (root, filler, rows) = (disk.path().join("blobs"), disk.path().join("filler"), Rows::default());
    let blobs = start(&root, &keeping()).await;
    fs::write(&filler, vec![7; 200_000]).unwrap();
    let mut made = Vec::new();
    while let Ok(blob) = put(&blobs, 1, vec![made.len() as u8; CONTENT]).await {
        rows.table.insert(&blob);
        made.push(blob);
    }
    assert!(made.len() > 800, "{} fitted", made.len());
    // Room for what two or three segments hold.
    fs::remove_file(filler).unwrap();
    rows.erase(&blobs, made.iter().enumerate().filter(|(at, _)| at % 5 < 3).map(|(_, blob)| blob)).await;
    let expected = rows.contents(&blobs).await;
    rows.compact(&blobs, 60).await;
    let kept = rows.kept(&root);
    assert!(free(&root) > 3_000_000, "{} free, {} kept", free(&root), total(&kept));
    assert!(!kept.is_empty() && total(&kept) * 4 <= free(&root), "{} free, {} kept", free(&root), total(&kept));
    assert!(rows.contents(&blobs).await == expected);
    drop(blobs);
    disk.unmount().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_room_is_short_the_oldest_goes_first_and_all_when_a_write_finds_none_but_nothing_that_a_row_names() {
    let Some(disk) = SmallDisk::mount("where_room_is_short_the_oldest_goes_first") else { return };
    let (root, rows) = (disk.path().join("blobs"), Rows::default());
    let blobs = start(&root, &keeping()).await;
    let made = rows.make(&blobs, 3 * FULL).await;
    rows.erase(&blobs, made.iter().enumerate().filter(|(at, _)| at % FULL > 2).map(|(_, blob)| blob)).await;
    drop(blobs);
    let blobs = start(&root, &keeping()).await;
    rows.make(&blobs, 1).await;
    rows.compact(&blobs, 3).await;
    let kept = rows.kept(&root);
    assert_eq!(kept.len(), 3);
    drop(blobs);
    for (segment, seconds) in kept.iter().zip([300, 600, 200]) {
        age(segment, Duration::from_secs(seconds));
    }
    let blobs = start(&root, &keeping()).await;
    blobs.sweep_orphans(&rows).await.unwrap();
    rows.compact(&blobs, 2).await;
    assert_eq!(rows.kept(&root), kept);

    // A quarter of this is a bit less than the three.
    fs::write(disk.path().join("filler"), vec![7; usize::try_from(free(&root)).unwrap() - 1_000_000]).unwrap();
    rows.compact(&blobs, 1).await;
    assert_eq!(rows.kept(&root), [kept[0].clone(), kept[2].clone()]);
    rows.compact(&blobs, 3).await;
    assert_eq!(rows.kept(&root), [kept[0].clone(), kept[2].clone()]);

    // As a restore may do it.
    rows.table.insert(&made[0]);
    let contents = rows.contents(&blobs).await;
    assert_eq!(put(&blobs, 1, vec![1; 20_000_000]).await.unwrap_err().kind, PortErrorKind::Unavailable);
    while !files_below(&root.join("tmp")).is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    rows.compact(&blobs, 1).await;
    assert!(!kept[2].exists());
    assert_eq!(rows.contents(&blobs).await, contents);
    drop(blobs);
    disk.unmount().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_a_segment_that_is_wholly_dead_makes_room_for_rewriting_the_one_before_it() {
    let Some(disk) = SmallDisk::mount("on_a_full_disk_a_segment_that_is_wholly_dead_makes_room") else { return };
    let (root, rows) = (disk.path().join("blobs"), Rows::default());
    let blobs = start(&root, &keeping()).await;
    let mut made = Vec::new();
    while let Ok(blob) = put(&blobs, 1, vec![made.len() as u8; CONTENT]).await {
        rows.table.insert(&blob);
        made.push(blob);
    }
    let before = segments(&root);
    rows.erase(&blobs, made[2..2 * FULL].iter()).await;
    rows.compact(&blobs, 1).await;
    assert_eq!((before[0].exists(), before[1].exists()), (true, false));
    rows.compact(&blobs, 1).await;
    assert!(rows.table.with_prefix(&prefix(&before[0])).await.unwrap().is_empty());
    assert_eq!(rows.contents(&blobs).await.len(), made.len() - 2 * FULL + 2);
    drop(blobs);
    disk.unmount().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_moved_and_not_marked_before_a_crash_is_kept_as_well_and_not_for_good() {
    let (home, rows) = (TempDir::new().unwrap(), Rows::default());
    let blobs = start(home.path(), &keeping()).await;
    let made = rows.make(&blobs, 3).await;
    rows.erase(&blobs, made[1..].iter()).await;
    let segment = segments(home.path()).remove(0);
    drop(blobs);
    let blobs = start(home.path(), &keeping()).await;
    rows.make(&blobs, 1).await;
    rows.broken.store(true, Ordering::SeqCst);
    blobs.compact(&rows).await.unwrap_err();
    assert!(rows.table.with_prefix(&prefix(&segment)).await.unwrap().is_empty(), "it was switched");
    drop(blobs);
    rows.broken.store(false, Ordering::SeqCst);

    // Nothing in the segment says so: its last change is that of long ago.
    age(&segment, 2 * LONG);
    for _ in 0..2 {
        let blobs = start(home.path(), &keeping()).await;
        blobs.sweep_orphans(&rows).await.unwrap();
        rows.compact(&blobs, 2).await;
        assert!(segment.exists());
        assert!(blobs.read(&made[0], 0..CONTENT as u64).await.unwrap() == vec![0; CONTENT]);
        drop(blobs);
    }
    age(&segment, 2 * LONG);
    let blobs = start(home.path(), &keeping()).await;
    blobs.sweep_orphans(&rows).await.unwrap();
    assert!(!segment.exists());
    assert_eq!(rows.contents(&blobs).await, [0, 0]);
}

/// Refuses to flush a file that is shorter than a few contents, while told to.
#[derive(Default)]
struct Picky(AtomicBool);

impl Flush for Picky {
    fn data(&self, file: &File) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) && file.metadata()?.len() < 4 * CONTENT as u64 {
            return Err(io::Error::from_raw_os_error(5));
        }
        SystemFlush.data(file)
    }

    fn folder(&self, folder: &File) -> io::Result<()> {
        SystemFlush.folder(folder)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_beside_one_that_failed_are_dead_at_once_and_their_space_comes_back() {
    let (home, rows, picky) = (TempDir::new().unwrap(), Rows::default(), Arc::new(Picky::default()));
    let options = LocalOptions { flush: picky.clone(), moved_grace: Duration::ZERO, ..keeping() };
    let blobs = start(home.path(), &options).await;
    let made = rows.make(&blobs, FULL).await;
    rows.erase(&blobs, made[5..].iter()).await;
    drop(blobs);
    let blobs = start(home.path(), &options).await;
    // Of five copies three go beside these, and two to a new segment.
    let others = rows.make(&blobs, FULL - 3).await;
    picky.0.store(true, Ordering::SeqCst);
    blobs.compact(&rows).await.unwrap_err();
    picky.0.store(false, Ordering::SeqCst);
    rows.erase(&blobs, others.iter()).await;
    rows.compact(&blobs, 3).await;
    assert_eq!(rows.kept(home.path()), Vec::<PathBuf>::new());
    assert_eq!(rows.contents(&blobs).await, [0, 1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_after_one_whose_row_could_not_be_switched_are_dead_at_once_and_their_space_comes_back() {
    let (home, rows) = (TempDir::new().unwrap(), Rows::default());
    let options = LocalOptions { moved_grace: Duration::ZERO, ..keeping() };
    let blobs = start(home.path(), &options).await;
    let made = rows.make(&blobs, FULL).await;
    rows.erase(&blobs, made[5..].iter()).await;
    drop(blobs);
    let blobs = start(home.path(), &options).await;
    let others = rows.make(&blobs, FULL - 5).await;
    let target = segments(home.path()).into_iter().find(|path| others[0].0.starts_with(&prefix(path))).unwrap();
    rows.broken.store(true, Ordering::SeqCst);
    blobs.compact(&rows).await.unwrap_err();
    rows.broken.store(false, Ordering::SeqCst);
    // The lane goes on elsewhere.
    rows.make(&blobs, 1).await;
    rows.erase(&blobs, others.iter()).await;
    rows.compact(&blobs, 3).await;
    assert!(!target.exists());
    assert_eq!(rows.contents(&blobs).await, [0, 0, 1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn space_is_given_back_although_what_was_erased_cannot_be_swept() {
    let (root, blobs) = (TempDir::new().unwrap(), JudgeBlobs::new());
    let setup = of(leased(root.path(), &blobs, Arc::new(Unbounded)).await).await;
    blobs.fail_removals(Some(PortErrorKind::Unavailable));
    let mut before = None;
    // Whatever is told to the log wakes the sweeper, and it looks every second anyway: sixty rounds to a compaction.
    for round in 0..600 {
        let session = format!("S-{round}");
        let interaction = capture(&setup, &session, "+15125550100").await;
        setup.vault.erase_interaction(&setup.actor, &interaction.id.to_string()).await.unwrap();
        let (refused, compactions) = blobs.asked();
        if refused > 0 {
            let before = *before.get_or_insert(compactions);
            if compactions > before {
                blobs.fail_removals(None);
                setup.vault.close().await;
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?}", blobs.asked());
}
