//! Every statement finds its rows by an index, with tables as they are in use.

use oubliette_core::ports::Write;
use oubliette_store::metadata::postgres::{PLANNER, SCHEMA, statements};
use serde_json::Value;

use super::support::{Database, erasure, interaction, open, write};

/// Tables that stay small whatever the vault holds.
const SMALL: [&str; 6] = ["instance", "commits", "tenants", "credentials", "schema_migrations", "purge_numbers"];

/// Statements that read a whole index, and why.
const WHOLE: [(&str, &str); 7] = [
    ("ARRIVALS", "in order, as many as wanted"),
    ("COUNT_INTERACTIONS", "status only; counts from the smallest index"),
    ("REMOVALS_DUE", "an index of the few that are wanted"),
    ("SEALS", "in order, as many as wanted"),
    ("UNSEALED_PURGES", "an index of the few that are wanted"),
    ("UNSWEPT_PURGES", "an index of the few that are wanted"),
    ("WAITING_PURGES", "indexes of the few that are wanted, as many as wanted"),
];

/// Statements that read in the order of an index as many rows as are wanted.
const ORDERED: [&str; 5] = ["DIRECTORY", "INTERACTIONS_IN_HOUR", "PURGES", "PURGES_BEFORE", "UNSWEPT_PURGES"];

/// A vault of some size: rows as the adapter writes them, made by the server.
const FILL: &str = "
    INSERT INTO interactions SELECT n, 1 + n % 3, 1, 5, 490000 + n / 50, 3, 0, n / 32, 2, decode(repeat('ab', 100), 'hex')
        FROM (SELECT generate_series(10, 40000) AS n UNION ALL SELECT generate_series(16777220, 16787220)) AS numbers;
    INSERT INTO contents SELECT i * 8 + k, i, 1, 20, 'segments/' || i || '/' || k, decode(repeat('cd', 32), 'hex'), '\\x00'
        FROM (SELECT interaction AS i FROM interactions) AS all_of_them, generate_series(1, 2) AS k;
    INSERT INTO content_blobs SELECT blob, interaction, leaf FROM contents;
    INSERT INTO extra_groups SELECT 900000 + n, n, 0 FROM generate_series(10, 2000) AS n;
    INSERT INTO contents SELECT (900000 + n) * 8, n, 1, 20, 'apart/' || n, decode(repeat('cd', 32), 'hex'), '\\x00'
        FROM generate_series(10, 2000) AS n;
    INSERT INTO directory SELECT n, 5000000 + n, 32, decode(repeat('ef', 200), 'hex') FROM generate_series(0, 3000) AS n;
    INSERT INTO purges SELECT n, gen_random_uuid(), 1 + n % 3, NULL, 1, CASE WHEN n > 19990 THEN 1 ELSE 3 END, 1, 2, n, n,
        CASE WHEN n > 19990 THEN NULL ELSE n END, CASE WHEN n > 19990 THEN NULL ELSE 7 END,
        CASE WHEN n > 19900 THEN NULL ELSE n END FROM generate_series(1, 20000) AS n;
    INSERT INTO purges SELECT n, gen_random_uuid(), 1, NULL, 1, 3, 1, 2, n, n, n, 7, n
        FROM generate_series(16777300, 16777400) AS n;
    INSERT INTO purge_ids SELECT purge, serial FROM purges ON CONFLICT DO NOTHING;
    INSERT INTO purge_sets SELECT serial, '\\x00' FROM purges ON CONFLICT DO NOTHING;
    INSERT INTO purge_orders SELECT serial, '\\x00' FROM purges WHERE state < 3;
    INSERT INTO purge_covers SELECT n % 50, n, '\\x0001', '\\x' FROM generate_series(1, 5000) AS n;
    UPDATE purges SET entry = n / 10, first_receipt = 0, receipts = 2, blobs = 2, removal_entry = n / 10, removal_index = 0
        FROM (SELECT serial AS n FROM purges WHERE serial < 19800) AS old WHERE serial = n;
    INSERT INTO purge_manifests SELECT serial, '\\x00' FROM purges WHERE entry IS NOT NULL;
    INSERT INTO purge_places SELECT -serial, serial FROM purges WHERE entry IS NOT NULL;
    INSERT INTO ingest_batches SELECT n, '\\x00' FROM generate_series(1, 3000) AS n;
    INSERT INTO ingest_places SELECT n / 3, n FROM generate_series(1, 3000) AS n;
    INSERT INTO named_values SELECT 'value ' || n, '\\x00' FROM generate_series(1, 2000) AS n;
    INSERT INTO tenants VALUES (1, 'one'), (2, 'two');";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_reads_a_whole_table_unless_it_says_why() {
    let database = Database::fresh().await;
    let store = open(&database).await;
    // Two partitions and more.
    write(&store, [1, 1 << 24, 5 << 24].map(|group| Write::InsertInteraction(interaction(group))).into())
        .await
        .unwrap();
    // Also of erasures.
    let ahead = "SELECT setval('oubliette.purge_numbers', 16777216)";
    database.plain().await.batch_execute(ahead).await.unwrap();
    write(&store, vec![Write::InsertPurge(erasure(1, [1]))]).await.unwrap();
    store.close().await;
    let client = database.plain().await;
    client.batch_execute(&format!("SET search_path = {SCHEMA}")).await.unwrap();
    client.batch_execute(FILL).await.unwrap();
    client.batch_execute("ANALYZE").await.unwrap();
    // As sessions are set, but that partitions are not left out: their plans are looked at too.
    let generic = "SET plan_cache_mode = force_generic_plan; SET enable_partition_pruning = off";
    client.batch_execute(&format!("{PLANNER}; {generic}")).await.unwrap();

    let mut complaints = Vec::new();
    for (name, sql) in statements::ALL {
        let handle = name.to_lowercase();
        client.batch_execute(&format!("PREPARE {handle}_ AS {sql}")).await.unwrap();
        let asked = "SELECT coalesce(array_length(parameter_types, 1), 0) FROM pg_prepared_statements WHERE name = $1";
        let parameters: i32 = client.query_one(asked, &[&format!("{handle}_")]).await.unwrap().get(0);
        let nothing = vec!["NULL"; parameters as usize].join(", ");
        let arguments = if parameters == 0 { String::new() } else { format!("({nothing})") };
        let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE {handle}_{arguments}");
        let rows = client.query(&explain, &[]).await.unwrap();
        let plan: Value = rows[0].get(0);
        look(name, &plan[0]["Plan"], &mut complaints);
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(statements::ALL.len() > 50);
}

fn look(statement: &str, node: &Value, complaints: &mut Vec<String>) {
    let kind = node["Node Type"].as_str().unwrap_or_default();
    let table = node["Relation Name"].as_str().unwrap_or_default();
    let small = SMALL.contains(&table);
    if kind == "Seq Scan" && !small {
        complaints.push(format!("{statement}: reads the whole of {table}"));
    }
    let unbounded = kind.starts_with("Index") && node["Index Cond"].is_null();
    let last = statement == "LAST_DIRECTORY_BLOCK";
    if unbounded && !small && !last && !WHOLE.iter().any(|(allowed, _)| *allowed == statement) {
        complaints.push(format!("{statement}: reads a whole index of {table}"));
    }
    if kind == "Sort" && ORDERED.contains(&statement) {
        complaints.push(format!("{statement}: sorts before its limit"));
    }
    for inner in node["Plans"].as_array().into_iter().flatten() {
        look(statement, inner, complaints);
    }
}

/// The test above would see a statement without an index.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_without_an_index_would_be_seen() {
    let database = Database::fresh().await;
    open(&database).await.close().await;
    let client = database.plain().await;
    client.batch_execute(&format!("SET search_path = {SCHEMA}; {PLANNER}")).await.unwrap();
    let mut complaints = Vec::new();
    for sql in
        ["SELECT 1 FROM purges WHERE contents = 5", "SELECT interaction FROM contents ORDER BY interaction, leaf"]
    {
        let rows = client.query(&format!("EXPLAIN (FORMAT JSON) {sql}"), &[]).await.unwrap();
        look("TEST", &rows[0].get::<_, Value>(0)[0]["Plan"], &mut complaints);
    }
    assert_eq!(complaints.len(), 2, "{complaints:?}");
}
