//! Small contents: many to one object; and large ones: little of them in memory.

use bytes::Bytes;
use futures::future::join_all;
use oubliette_core::ports::{BlobHint, Blobs};
use oubliette_core::testing::live::LiveTable;
use oubliette_store::blobs::ObjectOptions;

use super::proxy::Action;
use super::server::{BucketKind, limits, server};
use super::{assert_reads, attach, behind, put};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_contents_written_at_once_share_objects_and_one_alone_is_one_request() {
    let bucket = server().bucket(BucketKind::Plain).await;
    let (proxy, through) = behind(&bucket).await;
    let blobs = attach(&through, limits()).await;
    proxy.rule(|_| Action::Pass);
    let lone = put(&blobs, 1, vec![1; 2_000]).await.unwrap();
    assert_eq!(proxy.count(|_, _| true), 1);
    let many = join_all((0..1_000_u32).map(|at| put(&blobs, 1, vec![at as u8; 2_000]))).await;
    let puts = proxy.count(|method, _| method == "PUT");
    assert!(puts <= 20, "{puts} objects for 1001 contents");
    assert_reads(&blobs, &lone, &[1; 2_000]).await;
    for (at, blob) in many.into_iter().enumerate() {
        assert_reads(&blobs, &blob.unwrap(), &[at as u8; 2_000]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_do_not_share_segments_and_segments_have_a_limit() {
    let bucket = server().bucket(BucketKind::Plain).await;
    let blobs = attach(&bucket, ObjectOptions { segment_bytes: 100_000, ..limits() }).await;
    let puts = join_all((0..60_u64).map(|at| put(&blobs, at % 3, vec![at as u8; 9_000]))).await;
    let segment = |blob: &str| blob.rsplit_once('/').unwrap().0.to_owned();
    let mut lanes = [const { Vec::new() }; 3];
    for (at, blob) in puts.into_iter().enumerate() {
        lanes[at % 3].push(segment(&blob.unwrap().0));
    }
    for (at, lane) in lanes.iter().enumerate() {
        assert!(lanes[..at].iter().flatten().all(|other| !lane.contains(other)));
        for segment in lane {
            assert!(lane.iter().filter(|other| *other == segment).count() <= 11);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_segments_of_earlier_runs_are_joined() {
    let bucket = server().bucket(BucketKind::Plain).await;
    let rows = LiveTable::default();
    for run in 0..6 {
        let blobs = attach(&bucket, limits()).await;
        rows.insert(&put(&blobs, 4, vec![run; 3_000]).await.unwrap());
    }
    assert_eq!(bucket.keys().await.len(), 6);
    let blobs = attach(&bucket, limits()).await;
    for _ in 0..3 {
        blobs.compact(&rows).await.unwrap();
    }
    assert_eq!(bucket.keys().await.len(), 1);
    let mut seen: Vec<u8> = Vec::new();
    for blob in rows.all() {
        seen.push(blobs.read(&blob, 0..3_000).await.unwrap()[2_999]);
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_whose_blobs_moved_stays_for_readers_of_the_old_places() {
    let bucket = server().bucket(BucketKind::Plain).await;
    let rows = LiveTable::default();
    let patient = ObjectOptions { drop_after: std::time::Duration::from_secs(3600), ..limits() };
    let (writer, mover) = (attach(&bucket, patient.clone()).await, attach(&bucket, patient).await);
    let mut old = Vec::new();
    for fill in 0..6 {
        old.push(put(&writer, 4, vec![fill; 3_000]).await.unwrap());
        rows.insert(&old[usize::from(fill)]);
    }
    // Servers tell the time to the second: what was written in this one is not yet older than no margin at all.
    for _ in 0..20 {
        mover.compact(&rows).await.unwrap();
        if !old.iter().any(|blob| rows.contains(blob)) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert!(old.iter().all(|blob| !rows.contains(blob)), "nothing moved");
    for (fill, blob) in old.iter().enumerate() {
        assert_reads(&writer, blob, &[fill as u8; 3_000]).await;
    }
}

/// Peak memory of this process in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Each test is a process of its own, so the peak is this one's.
async fn stream(bytes: u64) {
    let bucket = server().bucket(BucketKind::Plain).await;
    let blobs = attach(&bucket, limits()).await;
    put(&blobs, 1, vec![1; 12 << 20]).await.unwrap();
    let before = peak();
    let mut writer = blobs.create(BlobHint { lane: 0, length: Some(bytes) }).await.unwrap();
    let piece = 1_u64 << 17;
    for at in 0..bytes / piece {
        writer.write(Bytes::from(vec![at as u8; piece as usize])).await.unwrap();
    }
    let blob = writer.finish().await.unwrap();
    let grown = peak() - before;
    assert!(grown < 64 << 20, "{grown} bytes more in memory for a stream of {bytes}");
    for at in [0, 1, bytes / piece / 2, bytes / piece - 1] {
        let read = blobs.read(&blob, at * piece..at * piece + 1_000).await.unwrap();
        assert!(read == vec![at as u8; 1_000]);
    }
    blobs.remove(&[blob]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_stream_stays_out_of_memory() {
    stream(200 << 20).await;
}

mod slow {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "a gibibyte: run by ./test.sh slow"]
    async fn a_gibibyte_stays_out_of_memory() {
        super::stream(1 << 30).await;
    }
}
