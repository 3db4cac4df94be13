//! What a bucket can do is seen, not believed; and one that cannot be worked with is refused.

use oubliette_core::ports::{Blobs, PortErrorKind, Removal};
use oubliette_store::blobs::ObjectBlobs;
use oubliette_store::blobs::object::{Capabilities, Credentials, Retention, S3Options, Versioning};

use super::proxy::Action;
use super::server::{BucketKind, limits, server};
use super::{attach, behind, put};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_bucket_is_seen_as_it_is_and_left_as_it_was() {
    let bucket = server().bucket(BucketKind::Plain).await;
    let blobs = attach(&bucket, limits()).await;
    let expected = Capabilities {
        versioning: Versioning::Never,
        lists_versions: true,
        retention: None,
        conditional_put: true,
        bulk_delete: true,
        lists_uploads: true,
    };
    assert_eq!(*blobs.capabilities(), expected);
    assert!(expected.warnings().is_empty());
    assert!(bucket.keys().await.is_empty());
    assert_eq!((bucket.uploads().await, bucket.versions().await), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_versioned_bucket_is_seen_and_left_without_a_version() {
    let bucket = server().bucket(BucketKind::Versioned).await;
    let blobs = attach(&bucket, limits()).await;
    assert_eq!(blobs.capabilities().versioning, Versioning::Enabled);
    assert_eq!(bucket.versions().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_yes_and_ignores_it_is_seen_through() {
    let bucket = server().bucket(BucketKind::Plain).await;
    let (proxy, through) = behind(&bucket).await;
    proxy.rule(|seen| if seen.method == "PUT" { Action::DropCondition } else { Action::Pass });
    assert!(!attach(&through, limits()).await.capabilities().conditional_put);

    // A bucket that lists no versions although it keeps them.
    let bucket = server().bucket(BucketKind::Versioned).await;
    let (proxy, through) = behind(&bucket).await;
    proxy.rule(|seen| match seen.target.contains("versions=") {
        true => Action::Answer(501, "NotImplemented"),
        false => Action::Pass,
    });
    let error = ObjectBlobs::attach(&through.options(), limits()).await.err().unwrap();
    assert_eq!(error.kind, PortErrorKind::Refused);
    assert!(error.to_string().contains("versions"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_without_bulk_deletes_and_upload_lists_still_works() {
    let bucket = server().bucket(BucketKind::Versioned).await;
    let (proxy, through) = behind(&bucket).await;
    proxy.rule(|seen| {
        let lists_uploads = seen.method == "GET" && seen.target.contains("uploads=");
        let missing = seen.target.contains("?delete") || lists_uploads || seen.target.contains("object-lock");
        if missing { Action::Answer(501, "NotImplemented") } else { Action::Pass }
    });
    let blobs = attach(&through, limits()).await;
    let seen = blobs.capabilities();
    assert!(!seen.bulk_delete && !seen.lists_uploads && seen.retention.is_none());
    assert_eq!(seen.warnings().len(), 2);
    let mut all = Vec::new();
    for fill in 0..5 {
        all.push(put(&blobs, 1, vec![fill; 400_000]).await.unwrap());
    }
    assert_eq!(blobs.remove(&all).await.unwrap(), vec![Removal::Removed; 5]);
    assert_eq!(bucket.versions().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_cannot_be_listed_written_to_or_deleted_in_is_refused_with_the_reason() {
    let bucket = server().bucket(BucketKind::Plain).await;
    for (method, reason) in [("GET", "list"), ("PUT", "write"), ("DELETE", "delete")] {
        let (proxy, through) = behind(&bucket).await;
        proxy.rule(move |seen| {
            let delete = method == "DELETE" && seen.target.contains("?delete");
            if delete || seen.method == method { Action::Answer(403, "AccessDenied") } else { Action::Pass }
        });
        let error = ObjectBlobs::attach(&through.options(), limits()).await.err().unwrap();
        assert_eq!(error.kind, PortErrorKind::Refused, "{method}: {error:?}");
        assert!(error.to_string().contains(reason), "{method}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absent_bucket_and_wrong_keys_are_refused_and_a_silent_server_is_unavailable() {
    let bucket = server().bucket(BucketKind::Plain).await;
    let absent = S3Options { bucket: "no-such-bucket".to_owned(), ..bucket.options() };
    let secret = "not the secret of anybody";
    let keys = Credentials::Keys { id: "vaultkey".to_owned(), secret: secret.to_owned(), token: None };
    let wrong = S3Options { credentials: keys, ..bucket.options() };
    for options in [absent, wrong] {
        let error = ObjectBlobs::attach(&options, limits()).await.err().unwrap();
        assert_eq!(error.kind, PortErrorKind::Refused, "{error:?}");
        assert!(!format!("{error:?}").contains(secret));
    }
    let (proxy, through) = behind(&bucket).await;
    proxy.rule(|_| Action::LoseRequest);
    let error = ObjectBlobs::attach(&through.options(), limits()).await.err().unwrap();
    assert_eq!(error.kind, PortErrorKind::Unavailable, "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_says_it_locks_and_does_not_is_seen_through() {
    let bucket = server().bucket(BucketKind::Locking { days: Some(1) }).await;
    let plain = server().bucket(BucketKind::Plain).await;
    // What the locking bucket says of itself, and what the plain one does.
    let said = bucket.get("?object-lock=").await.1;
    assert!(said.contains("GOVERNANCE"), "{said}");
    let said: &'static str = Box::leak(said.into_boxed_str());
    let (proxy, through) = behind(&plain).await;
    proxy.rule(move |seen| match seen.target.contains("object-lock") {
        true => Action::Say(said),
        false => Action::Pass,
    });
    let blobs = attach(&through, limits()).await;
    assert_eq!(blobs.capabilities().retention, Some(Retention::Ignored));
    let blob = put(&blobs, 1, vec![1; 400_000]).await.unwrap();
    assert_eq!(blobs.remove(&[blob]).await.unwrap(), [Removal::Removed]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_may_come_from_a_file_and_two_vaults_may_share_a_bucket() {
    let bucket = server().bucket(BucketKind::Plain).await;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("credentials");
    let (key, secret) =
        (std::env::var("OUBLIETTE_TEST_S3_KEY").unwrap(), std::env::var("OUBLIETTE_TEST_S3_SECRET").unwrap());
    std::fs::write(&path, format!("[vault]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")).unwrap();
    let credentials = Credentials::File { path, profile: "vault".to_owned() };
    let one = S3Options { credentials, prefix: "one".to_owned(), ..bucket.options() };
    let one = ObjectBlobs::attach(&one, limits()).await.unwrap();
    let other = S3Options { prefix: "other/one".to_owned(), ..bucket.options() };
    let other = ObjectBlobs::attach(&other, limits()).await.unwrap();
    let blob = put(&one, 1, vec![1; 400_000]).await.unwrap();
    let report = other.sweep_orphans(&oubliette_core::testing::live::LiveTable::default()).await.unwrap();
    assert_eq!(report.orphans, 0, "another vault's objects were swept");
    assert!(other.read(&blob, 0..1).await.is_err());
    assert!(one.read(&blob, 0..1).await.is_ok());
}
