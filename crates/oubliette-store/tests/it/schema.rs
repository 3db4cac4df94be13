//! Every column has a class, and no personal datum has a column in clear.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oubliette_store::metadata::postgres::{PostgresMetadata, PostgresOptions};
use oubliette_store::metadata::sqlite::{SqliteMetadata, SqliteOptions};
use serde::Deserialize;

use crate::postgres::Database;

/// What is said of a column.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    class: Class,
    reason: String,
    /// Whose key seals it; for what is personal.
    sealed_under: Option<String>,
    /// The one database that has it; both without.
    only: Option<String>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
enum Class {
    /// What was said, played, written.
    Content,
    /// About a person.
    Personal,
    /// A key, or what stands for one.
    Key,
    /// Evidence that outlives what it is about.
    Proof,
    /// What the vault needs to work; says nothing of anybody.
    Operational,
}

type Tables<T> = BTreeMap<String, BTreeMap<String, T>>;

fn schema(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(name)
}

fn classes() -> Tables<Column> {
    toml::from_str(&std::fs::read_to_string(schema("classes.toml")).unwrap()).unwrap()
}

/// A database as migrations make it.
async fn fresh() -> (tempfile::TempDir, rusqlite::Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.db");
    SqliteMetadata::open(&path, SqliteOptions::default()).unwrap().close().await;
    let connection = rusqlite::Connection::open(path).unwrap();
    (folder, connection)
}

fn rows(connection: &rusqlite::Connection, sql: &str) -> Vec<(String, String)> {
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

/// A database as its migrations make it: table, column, declared type.
struct Live {
    name: &'static str,
    tables: Tables<String>,
    /// The types of bytes and of texts.
    bytes: &'static str,
    text: &'static str,
}

async fn sqlite() -> Live {
    let (_folder, connection) = fresh().await;
    let tables = rows(&connection, "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view')");
    let columns = |table: &str| rows(&connection, &format!("SELECT name, type FROM pragma_table_xinfo('{table}')"));
    let tables = tables.into_iter().map(|(table, _)| (table.clone(), columns(&table).into_iter().collect())).collect();
    Live { name: "sqlite", tables, bytes: "BLOB", text: "TEXT" }
}

/// A PostgreSQL database as migrations make it.
async fn fresh_postgres() -> (Database, tokio_postgres::Client) {
    let database = Database::fresh().await;
    let options = PostgresOptions { server: database.options(), ..PostgresOptions::default() };
    PostgresMetadata::open(options).await.unwrap().close().await;
    let client = database.plain().await;
    client.batch_execute("SET search_path = oubliette").await.unwrap();
    (database, client)
}

async fn postgres() -> Live {
    let (_database, client) = fresh_postgres().await;
    // A partition has its table's columns.
    let sql = "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'oubliette'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
            AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped";
    let mut tables: Tables<String> = BTreeMap::new();
    for row in client.query(sql, &[]).await.unwrap() {
        tables.entry(row.get(0)).or_default().insert(row.get(1), row.get(2));
    }
    Live { name: "postgres", tables, bytes: "bytea", text: "text" }
}

/// The classes of what this database has.
fn classes_of(live: &Live) -> Tables<Column> {
    let mut classes = classes();
    for columns in classes.values_mut() {
        columns.retain(|_, column| column.only.as_deref().is_none_or(|only| only == live.name));
    }
    classes.retain(|_, columns| !columns.is_empty());
    classes
}

fn names<T>(tables: &Tables<T>) -> Vec<String> {
    tables.iter().flat_map(|(table, columns)| columns.keys().map(move |column| format!("{table}.{column}"))).collect()
}

#[tokio::test]
async fn every_column_has_a_class_and_every_class_a_column() {
    for live in [sqlite().await, postgres().await] {
        let (there, classed) = (names(&live.tables), names(&classes_of(&live)));
        let unclassed: Vec<_> = there.iter().filter(|column| !classed.contains(column)).collect();
        let gone: Vec<_> = classed.iter().filter(|column| !there.contains(column)).collect();
        assert!(unclassed.is_empty(), "{}: say in schema/classes.toml what these are: {unclassed:?}", live.name);
        assert!(gone.is_empty(), "{}: these are in schema/classes.toml but in no table: {gone:?}", live.name);
    }
}

#[tokio::test]
async fn what_is_personal_is_sealed() {
    for live in [sqlite().await, postgres().await] {
        for (table, columns) in classes_of(&live) {
            for (name, column) in columns {
                let what = format!("{}: {table}.{name}", live.name);
                let kind = &live.tables[&table][&name];
                assert!(column.reason.split_whitespace().count() >= 3, "{what} needs a reason");
                let private = matches!(column.class, Class::Content | Class::Personal);
                assert_eq!(private, column.sealed_under.is_some(), "{what}: personal data and only they are sealed");
                if private {
                    assert_eq!(kind, live.bytes, "{what} is personal: it is ciphertext, not text or a number");
                }
                // `sealed_at` and `sealed_epoch` say when a seal was, as numbers.
                let called_sealed = name.starts_with("sealed_") && kind == live.bytes;
                assert!(!called_sealed || private, "{what} is called sealed but not classed so");
            }
        }
    }
}

/// Numbers and bytes hide nothing, texts may: there are few, each looked at.
#[tokio::test]
async fn texts_in_clear_are_few() {
    let looked_at = [
        "content_blobs.blob",
        "contents.blob",
        "credentials.kind",
        "credentials.label",
        "named_values.name",
        "schema_migrations.name",
        "tenants.name",
    ];
    for live in [sqlite().await, postgres().await] {
        let mut tables = live.tables.clone();
        for columns in tables.values_mut() {
            columns.retain(|_, kind| kind == live.text);
        }
        let here: Vec<_> =
            looked_at.into_iter().filter(|text| names(&live.tables).iter().any(|name| name == text)).collect();
        assert_eq!(names(&tables), here, "{}", live.name);
    }
}

const DUMP_HEAD: &str = "-- The schema as all migrations leave it. Made by the tests `the_dump_of_…_is_current`;\n\
    -- run them with OUBLIETTE_UPDATE=1 after adding a migration.\n";

fn compare_dump(file: &str, dump: &str) {
    let path = schema(file);
    if std::env::var_os("OUBLIETTE_UPDATE").is_some() {
        std::fs::write(&path, dump).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == dump, "schema/{file} is not current: run this test with OUBLIETTE_UPDATE=1");
}

#[tokio::test]
async fn the_dump_of_the_sqlite_schema_is_current() {
    let (_folder, connection) = fresh().await;
    let objects = rows(
        &connection,
        "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY tbl_name, type DESC, name",
    );
    let mut dump = String::from(DUMP_HEAD);
    for (_, sql) in objects {
        dump.push_str(&format!("\n{sql};\n"));
    }
    compare_dump("sqlite.sql", &dump);
}

#[tokio::test]
async fn the_dump_of_the_postgres_schema_is_current() {
    let (_database, client) = fresh_postgres().await;
    let texts = async |sql: &str, table: &str| -> Vec<String> {
        client.query(sql, &[&table]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    let tables = "SELECT c.relname::text, coalesce(' PARTITION BY ' || pg_get_partkeydef(c.oid), '') FROM pg_class c
        WHERE c.relnamespace = 'oubliette'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        ORDER BY c.relname";
    let columns = "SELECT '    ' || quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
            || CASE WHEN c.collname <> 'default' THEN ' COLLATE ' || quote_ident(c.collname) ELSE '' END
            || CASE a.attstorage WHEN 'e' THEN ' STORAGE EXTERNAL' ELSE '' END
            || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
        FROM pg_attribute a LEFT JOIN pg_collation c ON c.oid = a.attcollation
        WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    let constraints = "SELECT '    CONSTRAINT ' || quote_ident(conname) || ' ' || pg_get_constraintdef(oid)
        FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype IN ('c', 'p', 'u', 'f')
        ORDER BY contype DESC, conname";
    let indexes = "SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i WHERE i.indrelid = $1::text::regclass
            AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
        ORDER BY i.indexrelid::regclass::text";
    let mut dump = String::from(DUMP_HEAD);
    for row in client.query(tables, &[]).await.unwrap() {
        let (table, partitioned): (String, String) = (row.get(0), row.get(1));
        let mut lines = texts(columns, &table).await;
        lines.extend(texts(constraints, &table).await);
        dump.push_str(&format!("\nCREATE TABLE {table} (\n{}\n){partitioned};\n", lines.join(",\n")));
        for index in texts(indexes, &table).await {
            dump.push_str(&format!("{index};\n"));
        }
    }
    compare_dump("postgres.sql", &dump);
}

/// A column's comment says what it means and what a purge does to it; at least it has one.
#[test]
fn every_column_of_a_migration_is_commented() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let files = ["sqlite", "postgres"].map(|name| std::fs::read_dir(folder.join(name)).unwrap());
    for file in files.into_iter().flatten() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let name = line.trim_start().split(' ').next().unwrap_or_default().trim_matches('"');
            let column = line.starts_with("    ")
                && !name.is_empty()
                && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let commented = at > 0 && lines[at - 1].trim_start().starts_with("--");
            assert!(!column || commented, "{}:{}: {name} has no comment", path.display(), at + 1);
        }
    }
}
