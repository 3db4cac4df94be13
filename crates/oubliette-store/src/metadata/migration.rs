//! Steps of a schema: what all databases have in common about them.
//!
//! Each migration is a numbered file; its number and the SHA-256 of its text are recorded. A database with a number we do
//! not know was made by a newer program and is refused, as is one whose recorded migration is not ours.

use aws_lc_rs::digest;
use thiserror::Error;

/// One step of a schema.
pub(in crate::metadata) struct Migration {
    /// Number from 1, without gaps.
    pub(in crate::metadata) number: u32,
    /// The file's name.
    pub(in crate::metadata) name: &'static str,
    /// Its text.
    pub(in crate::metadata) sql: &'static str,
}

/// Why a database is not ours to use.
#[derive(Debug, Error)]
pub enum MigrationError {
    /// Another program's.
    #[error("what is there is not the metadata of a vault")]
    Foreign,
    /// Made by a newer program.
    #[error("the database has schema {found}, this program knows schemas up to {known}: use the newer program")]
    Newer {
        /// Highest number in the database.
        found: u32,
        /// Highest number known here.
        known: u32,
    },
    /// A migration was applied whose text is not ours.
    #[error("migration {number} ({name}) in the database is not the one this program knows")]
    Changed {
        /// Its number.
        number: u32,
        /// Its name here.
        name: &'static str,
    },
    /// A migration is recorded while an earlier one is not.
    #[error("migration {number} is missing in the database although a later one was applied")]
    Gap {
        /// The missing number.
        number: u32,
    },
}

/// Whether what is recorded is a beginning of what we know.
pub(in crate::metadata) fn check(recorded: &[(u32, [u8; 32])], migrations: &[Migration]) -> Result<(), MigrationError> {
    let known = migrations.last().map_or(0, |migration| migration.number);
    if let Some((found, _)) = recorded.last()
        && *found > known
    {
        return Err(MigrationError::Newer { found: *found, known });
    }
    for (migration, (number, hash)) in migrations.iter().zip(recorded) {
        if migration.number != *number {
            return Err(MigrationError::Gap { number: migration.number });
        }
        if sha256(migration.sql) != *hash {
            return Err(MigrationError::Changed { number: *number, name: migration.name });
        }
    }
    Ok(())
}

/// The hash that is recorded.
pub(in crate::metadata) fn sha256(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    hash
}
