//! Brings a database to the newest schema. Forward only.
//!
//! Each migration is a numbered file; its number and the SHA-256 of its text are recorded. A database with a number we do
//! not know was made by a newer program and is refused, as is one whose recorded migration is not ours.

use oubliette_core::ports::{PortError, PortErrorKind};
use rusqlite::{Connection, TransactionBehavior};
use uuid::Uuid;

use crate::metadata::migration::{Migration, MigrationError, check, sha256};

use super::connection::APPLICATION_ID;
use super::error::port_error;
use super::statements;

/// All steps, oldest first.
const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "0001_initial", sql: include_str!("../../../migrations/sqlite/0001_initial.sql") },
    Migration { number: 2, name: "0002_retained", sql: include_str!("../../../migrations/sqlite/0002_retained.sql") },
    Migration {
        number: 3,
        name: "0003_certificates",
        sql: include_str!("../../../migrations/sqlite/0003_certificates.sql"),
    },
    Migration { number: 4, name: "0004_journal", sql: include_str!("../../../migrations/sqlite/0004_journal.sql") },
];

/// Where applied migrations are recorded.
const CREATE_RECORD: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    -- Number of the migration.
    number INTEGER PRIMARY KEY,
    -- Its name.
    name TEXT NOT NULL,
    -- SHA-256 of its text.
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32)
) STRICT";

/// Applies what is missing, all of it in one transaction, and writes the instance row of a new database.
pub(super) fn migrate(connection: &mut Connection, new_instance: Uuid) -> Result<(), PortError> {
    run(connection, MIGRATIONS, new_instance)
}

/// Refuses another program's database. Asked before anything in it is changed.
pub(super) fn check_owner(connection: &Connection) -> Result<(), PortError> {
    let ask = || -> rusqlite::Result<(i32, u64)> {
        let id = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let objects = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok((id, objects))
    };
    let (id, objects) = ask().map_err(|error| port_error("read whose the metadata is", error))?;
    if id == APPLICATION_ID || (id == 0 && objects == 0) {
        Ok(())
    } else {
        Err(PortError::new(PortErrorKind::Refused, "read whose the metadata is", MigrationError::Foreign))
    }
}

fn run(connection: &mut Connection, migrations: &[Migration], new_instance: Uuid) -> Result<(), PortError> {
    const OPERATION: &str = "migrate the metadata";
    let sql = |error| port_error(OPERATION, error);
    let refuse = |error: MigrationError| PortError::new(PortErrorKind::Refused, OPERATION, error);

    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive).map_err(sql)?;
    check_owner(&transaction)?;
    transaction.execute_batch(CREATE_RECORD).map_err(sql)?;
    let recorded = recorded(&transaction).map_err(sql)?;
    check(&recorded, migrations).map_err(refuse)?;

    let missing = &migrations[recorded.len()..];
    for migration in missing {
        transaction.execute_batch(migration.sql).map_err(sql)?;
        let record = "INSERT INTO schema_migrations (number, name, sha256) VALUES (?1, ?2, ?3)";
        transaction.execute(record, (migration.number, migration.name, sha256(migration.sql))).map_err(sql)?;
    }
    if recorded.is_empty() {
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(sql)?;
        transaction.execute(statements::INSERT_INSTANCE, [new_instance]).map_err(sql)?;
    }
    if missing.is_empty() { transaction.rollback() } else { transaction.commit() }.map_err(sql)
}

fn recorded(connection: &Connection) -> rusqlite::Result<Vec<(u32, [u8; 32])>> {
    let mut statement = connection.prepare("SELECT number, sha256 FROM schema_migrations ORDER BY number")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Migration = Migration {
        number: 1,
        name: "0001_a",
        sql: "CREATE TABLE instance (only INTEGER, instance BLOB, epoch INTEGER, commit_counter INTEGER, extra_group_serial INTEGER)",
    };
    const SECOND: Migration = Migration { number: 2, name: "0002_b", sql: "CREATE TABLE b (x INTEGER)" };

    fn cause(result: Result<(), PortError>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Refused);
        error.source.unwrap().to_string()
    }

    #[test]
    fn migrations_are_numbered_without_gaps_and_named_alike() {
        for (position, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.number as usize, position + 1);
            assert!(migration.name.starts_with(&format!("{:04}_", migration.number)));
        }
    }

    #[test]
    fn a_later_migration_is_applied_to_an_older_database() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, &[FIRST], Uuid::nil()).unwrap();
        run(&mut connection, &[FIRST, SECOND], Uuid::max()).unwrap();
        connection.execute("INSERT INTO b VALUES (1)", []).unwrap();
        let instances: u64 = connection.query_row("SELECT count(*) FROM instance", [], |row| row.get(0)).unwrap();
        assert_eq!(instances, 1, "an older database keeps its identity");
    }

    #[test]
    fn a_newer_database_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, &[FIRST, SECOND], Uuid::nil()).unwrap();
        assert!(cause(run(&mut connection, &[FIRST], Uuid::nil())).contains("schema 2"));
    }

    #[test]
    fn a_changed_old_migration_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, &[FIRST, SECOND], Uuid::nil()).unwrap();
        let edited = Migration { sql: "CREATE TABLE b (y INTEGER)", ..SECOND };
        assert!(cause(run(&mut connection, &[FIRST, edited], Uuid::nil())).contains("migration 2"));
    }

    #[test]
    fn a_gap_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, &[FIRST, SECOND], Uuid::nil()).unwrap();
        connection.execute("DELETE FROM schema_migrations WHERE number = 1", []).unwrap();
        assert!(cause(run(&mut connection, &[FIRST, SECOND], Uuid::nil())).contains("migration 1 is missing"));
    }

    #[test]
    fn a_foreign_database_is_refused_and_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE theirs (x)").unwrap();
        assert!(cause(run(&mut connection, MIGRATIONS, Uuid::nil())).contains("not the metadata"));
        let objects: u64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(objects, 1);
    }

    #[test]
    fn a_failing_migration_leaves_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        let broken = Migration { number: 2, name: "0002_broken", sql: "CREATE TABLE c (x); CREATE NONSENSE" };
        run(&mut connection, &[FIRST, broken], Uuid::nil()).unwrap_err();
        let objects: u64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(objects, 0);
    }
}
