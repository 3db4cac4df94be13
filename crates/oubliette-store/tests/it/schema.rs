//! Every column has a class, and no personal datum has a column in clear.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oubliette_store::metadata::sqlite::{SqliteMetadata, SqliteOptions};
use serde::Deserialize;

/// What is said of a column.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    class: Class,
    reason: String,
    /// Whose key seals it; for what is personal.
    sealed_under: Option<String>,
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

/// Table, column, declared type.
fn live(connection: &rusqlite::Connection) -> Tables<String> {
    let tables = rows(connection, "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view')");
    let columns = |table: &str| rows(connection, &format!("SELECT name, type FROM pragma_table_xinfo('{table}')"));
    tables.into_iter().map(|(table, _)| (table.clone(), columns(&table).into_iter().collect())).collect()
}

#[tokio::test]
async fn every_column_has_a_class_and_every_class_a_column() {
    let (_folder, connection) = fresh().await;
    let names = |tables: Vec<(&String, Vec<&String>)>| -> Vec<String> {
        tables
            .into_iter()
            .flat_map(|(table, columns)| columns.into_iter().map(move |column| format!("{table}.{column}")))
            .collect()
    };
    let live = live(&connection);
    let classes = classes();
    let live = names(live.iter().map(|(table, columns)| (table, columns.keys().collect())).collect());
    let classed = names(classes.iter().map(|(table, columns)| (table, columns.keys().collect())).collect());
    let unclassed: Vec<_> = live.iter().filter(|column| !classed.contains(column)).collect();
    let gone: Vec<_> = classed.iter().filter(|column| !live.contains(column)).collect();
    assert!(unclassed.is_empty(), "say in schema/classes.toml what these are: {unclassed:?}");
    assert!(gone.is_empty(), "these are in schema/classes.toml but in no table: {gone:?}");
}

#[tokio::test]
async fn what_is_personal_is_sealed() {
    let (_folder, connection) = fresh().await;
    let live = live(&connection);
    for (table, columns) in classes() {
        for (name, column) in columns {
            let what = format!("{table}.{name}");
            assert!(column.reason.split_whitespace().count() >= 3, "{what} needs a reason");
            let private = matches!(column.class, Class::Content | Class::Personal);
            assert_eq!(private, column.sealed_under.is_some(), "{what}: personal data and only they are sealed");
            if private {
                assert_eq!(live[&table][&name], "BLOB", "{what} is personal: it is ciphertext, not text or a number");
            }
            // `sealed_at` and `sealed_epoch` say when a seal was, as numbers.
            let called_sealed = name.starts_with("sealed_") && live[&table][&name] == "BLOB";
            assert!(!called_sealed || private, "{what} is called sealed but not classed so");
        }
    }
}

/// Numbers and bytes hide nothing, texts may: there are few, each looked at.
#[tokio::test]
async fn texts_in_clear_are_few() {
    let (_folder, connection) = fresh().await;
    let mut texts = Vec::new();
    for (table, columns) in live(&connection) {
        texts.extend(columns.into_iter().filter(|(_, kind)| kind == "TEXT").map(|(name, _)| format!("{table}.{name}")));
    }
    let looked_at = [
        "contents.blob",
        "credentials.kind",
        "credentials.label",
        "named_values.name",
        "schema_migrations.name",
        "tenants.name",
    ];
    assert_eq!(texts, looked_at);
}

#[tokio::test]
async fn the_dump_of_the_schema_is_current() {
    let (_folder, connection) = fresh().await;
    let objects = rows(
        &connection,
        "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY tbl_name, type DESC, name",
    );
    let mut dump = String::from(
        "-- The schema as all migrations leave it. Made by the test `the_dump_of_the_schema_is_current`;\n\
         -- run it with OUBLIETTE_UPDATE=1 after adding a migration.\n",
    );
    for (_, sql) in objects {
        dump.push_str(&format!("\n{sql};\n"));
    }
    let path = schema("sqlite.sql");
    if std::env::var_os("OUBLIETTE_UPDATE").is_some() {
        std::fs::write(&path, &dump).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == dump, "schema/sqlite.sql is not current: run this test with OUBLIETTE_UPDATE=1");
}

/// A column's comment says what it means and what a purge does to it; at least it has one.
#[test]
fn every_column_of_a_migration_is_commented() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let name = line.trim_start().split(' ').next().unwrap_or_default();
            let column = line.starts_with("    ")
                && !name.is_empty()
                && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let commented = at > 0 && lines[at - 1].trim_start().starts_with("--");
            assert!(!column || commented, "{}:{}: {name} has no comment", path.display(), at + 1);
        }
    }
}
