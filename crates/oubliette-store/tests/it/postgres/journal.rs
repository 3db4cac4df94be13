//! The journal of erasures in partitions: made when numbers need them, and taken over from before there were any.

use std::collections::BTreeSet;
use std::time::Duration;

use keyforest::Leaf;
use oubliette_core::model::TenantId;
use oubliette_core::ports::{Applied, Check, Metadata, PortErrorKind, PurgeState, Write};
use oubliette_store::metadata::postgres::{PostgresMetadata, PostgresOptions};
use oubliette_store::postgres::Options;
use tokio_postgres::Client;
use uuid::Uuid;

use super::support::{Database, apply, erasure, open, until, waits_for_a_lock, write};

/// Erasures in one partition.
const PART: i64 = 1 << 24;

async fn partitions(database: &Database) -> BTreeSet<String> {
    let sql = "SELECT c.relname::text FROM pg_class c WHERE c.relispartition AND c.relkind = 'r'
        AND c.relname ~ '^purge.*_p[0-9]+$'";
    database.plain().await.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

fn of_number(number: i64) -> BTreeSet<String> {
    ["purges", "purge_manifests", "purge_sets"].map(|table| format!("{table}_p{number}")).into()
}

/// The next erasure has this number.
async fn count_from(database: &Database, serial: i64) {
    let set = "SELECT setval('oubliette.purge_numbers', $1, false)";
    database.plain().await.query(set, &[&serial]).await.unwrap();
}

async fn accept(store: &PostgresMetadata, id: u64) {
    write(store, vec![Write::InsertPurge(erasure(id, [id]))]).await.unwrap();
}

async fn number_of(database: &Database, id: u64) -> i64 {
    let sql = "SELECT p.serial FROM oubliette.purges p JOIN oubliette.purge_ids i USING (serial) WHERE i.purge = $1";
    database.plain().await.query_one(sql, &[&Uuid::from_u128(u128::from(id))]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_of_erasures_are_made_ahead_and_on_demand() {
    let database = Database::fresh().await;
    let store = open(&database).await;
    assert_eq!(partitions(&database).await, of_number(0));

    // Past the middle of one the next is made, by the worker.
    count_from(&database, PART / 2 - 1).await;
    accept(&store, 1).await;
    assert_eq!(partitions(&database).await, of_number(0));
    accept(&store, 2).await;
    let two: BTreeSet<_> = of_number(0).union(&of_number(1)).cloned().collect();
    until("partitions ahead", async || (partitions(&database).await == two).then_some(())).await;

    // Another node counted far beyond: at once, within the transaction that needs it, also where a batch lies over a border.
    count_from(&database, 5 * PART - 2).await;
    write(&store, (3..=6).map(|id| Write::InsertPurge(erasure(id, [id]))).collect()).await.unwrap();
    assert_eq!(number_of(&database, 6).await, 5 * PART + 1);
    assert!(partitions(&database).await.is_superset(&of_number(4)));
    assert!(partitions(&database).await.is_superset(&of_number(5)));

    // What lies in all of them is found, in order, and is covered.
    let unsealed: Vec<_> = store.unsealed_purges().await.unwrap().iter().map(|row| row.id.as_u128()).collect();
    assert_eq!(unsealed, [1, 2, 3, 4, 5, 6]);
    for id in 1..=6_u64 {
        let row = store.purge(Uuid::from_u128(u128::from(id))).await.unwrap().unwrap();
        assert_eq!(row.set.interactions, [Leaf(id)].into_iter().collect());
        let erased = apply(&store, vec![Check::NotErased(Leaf(id * 8))], vec![]).await.unwrap();
        assert_eq!(erased, Applied::Failed(0), "{id}");
    }

    // One that somebody took away, empty, is made again.
    database
        .plain()
        .await
        .batch_execute("DROP TABLE oubliette.purge_sets_p1, oubliette.purges_p1, oubliette.purge_manifests_p1")
        .await
        .unwrap();
    count_from(&database, PART + 3).await;
    accept(&store, 7).await;
    // The first attempt met nothing to write to and took a number with it.
    assert_eq!(number_of(&database, 7).await, PART + 4);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_is_taken_once_whatever_partition_it_lies_in() {
    let database = Database::fresh().await;
    let (store, other) = (open(&database).await, open(&database).await);
    accept(&store, 1).await;
    count_from(&database, 3 * PART).await;
    for node in [&store, &other] {
        let again = write(node, vec![Write::InsertPurge(erasure(1, [2]))]).await.unwrap_err();
        assert_eq!(again.kind, PortErrorKind::Refused);
    }
    assert_eq!(store.unsealed_purges().await.unwrap().len(), 1);
    assert_eq!(number_of(&database, 1).await, 1);
    store.close().await;
    other.close().await;
}

/// A database as migrations 1 to 3 made it.
async fn before_partitions(database: &Database) {
    let plain = database.plain().await;
    plain
        .batch_execute(
            "CREATE SCHEMA oubliette; SET search_path = oubliette;
            CREATE TABLE schema_migrations (number INTEGER PRIMARY KEY, name TEXT COLLATE \"C\" NOT NULL,
                sha256 BYTEA NOT NULL CHECK (octet_length(sha256) = 32))",
        )
        .await
        .unwrap();
    for (number, name, sql) in [
        (1, "0001_initial", include_str!("../../../migrations/postgres/0001_initial.sql")),
        (2, "0002_retained", include_str!("../../../migrations/postgres/0002_retained.sql")),
        (3, "0003_certificates", include_str!("../../../migrations/postgres/0003_certificates.sql")),
    ] {
        plain.batch_execute(sql).await.unwrap();
        let record = "INSERT INTO schema_migrations VALUES ($1, $2, sha256($3))";
        plain.execute(record, &[&number, &name, &sql.as_bytes()]).await.unwrap();
    }
    plain
        .batch_execute(
            "INSERT INTO instance VALUES (1, gen_random_uuid(), 9, 0);
            INSERT INTO purges (serial, purge, tenant, kind, state, interactions, contents, accepted_at, sealed_at,
                sealed_epoch, removed_at, entry, first_receipt, receipts, blobs)
                SELECT n, ('00000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid, 1, 1, 3, 1, 0, n, n, 7,
                    CASE WHEN n % 2 = 0 THEN n END, CASE WHEN n % 2 = 0 THEN n END, 0, 1, 0
                FROM (SELECT generate_series(1, 300) AS n UNION ALL SELECT generate_series(33554430, 33554440)) AS them;
            UPDATE purges SET state = 1, sealed_at = NULL, sealed_epoch = NULL WHERE serial = 33554439;
            INSERT INTO purge_manifests SELECT serial, '\\x0102' FROM purges WHERE entry IS NOT NULL;
            INSERT INTO purge_places SELECT -serial, serial FROM purges WHERE entry IS NOT NULL;
            INSERT INTO ingest_batches SELECT n, '\\x03' FROM generate_series(1, 100) AS n;
            INSERT INTO ingest_places SELECT n / 3, n FROM generate_series(1, 100) AS n;
            SELECT setval('purge_serials', 33554440);",
        )
        .await
        .unwrap();
    let set = erasure(1, [1]).set.encode();
    plain.execute("INSERT INTO purge_sets SELECT serial, $1 FROM purges", &[&set]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_of_before_is_taken_over_whole() {
    let database = Database::fresh().await;
    before_partitions(&database).await;
    let counted = async || {
        let tables = ["purges", "purge_sets", "purge_manifests", "purge_places", "ingest_batches", "ingest_places"];
        let mut counts = Vec::new();
        let plain = database.plain().await;
        for table in tables {
            let sql =
                format!("SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM oubliette.{table} t");
            let row = plain.query_one(&sql, &[]).await.unwrap();
            counts.push((table, row.get::<_, i64>(0), row.get::<_, String>(1)));
        }
        counts
    };
    let before = counted().await;
    let store = open(&database).await;
    assert_eq!(counted().await, before);
    assert_eq!(before[0].1, 311);

    let id = |serial: u64| Uuid::from_u128(u128::from(serial));
    for serial in [1, 300, 33_554_430, 33_554_432] {
        let row = store.purge(id(serial)).await.unwrap().unwrap();
        assert_eq!(row.state, PurgeState::Sealed);
        let manifest = (serial % 2 == 0).then(|| vec![1, 2]);
        assert_eq!(store.manifest(id(serial)).await.unwrap(), manifest);
    }
    assert_eq!(store.purges_at(&[-33_554_432]).await.unwrap(), [(-33_554_432, id(33_554_432))]);
    assert_eq!(store.batches_at(&[5], 0, 10).await.unwrap().len(), 3);
    assert_eq!(store.batches(98, 10).await.unwrap().iter().map(|row| row.entry).collect::<Vec<_>>(), [98, 99, 100]);
    let unsealed: Vec<_> = store.unsealed_purges().await.unwrap().iter().map(|row| row.id).collect();
    assert_eq!(unsealed, [id(33_554_439)]);
    let newest = store.purges(TenantId(1), None, 3).await.unwrap();
    assert_eq!(newest.iter().map(|row| row.id).collect::<Vec<_>>(), [33_554_440, 33_554_439, 33_554_438].map(id));

    // Numbers go on where they were.
    accept(&store, 77_777).await;
    assert_eq!(number_of(&database, 77_777).await, 33_554_441);
    assert!(partitions(&database).await.is_superset(&of_number(2)));
    store.close().await;
}

/// It would write no row of purge_ids, and what it accepted could not be found by its id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_of_before_that_still_runs_gets_no_number_for_an_erasure() {
    let database = Database::fresh().await;
    before_partitions(&database).await;
    let old = database.plain().await;
    old.batch_execute("SET search_path = oubliette").await.unwrap();
    let number = old.prepare("SELECT nextval('purge_serials') FROM generate_series(1, $1::integer)").await.unwrap();
    assert_eq!(old.query(&number, &[&1]).await.unwrap().len(), 1);
    let store = open(&database).await;
    assert!(old.query(&number, &[&1]).await.is_err());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_may_take_longer_than_any_statement() {
    let database = Database::fresh().await;
    before_partitions(&database).await;
    let reader = database.plain().await;
    reader.batch_execute("BEGIN; LOCK TABLE oubliette.purges IN ACCESS SHARE MODE").await.unwrap();
    // A session gives a silent server up five seconds after the statement's own limit.
    let server = Options { statement_timeout: Duration::from_secs(2), ..database.options() };
    let options = PostgresOptions { server, ..PostgresOptions::default() };
    let opening = tokio::spawn(PostgresMetadata::open(options));
    waits_for_a_lock(&database).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(!opening.is_finished(), "it waits for the reader");
    reader.batch_execute("COMMIT").await.unwrap();
    let store = opening.await.unwrap().unwrap();
    assert_eq!(store.purge(Uuid::from_u128(300)).await.unwrap().unwrap().state, PurgeState::Sealed);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_nobody_waits_for_any_more_ends_on_the_server_too() {
    let database = Database::fresh().await;
    before_partitions(&database).await;
    let reader = database.plain().await;
    reader.batch_execute("BEGIN; LOCK TABLE oubliette.purges IN ACCESS SHARE MODE").await.unwrap();
    let options = PostgresOptions { server: database.options(), ..PostgresOptions::default() };
    let opening = tokio::spawn(PostgresMetadata::open(options));
    waits_for_a_lock(&database).await;
    opening.abort();
    assert!(opening.await.is_err());
    let plain = database.plain().await;
    let locks = "SELECT FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    until("the end of its session", async || plain.query(locks, &[]).await.unwrap().is_empty().then_some(())).await;
    reader.batch_execute("COMMIT").await.unwrap();
    let store = open(&database).await;
    assert!(store.purge(Uuid::from_u128(300)).await.unwrap().is_some());
    store.close().await;
}

/// A transaction of the program before, under way: an erasure is accepted, and nothing committed.
async fn accepts_as_before(database: &Database, id: u64) -> Client {
    let old = database.plain().await;
    old.batch_execute("SET search_path = oubliette").await.unwrap();
    old.batch_execute("BEGIN ISOLATION LEVEL SERIALIZABLE").await.unwrap();
    let insert = "INSERT INTO purges (serial, purge, tenant, kind, state, interactions, contents, accepted_at)
        VALUES (nextval('purge_serials'), $1, 1, 1, 1, 1, 0, 5) RETURNING serial";
    let serial: i64 = old.query_one(insert, &[&Uuid::from_u128(u128::from(id))]).await.unwrap().get(0);
    let set = erasure(id, [id]).set.encode();
    old.execute("INSERT INTO purge_sets VALUES ($1, $2)", &[&serial, &set]).await.unwrap();
    old
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_a_program_of_before_commits_during_the_migration_is_taken_over() {
    let database = Database::fresh().await;
    before_partitions(&database).await;
    let old = accepts_as_before(&database, 55_555).await;
    let options = PostgresOptions { server: database.options(), ..PostgresOptions::default() };
    let opening = tokio::spawn(PostgresMetadata::open(options));
    waits_for_a_lock(&database).await;
    old.batch_execute("COMMIT").await.unwrap();
    let store = opening.await.unwrap().unwrap();
    let row = store.purge(Uuid::from_u128(55_555)).await.unwrap().unwrap();
    assert_eq!(row.set.interactions, [Leaf(55_555)].into_iter().collect());
    store.close().await;
}

/// What such a transaction does last.
const COUNT: &str = "UPDATE commits SET count = 6
    WHERE slot = 0 AND count = 5 AND holder = '00000000-0000-0000-0000-000000000001'";

/// A vault of before, held by claim 1 whose writer has slot 0.
async fn claimed_before(database: &Database) {
    before_partitions(database).await;
    let claim = "INSERT INTO oubliette.commits VALUES (0, 5, '00000000-0000-0000-0000-000000000001', 0);
        INSERT INTO oubliette.named_values VALUES ('fence', '\\x0000000000000001')";
    database.plain().await.batch_execute(claim).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_passed_over_commits_nothing_while_its_rows_are_migrated() {
    let database = Database::fresh().await;
    claimed_before(&database).await;
    let old = accepts_as_before(&database, 55_555).await;
    let options = PostgresOptions { server: database.options(), fence: Some(2), ..PostgresOptions::default() };
    let opening = tokio::spawn(PostgresMetadata::open(options));
    waits_for_a_lock(&database).await;
    assert!(old.execute(COUNT, &[]).await.is_err(), "its slot was taken");
    old.batch_execute("ROLLBACK").await.unwrap();
    let store = opening.await.unwrap().unwrap();
    assert!(store.purge(Uuid::from_u128(55_555)).await.unwrap().is_none());
    // Nor does a transaction that began later.
    assert_eq!(old.execute(COUNT, &[]).await.unwrap(), 0);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_under_way_of_who_was_passed_over_is_waited_for_and_taken_over() {
    let database = Database::fresh().await;
    claimed_before(&database).await;
    let old = accepts_as_before(&database, 55_555).await;
    assert_eq!(old.execute(COUNT, &[]).await.unwrap(), 1);
    let options = PostgresOptions { server: database.options(), fence: Some(2), ..PostgresOptions::default() };
    let opening = tokio::spawn(PostgresMetadata::open(options));
    waits_for_a_lock(&database).await;
    let record = "SELECT FROM oubliette.schema_migrations";
    assert_eq!(database.plain().await.query(record, &[]).await.unwrap().len(), 3);
    old.batch_execute("COMMIT").await.unwrap();
    let store = opening.await.unwrap().unwrap();
    assert!(store.purge(Uuid::from_u128(55_555)).await.unwrap().is_some());
    store.close().await;
}
