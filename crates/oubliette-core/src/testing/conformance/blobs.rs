//! The contract of [`Blobs`], sentence by sentence.

#![expect(clippy::unwrap_used, reason = "a contract test that cannot go on should say where")]

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;

use crate::ports::{BlobHint, BlobRef, Blobs, PortErrorKind, Removal};
use crate::testing::live::LiveTable;

/// One place where blobs lie, to be opened again and again.
#[async_trait]
pub trait BlobsFixture: Send + Sync {
    /// Opens it as a fresh process would. The store opened before was dropped.
    async fn open(&self) -> Arc<dyn Blobs>;
}

/// Sizes around every limit a backend is likely to have.
const SIZES: [usize; 9] = [0, 1, 100, 16_400, 131_272, 262_143, 262_144, 262_145, 1_500_000];

/// Bytes that differ from blob to blob and do not repeat soon.
fn bytes_of(seed: usize, length: usize) -> Vec<u8> {
    let mut state = (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..length).map(next).collect()
}

async fn put(blobs: &dyn Blobs, lane: u64, bytes: &[u8]) -> BlobRef {
    let mut writer = blobs.create(BlobHint { lane, length: None }).await.unwrap();
    for part in bytes.chunks(100_000) {
        writer.write(Bytes::copy_from_slice(part)).await.unwrap();
    }
    writer.finish().await.unwrap()
}

async fn assert_reads(blobs: &dyn Blobs, blob: &BlobRef, expected: &[u8]) {
    let read = blobs.read(blob, 0..expected.len() as u64).await.unwrap();
    assert!(read == expected, "{} reads as other bytes", blob.0);
}

async fn assert_gone(blobs: &dyn Blobs, blob: &BlobRef) {
    let error = blobs.read(blob, 0..1).await.expect_err("a removed blob was read");
    assert!(matches!(error.kind, PortErrorKind::Corrupt | PortErrorKind::Refused), "{error:?}");
}

/// Reads give exactly what was written, in whatever pieces it came.
pub async fn what_was_finished_reads_back_exactly(fixture: &dyn BlobsFixture) {
    let blobs = fixture.open().await;
    for (seed, size) in SIZES.into_iter().enumerate() {
        let bytes = bytes_of(seed, size);
        for length in [None, Some(size as u64), Some(7)] {
            let mut writer = blobs.create(BlobHint { lane: 1, length }).await.unwrap();
            for part in bytes.chunks(33_333) {
                writer.write(Bytes::copy_from_slice(part)).await.unwrap();
            }
            let blob = writer.finish().await.unwrap();
            assert_reads(&*blobs, &blob, &bytes).await;
            assert_eq!(blobs.length(&blob).await.unwrap(), size as u64);
        }
    }
}

/// Reads give exactly the range; past the end is an error, not fewer bytes or a neighbour's.
pub async fn any_range_reads_exactly_and_one_past_the_end_fails(fixture: &dyn BlobsFixture) {
    let blobs = fixture.open().await;
    for size in [1_000_usize, 500_000] {
        let bytes = bytes_of(size, size);
        put(&*blobs, 1, &bytes_of(1, 999)).await;
        let blob = put(&*blobs, 1, &bytes).await;
        put(&*blobs, 1, &bytes_of(2, 999)).await;
        for (start, end) in [(0, 1), (size / 2, size / 2 + 77), (size - 1, size), (5, 5), (0, size)] {
            let read = blobs.read(&blob, start as u64..end as u64).await.unwrap();
            assert!(read == bytes[start..end], "{start}..{end} of {size}");
        }
        for (start, end) in [(0, size + 1), (size, size + 1), (size + 500, size + 600)] {
            let error = blobs.read(&blob, start as u64..end as u64).await.expect_err("read past the end");
            assert!(matches!(error.kind, PortErrorKind::Corrupt | PortErrorKind::Refused));
        }
    }
}

/// A blob whose `finish` returned `Ok` is there after a restart.
pub async fn finished_blobs_survive_a_restart(fixture: &dyn BlobsFixture) {
    let blobs = fixture.open().await;
    let mut kept = Vec::new();
    for (seed, size) in SIZES.into_iter().enumerate() {
        let bytes = bytes_of(seed, size);
        kept.push((put(&*blobs, seed as u64 % 3, &bytes).await, bytes));
    }
    drop(blobs);
    let blobs = fixture.open().await;
    for (blob, bytes) in &kept {
        assert_reads(&*blobs, blob, bytes).await;
    }
    let late = put(&*blobs, 0, b"written after the restart").await;
    assert!(kept.iter().all(|(blob, _)| *blob != late), "a reference was given twice");
}

/// Blobs finished at the same time keep their own bytes and places.
pub async fn concurrent_finishes_keep_their_own_bytes(fixture: &dyn BlobsFixture) {
    let blobs = fixture.open().await;
    let puts = (0..200).map(|seed| {
        let blobs = &blobs;
        async move {
            let bytes = bytes_of(seed, 10 + seed * 1_517);
            (put(&**blobs, seed as u64 % 4, &bytes).await, bytes)
        }
    });
    let all = join_all(puts).await;
    for (at, (blob, bytes)) in all.iter().enumerate() {
        assert_reads(&*blobs, blob, bytes).await;
        assert!(all[..at].iter().all(|(other, _)| other != blob));
    }
}

/// Removing is idempotent, also after a restart; a removed blob never reads again; its neighbours do.
pub async fn removing_is_idempotent_and_touches_nothing_else(fixture: &dyn BlobsFixture) {
    let blobs = fixture.open().await;
    let mut all = Vec::new();
    for seed in 0..12 {
        let bytes = bytes_of(seed, if seed % 2 == 0 { 3_000 } else { 400_000 });
        all.push((put(&*blobs, 5, &bytes).await, bytes));
    }
    let (gone, kept): (Vec<_>, Vec<_>) = all.iter().enumerate().partition(|(seed, _)| seed % 3 == 0);
    let gone: Vec<BlobRef> = gone.into_iter().map(|(_, (blob, _))| blob.clone()).collect();
    let blobs = {
        for _ in 0..2 {
            assert_eq!(blobs.remove(&gone).await.unwrap(), vec![Removal::Removed; gone.len()]);
        }
        drop(blobs);
        fixture.open().await
    };
    assert_eq!(blobs.remove(&gone).await.unwrap(), vec![Removal::Removed; gone.len()]);
    for blob in &gone {
        assert_gone(&*blobs, blob).await;
    }
    for (_, (blob, bytes)) in kept {
        assert_reads(&*blobs, blob, bytes).await;
    }
    assert!(blobs.remove(&[]).await.unwrap().is_empty());
}

/// What another backend or an attacker wrote as a reference is an error, and removes nothing.
pub async fn a_foreign_reference_reads_and_removes_nothing(fixture: &dyn BlobsFixture) {
    let blobs = fixture.open().await;
    let blob = put(&*blobs, 1, &bytes_of(1, 5_000)).await;
    for text in ["", "x", "../../etc/hostname", "f/../lock", "s/zzz/1+1", "zz/00000000000000000000000000000000"] {
        let foreign = BlobRef(text.to_owned());
        assert_gone(&*blobs, &foreign).await;
        assert_eq!(blobs.remove(&[foreign, blob.clone()]).await.unwrap().len(), 2);
        let again = put(&*blobs, 1, b"x").await;
        assert_reads(&*blobs, &again, b"x").await;
    }
}

/// A sweep removes nothing that a row refers to, and nothing of the process that sweeps; of earlier processes it removes what
/// no row refers to.
pub async fn a_sweep_removes_only_what_earlier_processes_left(fixture: &dyn BlobsFixture) {
    let rows = LiveTable::default();
    let blobs = fixture.open().await;
    let mut all = Vec::new();
    for seed in 0..20 {
        let bytes = bytes_of(seed, if seed % 2 == 0 { 2_000 } else { 300_000 });
        // Even and odd ones of the rows in lanes of their own, so that whole segments are left over as well.
        let blob = put(&*blobs, u64::from(seed % 4 == 0), &bytes).await;
        if seed % 4 != 0 && seed % 3 != 0 {
            rows.insert(&blob);
        }
        all.push((blob, bytes));
    }
    let mut unfinished = blobs.create(BlobHint { lane: 0, length: Some(1 << 20) }).await.unwrap();
    unfinished.write(Bytes::from(bytes_of(99, 400_000))).await.unwrap();
    blobs.sweep_orphans(&rows).await.unwrap();
    for (blob, bytes) in &all {
        assert_reads(&*blobs, blob, bytes).await;
    }
    drop((unfinished, blobs));

    let blobs = fixture.open().await;
    let young = put(&*blobs, 0, &bytes_of(100, 300_000)).await;
    blobs.sweep_orphans(&rows).await.unwrap();
    assert_reads(&*blobs, &young, &bytes_of(100, 300_000)).await;
    for (blob, bytes) in &all {
        if rows.contains(blob) {
            assert_reads(&*blobs, blob, bytes).await;
        }
    }
    assert_eq!(blobs.sweep_orphans(&rows).await.unwrap().orphans, 0, "the first sweep left something");
}

/// Compaction keeps every live blob readable, under its new reference and, for who read the row before, under the old one.
pub async fn compaction_keeps_every_live_blob(fixture: &dyn BlobsFixture) {
    let rows = LiveTable::default();
    let mut blobs = fixture.open().await;
    let mut live: Vec<(BlobRef, Vec<u8>)> = Vec::new();
    for round in 0..3 {
        let puts = (0..60).map(|seed| {
            let blobs = &blobs;
            async move {
                let bytes = bytes_of(round * 1000 + seed, 500 + seed * 100);
                (put(&**blobs, 3, &bytes).await, bytes)
            }
        });
        let new = join_all(puts).await;
        for (blob, _) in &new {
            rows.insert(blob);
        }
        let (dead, kept): (Vec<_>, Vec<_>) = new.into_iter().enumerate().partition(|(at, _)| at % 5 != 0);
        let dead: Vec<BlobRef> = dead.into_iter().map(|(_, (blob, _))| blob).collect();
        for blob in &dead {
            rows.delete(blob);
        }
        blobs.remove(&dead).await.unwrap();
        live.extend(kept.into_iter().map(|(_, pair)| pair));
        for _ in 0..3 {
            blobs.compact(&rows).await.unwrap();
            for (blob, bytes) in &live {
                assert_reads(&*blobs, blob, bytes).await;
            }
        }
        let now = rows.all();
        assert_eq!(now.len(), live.len());
        for blob in &dead {
            assert_gone(&*blobs, blob).await;
        }
        // From here on only today's references count.
        let mut found = Vec::new();
        for (_, bytes) in &live {
            let mut at = None;
            for blob in &now {
                if blobs.read(blob, 0..bytes.len() as u64).await.is_ok_and(|read| read == bytes) {
                    at = Some(blob.clone());
                }
            }
            found.push((at.expect("a live blob is lost"), bytes.clone()));
        }
        live = found;
        drop(blobs);
        blobs = fixture.open().await;
        // Who has an older reference finds a packed blob by what stands in front of it.
        let mut told = HashMap::new();
        blobs.look_through(40, &mut |blob: BlobRef, head| drop(told.insert(blob.0, head))).await.unwrap();
        for (blob, bytes) in &live {
            assert_reads(&*blobs, blob, bytes).await;
            assert!(told.get(&blob.0).is_some_and(|head| *head == bytes[..40]), "a packed blob is not told of");
        }
    }
}

/// A blob that is finished but whose row is not committed yet outlives every compaction and sweep; and a removal by the
/// reference from before a move removes the moved blob.
pub async fn compaction_spares_what_no_row_refers_to_yet_and_follows_removals(fixture: &dyn BlobsFixture) {
    let rows = LiveTable::default();
    let blobs = fixture.open().await;
    let young = put(&*blobs, 8, &bytes_of(1, 4_000)).await;
    let mut dead = Vec::new();
    for seed in 2..12 {
        dead.push(put(&*blobs, 8, &bytes_of(seed, 4_000)).await);
    }
    blobs.remove(&dead).await.unwrap();
    for _ in 0..3 {
        blobs.compact(&rows).await.unwrap();
        blobs.sweep_orphans(&rows).await.unwrap();
        assert_reads(&*blobs, &young, &bytes_of(1, 4_000)).await;
    }
    rows.insert(&young);
    blobs.compact(&rows).await.unwrap();
    let now = rows.all();
    assert_eq!(now.len(), 1);
    assert_reads(&*blobs, &now[0], &bytes_of(1, 4_000)).await;
    rows.delete(&now[0]);
    assert_eq!(blobs.remove(std::slice::from_ref(&young)).await.unwrap(), [Removal::Removed]);
    assert_gone(&*blobs, &now[0]).await;
    assert_gone(&*blobs, &young).await;
}
