//! Erasures: what they cover, how they go forward, how they are found.

use super::*;

/// Every field comes back, for each kind and each state a row may begin in.
pub async fn an_erasure_is_read_back_as_written<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let mut full = erasure(1, &[5, 9], &[800, 7_000]);
    full.set.groups = [Leaf(12)].into_iter().collect();
    full.order_leaf = Some(Leaf(7_000));
    full.sealed_order = vec![4; 5_000];
    let upkeep = PurgeRow { tenant: None, credential: None, kind: PurgeKind::Upkeep, ..erasure(2, &[], &[3]) };
    let planned = PurgeRow { kind: PurgeKind::Replaced, state: PurgeState::Planned, ..erasure(3, &[], &[4]) };
    let sealed = PurgeRow {
        state: PurgeState::Sealed,
        sealed_at: Some(at(400)),
        sealed_epoch: Some(12),
        removed_at: Some(at(500)),
        retained_until: Some(at(600)),
        ..erasure(4, &[6], &[])
    };
    for row in [full, upkeep, planned, sealed] {
        write(store, vec![Write::InsertPurge(row.clone())]).await;
        let found = store.purge(row.id).await.unwrap().unwrap();
        assert_eq!((found.id, found.tenant, found.credential), (row.id, row.tenant, row.credential));
        assert_eq!((found.kind, found.state), (row.kind, row.state));
        assert_eq!((&found.set, found.interactions, found.contents), (&row.set, row.interactions, row.contents));
        assert_eq!((found.order_leaf, &found.sealed_order), (row.order_leaf, &row.sealed_order));
        assert_eq!((found.accepted_at, found.sealed_at), (row.accepted_at, row.sealed_at));
        assert_eq!(
            (found.sealed_epoch, found.removed_at, found.retained_until),
            (row.sealed_epoch, row.removed_at, row.retained_until)
        );
        refused(store, vec![Write::InsertPurge(row)]).await;
    }
    assert!(store.purge(Uuid::from_u128(99)).await.unwrap().is_none());
}

/// Of an interaction and of an extra group every leaf counts, of single leaves only they; from the transaction that accepts
/// the erasure until its rows are removed.
pub async fn a_leaf_counts_as_erased_from_acceptance_until_removal<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let mut row = erasure(1, &[5], &[800]);
    row.set.groups = [Leaf(12)].into_iter().collect();
    let id = row.id;
    let covered: Vec<_> = Group(5).leaves().chain(Group(12).leaves()).chain([Leaf(800)]).collect();
    let free = [Leaf(39), Leaf(48), Leaf(95), Leaf(104), Leaf(799), Leaf(801), Leaf(5), Leaf(12)];
    let steps = [
        (Write::InsertPurge(row), true),
        (Write::PlanPurges(vec![id]), true),
        (Write::SealPurges(vec![id], 2, at(10)), true),
        (Write::RemovedPurge(id, at(20)), false),
    ];
    for (step, erased) in steps {
        write(store, vec![step]).await;
        for leaf in &covered {
            assert_eq!(holds(store, Check::NotErased(*leaf)).await, !erased);
        }
        for leaf in free {
            assert!(holds(store, Check::NotErased(leaf)).await);
        }
    }
}

/// Erasures may overlap.
pub async fn a_leaf_of_two_erasures_counts_until_both_are_removed<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let rows = [erasure(1, &[5], &[]), erasure(2, &[5], &[41])];
    let ids = rows.clone().map(|row| row.id);
    write(store, rows.into_iter().map(Write::InsertPurge).collect()).await;
    write(store, vec![Write::SealPurges(ids.into(), 2, at(10)), Write::RemovedPurge(ids[0], at(11))]).await;
    assert!(!holds(store, Check::NotErased(Leaf(41))).await);
    write(store, vec![Write::RemovedPurge(ids[1], at(12))]).await;
    assert!(holds(store, Check::NotErased(Leaf(41))).await);
}

/// A transaction that did not happen hides nothing and brings nothing back.
pub async fn an_erasure_that_failed_covers_nothing<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    let twice = || Write::InsertInteraction(interaction(1));
    refused(store, vec![Write::InsertPurge(erasure(1, &[5], &[])), twice()]).await;
    assert!(holds(store, Check::NotErased(Leaf(40))).await);
    let row = erasure(2, &[6], &[]);
    let seal = Write::SealPurges(vec![row.id], 2, at(10));
    let removed = row.id;
    write(store, vec![Write::InsertPurge(row), seal]).await;
    refused(store, vec![Write::RemovedPurge(removed, at(20)), twice()]).await;
    assert!(!holds(store, Check::NotErased(Leaf(48))).await);
}

/// What is covered is part of the stored state.
pub async fn erasures_cover_after_reopening<F: Fixture>() {
    let fixture = F::fresh().await;
    let removed = erasure(3, &[7], &[]);
    let writes = vec![Write::SealPurges(vec![removed.id], 2, at(10)), Write::RemovedPurge(removed.id, at(20))];
    let mut all = vec![Write::InsertPurge(erasure(1, &[5], &[])), Write::InsertPurge(erasure(2, &[], &[800]))];
    all.push(Write::InsertPurge(removed));
    all.extend(writes);
    write(&*fixture.metadata(), all).await;
    let fixture = fixture.reopen().await;
    let store = &*fixture.metadata();
    assert!(!holds(store, Check::NotErased(Leaf(47))).await);
    assert!(!holds(store, Check::NotErased(Leaf(800))).await);
    assert!(holds(store, Check::NotErased(Leaf(56))).await);
}

/// A hundred thousand interactions in one erasure.
pub async fn an_erasure_of_many_leaves_covers_each<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let groups: Vec<u64> = (0..100_000).map(|number| 1_000 + number * 3).collect();
    let row = erasure(1, &groups, &[16]);
    write(store, vec![Write::InsertPurge(row.clone())]).await;
    for (group, covered) in
        [(1_000, true), (1_001, false), (1_003, true), (300_997, true), (300_998, false), (999, false)]
    {
        assert_eq!(holds(store, Check::NotErased(Group(group).leaf(4))).await, !covered, "{group}");
    }
    assert!(!holds(store, Check::NotErased(Leaf(16))).await);
    assert_eq!(store.purge(row.id).await.unwrap().unwrap().set, row.set);
}

/// A repeated or late mark changes nothing.
pub async fn an_erasure_only_goes_forward<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let id = Uuid::from_u128(1);
    write(store, vec![Write::InsertPurge(erasure(1, &[5], &[]))]).await;
    let state = async || store.purge(id).await.unwrap().unwrap();
    write(store, vec![Write::PlanPurges(vec![id])]).await;
    assert_eq!(state().await.state, PurgeState::Planned);
    write(store, vec![Write::SealPurges(vec![id], 7, at(70))]).await;
    for late in [Write::PlanPurges(vec![id]), Write::SealPurges(vec![id, id], 8, at(80))] {
        write(store, vec![late]).await;
        let row = state().await;
        assert_eq!((row.state, row.sealed_epoch, row.sealed_at), (PurgeState::Sealed, Some(7), Some(at(70))));
    }
    write(store, vec![Write::RemovedPurge(id, at(90))]).await;
    write(store, vec![Write::RemovedPurge(id, at(95))]).await;
    assert_eq!(state().await.removed_at, Some(at(90)));
}

/// What was sealed of the order goes with the seal; what it covered and where it was sealed stays.
pub async fn sealing_drops_the_words_of_the_order<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let rows = [1, 2].map(|id| {
        let leaf = Leaf(7_000 + u64::try_from(id).unwrap());
        PurgeRow { order_leaf: Some(leaf), sealed_order: vec![4; 50], ..erasure(id, &[], &[leaf.0]) }
    });
    write(store, rows.iter().cloned().map(Write::InsertPurge).collect()).await;
    write(store, vec![Write::SealPurges(vec![rows[0].id], 7, at(70))]).await;
    let sealed = store.purge(rows[0].id).await.unwrap().unwrap();
    assert!(sealed.sealed_order.is_empty());
    assert_eq!((sealed.order_leaf, sealed.set), (rows[0].order_leaf, rows[0].set.clone()));
    assert_eq!(store.purge(rows[1].id).await.unwrap().unwrap().sealed_order, rows[1].sealed_order);
}

/// Erasures are never deleted, so a mark on one that is not there is a mistake.
pub async fn marks_on_unknown_erasures_are_refused<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    write(store, vec![Write::InsertPurge(erasure(1, &[5], &[]))]).await;
    let ids = vec![Uuid::from_u128(1), Uuid::from_u128(2)];
    refused(store, vec![Write::PlanPurges(ids.clone())]).await;
    refused(store, vec![Write::SealPurges(ids, 3, at(5))]).await;
    refused(store, vec![Write::RemovedPurge(Uuid::from_u128(2), at(5))]).await;
    assert_eq!(store.purge(Uuid::from_u128(1)).await.unwrap().unwrap().state, PurgeState::Accepted);
}

/// Rows are not given up before the keys are.
pub async fn only_sealed_erasures_are_marked_removed<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    write(store, vec![Write::InsertPurge(erasure(1, &[5], &[]))]).await;
    refused(store, vec![Write::RemovedPurge(Uuid::from_u128(1), at(5))]).await;
    assert!(!holds(store, Check::NotErased(Leaf(40))).await);
}

/// By time of acceptance, accepted and planned ones.
pub async fn unsealed_erasures_come_oldest_first<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    write(store, [3, 1, 4, 2].map(|id| Write::InsertPurge(erasure(id, &[id as u64], &[]))).into()).await;
    let id = |number| Uuid::from_u128(number);
    write(store, vec![Write::PlanPurges(vec![id(2)]), Write::SealPurges(vec![id(3)], 2, at(9))]).await;
    let found = store.unsealed_purges().await.unwrap();
    let found: Vec<_> = found.iter().map(|row| (row.id, row.state)).collect();
    let (accepted, planned) = (PurgeState::Accepted, PurgeState::Planned);
    assert_eq!(found, [(id(1), accepted), (id(2), planned), (id(4), accepted)]);
}

/// By time of acceptance, sealed and not removed.
pub async fn unswept_erasures_come_oldest_first_up_to_the_limit<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    write(store, [3, 1, 5, 4, 2].map(|id| Write::InsertPurge(erasure(id, &[id as u64], &[]))).into()).await;
    let ids: Vec<_> = (1..=4).map(Uuid::from_u128).collect();
    write(store, vec![Write::SealPurges(ids, 2, at(9)), Write::RemovedPurge(Uuid::from_u128(2), at(10))]).await;
    let found = async |limit| -> Vec<u128> {
        store.unswept_purges(None, limit).await.unwrap().iter().map(|row| row.id.as_u128()).collect()
    };
    assert_eq!(found(10).await, [1, 3, 4]);
    assert_eq!(found(2).await, [1, 3]);
}

/// An erasure whose blobs are retained is not due before that ends, stands behind those that never were, and may be retained
/// for longer.
pub async fn a_retained_erasure_is_due_when_its_retention_ends<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let rows = [1, 2, 3, 4].map(|id| erasure(id, &[id as u64], &[]));
    write(store, rows.iter().cloned().map(Write::InsertPurge).collect()).await;
    let id = Uuid::from_u128;
    refused(store, vec![Write::RetainPurge(id(1), at(50))]).await;
    refused(store, vec![Write::RetainPurge(id(9), at(50))]).await;
    write(store, vec![Write::SealPurges((1..=4).map(id).collect(), 2, at(9))]).await;
    write(store, rows.iter().map(|row| super::log::certify(row, 1, row.id.as_u128() as u64)).collect()).await;
    write(store, vec![Write::RetainPurge(id(1), at(50)), Write::RetainPurge(id(2), at(30))]).await;
    let due = async |due| -> Vec<u128> {
        store.unswept_purges(due, 10).await.unwrap().iter().map(|row| row.id.as_u128()).collect()
    };
    assert_eq!(due(Some(at(29))).await, [3, 4]);
    assert_eq!(due(Some(at(30))).await, [3, 4, 2]);
    assert_eq!(due(Some(at(50))).await, [3, 4, 2, 1]);
    assert_eq!(due(None).await, [3, 4, 2, 1]);
    write(store, vec![Write::RetainPurge(id(2), at(80))]).await;
    assert_eq!(due(Some(at(79))).await, [3, 4, 1]);
    write(store, vec![Write::RemovedPurge(id(2), at(81))]).await;
    assert_eq!(due(None).await, [3, 4, 1]);
    assert_eq!(store.purge(id(2)).await.unwrap().unwrap().retained_until, Some(at(80)));
}

/// Nothing is swept before the log tells of it; what the log never tells of is swept as it is.
pub async fn an_erasure_is_due_once_it_has_its_place_in_the_log<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let mut rows = [1, 2, 3, 4].map(|id| erasure(id, &[id as u64], &[]));
    rows[2].kind = PurgeKind::Upkeep;
    rows[3].kind = PurgeKind::Replaced;
    write(store, rows.iter().cloned().map(Write::InsertPurge).collect()).await;
    let due = async |due, limit| -> Vec<u128> {
        store.unswept_purges(due, limit).await.unwrap().iter().map(|row| row.id.as_u128()).collect()
    };
    assert!(due(Some(at(900)), 9).await.is_empty());
    write(store, vec![Write::SealPurges((1..=4).map(Uuid::from_u128).collect(), 2, at(9))]).await;
    assert_eq!(due(Some(at(900)), 9).await, [3]);
    write(store, vec![super::log::certify(&rows[3], 1, 0)]).await;
    // The first does not stand before others.
    assert_eq!(due(Some(at(900)), 1).await, [3]);
    assert_eq!(due(Some(at(900)), 9).await, [3, 4]);
    assert_eq!(due(None, 9).await, [1, 2, 3, 4]);
    write(store, vec![super::log::certify(&rows[1], 2, 0)]).await;
    assert_eq!(due(Some(at(900)), 9).await, [2, 3, 4]);
}

/// Page by page: before (accepted time, id), also among equal times; other tenants' are not in it.
pub async fn erasures_of_a_tenant_come_newest_first_in_pages<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let rows = (1..=9).map(|id| PurgeRow { accepted_at: at(i64::try_from(id / 3).unwrap()), ..erasure(id, &[], &[]) });
    let foreign = PurgeRow { tenant: Some(TenantId(2)), ..erasure(100, &[], &[]) };
    let upkeep = PurgeRow { tenant: None, kind: PurgeKind::Upkeep, ..erasure(101, &[], &[]) };
    write(store, rows.chain([foreign, upkeep]).map(Write::InsertPurge).collect()).await;
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = store.purges(TENANT, before, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        before = Some((last.accepted_at, last.id));
        found.extend(page.iter().map(|row| row.id.as_u128()));
    }
    assert_eq!(found, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(store.purges(TenantId(2), None, 5).await.unwrap().len(), 1);
}
