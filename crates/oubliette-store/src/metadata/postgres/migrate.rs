//! Brings a database to the newest schema. Forward only, by one node at a time.
//!
//! A step may take as long as it takes to write a table anew: the session has no limit of its own, and when the work is given up
//! the server hears of it.

use oubliette_core::ports::{PortError, PortErrorKind};
use uuid::Uuid;

use super::SCHEMA;
use super::fence;
use super::rows::get;
use super::statements as sql;
use crate::metadata::migration::{Migration, MigrationError, check, sha256};
use crate::postgres::{Connector, LOCKS, PostgresError, Session, port_error};

/// All steps, oldest first: the same numbers and names as elsewhere.
const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "0001_initial", sql: include_str!("../../../migrations/postgres/0001_initial.sql") },
    Migration { number: 2, name: "0002_retained", sql: include_str!("../../../migrations/postgres/0002_retained.sql") },
    Migration {
        number: 3,
        name: "0003_certificates",
        sql: include_str!("../../../migrations/postgres/0003_certificates.sql"),
    },
    Migration { number: 4, name: "0004_journal", sql: include_str!("../../../migrations/postgres/0004_journal.sql") },
];

/// How often the whole is tried when another program's transactions are in the way.
const ATTEMPTS: u32 = 5;

/// Second key of the lock under which a database is migrated.
const LOCK: i32 = 1;

/// Where applied migrations are recorded.
const CREATE_RECORD: &str = "CREATE TABLE schema_migrations (
    -- Number of the migration.
    number INTEGER PRIMARY KEY,
    -- Its name.
    name TEXT COLLATE \"C\" NOT NULL,
    -- SHA-256 of its text.
    sha256 BYTEA NOT NULL CHECK (octet_length(sha256) = 32)
)";

/// Whether our schema is there, holds anything, and is a vault's.
pub(super) const OWNER: &str = "SELECT to_regnamespace($1) IS NOT NULL,
    EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace($1)),
    EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relname = 'schema_migrations')";

const RECORDED: &str = "SELECT number, sha256 FROM schema_migrations ORDER BY number";

const RECORD: &str = "INSERT INTO schema_migrations (number, name, sha256) VALUES ($1, $2, $3)";

/// Applies what is missing, all of it in one transaction, and writes the instance row of a new database. Rows that are there
/// already are shut to every claim before `claim` first: who was passed over commits nothing into tables that are written anew.
pub(super) async fn migrate(connector: &Connector, new_instance: Uuid, claim: Option<u64>) -> Result<(), PortError> {
    const OPERATION: &str = "migrate the metadata";
    let failed = |error| port_error(OPERATION, error);
    let refused = |error| PortError::new(PortErrorKind::Refused, OPERATION, error);
    let session = connector.connect_at_length(SCHEMA).await.map_err(failed)?;
    let (_, found) = found(&session).await.map_err(failed)?.map_err(refused)?;
    check(&found, MIGRATIONS).map_err(refused)?;
    if let Some(claim) = claim
        && (1..MIGRATIONS.len()).contains(&found.len())
    {
        fence::raise(&session, claim).await.map_err(failed)?;
    }
    let mut attempts = 1;
    loop {
        match whole(&session, new_instance).await {
            Ok(done) => {
                done.map_err(refused)?;
                break;
            }
            // A program of before that still runs may hold one table and ask for the next.
            Err(error) if error.is_conflict() && attempts < ATTEMPTS => {
                tracing::warn!(%error, "the migration met another program's transaction: once more");
                attempts += 1;
                session.batch("ROLLBACK").await.map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
    }
    session.close().await;
    Ok(())
}

/// The transaction.
async fn whole(session: &Session, new_instance: Uuid) -> Result<Result<(), MigrationError>, PostgresError> {
    let begin = format!(
        "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
         SELECT pg_advisory_xact_lock({LOCKS}, {LOCK})"
    );
    session.batch(&begin).await?;
    let recorded = match recorded(session).await? {
        Ok(recorded) => recorded,
        Err(error) => return Ok(Err(error)),
    };
    if let Err(error) = check(&recorded, MIGRATIONS) {
        return Ok(Err(error));
    }
    apply(session, recorded.len(), new_instance).await?;
    Ok(Ok(()))
}

/// Numbers and hashes of what was applied.
type Recorded = Vec<(u32, [u8; 32])>;

/// What is there of ours, before anything is made.
enum Made {
    Nothing,
    Schema,
    Record,
}

/// What was applied to a database that is ours or empty. Makes the record where there is none.
async fn recorded(session: &Session) -> Result<Result<Recorded, MigrationError>, PostgresError> {
    let (made, recorded) = match found(session).await? {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    if matches!(made, Made::Nothing) {
        session.batch(&format!("CREATE SCHEMA {SCHEMA}")).await?;
    }
    if !matches!(made, Made::Record) {
        session.batch(CREATE_RECORD).await?;
    }
    Ok(Ok(recorded))
}

/// The same; makes nothing.
async fn found(session: &Session) -> Result<Result<(Made, Recorded), MigrationError>, PostgresError> {
    let rows = session.query(OWNER, &[&SCHEMA]).await?;
    let row = rows.first().ok_or(PostgresError::Unreadable("whose the database is"))?;
    let (there, filled, ours): (bool, bool, bool) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
    if filled && !ours {
        return Ok(Err(MigrationError::Foreign));
    }
    if !ours {
        return Ok(Ok((if there { Made::Schema } else { Made::Nothing }, Vec::new())));
    }
    let mut recorded = Vec::new();
    for row in session.query(RECORDED, &[]).await? {
        let number: i32 = get(&row, 0)?;
        let hash: &[u8] = get(&row, 1)?;
        let number = u32::try_from(number).map_err(|_| PostgresError::Unreadable("a migration's number"))?;
        recorded.push((number, hash.try_into().map_err(|_| PostgresError::Unreadable("a migration's hash"))?));
    }
    Ok(Ok((Made::Record, recorded)))
}

async fn apply(session: &Session, applied: usize, new_instance: Uuid) -> Result<(), PostgresError> {
    for migration in &MIGRATIONS[applied..] {
        session.batch(migration.sql).await?;
        let number = i32::try_from(migration.number).map_err(|_| PostgresError::Unreadable("a migration's number"))?;
        let hash = sha256(migration.sql);
        session.execute(RECORD, &[&number, &migration.name, &hash.as_slice()]).await?;
    }
    if applied == 0 {
        session.execute(sql::INSERT_INSTANCE, &[&new_instance]).await?;
    }
    session.batch("COMMIT").await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What SQLite has, in the same order and under the same names.
    #[test]
    fn migrations_have_the_numbers_and_names_they_have_on_sqlite() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap().trim_end_matches(".sql").to_owned())
            .collect();
        names.sort_unstable();
        assert_eq!(MIGRATIONS.iter().map(|migration| migration.name).collect::<Vec<_>>(), names);
        for (position, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.number as usize, position + 1);
            assert!(migration.name.starts_with(&format!("{:04}_", migration.number)));
        }
    }
}
