//! What a transaction is.

use super::*;

/// When a check does not hold nothing of the transaction is there afterwards.
pub async fn a_failed_check_changes_nothing<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    let before = store.instance().await.unwrap();
    let writes = vec![
        Write::InsertInteraction(interaction(9)),
        Write::SetState(Group(3), State::Processed),
        Write::DeleteInteractions(vec![Group(2)]),
        Write::PutDirectory(block(0, 800)),
        Write::PutValue("name".into(), Some(vec![1])),
        Write::InsertPurge(erasure(1, &[3], &[])),
    ];
    assert_eq!(apply(store, vec![Check::Interaction(Group(99))], writes).await.unwrap(), Applied::Failed(0));
    assert_eq!(store.instance().await.unwrap(), before);
    assert!(store.interaction(Group(9)).await.unwrap().is_none());
    assert_eq!(store.interaction(Group(3)).await.unwrap().unwrap().version, 0);
    assert!(store.interaction(Group(2)).await.unwrap().is_some());
    assert!(store.directory(0, 10).await.unwrap().is_empty());
    assert!(store.value("name").await.unwrap().is_none());
    assert!(store.unsealed_purges().await.unwrap().is_empty());
    assert!(holds(store, Check::NotErased(Group(3).leaf(0))).await);
}

/// The position of the first check that does not hold is told; each kind of check can fail.
pub async fn the_first_check_that_does_not_hold_is_named<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    write(store, vec![Write::PutDirectory(block(0, 800)), Write::InsertPurge(erasure(1, &[3], &[]))]).await;
    let good = || {
        vec![
            Check::Interaction(Group(1)),
            Check::Version(Group(2), 0),
            Check::NotErased(Group(2).leaf(7)),
            Check::DirectoryLeaf(0, Leaf(800)),
            Check::ExtraGroupSerial(0),
            Check::Content(Group(1).leaf(1)),
        ]
    };
    let bad = [
        Check::Interaction(Group(4)),
        Check::Version(Group(2), 1),
        Check::NotErased(Group(3).leaf(7)),
        Check::DirectoryLeaf(0, Leaf(801)),
        Check::ExtraGroupSerial(1),
        Check::Content(Group(1).leaf(3)),
    ];
    assert!(matches!(apply(store, good(), Vec::new()).await.unwrap(), Applied::Done(_)));
    for (position, check) in bad.into_iter().enumerate() {
        let mut checks = good();
        checks[position] = check;
        checks.push(Check::Interaction(Group(99)));
        assert_eq!(apply(store, checks, Vec::new()).await.unwrap(), Applied::Failed(position));
    }
    assert!(!holds(store, Check::Version(Group(4), 0)).await, "no row has no version");
    assert!(!holds(store, Check::DirectoryLeaf(1, Leaf(800))).await, "no block has no leaf");
}

/// A write against the contract undoes the writes before it.
pub async fn a_refused_write_undoes_its_whole_transaction<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    let writes = vec![
        Write::InsertInteraction(interaction(9)),
        Write::InsertPurge(erasure(1, &[2], &[])),
        Write::InsertInteraction(interaction(1)),
    ];
    refused(store, writes).await;
    assert!(store.interaction(Group(9)).await.unwrap().is_none());
    assert!(holds(store, Check::NotErased(Group(2).leaf(0))).await);
}

/// Transactions that run beside one that fails are not harmed.
pub async fn neighbours_of_a_failed_transaction_happen<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = fixture.metadata();
    some_rows(&*store).await;
    let mut tasks = Vec::new();
    for number in 0..90_u64 {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            let group = 100 + number;
            let (checks, rows) = match number % 3 {
                0 => (vec![Check::Interaction(Group(1))], vec![group]),
                1 => (vec![Check::Interaction(Group(50))], vec![group]),
                _ => (Vec::new(), vec![group, 1]),
            };
            let writes = rows.into_iter().map(|group| Write::InsertInteraction(interaction(group))).collect();
            (group, apply(&*store, checks, writes).await)
        }));
    }
    for (number, task) in tasks.into_iter().enumerate() {
        let (group, outcome) = task.await.unwrap();
        match number % 3 {
            0 => assert!(matches!(outcome.unwrap(), Applied::Done(_))),
            1 => assert_eq!(outcome.unwrap(), Applied::Failed(0)),
            _ => assert_eq!(outcome.unwrap_err().kind, PortErrorKind::Refused),
        }
        assert_eq!(store.interaction(Group(group)).await.unwrap().is_some(), number % 3 == 0);
    }
}

/// A read that begins after `apply` returned sees what it did, whoever reads.
pub async fn what_apply_answered_done_is_read_by_everyone<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = fixture.metadata();
    let mut tasks = Vec::new();
    for group in 1..=64 {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            write(&*store, vec![Write::InsertInteraction(interaction(group))]).await;
            assert!(store.interaction(Group(group)).await.unwrap().is_some());
            write(&*store, vec![Write::SetState(Group(group), State::Processed)]).await;
            let readers = (0..4)
                .map(|_| Arc::clone(&store))
                .map(|store| async move { store.interactions(&[Group(group)]).await.unwrap()[0].state });
            for state in futures::future::join_all(readers).await {
                assert_eq!(state, State::Processed);
            }
            write(&*store, vec![Write::DeleteInteractions(vec![Group(group)])]).await;
            assert!(store.interaction(Group(group)).await.unwrap().is_none());
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// What was answered as done is there after closing and opening.
pub async fn what_apply_answered_done_survives_reopening<F: Fixture>() {
    let fixture = F::fresh().await;
    some_rows(&*fixture.metadata()).await;
    write(&*fixture.metadata(), vec![Write::PutDirectory(block(4, 900)), Write::SetEpoch(3)]).await;
    let instance = fixture.metadata().instance().await.unwrap();
    let fixture = fixture.reopen().await;
    let store = &*fixture.metadata();
    assert_eq!(store.instance().await.unwrap(), instance);
    assert_eq!(store.count_interactions().await.unwrap(), 3);
    assert_eq!(store.contents(&[Group(1)]).await.unwrap().len(), 2);
    assert_eq!(store.directory(0, 10).await.unwrap()[0].leaf, Leaf(900));
}

/// The counter told with each answer grows with each durable commit and with nothing else, also over reopening.
pub async fn the_commit_counter_never_goes_back<F: Fixture>() {
    let fixture = F::fresh().await;
    let mut last = fixture.metadata().instance().await.unwrap().commit_counter;
    for group in 1..=3 {
        let done = apply(&*fixture.metadata(), Vec::new(), vec![Write::InsertInteraction(interaction(group))]).await;
        let Applied::Done(counter) = done.unwrap() else { panic!("it has no checks") };
        assert!(counter > last);
        assert_eq!(fixture.metadata().instance().await.unwrap().commit_counter, counter);
        last = counter;
    }
    refused(&*fixture.metadata(), vec![Write::InsertInteraction(interaction(1))]).await;
    assert!(!holds(&*fixture.metadata(), Check::Interaction(Group(9))).await);
    assert_eq!(fixture.metadata().instance().await.unwrap().commit_counter, last);

    let fixture = fixture.reopen().await;
    let store = &*fixture.metadata();
    assert_eq!(store.instance().await.unwrap().commit_counter, last);
    let done = apply(store, Vec::new(), vec![Write::SetState(Group(1), State::Processed)]).await.unwrap();
    assert!(matches!(done, Applied::Done(counter) if counter > last));
}

/// Of many transactions that check the same version and change it, exactly one happens.
pub async fn of_racing_transactions_on_one_version_one_happens<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = fixture.metadata();
    some_rows(&*store).await;
    for version in 0..5 {
        let race = (0..32).map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let writes = vec![Write::SetState(Group(2), State::Processing)];
                apply(&*store, vec![Check::Version(Group(2), version)], writes).await.unwrap()
            })
        });
        let mut happened = 0;
        for outcome in futures::future::join_all(race).await {
            happened += usize::from(matches!(outcome.unwrap(), Applied::Done(_)));
        }
        assert_eq!(happened, 1);
        assert_eq!(store.interaction(Group(2)).await.unwrap().unwrap().version, version + 1);
    }
}

/// A transaction without writes tells whether its checks hold.
pub async fn checks_alone_are_answered_and_change_nothing<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    let before = store.instance().await.unwrap();
    assert!(holds(store, Check::Interaction(Group(1))).await);
    assert!(!holds(store, Check::Interaction(Group(4))).await);
    assert_eq!(store.instance().await.unwrap(), before);
}

/// Size does not split a transaction.
pub async fn a_transaction_of_thousands_of_writes_happens_at_once<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let mut writes = Vec::new();
    for group in 0..3_000 {
        writes.push(Write::InsertInteraction(interaction(group)));
        writes.push(Write::InsertContent(content(group, Group(group).leaf(1))));
    }
    let before = store.instance().await.unwrap().commit_counter;
    let done = apply(store, Vec::new(), writes).await.unwrap();
    assert_eq!(done, Applied::Done(before + 1));
    assert_eq!(store.count_interactions().await.unwrap(), 3_000);
    write(store, vec![Write::DeleteInteractions((0..3_000).map(Group).collect())]).await;
    assert_eq!(store.count_interactions().await.unwrap(), 0);
}
