//! The SQLite metadata.

use jiff::Timestamp;
use keyforest::{Group, Leaf};
use oubliette_core::model::{ContentKind, InteractionKind, SizeClass, State, TenantId};
use oubliette_core::ports::{
    Applied, BlobRef, Check, ContentRow, InteractionRow, Metadata, PurgeKind, PurgeRow, PurgeSet, PurgeState,
    Transaction, Write,
};
use oubliette_store::metadata::sqlite::{SqliteMetadata, SqliteOptions};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smoke() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.db");
    let store = SqliteMetadata::open(&path, SqliteOptions::default()).unwrap();
    let row = InteractionRow {
        group: Group(7),
        tenant: TenantId(1),
        kind: InteractionKind::Call,
        state: State::Declared,
        start_hour: 480_000,
        next_leaf: 1,
        extra_groups: vec![Group(9)],
        directory_block: 0,
        version: 0,
        sealed_meta: vec![1; 300],
    };
    let content = ContentRow {
        leaf: Group(9).leaf(3),
        interaction: Group(7),
        kind: ContentKind::CallRecording,
        size_class: SizeClass(12),
        sealed_meta: vec![2; 100],
        blob: BlobRef("segment-1/0".into()),
        commitment: [3; 32],
    };
    let done = store
        .apply(Transaction {
            name: "t",
            checks: vec![Check::NotErased(Leaf(56)), Check::ExtraGroupSerial(0)],
            writes: vec![Write::InsertInteraction(row), Write::InsertContent(content)],
        })
        .await
        .unwrap();
    assert_eq!(done, Applied::Done(1));
    let found = store.interaction(Group(7)).await.unwrap().unwrap();
    assert_eq!((found.next_leaf, found.extra_groups), (4, vec![Group(9)]));
    let purge = PurgeRow {
        id: Uuid::from_u128(5),
        tenant: Some(TenantId(1)),
        credential: None,
        kind: PurgeKind::Order,
        state: PurgeState::Planned,
        set: PurgeSet { interactions: [Leaf(7)].into_iter().collect(), ..PurgeSet::default() },
        interactions: 1,
        contents: 1,
        order_leaf: Some(Leaf(900)),
        sealed_order: vec![1],
        accepted_at: Timestamp::UNIX_EPOCH,
        sealed_at: None,
        sealed_epoch: None,
        removed_at: None,
    };
    let id = purge.id;
    let write = |writes| Transaction { name: "t", checks: vec![Check::NotErased(Leaf(57))], writes };
    assert_eq!(store.apply(write(vec![Write::InsertPurge(purge)])).await.unwrap(), Applied::Done(2));
    assert_eq!(store.apply(write(vec![])).await.unwrap(), Applied::Failed(0));
    assert_eq!(store.unsealed_purges().await.unwrap().len(), 1);
    assert_eq!(store.used_groups(0..10_000).await.unwrap().as_slice(), [7, 9, 112]);
    store.close().await;
    let store = SqliteMetadata::open(&path, SqliteOptions::default()).unwrap();
    assert_eq!(store.apply(write(vec![])).await.unwrap(), Applied::Failed(0));
    let seal =
        Transaction { writes: vec![Write::SealPurges(vec![id], 3, Timestamp::UNIX_EPOCH)], ..Transaction::default() };
    store.apply(seal).await.unwrap();
    let purge = store.purge(id).await.unwrap().unwrap();
    assert!(purge.sealed_order.is_empty() && purge.sealed_epoch == Some(3));
    assert_eq!(store.unswept_purges(10).await.unwrap().len(), 1);
}
