//! The contract that every blob store keeps.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::memory::InMemory;
use oubliette_core::ports::Blobs;
use oubliette_core::testing::conformance::blobs::{self as contract, BlobsFixture};
use oubliette_store::blobs::{ObjectBlobs, ObjectOptions};

use super::attach;
use super::server::{BucketKind, TestBucket, limits, server};

struct InBucket(TestBucket, ObjectOptions);

#[async_trait]
impl BlobsFixture for InBucket {
    async fn open(&self) -> Arc<dyn Blobs> {
        Arc::new(attach(&self.0, self.1.clone()).await)
    }
}

/// What the client calls a store, without S3: stands for Azure's and Google's.
struct InStore(Arc<InMemory>);

#[async_trait]
impl BlobsFixture for InStore {
    async fn open(&self) -> Arc<dyn Blobs> {
        Arc::new(ObjectBlobs::attach_store(Arc::clone(&self.0) as _, "a/b", limits()).await.unwrap())
    }
}

fn small_segments() -> ObjectOptions {
    ObjectOptions { segment_bytes: 100_000, small_bytes: 50_000, ..limits() }
}

macro_rules! conformance {
    ($($name:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let server = server();
            contract::$name(&InStore(Arc::default())).await;
            contract::$name(&InBucket(server.bucket(BucketKind::Plain).await, limits())).await;
            contract::$name(&InBucket(server.bucket(BucketKind::Versioned).await, small_segments())).await;
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
