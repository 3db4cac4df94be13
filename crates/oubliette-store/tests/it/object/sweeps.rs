//! Leftovers from both sides.

use std::time::Duration;

use bytes::Bytes;
use oubliette_core::ports::{BlobHint, BlobRef, Blobs, PortErrorKind};
use oubliette_core::testing::live::LiveTable;
use oubliette_store::blobs::ObjectOptions;

use super::server::{BucketKind, key_of, limits, server};
use super::{assert_reads, attach, put};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_segments_and_uploads_of_earlier_runs_go_and_strangers_stay() {
    for kind in [BucketKind::Plain, BucketKind::Versioned] {
        let bucket = server().bucket(kind).await;
        let rows = LiveTable::default();
        let crashed = attach(&bucket, limits()).await;
        let mut kept = Vec::new();
        for fill in 0..4 {
            kept.push((put(&crashed, 1, vec![fill; 300_000]).await.unwrap(), fill, 300_000));
            kept.push((put(&crashed, 1, vec![fill; 2_000]).await.unwrap(), fill, 2_000));
            put(&crashed, 1, vec![fill; 300_000]).await.unwrap();
            put(&crashed, 2, vec![fill; 2_000]).await.unwrap();
        }
        kept.iter().for_each(|(blob, ..)| rows.insert(blob));
        bucket.begin_upload(&format!("vault/o/ab/{:032x}", 0xab_u128 << 120)).await;
        bucket.begin_upload("vault/o/somebody/else").await;
        bucket.put("vault/o/ab/readme", "somebody else's").await;
        bucket.put("o/ab/readme", "somebody else's").await;
        bucket.put("vault/probe/ab/ab000000000000000000000000000000", "left by a probe").await;

        let blobs = attach(&bucket, limits()).await;
        let mut unfinished = blobs.create(BlobHint { lane: 0, length: None }).await.unwrap();
        unfinished.write(Bytes::from(vec![7; 20 << 20])).await.unwrap();
        let report = blobs.sweep_orphans(&rows).await.unwrap();
        assert_eq!((report.orphans, report.missing, report.unfinished), (4 + 4 + 1 + 1, 0, false), "{report:?}");
        assert_eq!(blobs.sweep_orphans(&rows).await.unwrap().orphans, 0);
        assert_eq!(bucket.keys().await.len(), 8 + 2);
        assert_eq!(bucket.uploads().await, 2, "one of somebody else, one of this run");
        for (blob, fill, size) in kept {
            assert_reads(&blobs, &blob, &vec![fill; size]).await;
        }
        unfinished.finish().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_process_may_still_come_to_refer_to_is_left_alone() {
    let bucket = server().bucket(BucketKind::Plain).await;
    let rows = LiveTable::default();
    let patient = ObjectOptions { margin: Duration::from_secs(3600), ..limits() };
    let neighbour = attach(&bucket, patient.clone()).await;
    let large = put(&neighbour, 1, vec![1; 300_000]).await.unwrap();
    let small = put(&neighbour, 1, vec![2; 2_000]).await.unwrap();
    let blobs = attach(&bucket, patient).await;
    assert_eq!(blobs.sweep_orphans(&rows).await.unwrap().orphans, 0);
    for _ in 0..2 {
        assert_eq!(blobs.compact(&rows).await.unwrap().segments, 0);
    }
    assert_reads(&neighbour, &large, &[1; 300_000]).await;
    assert_reads(&neighbour, &small, &[2; 2_000]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn references_without_their_bytes_are_counted() {
    for kind in [BucketKind::Plain, BucketKind::Versioned] {
        let bucket = server().bucket(kind).await;
        let rows = LiveTable::default();
        let blobs = attach(&bucket, limits()).await;
        let mut all: Vec<BlobRef> = Vec::new();
        for fill in 0..4 {
            all.push(put(&blobs, 1, vec![fill; 300_000]).await.unwrap());
            all.push(put(&blobs, 1, vec![fill; 2_000]).await.unwrap());
        }
        all.iter().for_each(|blob| rows.insert(blob));
        assert_eq!(blobs.sweep_orphans(&rows).await.unwrap().missing, 0);
        // Somebody deletes one of each kind and cuts another short.
        bucket.delete(&key_of(&all[0])).await;
        bucket.delete(&key_of(&all[1])).await;
        bucket.put(&key_of(&all[2]), "short").await;
        let report = blobs.sweep_orphans(&rows).await.unwrap();
        assert_eq!((report.missing, report.orphans), (3, 0), "{report:?}");
        for blob in &all[..3] {
            let error = blobs.read(blob, 0..1_000).await.unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Corrupt, "{error:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_of_many_pages_is_swept_wholly_over_several_calls() {
    let bucket = server().bucket(BucketKind::Plain).await;
    let rows = LiveTable::default();
    let crashed = attach(&bucket, ObjectOptions { small_bytes: 1, ..limits() }).await;
    for round in 0..24_u8 {
        for (at, blob) in
            futures::future::join_all((0..100).map(|_| put(&crashed, 1, vec![round; 10]))).await.into_iter().enumerate()
        {
            if at % 2 == 0 {
                rows.insert(&blob.unwrap());
            }
        }
    }
    let blobs = attach(&bucket, limits()).await;
    let (mut orphans, mut calls) = (0, 0);
    loop {
        let report = blobs.sweep_orphans(&rows).await.unwrap();
        orphans += report.orphans;
        calls += 1;
        assert_eq!(report.missing, 0);
        if !report.unfinished {
            break;
        }
    }
    assert_eq!(orphans, 1_200, "in {calls} calls");
    for blob in rows.all() {
        assert!(blobs.read(&blob, 0..10).await.is_ok());
    }
}
