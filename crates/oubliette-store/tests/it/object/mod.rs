//! Blobs in buckets of a real S3 server, through a proxy that misbehaves where it must.

mod conformance;
mod durable;
mod faults;
mod locks;
mod packing;
mod probes;
mod proxy;
mod server;
mod sweeps;
mod versions;

use bytes::Bytes;
use oubliette_core::ports::{BlobHint, BlobRef, Blobs, PortError};
use oubliette_store::blobs::{ObjectBlobs, ObjectOptions};
use proxy::Proxy;
use server::TestBucket;

async fn attach(bucket: &TestBucket, limits: ObjectOptions) -> ObjectBlobs {
    ObjectBlobs::attach(&bucket.options(), limits).await.unwrap()
}

/// The bucket behind a proxy.
async fn behind(bucket: &TestBucket) -> (Proxy, TestBucket) {
    let proxy = Proxy::start(&bucket.server.endpoint).await;
    let through = bucket.through(proxy.endpoint.clone());
    (proxy, through)
}

async fn put(blobs: &dyn Blobs, lane: u64, bytes: Vec<u8>) -> Result<BlobRef, PortError> {
    let mut writer = blobs.create(BlobHint { lane, length: None }).await?;
    for part in bytes.chunks(1 << 17) {
        writer.write(Bytes::copy_from_slice(part)).await?;
    }
    writer.finish().await
}

async fn assert_reads(blobs: &dyn Blobs, blob: &BlobRef, expected: &[u8]) {
    for (at, part) in expected.chunks(4 << 20).enumerate() {
        let from = (at * (4 << 20)) as u64;
        let read = blobs.read(blob, from..from + part.len() as u64).await.unwrap();
        assert!(read == part, "{} reads as other bytes", blob.0);
    }
}
