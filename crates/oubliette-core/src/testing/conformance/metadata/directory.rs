//! Directory blocks.

use super::*;

/// A block is re-sealed under a new leaf when it is still the one that was read, and only one of two racers wins.
pub async fn a_directory_block_is_replaced_only_while_it_is_the_one_read<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    write(store, vec![Write::PutDirectory(block(3, 800))]).await;
    let replace = async |old, new| {
        apply(store, vec![Check::DirectoryLeaf(3, Leaf(old))], vec![Write::PutDirectory(block(3, new))]).await.unwrap()
    };
    assert!(matches!(replace(800, 801).await, Applied::Done(_)));
    assert_eq!(replace(800, 802).await, Applied::Failed(0));
    let found = store.directory_blocks(&[3]).await.unwrap().pop().unwrap();
    let written = block(3, 801);
    assert_eq!((found.block, found.leaf, found.entries), (3, written.leaf, written.entries));
    assert_eq!(found.sealed, written.sealed);
    write(store, vec![Write::DeleteDirectory(3)]).await;
    assert_eq!(replace(801, 803).await, Applied::Failed(0));
    write(store, vec![Write::DeleteDirectory(3)]).await;
}

/// Ascending, from a number on, at most so many: the way the look-up map is rebuilt.
pub async fn directory_blocks_come_in_order_from_a_number_on<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    write(store, [9, 2, 5, 0].map(|number| Write::PutDirectory(block(number, 800 + number))).into()).await;
    let numbers = async |from, limit| -> Vec<u64> {
        store.directory(from, limit).await.unwrap().iter().map(|row| row.block).collect()
    };
    assert_eq!(numbers(0, 10).await, [0, 2, 5, 9]);
    assert_eq!(numbers(2, 2).await, [2, 5]);
    assert_eq!(numbers(6, 10).await, [9]);
    assert!(numbers(10, 10).await.is_empty());
    assert!(numbers(u64::MAX, 10).await.is_empty());
}

/// Absent ones left out.
pub async fn directory_blocks_are_found_by_number<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    write(store, [9, 2, 5].map(|number| Write::PutDirectory(block(number, 800 + number))).into()).await;
    let mut found: Vec<_> =
        store.directory_blocks(&[5, 4, 9]).await.unwrap().iter().map(|row| (row.block, row.leaf.0)).collect();
    found.sort_unstable();
    assert_eq!(found, [(5, 805), (9, 809)]);
}

/// The highest that is there and one; blocks are numbered on from it.
pub async fn the_next_directory_block_follows_the_highest<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    assert_eq!(store.next_directory_block().await.unwrap(), 0);
    write(store, [9, 2].map(|number| Write::PutDirectory(block(number, 800 + number))).into()).await;
    assert_eq!(store.next_directory_block().await.unwrap(), 10);
    write(store, vec![Write::DeleteDirectory(2)]).await;
    assert_eq!(store.next_directory_block().await.unwrap(), 10);
}
