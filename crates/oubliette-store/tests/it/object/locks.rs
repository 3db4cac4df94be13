//! Object Lock: what cannot be removed is said to be retained, and until when.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use oubliette_core::ports::{Blobs, Removal};
use oubliette_core::testing::live::LiveTable;
use oubliette_store::blobs::object::Retention;

use super::server::{BucketKind, key_of, limits, server};
use super::{assert_reads, attach, put};

fn in_seconds(seconds: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_secs(seconds)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_locks_everything_is_seen_and_retains_large_and_packed_contents() {
    let bucket = server().bucket(BucketKind::Locking { days: Some(1) }).await;
    let blobs = attach(&bucket, limits()).await;
    assert_eq!(blobs.capabilities().retention, Some(Retention::Governance { days: 1 }));
    assert!(blobs.capabilities().warnings().iter().any(|warning| warning.contains("Object Lock")));
    let large = put(&blobs, 1, vec![1; 400_000]).await.unwrap();
    let uploaded = put(&blobs, 1, vec![2; 9 << 20]).await.unwrap();
    let packed = put(&blobs, 1, vec![3; 3_000]).await.unwrap();
    for blob in [&large, &uploaded, &packed] {
        let outcome = blobs.remove(std::slice::from_ref(blob)).await.unwrap();
        let [Removal::Retained { until }] = outcome[..] else { panic!("{}: {outcome:?}", blob.0) };
        let (earliest, latest) = (in_seconds(23 * 3600), in_seconds(25 * 3600));
        assert!(until > earliest && until < latest, "{until}");
    }
    // Still there, and nobody says otherwise.
    assert_reads(&blobs, &large, &[1; 400_000]).await;
    let rows = LiveTable::default();
    let report = blobs.compact(&rows).await.unwrap();
    assert_eq!((report.segments, report.retained), (0, 0), "known to be retained, it is not even asked for");
    let later = attach(&bucket, limits()).await;
    let report = later.sweep_orphans(&rows).await.unwrap();
    assert_eq!(report.orphans, 0);
    assert!(report.retained >= 3, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_retained_is_removed_once_the_time_is_over() {
    let bucket = server().bucket(BucketKind::Locking { days: None }).await;
    let blobs = attach(&bucket, limits()).await;
    assert_eq!(blobs.capabilities().retention, Some(Retention::NotByDefault));
    let locked = put(&blobs, 1, vec![1; 400_000]).await.unwrap();
    let free = put(&blobs, 1, vec![2; 400_000]).await.unwrap();
    let until = in_seconds(5);
    bucket.retain(&key_of(&locked), until).await;
    let both = [locked.clone(), free];
    let outcome = blobs.remove(&both).await.unwrap();
    let Removal::Retained { until: told } = outcome[0] else { panic!("{outcome:?}") };
    assert!(told.duration_since(until).abs() <= SignedDuration::from_secs(1), "{told} for {until}");
    assert_eq!(outcome[1], Removal::Removed);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        match &blobs.remove(&both).await.unwrap()[..] {
            [Removal::Removed, Removal::Removed] => {
                assert!(Timestamp::now() >= told, "removed before the lock ended");
                assert_eq!(bucket.versions().await, 0);
                return;
            }
            [Removal::Retained { .. } | Removal::Failed(_), Removal::Removed] => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("still retained");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_without_an_end_fails_the_removal_and_takes_no_other_along() {
    let bucket = server().bucket(BucketKind::Locking { days: None }).await;
    let blobs = attach(&bucket, limits()).await;
    let held = put(&blobs, 1, vec![1; 400_000]).await.unwrap();
    let free = put(&blobs, 1, vec![2; 400_000]).await.unwrap();
    bucket.hold(&key_of(&held), "ON").await;
    let both = [held, free];
    let outcome = blobs.remove(&both).await.unwrap();
    assert_eq!(outcome, [Removal::Failed("a hold is on the object"), Removal::Removed]);
    bucket.hold(&key_of(&both[0]), "OFF").await;
    assert_eq!(blobs.remove(&both).await.unwrap(), [Removal::Removed, Removal::Removed]);
}
