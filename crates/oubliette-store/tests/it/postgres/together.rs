//! Two nodes on one database: every rule holds between them as it does within one.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keyforest::Group;
use oubliette_core::model::State;
use oubliette_core::ports::{Applied, Check, Metadata, PortError, PortErrorKind, Write};
use oubliette_store::metadata::postgres::{PostgresMetadata, PostgresOptions};

use super::support::{Database, apply, content, erasure, insert, interaction, open, until, waits_for_a_lock, write};

async fn two(database: &Database) -> [Arc<PostgresMetadata>; 2] {
    [open(database).await, open(database).await]
}

fn happened(outcome: &Result<Applied, PortError>) -> bool {
    match outcome {
        Ok(applied) => matches!(applied, Applied::Done(_)),
        // Too many collisions: certainly not done.
        Err(error) => {
            assert_eq!(error.kind, PortErrorKind::Unavailable, "{error} {:?}", error.source);
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_racing_transactions_of_two_nodes_on_one_version_one_happens() {
    let database = Database::fresh().await;
    let stores = two(&database).await;
    insert(&stores[0], 1).await.unwrap();
    let mut version = 0;
    for _ in 0..10 {
        let race = (0..16).map(|racer| {
            let store = Arc::clone(&stores[racer % 2]);
            tokio::spawn(async move {
                let writes = vec![Write::SetState(Group(1), State::Processing)];
                apply(&store, vec![Check::Version(Group(1), version)], writes).await
            })
        });
        let race: Vec<_> = race.collect();
        let mut winners = 0;
        for outcome in race {
            winners += u64::from(happened(&outcome.await.unwrap()));
        }
        let now = stores[1].interaction(Group(1)).await.unwrap().unwrap().version;
        assert_eq!(now, version + winners);
        assert_eq!(winners, 1);
        version = now;
    }
    for store in stores {
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_content_and_an_erasure_of_its_interaction_never_both_happen() {
    const COUNT: u64 = 150;
    let database = Database::fresh().await;
    let stores = two(&database).await;
    write(&stores[0], (0..COUNT).map(|group| Write::InsertInteraction(interaction(group))).collect()).await.unwrap();
    let mut races = Vec::new();
    for group in 0..COUNT {
        let [one, other] = stores.clone();
        races.push(tokio::spawn(async move {
            let uploading = tokio::spawn(async move {
                let checks = vec![Check::NotErased(Group(group).leaf(1))];
                apply(&one, checks, vec![Write::InsertContent(content(group, 1))]).await
            });
            let erasing = tokio::spawn(async move {
                let checks = vec![Check::Version(Group(group), 0), Check::NotErased(Group(group).leaf(0))];
                apply(&other, checks, vec![Write::InsertPurge(erasure(group + 1, [group]))]).await
            });
            (happened(&uploading.await.unwrap()), happened(&erasing.await.unwrap()))
        }));
    }
    let (mut uploaded, mut erased) = (0, 0);
    for (group, race) in races.into_iter().enumerate() {
        let (upload, erase) = race.await.unwrap();
        assert!(!(upload && erase), "both happened to {group}");
        uploaded += usize::from(upload);
        erased += usize::from(erase);
        let contents = stores[1].contents(&[Group(group as u64)]).await.unwrap();
        assert_eq!(contents.len(), usize::from(upload));
    }
    assert_eq!(stores[0].unsealed_purges().await.unwrap().len(), erased);
    assert!(uploaded + erased > COUNT as usize / 2, "{uploaded} {erased}: collisions are the exception");
    for store in stores {
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_counts_its_commits_in_rows_of_its_own() {
    let database = Database::fresh().await;
    let stores = two(&database).await;
    let mut tasks = Vec::new();
    for lane in 0..16_u64 {
        let store = Arc::clone(&stores[lane as usize % 2]);
        tasks.push(tokio::spawn(async move {
            let mut last = 0;
            for step in 0..20 {
                let Applied::Done(counter) = insert(&store, lane * 1_000 + step).await.unwrap() else { unreachable!() };
                assert!(counter > last, "a later commit tells more");
                last = counter;
            }
            last
        }));
    }
    let mut highest = 0;
    for task in tasks {
        highest = highest.max(task.await.unwrap());
    }
    let plain = database.plain().await;
    let rows = plain.query("SELECT count, holder FROM oubliette.commits WHERE count > 0", &[]).await.unwrap();
    let sum: i64 = rows.iter().map(|row| row.get::<_, i64>(0)).sum();
    let holders: HashSet<uuid::Uuid> = rows.iter().map(|row| row.get(1)).collect();
    assert_eq!(holders.len(), rows.len(), "no slot is shared");
    assert_eq!(rows.len(), 2, "each node wrote");
    for store in &stores {
        assert_eq!(store.instance().await.unwrap().commit_counter, sum as u64);
    }
    assert_eq!(highest, sum as u64);
    assert_eq!(stores[0].count_interactions().await.unwrap(), 320);
    for store in stores {
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_inserted_the_other_is_refused() {
    let database = Database::fresh().await;
    let stores = two(&database).await;
    for round in 0..20 {
        let (one, other) = tokio::join!(insert(&stores[0], round), insert(&stores[1], round));
        let outcomes = [one, other];
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        let error = outcomes.into_iter().find_map(Result::err).unwrap();
        assert_eq!(error.kind, PortErrorKind::Refused, "{error} {:?}", error.source);
    }
    for store in stores {
        store.close().await;
    }
}

/// Neighbours in one index page, at once, by many writers: the server sees collisions everywhere, and all get on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_side_by_side_all_get_on() {
    let database = Database::fresh().await;
    let opening = async || {
        let options = PostgresOptions { server: database.options(), writers: 5, ..PostgresOptions::default() };
        Arc::new(PostgresMetadata::open(options).await.unwrap())
    };
    let stores = [opening().await, opening().await];
    let rows = (0..2_560).map(|group| Write::InsertInteraction(interaction(group)));
    write(&stores[0], rows.collect()).await.unwrap();
    let lanes: Vec<_> = (0..40_u64)
        .map(|lane| {
            let store = Arc::clone(&stores[lane as usize % 2]);
            tokio::spawn(async move {
                for group in lane * 64..lane * 64 + 12 {
                    let checks = vec![Check::Interaction(Group(group)), Check::NotErased(Group(group).leaf(0))];
                    let writes = vec![Write::InsertPurge(erasure(group, [group]))];
                    assert!(matches!(apply(&store, checks, writes).await.unwrap(), Applied::Done(_)));
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.unwrap();
    }
    assert_eq!(stores[0].unsealed_purges().await.unwrap().len(), 40 * 12);
    for store in stores {
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_later_claim_shut_are_told_as_such_and_not_as_a_failed_flush() {
    let database = Database::fresh().await;
    let told = Arc::new(AtomicBool::new(false));
    let claimed = async |number, superseded: &Arc<AtomicBool>| {
        let options = PostgresOptions {
            server: database.options(),
            fence: Some(number),
            superseded: Arc::clone(superseded),
            ..PostgresOptions::default()
        };
        PostgresMetadata::open(options).await
    };
    let first = claimed(1, &told).await.unwrap();
    insert(&first, 1).await.unwrap();
    let second = claimed(2, &Arc::default()).await.unwrap();
    insert(&first, 2).await.unwrap_err();
    until("word of the later claim", async || told.load(Ordering::Acquire).then_some(())).await;
    insert(&second, 2).await.unwrap();
    first.close().await;
    second.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_is_taken_after_a_later_claim_took_them_all_counts_nothing() {
    let database = Database::fresh().await;
    let told = Arc::new(AtomicBool::new(false));
    let options = PostgresOptions {
        server: database.options(),
        writers: 1,
        fence: Some(1),
        superseded: Arc::clone(&told),
        ..PostgresOptions::default()
    };
    let first = Arc::new(PostgresMetadata::open(options).await.unwrap());
    let (holds, raises) = (database.plain().await, database.plain().await);
    holds.batch_execute("INSERT INTO oubliette.commits VALUES (0, 0, gen_random_uuid(), 0)").await.unwrap();
    holds.batch_execute("BEGIN; SELECT FROM oubliette.commits FOR UPDATE").await.unwrap();
    let writing = tokio::spawn({
        let first = Arc::clone(&first);
        async move { insert(&first, 1).await }
    });
    // Its session saw its own claim; it stops just before it has the slot.
    waits_for_a_lock(&database).await;
    let raise = "UPDATE oubliette.named_values SET value = '\\x0000000000000002' WHERE name = 'fence'";
    assert_eq!(raises.execute(raise, &[]).await.unwrap(), 1);
    holds.batch_execute("COMMIT").await.unwrap();
    writing.await.unwrap().unwrap_err();
    assert!(told.load(Ordering::Acquire));
    let rows = raises.query("SELECT FROM oubliette.interactions", &[]).await.unwrap();
    assert!(rows.is_empty());
    first.close().await;
}
