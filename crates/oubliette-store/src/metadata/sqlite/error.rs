//! What SQLite's errors mean to a caller of the port.

use oubliette_core::ports::{PortError, PortErrorKind};
use rusqlite::{Error, ErrorCode, ffi};

/// The port's error for a statement that failed. Statements fail *before* a commit, so nothing was done.
///
/// SQLite's messages name tables and columns, never values, so they are safe to keep as the source.
pub(super) fn port_error(operation: &'static str, error: Error) -> PortError {
    PortError::new(kind(&error), operation, error)
}

/// A value outside what a column can hold.
pub(super) fn refused(operation: &'static str) -> PortError {
    PortError::bare(PortErrorKind::Refused, operation)
}

fn kind(error: &Error) -> PortErrorKind {
    match error {
        Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => PortErrorKind::Corrupt,
            ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch => PortErrorKind::Refused,
            _ => PortErrorKind::Unavailable,
        },
        Error::ToSqlConversionFailure(_) => PortErrorKind::Refused,
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..)
        | Error::QueryReturnedNoRows => PortErrorKind::Corrupt,
        _ => PortErrorKind::Unavailable,
    }
}

/// Whether a flush failed somewhere: what the disk holds is then unknown, and asking it again may give a false yes.
pub(super) fn flush_failed(error: &Error) -> bool {
    let flushes =
        [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC, ffi::SQLITE_IOERR_TRUNCATE, ffi::SQLITE_IOERR_CLOSE];
    matches!(error, Error::SqliteFailure(failure, _) if flushes.contains(&failure.extended_code))
}

/// Whether a failed COMMIT certainly did not happen.
///
/// A full disk or a read-only file stops the log before its commit frame is written, and without that frame recovery drops
/// the rest. Any other failure, an I/O error above all, may come after it.
pub(super) fn commit_certainly_failed(error: &Error) -> bool {
    let certain = [ErrorCode::DiskFull, ErrorCode::ReadOnly, ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked];
    matches!(error, Error::SqliteFailure(failure, _) if certain.contains(&failure.code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: std::ffi::c_int) -> Error {
        Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn a_full_or_read_only_disk_at_commit_is_certain_and_an_io_error_is_not() {
        assert!(commit_certainly_failed(&failure(ffi::SQLITE_FULL)));
        assert!(commit_certainly_failed(&failure(ffi::SQLITE_READONLY)));
        for unsure in [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_NOMEM, ffi::SQLITE_CORRUPT] {
            assert!(!commit_certainly_failed(&failure(unsure)), "{unsure}");
        }
    }

    #[test]
    fn a_failed_flush_is_told_from_other_io_errors() {
        assert!(flush_failed(&failure(ffi::SQLITE_IOERR_FSYNC)));
        assert!(!flush_failed(&failure(ffi::SQLITE_IOERR_READ)));
        assert!(!flush_failed(&failure(ffi::SQLITE_FULL)));
    }

    #[test]
    fn kinds_follow_what_the_caller_can_do() {
        assert_eq!(kind(&failure(ffi::SQLITE_FULL)), PortErrorKind::Unavailable);
        assert_eq!(kind(&failure(ffi::SQLITE_IOERR_READ)), PortErrorKind::Unavailable);
        assert_eq!(kind(&failure(ffi::SQLITE_CORRUPT)), PortErrorKind::Corrupt);
        assert_eq!(kind(&failure(ffi::SQLITE_CONSTRAINT_UNIQUE)), PortErrorKind::Refused);
    }
}
