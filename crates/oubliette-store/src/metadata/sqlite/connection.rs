//! How connections are opened: one that writes, a few that read.

use std::fs::OpenOptions;
use std::path::Path;
use std::time::Duration;

use oubliette_core::ports::{PortError, PortErrorKind};
use rusqlite::{Connection, OpenFlags};

use super::error::port_error;
use super::migrate::check_owner;

/// Marks the file as a vault's metadata ("OUBL").
pub(super) const APPLICATION_ID: i32 = 0x4F55_424C;

/// How long a connection waits for a lock before it gives up.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Settings of every connection.
///
/// - No memory mapping: a write error shows as an error, not as a signal.
/// - Temporary data stay in memory, so no row reaches a temporary file.
const EVERY: &str = "
    PRAGMA mmap_size = 0;
    PRAGMA temp_store = MEMORY;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
    PRAGMA foreign_keys = ON;";

/// Settings of the writer.
///
/// - The log with full flushes: an acknowledged commit survives a power cut.
/// - Deleted rows are overwritten in the file. The promise does not lean on that (copies exist anywhere), but there is no
///   reason to keep them.
/// - Checkpoints are the writer's own business, see `writer`; the log's file shrinks back when it starts over.
const WRITER: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA secure_delete = ON;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA journal_size_limit = 16777216;
    PRAGMA cache_size = -16384;";

/// Settings of a reader.
const READER: &str = "
    PRAGMA query_only = ON;
    PRAGMA cache_size = -4096;";

/// Opens the connection that writes; makes the file, readable by its owner only, when there is none.
pub(super) fn open_writer(path: &Path, max_bytes: Option<u64>) -> Result<Connection, PortError> {
    let operation = "open the metadata for writing";
    if !path.exists() {
        create_private(path)
            .map_err(|error| PortError::new(PortErrorKind::Unavailable, "create the metadata file", error))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let wrong = |error| port_error(operation, error);
    let connection = Connection::open_with_flags(path, flags).map_err(wrong)?;
    connection.busy_timeout(BUSY).map_err(wrong)?;
    check_owner(&connection)?;
    let set = || -> rusqlite::Result<()> {
        connection.execute_batch(EVERY)?;
        connection.execute_batch(WRITER)?;
        if let Some(bytes) = max_bytes {
            let page: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
            // SQLite answers with the limit in force.
            connection.pragma_update_and_check(None, "max_page_count", bytes / page, |row| row.get::<_, u64>(0))?;
        }
        rusqlite::vtab::array::load_module(&connection)
    };
    set().map_err(wrong)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Opens a connection that cannot write.
pub(super) fn open_reader(path: &Path) -> Result<Connection, PortError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.execute_batch(EVERY)?;
        connection.execute_batch(READER)?;
        rusqlite::vtab::array::load_module(&connection)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    open().map_err(|error| port_error("open the metadata for reading", error))
}

/// SQLite gives its log and index files the permissions of the main file.
pub(super) fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.sync_all()
}
