//! Buckets that keep versions: nothing stays behind a delete.

use oubliette_core::ports::{Blobs, Removal};
use oubliette_core::testing::live::LiveTable;
use oubliette_store::blobs::object::Versioning;

use super::proxy::Action;
use super::server::{BucketKind, key_of, limits, server};
use super::{assert_reads, attach, behind, put};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_versions_and_markers_of_a_removed_object_go_and_its_neighbours_stay() {
    let bucket = server().bucket(BucketKind::Versioned).await;
    let blobs = attach(&bucket, limits()).await;
    let mut all = Vec::new();
    for fill in 0..6 {
        let blob = put(&blobs, 1, vec![fill; 400_000]).await.unwrap();
        // Somebody overwrites it, hides it behind a marker, and overwrites it again.
        bucket.put(&key_of(&blob), "another version").await;
        bucket.delete(&key_of(&blob)).await;
        bucket.put(&key_of(&blob), "one more").await;
        all.push(blob);
    }
    let kept = put(&blobs, 1, vec![9; 400_000]).await.unwrap();
    assert_eq!(bucket.versions().await, 6 * 4 + 1);
    assert_eq!(blobs.remove(&all).await.unwrap(), vec![Removal::Removed; 6]);
    assert_eq!(bucket.versions().await, 1);
    assert_reads(&blobs, &kept, &[9; 400_000]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_only_has_a_marker_left_is_removed_with_it() {
    let bucket = server().bucket(BucketKind::Versioned).await;
    let blobs = attach(&bucket, limits()).await;
    let blob = put(&blobs, 1, vec![1; 400_000]).await.unwrap();
    bucket.delete(&key_of(&blob)).await;
    assert_eq!(bucket.versions().await, 2);
    assert_eq!(blobs.remove(&[blob]).await.unwrap(), [Removal::Removed]);
    assert_eq!(bucket.versions().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_that_were_kept_before_versioning_was_suspended_go_too() {
    let bucket = server().bucket(BucketKind::Versioned).await;
    let before = attach(&bucket, limits()).await;
    let blob = put(&before, 1, vec![1; 400_000]).await.unwrap();
    bucket.put(&key_of(&blob), "another version").await;
    bucket.set_versioning("Suspended").await;
    let blobs = attach(&bucket, limits()).await;
    assert_eq!(blobs.capabilities().versioning, Versioning::Suspended);
    assert!(!blobs.capabilities().warnings().is_empty());
    assert_eq!(blobs.remove(&[blob]).await.unwrap(), [Removal::Removed]);
    assert_eq!(bucket.versions().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_begins_to_keep_versions_later_is_noticed_by_the_first_marker() {
    let bucket = server().bucket(BucketKind::Plain).await;
    let blobs = attach(&bucket, limits()).await;
    assert_eq!(blobs.capabilities().versioning, Versioning::Never);
    bucket.set_versioning("Enabled").await;
    let mut all = Vec::new();
    for fill in 0..3 {
        all.push(put(&blobs, 1, vec![fill; 400_000]).await.unwrap());
    }
    assert_eq!(blobs.remove(&all).await.unwrap(), vec![Removal::Removed; 3]);
    assert_eq!(bucket.versions().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_five_hundred_objects_go_in_three_requests() {
    let bucket = server().bucket(BucketKind::Plain).await;
    let (proxy, through) = behind(&bucket).await;
    let blobs = attach(&through, oubliette_store::blobs::ObjectOptions { small_bytes: 1, ..limits() }).await;
    let mut all = Vec::new();
    for _ in 0..25 {
        let some = futures::future::join_all((0..100).map(|at| put(&blobs, 1, vec![at; 10]))).await;
        all.extend(some.into_iter().map(Result::unwrap));
    }
    proxy.rule(|_| Action::Pass);
    assert_eq!(blobs.remove(&all).await.unwrap(), vec![Removal::Removed; 2_500]);
    assert_eq!(proxy.count(|method, _| method == "POST"), 3);
    assert_eq!(proxy.count(|_, _| true), 3);
    assert!(bucket.keys().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_of_a_versioned_bucket_leave_nothing_when_they_are_dropped() {
    let bucket = server().bucket(BucketKind::Versioned).await;
    let blobs = attach(&bucket, limits()).await;
    let mut all = Vec::new();
    for fill in 0..20 {
        all.push(put(&blobs, 1, vec![fill; 3_000]).await.unwrap());
    }
    assert_eq!(bucket.versions().await, 20);
    blobs.remove(&all).await.unwrap();
    let report = blobs.compact(&LiveTable::default()).await.unwrap();
    assert_eq!(report.segments, 20);
    assert_eq!(bucket.versions().await, 0);
}
