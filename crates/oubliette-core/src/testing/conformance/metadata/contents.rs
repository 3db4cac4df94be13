//! Content rows and the blobs they refer to.

use super::*;

/// Every field comes back.
pub async fn a_content_is_read_back_as_written<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    for (kind, number, _) in ContentKind::ALL {
        let group = 100 + u64::from(number);
        let row = ContentRow {
            kind,
            size_class: SizeClass(number * 4),
            sealed_meta: (0..=u8::MAX).collect(),
            blob: BlobRef(format!("objects/ab/{number}.blob")),
            commitment: [number; 32],
            ..content(group, Group(group).leaf(3))
        };
        write(store, vec![Write::InsertInteraction(interaction(group)), Write::InsertContent(row.clone())]).await;
        let found = store.contents(&[Group(group)]).await.unwrap().pop().unwrap();
        assert_eq!((found.leaf, found.interaction, found.kind), (row.leaf, row.interaction, row.kind));
        assert_eq!((found.size_class, found.sealed_meta), (row.size_class, row.sealed_meta));
        assert_eq!((found.blob, found.commitment), (row.blob, row.commitment));
    }
    refused(store, vec![Write::InsertContent(content(1, Group(1).leaf(1)))]).await;
}

/// The next leaf is at least one past the content's, never less than before, and only counts in the newest group. Every
/// content counts as a change of its interaction.
pub async fn a_content_marks_leaves_of_the_newest_group_used<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    write(store, vec![Write::InsertInteraction(interaction(1))]).await;
    let next = async || store.interaction(Group(1)).await.unwrap().unwrap();
    for (version, (index, expected)) in (1..).zip([(3, 4), (1, 4), (7, 8)]) {
        write(store, vec![Write::InsertContent(content(1, Group(1).leaf(index)))]).await;
        assert_eq!((next().await.next_leaf, next().await.version), (expected, version));
    }
    let extended = InteractionRow { extra_groups: vec![Group(50)], next_leaf: 1, ..interaction(1) };
    write(store, vec![Write::UpdateInteraction(extended)]).await;
    write(store, vec![Write::InsertContent(content(1, Group(1).leaf(5)))]).await;
    assert_eq!(next().await.next_leaf, 1, "an older group says nothing of the newest");
    assert_eq!(next().await.version, 5, "it is a change all the same");
    write(store, vec![Write::InsertContent(content(1, Group(50).leaf(2)))]).await;
    assert_eq!(next().await.next_leaf, 3);
}

/// A content lies under a leaf of its own interaction, and never under the one of the interaction's metadata.
pub async fn a_content_needs_its_interaction_and_one_of_its_leaves<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    refused(store, vec![Write::InsertContent(content(9, Group(9).leaf(1)))]).await;
    refused(store, vec![Write::InsertContent(content(1, Group(2).leaf(3)))]).await;
    refused(store, vec![Write::InsertContent(content(1, Group(1).leaf(0)))]).await;
    assert_eq!(store.contents(&[1, 2, 9].map(Group)).await.unwrap().len(), 2);
}

/// By interaction, then by leaf, whatever the order asked or written.
pub async fn contents_come_by_interaction_and_leaf<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    let more = [(3, 2), (3, 1), (2, 5)];
    write(store, more.map(|(group, index)| Write::InsertContent(content(group, Group(group).leaf(index)))).into())
        .await;
    let found = store.contents(&[3, 1, 9, 2].map(Group)).await.unwrap();
    let found: Vec<_> = found.iter().map(|row| (row.interaction.0, row.leaf.0 % 8)).collect();
    assert_eq!(found, [(1, 1), (1, 2), (2, 5), (3, 1), (3, 2)]);
}

/// By leaf, absent ones left out.
pub async fn contents_are_found_by_leaf<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    let asked = [Group(1).leaf(2), Group(1).leaf(3), Group(1).leaf(1)];
    let mut found: Vec<_> = store.contents_by_leaf(&asked).await.unwrap().iter().map(|row| row.leaf).collect();
    found.sort_unstable();
    assert_eq!(found, [Group(1).leaf(1), Group(1).leaf(2)]);
    assert!(holds(store, Check::Content(Group(1).leaf(1))).await);
    assert!(!holds(store, Check::Content(Group(1).leaf(3))).await);
}

/// Any number of interactions.
pub async fn contents_of_many_interactions_are_counted<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    let count =
        async |groups: &mut dyn Iterator<Item = u64>| store.count_contents(&groups.map(Leaf).collect()).await.unwrap();
    assert_eq!(count(&mut (2..5_000)).await, 0);
    assert_eq!(count(&mut (1..5_000)).await, 2);
    assert_eq!(count(&mut std::iter::empty()).await, 0);
}

/// Only those named go; those that are not there do no harm.
pub async fn a_deleted_content_leaves_its_neighbours<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    for _ in 0..2 {
        write(store, vec![Write::DeleteContents(vec![Group(1).leaf(1), Group(7).leaf(1)])]).await;
        let found = store.contents(&[Group(1)]).await.unwrap();
        assert_eq!(found.iter().map(|row| row.leaf).collect::<Vec<_>>(), [Group(1).leaf(2)]);
        assert!(store.interaction(Group(1)).await.unwrap().is_some());
    }
}

/// One answer each, in order.
pub async fn a_blob_is_live_while_a_content_refers_to_it<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    let (mine, foreign) = (content(1, Group(1).leaf(1)).blob, BlobRef("segments/7".into()));
    let asked = [foreign.clone(), mine.clone(), foreign, mine];
    assert_eq!(store.live_blobs(&asked).await.unwrap(), [false, true, false, true]);
    write(store, vec![Write::DeleteContents(vec![Group(1).leaf(1)])]).await;
    assert_eq!(store.live_blobs(&asked).await.unwrap(), [false; 4]);
    assert!(store.live_blobs(&[]).await.unwrap().is_empty());
}

/// Removing one content's bytes must never take another's.
pub async fn a_blob_belongs_to_one_content<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    let taken = content(1, Group(1).leaf(1)).blob;
    refused(store, vec![Write::InsertContent(ContentRow { blob: taken.clone(), ..content(2, Group(2).leaf(1)) })])
        .await;
    let other = content(1, Group(1).leaf(2)).blob;
    assert_eq!(store.switch_blob(&other, &taken).await.unwrap_err().kind, PortErrorKind::Refused);
}

/// The row follows; a place nobody refers to any more answers so and changes nothing.
pub async fn a_blob_is_switched_where_it_is_referred_to<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    let (from, to) = (content(1, Group(1).leaf(1)).blob, BlobRef("segments/8/0".into()));
    assert!(store.switch_blob(&from, &to).await.unwrap());
    let row = store.contents_by_leaf(&[Group(1).leaf(1)]).await.unwrap().pop().unwrap();
    assert_eq!(row.blob, to);
    let before = store.instance().await.unwrap();
    assert!(!store.switch_blob(&from, &BlobRef("segments/9/0".into())).await.unwrap());
    assert_eq!(store.instance().await.unwrap(), before);
    let fixture = fixture.reopen().await;
    assert_eq!(fixture.metadata().live_blobs(&[from, to]).await.unwrap(), [false, true]);
}

/// The beginning is taken letter by letter: no sign in it has a meaning of its own.
pub async fn blobs_are_found_by_the_beginning_of_their_place<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    write(store, vec![Write::InsertInteraction(interaction(1))]).await;
    let places = ["a_/1", "a_/2", "ab/3", "a%/4", "A_/5", "a_"];
    for (index, place) in places.into_iter().enumerate() {
        let row = ContentRow { blob: BlobRef(place.into()), ..content(1, Group(1).leaf(index as u64 + 1)) };
        write(store, vec![Write::InsertContent(row)]).await;
    }
    let found = async |prefix: &str| -> Vec<String> {
        let mut found: Vec<_> = store.blobs_with_prefix(prefix).await.unwrap().into_iter().map(|blob| blob.0).collect();
        found.sort_unstable();
        found
    };
    assert_eq!(found("a_/").await, ["a_/1", "a_/2"]);
    assert_eq!(found("a%").await, ["a%/4"]);
    assert_eq!(found("a").await, ["a%/4", "a_", "a_/1", "a_/2", "ab/3"]);
    assert!(found("b").await.is_empty());
    assert_eq!(found("").await.len(), places.len());
}
