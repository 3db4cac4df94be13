//! What sealing and storing cost against the bare cipher and the bare disk: `cargo bench -p oubliette-store --bench blobs`.
//!
//! Prints one line a figure: name, value, unit. What only computes (`raw_…`, `cell_…`, `…nowhere`, `…from_memory`) is told in
//! bytes a second of processor time of its thread, the rest in real time. Files go below the folder given by `BENCH_DIR` or the system's temporary one.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on should say where")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use keyforest::{Group, Leaf, LeafKey};
use oubliette_core::crypto::chunked::{CHUNK, SEALED_CHUNK};
use oubliette_core::crypto::{BlobContext, BlobRead, KeyCell, SealedBody, open_range, seal_stream};
use oubliette_core::model::TenantId;
use oubliette_core::ports::{BlobHint, BlobRef, BlobWriter, Blobs, PortError};
use oubliette_core::testing::blobs::JudgeBlobs;
use oubliette_store::blobs::{LocalBlobs, LocalOptions};

const CONTEXT: BlobContext = BlobContext { tenant: TenantId(1), interaction: Group(1), leaf: Leaf(9), part: 0 };
const MIB: u64 = 1 << 20;

/// Best of some runs, in MiB/s.
fn rate(name: &str, bytes: u64, mut run: impl FnMut() -> Duration) -> f64 {
    let best = (0..5).map(|_| run()).min().unwrap();
    let rate = bytes as f64 / MIB as f64 / best.as_secs_f64();
    println!("{name}\t{rate:.0}\tMiB/s");
    rate
}

/// Processor time of this thread: what a computation costs, however busy the machine is.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

fn cell() -> Arc<KeyCell> {
    KeyCell::new(LeafKey::new([7; 32]), std::sync::Arc::new(oubliette_core::ports::Unbounded))
}

fn body(length: u64) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + Unpin {
    let piece = Bytes::from_static(&[0x5a; 64 << 10]);
    stream::iter((0..length.div_ceil(piece.len() as u64)).map(move |at| {
        let left = length - at * piece.len() as u64;
        Ok(piece.slice(..piece.len().min(left as usize)))
    }))
}

struct Nowhere;

#[async_trait]
impl BlobWriter for Nowhere {
    async fn write(&mut self, bytes: Bytes) -> Result<(), PortError> {
        std::hint::black_box(bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<BlobRef, PortError> {
        Ok(BlobRef(String::new()))
    }
}

fn raw() {
    const CHUNKS: u64 = 16 * 1024;
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
    let nonce = |at: u64| {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&at.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    };
    let mut chunk = vec![1; CHUNK];
    rate("raw_seal", CHUNKS * CHUNK as u64, || {
        let start = cpu();
        for at in 0..CHUNKS {
            let _ = std::hint::black_box(key.seal_in_place_separate_tag(nonce(at), Aad::empty(), &mut chunk).unwrap());
        }
        cpu() - start
    });
    let tag = key.seal_in_place_separate_tag(nonce(0), Aad::empty(), &mut chunk).unwrap();
    let mut plain = vec![0; CHUNK];
    rate("raw_open", CHUNKS * CHUNK as u64, || {
        let start = cpu();
        for _ in 0..CHUNKS {
            key.open_separate_gather(nonce(0), Aad::empty(), &chunk, tag.as_ref(), &mut plain).unwrap();
        }
        cpu() - start
    });
    let (mut sealer, header, commitment) = cell().sealer(b"c", [1; 24]).unwrap();
    rate("cell_seal", CHUNKS * CHUNK as u64, || {
        let start = cpu();
        for _ in 0..CHUNKS {
            std::hint::black_box(sealer.chunk(&mut chunk).unwrap());
        }
        cpu() - start
    });
    let (mut sealer, ..) = cell().sealer(b"c", [1; 24]).unwrap();
    let mut sealed = vec![1; CHUNK];
    let tag = sealer.chunk(&mut sealed).unwrap();
    sealed.extend_from_slice(&tag);
    assert_eq!(sealed.len(), SEALED_CHUNK);
    let opener = cell().opener(b"c", &header, &commitment).unwrap();
    rate("cell_open", CHUNKS * CHUNK as u64, || {
        let start = cpu();
        for _ in 0..CHUNKS {
            opener.open_chunk(0, &sealed, &mut plain).unwrap();
        }
        cpu() - start
    });
}

async fn drain(blobs: Arc<dyn Blobs>, blob: &BlobRef, sealed: &SealedBody) -> Duration {
    let read =
        BlobRead { blobs, blob: blob.clone(), context: CONTEXT, commitment: sealed.commitment, length: sealed.length };
    let start = Instant::now();
    let mut stream = open_range(&cell(), read, 0..sealed.length).await.unwrap();
    let mut length = 0;
    while let Some(piece) = stream.next().await {
        length += piece.unwrap().len() as u64;
    }
    assert_eq!(length, sealed.length);
    start.elapsed()
}

async fn store(blobs: &dyn Blobs, length: u64) -> (BlobRef, SealedBody) {
    let mut writer = blobs.create(BlobHint { lane: 1, length: Some(length) }).await.unwrap();
    let sealed = seal_stream(&cell(), &CONTEXT, body(length), u64::MAX, &mut *writer).await.unwrap();
    (writer.finish().await.unwrap(), sealed)
}

async fn streams(local: &LocalBlobs) {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = cpu();
        seal_stream(&cell(), &CONTEXT, body(256 * MIB), u64::MAX, &mut Nowhere).await.unwrap();
        best = best.min(cpu() - start);
    }
    println!("seal_stream_to_nowhere\t{:.0}\tMiB/s", 256.0 / best.as_secs_f64());
    let judge = JudgeBlobs::new();
    let (blob, sealed) = store(&judge, 64 * MIB).await;
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = cpu();
        drain(Arc::new(judge.clone()), &blob, &sealed).await;
        best = best.min(cpu() - start);
    }
    println!("open_range_from_memory\t{:.0}\tMiB/s", 64.0 / best.as_secs_f64());

    // Begins a new peak from here.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let idle = resident("VmRSS");
    let start = Instant::now();
    let (blob, sealed) = store(local, 1024 * MIB).await;
    println!("store_1gib\t{:.0}\tMiB/s", 1024.0 / start.elapsed().as_secs_f64());
    println!("store_1gib_rss_delta\t{:.1}\tMiB", resident("VmHWM") - idle);
    let took = drain(Arc::new(local.clone()), &blob, &sealed).await;
    println!("read_1gib\t{:.0}\tMiB/s", 1024.0 / took.as_secs_f64());
    println!("store_and_read_1gib_rss_delta\t{:.1}\tMiB (peak over idle)", resident("VmHWM") - idle);
    local.remove(&[blob]).await.unwrap();
}

/// The resident size now (`VmRSS`) or at its peak (`VmHWM`), in MiB.
fn resident(which: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(which)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

async fn small(local: &LocalBlobs, concurrency: usize, length: u64, seconds: u64) -> f64 {
    let until = Instant::now() + Duration::from_secs(seconds);
    let start = Instant::now();
    let workers = (0..concurrency).map(|_| {
        let local = local.clone();
        tokio::spawn(async move {
            let mut done = 0_u64;
            while Instant::now() < until {
                store(&local, length).await;
                done += 1;
            }
            done
        })
    });
    let done: u64 = futures::future::join_all(workers).await.into_iter().map(Result::unwrap).sum();
    done as f64 / start.elapsed().as_secs_f64()
}

fn main() {
    raw();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let home = std::env::var_os("BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
        let home = tempfile::TempDir::new_in(home).unwrap();
        let local = LocalBlobs::open(&home.path().join("blobs"), LocalOptions::default()).unwrap();
        streams(&local).await;
        for (concurrency, length) in [(1, 2_000), (64, 2_000), (64, 20_000), (1, 1 << 20), (64, 1 << 20)] {
            let rate = small(&local, concurrency, length, 3).await;
            println!("finishes_of_{length}_at_{concurrency}\t{rate:.0}\t/s");
        }
    });
}
