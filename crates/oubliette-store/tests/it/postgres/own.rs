//! What is PostgreSQL's own: databases that are not ours, partitions, many rows, closing.

use keyforest::{Group, Leaf, LeafSet};
use oubliette_core::model::TenantId;
use oubliette_core::ports::{Applied, Check, DirectoryRow, Metadata, PortErrorKind, Write};
use oubliette_store::metadata::postgres::{PostgresMetadata, PostgresOptions};
use uuid::Uuid;

use super::support::{Database, apply, content, erasure, insert, interaction, open, until, write};

async fn refusal(database: &Database) -> (PortErrorKind, String) {
    let options = PostgresOptions { server: database.options(), ..PostgresOptions::default() };
    let error = PostgresMetadata::open(options).await.err().unwrap();
    (error.kind, error.source.map(|source| source.to_string()).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tampered_newer_and_foreign_databases_are_refused() {
    let database = Database::fresh().await;
    open(&database).await.close().await;
    let plain = database.plain().await;
    let record = "INSERT INTO oubliette.schema_migrations VALUES (900, '0900_future', decode(repeat('00', 32), 'hex'))";
    plain.batch_execute(record).await.unwrap();
    let (kind, cause) = refusal(&database).await;
    assert!(kind == PortErrorKind::Refused && cause.contains("schema 900") && cause.contains("newer"), "{cause}");
    let forge = "DELETE FROM oubliette.schema_migrations WHERE number = 900;
        UPDATE oubliette.schema_migrations SET sha256 = decode(repeat('00', 32), 'hex')";
    plain.batch_execute(forge).await.unwrap();
    let (kind, cause) = refusal(&database).await;
    assert!(kind == PortErrorKind::Refused && cause.contains("migration 1"), "{cause}");

    let foreign = Database::fresh().await;
    let plain = foreign.plain().await;
    plain.batch_execute("CREATE SCHEMA oubliette CREATE TABLE theirs (x integer)").await.unwrap();
    let (kind, cause) = refusal(&foreign).await;
    assert!(kind == PortErrorKind::Refused && cause.contains("not the metadata"), "{cause}");
    let tables = plain.query("SELECT FROM pg_class WHERE relnamespace = 'oubliette'::regnamespace", &[]).await.unwrap();
    assert_eq!(tables.len(), 1, "another program's tables are left alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_database_has_the_id_it_was_given_however_many_open_it_at_once() {
    let database = Database::fresh().await;
    let opening = (1..=4).map(|given| {
        let new_instance = Uuid::from_u128(given);
        let options = PostgresOptions { server: database.options(), new_instance, ..PostgresOptions::default() };
        tokio::spawn(async move { PostgresMetadata::open(options).await.unwrap() })
    });
    let opening: Vec<_> = opening.collect();
    let (mut ids, mut stores) = (Vec::new(), Vec::new());
    for store in opening {
        let store = store.await.unwrap();
        ids.push(store.instance().await.unwrap().instance);
        stores.push(store);
    }
    assert!((1..=4).contains(&ids[0].as_u128()) && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    for store in stores {
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_close_everything_answers_unavailable_and_no_session_is_left() {
    let database = Database::fresh().await;
    let store = open(&database).await;
    insert(&store, 1).await.unwrap();
    store.interaction(Group(1)).await.unwrap().unwrap();
    store.close().await;
    store.close().await;
    assert_eq!(insert(&store, 2).await.unwrap_err().kind, PortErrorKind::Unavailable);
    assert_eq!(store.instance().await.unwrap_err().kind, PortErrorKind::Unavailable);
    let plain = database.plain().await;
    until("the end of the sessions", async || {
        let sessions =
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'oubliette'";
        plain.query(sessions, &[]).await.unwrap().is_empty().then_some(())
    })
    .await;
}

async fn partitions(database: &Database) -> Vec<String> {
    let sql = "SELECT c.relname::text FROM pg_class c WHERE c.relispartition AND c.relkind = 'r'
        AND c.relname ~ '_p[0-9]+$' AND c.relname !~ '^purge' ORDER BY 1";
    database.plain().await.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_made_ahead_and_on_demand() {
    let database = Database::fresh().await;
    let store = open(&database).await;
    assert_eq!(partitions(&database).await, ["contents_p0", "directory_p0", "interactions_p0"]);
    insert(&store, (1 << 23) - 1).await.unwrap();
    // Past the middle of one the next is made, by the worker.
    insert(&store, 1 << 23).await.unwrap();
    let block = |block| Write::PutDirectory(DirectoryRow { block, leaf: Leaf(block), entries: 1, sealed: vec![1] });
    write(&store, vec![block(400_000)]).await.unwrap();
    until("partitions ahead", async || (partitions(&database).await.len() == 6).then_some(())).await;
    assert!(partitions(&database).await.contains(&"interactions_p1".to_owned()));

    // Far beyond: at once.
    let far = 700 << 24;
    write(
        &store,
        vec![Write::InsertInteraction(interaction(far)), Write::InsertContent(content(far, 1)), block(900 << 19)],
    )
    .await
    .unwrap();
    assert!(partitions(&database).await.contains(&"contents_p700".to_owned()));

    // One that somebody took away is made again.
    database.plain().await.batch_execute("DROP TABLE oubliette.interactions_p1").await.unwrap();
    insert(&store, 1 << 24).await.unwrap();
    assert!(store.interaction(Group(1 << 24)).await.unwrap().is_some());
    store.close().await;
}

/// No times are asserted: this shows that nothing is quadratic.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_interactions_are_handled() {
    const COUNT: u64 = 100_000;
    let database = Database::fresh().await;
    let store = open(&database).await;
    for first in (0..COUNT).step_by(5_000) {
        let rows = (first..first + 5_000)
            .flat_map(|group| [Write::InsertInteraction(interaction(group)), Write::InsertContent(content(group, 1))]);
        write(&store, rows.collect()).await.unwrap();
    }
    assert_eq!(store.count_interactions().await.unwrap(), COUNT);
    let all: LeafSet = (0..COUNT).map(Leaf).collect();
    assert_eq!(store.count_contents(&all).await.unwrap(), COUNT);
    assert_eq!(store.used_groups(0..u64::MAX).await.unwrap(), all);
    assert_eq!(store.next_hour(TenantId(1), 490_001, i64::MAX).await.unwrap(), Some(490_001));
    assert_eq!(store.interactions_in_hour(TenantId(1), 490_500, None, 1_000).await.unwrap().len(), 50);
    let groups: Vec<_> = (0..1_000).map(|number| Group(number * 97)).collect();
    assert_eq!(store.interactions(&groups).await.unwrap().len(), 1_000);

    // One erasure of all, and of a million groups that are not there: a few hundred rows.
    let purge = erasure(1, (0..COUNT).chain((1..=1_000_000).map(|number| 1_000_000 + number * 3)));
    write(&store, vec![Write::InsertPurge(purge)]).await.unwrap();
    for (group, covered) in [(99_999, true), (100_001, false), (1_000_003, true), (1_000_004, false)] {
        let answer = apply(&store, vec![Check::NotErased(Group(group).leaf(3))], Vec::new()).await.unwrap();
        assert_eq!(answer == Applied::Failed(0), covered, "{group}");
    }
    let rows = database.plain().await.query("SELECT FROM oubliette.purge_covers", &[]).await.unwrap();
    assert!(rows.len() < 500, "{}", rows.len());

    let gone: Vec<_> = (0..COUNT).filter(|group| group % 4 != 0).map(Group).collect();
    for some in gone.chunks(25_000) {
        write(&store, vec![Write::DeleteInteractions(some.to_vec())]).await.unwrap();
    }
    assert_eq!(store.count_interactions().await.unwrap(), COUNT / 4);
    assert_eq!(store.count_contents(&all).await.unwrap(), COUNT / 4);
    assert_eq!(store.blobs_with_prefix("blobs/").await.unwrap().len() as u64, COUNT / 4);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn within_one_transaction_and_one_batch_each_change_is_seen_by_the_next() {
    let database = Database::fresh().await;
    let store = open(&database).await;
    write(&store, vec![Write::InsertInteraction(interaction(1)), Write::InsertContent(content(1, 1))]).await.unwrap();
    // Removed and put again, under the same number, leaf and blob.
    let again = vec![
        Write::DeleteInteractions(vec![Group(1)]),
        Write::InsertInteraction(interaction(1)),
        Write::InsertContent(content(1, 1)),
        Write::DeleteContents(vec![Group(1).leaf(1)]),
        Write::InsertContent(content(1, 1)),
        Write::InsertContent(content(1, 2)),
    ];
    write(&store, again).await.unwrap();
    assert_eq!(store.interaction(Group(1)).await.unwrap().unwrap().version, 3);
    assert_eq!(store.contents(&[Group(1)]).await.unwrap().len(), 2);
    // A content of an interaction removed before it.
    let orphan = vec![Write::DeleteInteractions(vec![Group(1)]), Write::InsertContent(content(1, 3))];
    assert_eq!(write(&store, orphan).await.unwrap_err().kind, PortErrorKind::Refused);
    // A value beyond what a column holds harms nobody else.
    let odd = interaction(u64::MAX);
    assert_eq!(write(&store, vec![Write::InsertInteraction(odd)]).await.unwrap_err().kind, PortErrorKind::Refused);
    let mut bad = interaction(9);
    bad.next_leaf = 9;
    let (bad, good) = tokio::join!(write(&store, vec![Write::InsertInteraction(bad)]), insert(&store, 10));
    assert_eq!(bad.unwrap_err().kind, PortErrorKind::Refused);
    good.unwrap();
    assert_eq!(store.contents(&[Group(1)]).await.unwrap().len(), 2);
    store.close().await;
}
