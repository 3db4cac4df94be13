//! Interaction rows.

use super::*;

/// Every field comes back.
pub async fn an_interaction_is_read_back_as_written<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let mut rows = Vec::new();
    for (position, (kind, ..)) in InteractionKind::ALL.into_iter().enumerate() {
        for (state, number, _) in State::ALL {
            let group = (position * 100) as u64 + u64::from(number);
            let start_hour = -5 + i64::from(number);
            let sealed_meta = vec![0; usize::from(number) * 1_000];
            rows.push(InteractionRow {
                kind,
                state,
                start_hour,
                next_leaf: 8,
                version: 3,
                sealed_meta,
                ..interaction(group)
            });
        }
    }
    // The largest number a store has to hold.
    rows.push(interaction(u64::MAX >> 4));
    write(store, rows.iter().cloned().map(Write::InsertInteraction).collect()).await;
    for row in &rows {
        same_interaction(&store.interaction(row.group).await.unwrap().unwrap(), row);
    }
    assert!(store.interaction(Group(99_999)).await.unwrap().is_none());
    assert_eq!(store.count_interactions().await.unwrap(), rows.len() as u64);
}

/// A group has one interaction, as its primary or as an extra group.
pub async fn a_second_interaction_of_a_group_is_refused<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    refused(store, vec![Write::InsertInteraction(InteractionRow { tenant: TenantId(2), ..interaction(1) })]).await;
    assert_eq!(store.interaction(Group(1)).await.unwrap().unwrap().tenant, TENANT);
    write(store, vec![Write::UpdateInteraction(InteractionRow { extra_groups: vec![Group(7)], ..interaction(1) })])
        .await;
    refused(store, vec![Write::UpdateInteraction(InteractionRow { extra_groups: vec![Group(7)], ..interaction(2) })])
        .await;
}

/// State, start hour, next leaf, extra groups and sealed metadata are replaced; the rest stays; the version grows by one
/// whatever the row says.
pub async fn an_update_replaces_what_may_change_and_counts<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    write(store, vec![Write::InsertInteraction(interaction(4))]).await;
    let written = InteractionRow {
        tenant: TenantId(2),
        kind: InteractionKind::Case,
        state: State::Pending,
        start_hour: 7,
        next_leaf: 5,
        extra_groups: vec![Group(70)],
        directory_block: 99,
        version: 40,
        sealed_meta: vec![1, 2],
        ..interaction(4)
    };
    write(store, vec![Write::UpdateInteraction(written.clone())]).await;
    let old = interaction(4);
    let expected = InteractionRow {
        tenant: old.tenant,
        kind: old.kind,
        directory_block: old.directory_block,
        version: 1,
        ..written
    };
    same_interaction(&store.interaction(Group(4)).await.unwrap().unwrap(), &expected);
    same_interaction(&store.interaction(Group(2)).await.unwrap().unwrap(), &interaction(2));
    let moved = store.interactions_in_hour(TENANT, 7, None, 9).await.unwrap();
    assert!(moved[0].group == Group(4), "it moved to its new hour");
}

/// Writes that name an interaction need its row.
pub async fn an_update_of_what_is_not_there_is_refused<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    refused(store, vec![Write::UpdateInteraction(interaction(5))]).await;
    refused(store, vec![Write::SetState(Group(5), State::Processed)]).await;
    assert_eq!(store.count_interactions().await.unwrap(), 0);
}

/// The clear state alone.
pub async fn setting_the_state_changes_only_it_and_the_version<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let row = InteractionRow { extra_groups: vec![Group(70), Group(60)], ..interaction(1) };
    write(store, vec![Write::InsertInteraction(row.clone())]).await;
    write(store, vec![Write::SetState(Group(1), State::Excluded)]).await;
    let expected = InteractionRow { state: State::Excluded, version: 1, ..row };
    same_interaction(&store.interaction(Group(1)).await.unwrap().unwrap(), &expected);
}

/// Extra groups come back in order of use from every read; the serial grows when one is added and only then.
pub async fn extra_groups_keep_their_order_and_count<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    let row =
        |groups: &[u64]| InteractionRow { extra_groups: groups.iter().copied().map(Group).collect(), ..interaction(1) };
    for (groups, grows) in [(&[90][..], true), (&[90, 80], true), (&[90, 80], false), (&[80], false), (&[], false)] {
        let before = store.instance().await.unwrap().extra_group_serial;
        write(store, vec![Write::UpdateInteraction(row(groups))]).await;
        let after = store.instance().await.unwrap().extra_group_serial;
        assert_eq!(after > before, grows, "{groups:?}");
        assert!(holds(store, Check::ExtraGroupSerial(after)).await);
        let expected = row(groups).extra_groups;
        assert_eq!(store.interaction(Group(1)).await.unwrap().unwrap().extra_groups, expected);
        let all = store.interactions(&[Group(2), Group(1)]).await.unwrap();
        assert_eq!((all[0].extra_groups.len(), &all[1].extra_groups), (0, &expected));
        let hour = store.interactions_in_hour(TENANT, interaction(1).start_hour, None, 9).await.unwrap();
        assert_eq!(hour[0].extra_groups, expected);
    }
    let before = store.instance().await.unwrap().extra_group_serial;
    let born_with_one = InteractionRow { extra_groups: vec![Group(95)], ..interaction(5) };
    write(store, vec![Write::InsertInteraction(born_with_one)]).await;
    assert!(store.instance().await.unwrap().extra_group_serial > before);
}

/// The order asked, absent ones left out, one asked twice once.
pub async fn interactions_come_in_the_order_asked<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    let asked = [3, 9, 1, 3, 2].map(Group);
    let found: Vec<_> = store.interactions(&asked).await.unwrap().iter().map(|row| row.group.0).collect();
    assert_eq!(found, [3, 1, 2]);
    assert!(store.interactions(&[]).await.unwrap().is_empty());
}

/// A thousand is answered, more is refused, so that nobody holds the whole vault in memory by mistake.
pub async fn no_more_than_a_thousand_are_asked_at_once<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    write(store, (0..1_000).map(|group| Write::InsertInteraction(interaction(group))).collect()).await;
    let mut groups: Vec<_> = (0..1_000).map(Group).collect();
    assert_eq!(store.interactions(&groups).await.unwrap().len(), 1_000);
    assert!(store.contents(&groups).await.unwrap().is_empty());
    groups.push(Group(1_000));
    let blocks: Vec<_> = (0..1_001).collect();
    assert_eq!(store.interactions(&groups).await.err().unwrap().kind, PortErrorKind::Refused);
    assert_eq!(store.contents(&groups).await.err().unwrap().kind, PortErrorKind::Refused);
    assert_eq!(store.directory_blocks(&blocks).await.err().unwrap().kind, PortErrorKind::Refused);
}

/// One hour of one tenant, by group; other hours and tenants are not in it.
pub async fn an_hour_holds_the_tenants_interactions_by_group<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let row = |group, tenant, start_hour| {
        Write::InsertInteraction(InteractionRow { tenant: TenantId(tenant), start_hour, ..interaction(group) })
    };
    write(store, vec![row(5, 1, 10), row(3, 1, 10), row(4, 1, 11), row(6, 2, 10), row(7, 1, -3)]).await;
    let groups = async |tenant, hour| -> Vec<u64> {
        let rows = store.interactions_in_hour(TenantId(tenant), hour, None, 9).await.unwrap();
        rows.iter().map(|row| row.group.0).collect()
    };
    assert_eq!(groups(1, 10).await, [3, 5]);
    assert_eq!(groups(2, 10).await, [6]);
    assert_eq!(groups(1, -3).await, [7]);
    assert!(groups(2, 11).await.is_empty());
}

/// From behind one on, as many as wanted: pages that follow each other have each once, whatever came and went meanwhile.
pub async fn an_hour_is_read_in_pages<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let row = |group: u64| InteractionRow { start_hour: 10, ..interaction(group) };
    // Groups far from each other too: a store may keep such rows apart.
    let numbers: Vec<u64> = (0..20).chain((1..6).map(|far| far << 24)).collect();
    write(store, numbers.iter().map(|group| Write::InsertInteraction(row(*group))).collect()).await;
    let page = async |after: Option<u64>, limit| -> Vec<u64> {
        let rows = store.interactions_in_hour(TENANT, 10, after.map(Group), limit).await.unwrap();
        rows.iter().map(|row| row.group.0).collect()
    };
    let (mut walked, mut after) = (Vec::new(), None);
    loop {
        let found = page(after, 3).await;
        assert!(found.len() <= 3);
        walked.extend(found.iter().copied());
        match found.last() {
            Some(last) => after = Some(*last),
            None => break,
        }
    }
    assert_eq!(walked, numbers);
    write(store, vec![Write::DeleteInteractions(vec![Group(4), Group(6)])]).await;
    assert_eq!(page(Some(4), 2).await, [5, 7], "what the last page ended with may be gone");
    assert_eq!(page(None, 0).await, [0_u64; 0]);
    assert_eq!(page(Some(u64::MAX), 3).await, [0_u64; 0]);
}

/// At or after the one bound and at or before the other.
pub async fn the_next_hour_is_the_first_within_its_bounds<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let row = |group, tenant, start_hour| {
        Write::InsertInteraction(InteractionRow { tenant: TenantId(tenant), start_hour, ..interaction(group) })
    };
    write(store, vec![row(1, 1, 20), row(2, 1, 10), row(3, 1, -4), row(4, 2, 15)]).await;
    let next = async |from, to| store.next_hour(TENANT, from, to).await.unwrap();
    assert_eq!(next(i64::MIN, i64::MAX).await, Some(-4));
    assert_eq!(next(-3, 100).await, Some(10));
    assert_eq!(next(10, 10).await, Some(10));
    assert_eq!(next(11, 100).await, Some(20));
    assert_eq!(next(11, 19).await, None);
    assert_eq!(next(21, 100).await, None);
    assert_eq!(next(20, 10).await, None);
}

/// Its contents and extra groups go with it; the others' stay; deleting again is fine.
pub async fn a_deleted_interaction_takes_all_its_rows<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    let writes = vec![
        Write::UpdateInteraction(InteractionRow { extra_groups: vec![Group(70)], ..interaction(1) }),
        Write::InsertContent(content(1, Group(70).leaf(0))),
        Write::InsertContent(content(2, Group(2).leaf(1))),
    ];
    write(store, writes).await;
    for _ in 0..2 {
        write(store, vec![Write::DeleteInteractions(vec![Group(1), Group(88)])]).await;
        assert!(store.interaction(Group(1)).await.unwrap().is_none());
        assert!(store.contents(&[Group(1)]).await.unwrap().is_empty());
        assert!(store.contents_by_leaf(&[Group(1).leaf(1), Group(70).leaf(0)]).await.unwrap().is_empty());
        assert_eq!(store.used_groups(0..1_000).await.unwrap().as_slice(), [2, 3]);
        assert_eq!(store.contents(&[Group(2)]).await.unwrap().len(), 1);
    }
}
