//! A network and a server that do half of what they should.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use oubliette_core::ports::{BlobHint, Blobs, PortErrorKind, Removal};
use oubliette_store::blobs::ObjectOptions;

use super::proxy::{Action, Seen};
use super::server::{BucketKind, limits, server};
use super::{assert_reads, attach, behind, put};

fn is_part(seen: &Seen) -> bool {
    seen.method == "PUT" && seen.target.contains("partNumber")
}

fn is_complete(seen: &Seen) -> bool {
    seen.method == "POST" && seen.target.contains("uploadId=")
}

fn is_whole_put(seen: &Seen) -> bool {
    seen.method == "PUT" && !seen.target.contains("uploadId")
}

/// Every write works although each request goes wrong once in this way; and nothing is left over.
async fn each_request_once(action: Action) {
    let bucket = server().bucket(BucketKind::Plain).await;
    let (proxy, through) = behind(&bucket).await;
    let blobs = attach(&through, limits()).await;
    proxy.rule(move |seen| if seen.before == 0 { action } else { Action::Pass });
    for size in [3_000, 400_000, 12 << 20] {
        let blob = put(&blobs, 1, vec![7; size]).await.unwrap_or_else(|error| panic!("{size}: {error:?}"));
        assert_reads(&blobs, &blob, &vec![7; size]).await;
        assert_eq!(blobs.remove(std::slice::from_ref(&blob)).await.unwrap(), [Removal::Removed]);
    }
    assert!(proxy.count(|_, _| true) > 12);
    assert_eq!(bucket.keys().await.len(), 1, "only the segment is left to be compacted");
    let unheard = matches!(action, Action::LoseAnswer | Action::CutAnswer);
    assert_eq!(bucket.uploads().await, usize::from(unheard), "uploads begun without an answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_lost_before_the_server_is_sent_again() {
    each_request_once(Action::LoseRequest).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_lost_after_the_server_did_it_does_no_harm() {
    each_request_once(Action::LoseAnswer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_to_slow_down_is_asked_again() {
    each_request_once(Action::Answer(503, "SlowDown")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_cut_short_is_asked_for_again() {
    each_request_once(Action::CutAnswer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completion_whose_every_answer_is_lost_is_looked_up() {
    let bucket = server().bucket(BucketKind::Plain).await;
    let (proxy, through) = behind(&bucket).await;
    let blobs = attach(&through, limits()).await;
    proxy.rule(|seen| if is_complete(seen) { Action::LoseAnswer } else { Action::Pass });
    let blob = put(&blobs, 1, vec![5; 12 << 20]).await.unwrap();
    assert_reads(&blobs, &blob, &vec![5; 12 << 20]).await;
    proxy.rule(|seen| if is_whole_put(seen) { Action::LoseAnswer } else { Action::Pass });
    for size in [1_000, 400_000] {
        let blob = put(&blobs, 1, vec![6; size]).await.unwrap();
        assert_reads(&blobs, &blob, &vec![6; size]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_never_reaches_the_server_is_certainly_not_done_and_what_was_written_before_stays() {
    let bucket = server().bucket(BucketKind::Plain).await;
    let (proxy, through) = behind(&bucket).await;
    let blobs = attach(&through, limits()).await;
    let before = put(&blobs, 1, vec![1; 3_000]).await.unwrap();
    proxy.rule(|seen| if matches!(seen.method.as_str(), "PUT" | "POST") { Action::LoseRequest } else { Action::Pass });
    for size in [3_000, 400_000, 12 << 20] {
        let error = put(&blobs, 1, vec![2; size]).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Unavailable, "{error:?}");
    }
    proxy.rule(|_| Action::Pass);
    let after = put(&blobs, 1, vec![3; 3_000]).await.unwrap();
    assert_reads(&blobs, &before, &[1; 3_000]).await;
    assert_reads(&blobs, &after, &[3; 3_000]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_keys_that_are_too_busy_to_be_deleted_fail_alone_and_go_later() {
    let bucket = server().bucket(BucketKind::Plain).await;
    let (proxy, through) = behind(&bucket).await;
    // Without bulk deletes each key has its own request, and its own trouble.
    proxy.rule(
        |seen| if seen.target.contains("?delete") { Action::Answer(501, "NotImplemented") } else { Action::Pass },
    );
    let blobs = attach(&through, ObjectOptions { retries: 1, ..limits() }).await;
    assert!(!blobs.capabilities().bulk_delete);
    let mut all = Vec::new();
    for fill in 0..8 {
        all.push(put(&blobs, 1, vec![fill; 400_000]).await.unwrap());
    }
    let busy: Vec<String> = all[..3].iter().map(super::server::key_of).collect();
    proxy.rule(move |seen| {
        let busy = seen.method == "DELETE" && busy.iter().any(|key| seen.target.contains(key.as_str()));
        if busy { Action::Answer(503, "SlowDown") } else { Action::Pass }
    });
    let outcomes = blobs.remove(&all).await.unwrap();
    assert!(outcomes[..3].iter().all(|outcome| matches!(outcome, Removal::Failed(_))), "{outcomes:?}");
    assert!(outcomes[3..].iter().all(|outcome| *outcome == Removal::Removed), "{outcomes:?}");
    proxy.rule(|_| Action::Pass);
    assert_eq!(blobs.remove(&all).await.unwrap(), vec![Removal::Removed; 8]);
    assert!(bucket.keys().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_answering_is_given_up_in_time() {
    let bucket = server().bucket(BucketKind::Plain).await;
    let (proxy, through) = behind(&bucket).await;
    let impatient = ObjectOptions { timeout: Duration::from_millis(500), retries: 1, ..limits() };
    let blobs = attach(&through, impatient).await;
    let large = put(&blobs, 1, vec![1; 400_000]).await.unwrap();
    proxy.rule(|_| Action::Stall);
    let since = Instant::now();
    let error = blobs.read(&large, 0..10).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Unavailable, "{error:?}");
    let error = put(&blobs, 1, vec![2; 10]).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Unavailable, "{error:?}");
    let outcome = blobs.remove(std::slice::from_ref(&large)).await.unwrap();
    assert!(matches!(outcome[..], [Removal::Failed(_)]), "{outcome:?}");
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
    proxy.rule(|_| Action::Pass);
    assert_reads(&blobs, &large, &[1; 400_000]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_dropped_is_given_up_at_the_server() {
    let bucket = server().bucket(BucketKind::Plain).await;
    let blobs = attach(&bucket, limits()).await;
    let mut writer = blobs.create(BlobHint { lane: 0, length: None }).await.unwrap();
    for _ in 0..20 {
        writer.write(Bytes::from(vec![7; 1 << 20])).await.unwrap();
    }
    assert_eq!(bucket.uploads().await, 1);
    drop(writer);
    for _ in 0..500 {
        if bucket.uploads().await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the upload is still there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_part_fails_for_good_fails_and_is_given_up() {
    let bucket = server().bucket(BucketKind::Plain).await;
    let (proxy, through) = behind(&bucket).await;
    let blobs = attach(&through, limits()).await;
    let parts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&parts);
    proxy.rule(move |seen| {
        if is_part(seen) && count.fetch_add(1, Ordering::SeqCst) >= 1 {
            return Action::Answer(403, "AccessDenied");
        }
        Action::Pass
    });
    let error = put(&blobs, 1, vec![1; 40 << 20]).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Unavailable, "{error:?}");
    for _ in 0..500 {
        if bucket.uploads().await == 0 && bucket.keys().await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the upload is still there");
}
