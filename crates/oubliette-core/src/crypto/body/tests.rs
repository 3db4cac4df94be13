use std::time::Duration;

use futures::TryStreamExt;
use keyforest::{Group, Leaf, LeafKey};

use super::*;
use crate::model::TenantId;
use crate::ports::BlobHint;
use crate::testing::blobs::JudgeBlobs;

const CONTEXT: BlobContext = BlobContext { tenant: TenantId(1), interaction: Group(9), leaf: Leaf(73), part: 0 };

fn cell() -> Arc<KeyCell> {
    KeyCell::new(LeafKey::new([5; 32]), Arc::new(crate::ports::Unbounded))
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + (i >> 8) * 7) as u8).collect()
}

/// A body in pieces of odd sizes.
fn body(bytes: &[u8]) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + Unpin + use<> {
    let pieces: Vec<_> = bytes.chunks(10_007).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces)
}

async fn store(judge: &JudgeBlobs, cell: &Arc<KeyCell>, bytes: &[u8]) -> (BlobRef, SealedBody) {
    let mut writer = judge.create(BlobHint { lane: 0, length: None }).await.unwrap();
    let sealed = seal_stream(cell, &CONTEXT, body(bytes), u64::MAX, &mut *writer).await.unwrap();
    (writer.finish().await.unwrap(), sealed)
}

fn read_of(judge: &JudgeBlobs, blob: &BlobRef, sealed: &SealedBody) -> BlobRead {
    BlobRead {
        blobs: Arc::new(judge.clone()),
        blob: blob.clone(),
        context: CONTEXT,
        commitment: sealed.commitment,
        length: sealed.length,
    }
}

async fn open(cell: &Arc<KeyCell>, read: BlobRead, range: Range<u64>) -> Result<Vec<u8>, OpenError> {
    let pieces: Vec<Bytes> = open_range(cell, read, range).await?.try_collect().await?;
    Ok(pieces.concat())
}

#[tokio::test]
async fn contents_of_every_awkward_length_come_back_byte_for_byte() {
    let (judge, cell) = (JudgeBlobs::new(), cell());
    let chunk = CHUNK;
    for length in [0, 1, 511, 512, 513, chunk - 1, chunk, chunk + 1, 8 * chunk, 15 * chunk, 16 * chunk + 1, 1_000_003] {
        let plain = pattern(length);
        let (blob, sealed) = store(&judge, &cell, &plain).await;
        assert_eq!(sealed.length, length as u64);
        let stored = judge.stored(&blob).unwrap();
        assert_eq!(Some(stored.len() as u64), stored_length(sealed.length));
        assert_eq!(sealed.stored, stored.len() as u64);
        let opened = open(&cell, read_of(&judge, &blob, &sealed), 0..sealed.length).await.unwrap();
        assert!(opened == plain, "{length} bytes came back changed");
    }
}

#[tokio::test]
async fn any_range_gives_exactly_its_bytes() {
    let (judge, cell) = (JudgeBlobs::new(), cell());
    let plain = pattern(700_000);
    let (blob, sealed) = store(&judge, &cell, &plain).await;
    let end = sealed.length;
    for range in
        [0..1, 0..end, end - 1..end, 16_383..16_385, 16_384..32_768, 100_000..400_001, 245_759..245_761, 5..5, end..end]
    {
        let opened = open(&cell, read_of(&judge, &blob, &sealed), range.clone()).await.unwrap();
        assert!(opened == plain[range.start as usize..range.end as usize], "range {range:?}");
    }
    for range in [0..end + 1, Range { start: 7, end: 3 }] {
        let refused = open(&cell, read_of(&judge, &blob, &sealed), range).await;
        assert!(matches!(refused, Err(OpenError::Range)));
    }
}

#[tokio::test]
async fn lengths_of_one_class_are_stored_with_one_length() {
    let (judge, cell) = (JudgeBlobs::new(), cell());
    let mut seen = Vec::new();
    for length in [20_000, 20_100, 20_480] {
        let (blob, sealed) = store(&judge, &cell, &pattern(length)).await;
        seen.push((judge.stored(&blob).unwrap().len(), sealed.size_class));
    }
    assert!(seen.iter().all(|entry| *entry == seen[0]), "{seen:?}");
}

#[tokio::test]
async fn a_cut_a_changed_and_a_foreign_blob_are_refused() {
    let (judge, cell) = (JudgeBlobs::new(), cell());
    let plain = pattern(100_000);
    let (blob, sealed) = store(&judge, &cell, &plain).await;
    let (other, other_sealed) = store(&judge, &cell, &plain).await;
    let whole = 0..sealed.length;

    let swapped = BlobRead { blob: other.clone(), ..read_of(&judge, &blob, &sealed) };
    assert!(matches!(open(&cell, swapped, whole.clone()).await, Err(OpenError::Corrupt)));
    let moved = BlobRead { context: BlobContext { leaf: Leaf(74), ..CONTEXT }, ..read_of(&judge, &blob, &sealed) };
    assert!(matches!(open(&cell, moved, whole.clone()).await, Err(OpenError::Corrupt)));
    let stranger = KeyCell::new(LeafKey::new([6; 32]), Arc::new(crate::ports::Unbounded));
    let read = read_of(&judge, &blob, &sealed);
    assert!(matches!(open(&stranger, read, whole.clone()).await, Err(OpenError::Corrupt)));

    for at in [0, 5, 20, 45, 80, 100_000] {
        judge.tamper(&other, |bytes| bytes[at] ^= 1);
        let opened = open(&cell, read_of(&judge, &other, &other_sealed), whole.clone()).await;
        assert!(matches!(opened, Err(OpenError::Corrupt)), "a flipped bit at {at} went unnoticed");
        judge.tamper(&other, |bytes| bytes[at] ^= 1);
    }
    judge.tamper(&other, |bytes| bytes.truncate(60_000));
    assert!(open(&cell, read_of(&judge, &other, &other_sealed), whole).await.is_err());
}

#[tokio::test]
async fn a_content_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let (judge, cell) = (JudgeBlobs::new(), cell());
    for (length, fits) in [(50_000, true), (50_001, false)] {
        let mut writer = judge.create(BlobHint { lane: 0, length: None }).await.unwrap();
        let result = seal_stream(&cell, &CONTEXT, body(&pattern(length)), 50_000, &mut *writer).await;
        assert_eq!(result.is_ok(), fits);
        assert!(fits || matches!(result, Err(SealError::TooLarge)));
    }
    assert!(judge.is_empty());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_told_apart_from_a_store_that_fails() {
    let (judge, cell) = (JudgeBlobs::new(), cell());
    let mut writer = judge.create(BlobHint { lane: 0, length: None }).await.unwrap();
    let broken = stream::iter([Ok(Bytes::from_static(b"abc")), Err(std::io::Error::other("reset"))]);
    let result = seal_stream(&cell, &CONTEXT, broken, u64::MAX, &mut *writer).await;
    assert!(matches!(result, Err(SealError::Interrupted(_))));
    judge.set_fault(Some(PortErrorKind::Unavailable));
    let result = seal_stream(&cell, &CONTEXT, body(b"abc"), u64::MAX, &mut *writer).await;
    assert!(matches!(result, Err(SealError::Store(_))));
}

#[tokio::test]
async fn revoking_ends_an_upload_whose_client_stalls() {
    let (judge, cell) = (JudgeBlobs::new(), cell());
    let upload = tokio::spawn({
        let (judge, cell) = (judge.clone(), Arc::clone(&cell));
        async move {
            let mut writer = judge.create(BlobHint { lane: 0, length: None }).await.unwrap();
            let stalled = body(&pattern(40_000)).chain(stream::pending());
            seal_stream(&cell, &CONTEXT, stalled, u64::MAX, &mut *writer).await
        }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!upload.is_finished());
    cell.revoke();
    let result = tokio::time::timeout(Duration::from_secs(5), upload).await.unwrap().unwrap();
    assert!(matches!(result, Err(SealError::Revoked(_))));
}

#[tokio::test]
async fn revoking_ends_a_download_under_way_at_once() {
    let (judge, cell) = (JudgeBlobs::new(), cell());
    let (blob, sealed) = store(&judge, &cell, &pattern(1_000_000)).await;
    let mut stream = open_range(&cell, read_of(&judge, &blob, &sealed), 0..sealed.length).await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert_eq!(first.len(), 4 * CHUNK);
    cell.revoke();
    assert!(matches!(stream.next().await, Some(Err(OpenError::Revoked(_)))));
    assert!(stream.next().await.is_none());
    let late = open_range(&cell, read_of(&judge, &blob, &sealed), 0..1).await;
    assert!(matches!(late, Err(OpenError::Revoked(_))));
}
