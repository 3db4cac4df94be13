//! A whole copy of the database while it is used, and looking into one.

use std::path::{Path, PathBuf};

use keyforest::Leaf;
use oubliette_core::ports::{BlobRef, InstanceRow, PortError, PortErrorKind};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::connection::open_reader;
use super::error::port_error;
use super::migrate::check_owner;
use super::{apply, read, sync_folder};

/// A database in one file, without a log beside it. Only read.
pub struct DatabaseCopy {
    connection: Connection,
    path: PathBuf,
}

/// Where a content's bytes lie, and what they must begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedBlob {
    /// Its place.
    pub blob: BlobRef,
    /// The key commitment in the row.
    pub commitment: [u8; 32],
}

/// Writes a copy of the database at `from`, as it is in one moment, to the new file `to`; durable on return. Whoever uses the
/// database is not held up. Blocks.
///
/// # Errors
/// `Unavailable` when it cannot be read or the copy not be written; `to` is not there then.
pub fn copy_database(from: &Path, to: &Path) -> Result<DatabaseCopy, PortError> {
    let operation = "copy the database";
    let failed = |error: std::io::Error| PortError::new(PortErrorKind::Unavailable, operation, error);
    let copied = || -> Result<(), PortError> {
        let source = open_reader(from)?;
        let target = to.to_str().ok_or_else(|| PortError::bare(PortErrorKind::Refused, operation))?;
        // Made empty beforehand, so that nobody else may read it.
        super::connection::create_private(to).map_err(failed)?;
        // The connection must be allowed to write, though nothing of the database itself is.
        source.pragma_update(None, "query_only", false).map_err(|error| port_error(operation, error))?;
        source.execute("VACUUM INTO ?1", [target]).map_err(|error| port_error(operation, error))?;
        std::fs::File::open(to).and_then(|file| file.sync_all()).map_err(failed)?;
        sync_folder(to)
    };
    if let Err(error) = copied() {
        let _ = std::fs::remove_file(to);
        return Err(error);
    }
    DatabaseCopy::open(to)
}

impl DatabaseCopy {
    /// Opens a copy that nobody writes to. Makes nothing beside it.
    ///
    /// # Errors
    /// `Corrupt` when it is no vault's database, `Unavailable` when it cannot be read.
    pub fn open(path: &Path) -> Result<Self, PortError> {
        let operation = "open a copy of the database";
        let text = path.to_str().ok_or_else(|| PortError::bare(PortErrorKind::Refused, operation))?;
        // What means something in a URI is written by its number.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
        let encoded: String = text
            .bytes()
            .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect();
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let opened = Connection::open_with_flags(format!("file:{encoded}?immutable=1"), flags);
        let connection = opened.map_err(|error| port_error(operation, error))?;
        check_owner(&connection)?;
        Ok(Self { connection, path: path.to_owned() })
    }

    /// Opens a database that another process or connection may be writing to.
    ///
    /// # Errors
    /// As [`DatabaseCopy::open`].
    pub fn open_live(path: &Path) -> Result<Self, PortError> {
        Ok(Self { connection: open_reader(path)?, path: path.to_owned() })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it knows of itself.
    ///
    /// # Errors
    /// `Corrupt` when it is damaged.
    pub fn instance(&self) -> Result<InstanceRow, PortError> {
        read::instance(&self.connection).map_err(|error| port_error("read the copy's instance", error))
    }

    /// Reads all of it and checks that it is whole.
    ///
    /// # Errors
    /// `Corrupt` when it is not.
    pub fn check(&self) -> Result<(), PortError> {
        let operation = "check the copy of the database";
        let found: String = self
            .connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(|error| port_error(operation, error))?;
        if found == "ok" { Ok(()) } else { Err(PortError::bare(PortErrorKind::Corrupt, operation)) }
    }

    /// Tells every content's blob, in the order of their places.
    ///
    /// # Errors
    /// `Corrupt` when the copy is damaged.
    pub fn blobs<E: From<PortError>>(&self, mut each: impl FnMut(CopiedBlob) -> Result<(), E>) -> Result<(), E> {
        let failed = |error| port_error("read the copy's contents", error);
        let mut contents =
            self.connection.prepare("SELECT blob, commitment FROM contents ORDER BY blob").map_err(failed)?;
        let mut rows = contents.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let told = || Ok(CopiedBlob { blob: BlobRef(row.get(0)?), commitment: row.get(1)? });
            each(told().map_err(failed)?)?;
        }
        Ok(())
    }

    /// How many of these blobs belong to contents that live: their row is there, and no erasure covers it.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be asked.
    pub fn live<'a>(&self, blobs: impl Iterator<Item = &'a str>) -> Result<u64, PortError> {
        let count = || -> rusqlite::Result<u64> {
            let mut leaf_of = self.connection.prepare("SELECT leaf FROM contents WHERE blob = ?1")?;
            let mut leaves = Vec::new();
            for blob in blobs {
                leaves.extend(leaf_of.query_row([blob], |row| row.get::<_, u64>(0)).optional()?);
            }
            // After the rows: an erasure that is through by then took its rows along.
            let erased = apply::load_erased(&self.connection)?;
            Ok(leaves.into_iter().filter(|leaf| !erased.contains(Leaf(*leaf))).count() as u64)
        };
        count().map_err(|error| port_error("ask for blobs", error))
    }
}
