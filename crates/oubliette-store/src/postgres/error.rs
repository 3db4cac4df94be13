//! What PostgreSQL's errors mean to a caller of a port.

use std::error::Error as _;
use std::path::PathBuf;
use std::time::Duration;

use oubliette_core::ports::{PortError, PortErrorKind};
use thiserror::Error;

/// What went wrong with the server or on the way to it. Holds no value of a row and no password.
#[derive(Debug, Error)]
pub enum PostgresError {
    /// The URL.
    #[error(
        "the database's URL cannot be read; signs like / ? @ : in a user's name or a password have to be written as %XX"
    )]
    Url,
    /// The URL.
    #[error("the database's URL names no host")]
    NoHost,
    /// The URL.
    #[error("the database's URL asks for a server that only reads")]
    ReadOnlyWanted,
    /// The URL.
    #[error("sslmode has to be disable, require, verify-ca or verify-full")]
    SslMode,
    /// A file of the options.
    #[error("{what} {} cannot be read", path.display())]
    File {
        /// What it is for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// TLS cannot be prepared.
    #[error("TLS cannot be prepared: {0}")]
    Tls(String),
    /// The server answered with an error.
    #[error("{text} (SQLSTATE {code}{})", about.as_ref().map(|about| format!(", {about}")).unwrap_or_default())]
    Server {
        /// Its code.
        code: String,
        /// Its text where that cannot hold a value.
        text: String,
        /// The constraint or table it is about.
        about: Option<String>,
    },
    /// The connection broke, or could not be made.
    #[error("the connection to the database failed: {0}")]
    Lost(String),
    /// The server did not answer in time.
    #[error("no answer from the database within {0:?}")]
    Silent(Duration),
    /// Too old a server.
    #[error("the database runs on PostgreSQL {0}; 15 or newer is needed")]
    Old(String),
    /// A server that loses what it committed.
    #[error("the server runs with {setting} = {value}: what it answers as committed may be lost")]
    Unsafe {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
    },
    /// Not UTF-8.
    #[error("the database's encoding is {0}; it has to be UTF8")]
    Encoding(String),
    /// A stored value this program does not know.
    #[error("a stored value cannot be read: {0}")]
    Unreadable(&'static str),
    /// The database lacks commits that were seen.
    #[error(
        "the database went back: it holds {found} commits where {known} were seen; a server that lacked them took over"
    )]
    WentBack {
        /// What it counts.
        found: u64,
        /// What was seen.
        known: u64,
    },
    /// Another database than the one that was opened.
    #[error("the database is another vault's")]
    OtherVault,
    /// A later claim to the vault was made.
    #[error("another process has taken this vault over")]
    Superseded,
    /// It went back, or is another one, and was given up.
    #[error("the database was given up because it is not what it was")]
    Stopped,
    /// Committed on one server only, perhaps.
    #[error("the commit was not confirmed by the servers it has to reach")]
    Unconfirmed,
    /// Fewer or more rows changed than were named.
    #[error("{changed} rows were changed where {expected} were named")]
    Rows {
        /// How many were.
        changed: u64,
        /// How many should have been.
        expected: u64,
    },
}

/// The driver's error in our words.
///
/// The server quotes values in errors about data and constraints (classes 22 and 23) and in every detail: of these only the
/// code and the constraint's name are kept.
pub fn fault(error: &tokio_postgres::Error) -> PostgresError {
    if let Some(server) = error.as_db_error() {
        let code = server.code().code().to_owned();
        let text = match code.get(..2) {
            Some("22") => "a value does not fit".to_owned(),
            Some("23") => "a constraint does not hold".to_owned(),
            _ => server.message().to_owned(),
        };
        let about = server.constraint().or(server.table()).map(str::to_owned);
        return PostgresError::Server { code, text, about };
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    PostgresError::Lost(text)
}

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> Self {
        fault(&error)
    }
}

/// The port's error for what happened *before* a commit was sent: nothing was done.
pub fn port_error(operation: &'static str, error: PostgresError) -> PortError {
    PortError::new(error.kind(), operation, error)
}

impl PostgresError {
    /// What the caller has to do; for errors of the server and of connections, when no commit was under way.
    pub fn kind(&self) -> PortErrorKind {
        match self {
            Self::Url
            | Self::NoHost
            | Self::ReadOnlyWanted
            | Self::SslMode
            | Self::Tls(_)
            | Self::Old(_)
            | Self::Unsafe { .. }
            | Self::Encoding(_)
            | Self::OtherVault => PortErrorKind::Refused,
            Self::Server { code, .. } => match code.as_str() {
                "XX001" | "XX002" => PortErrorKind::Corrupt,
                // A value that does not fit, a constraint, a row beyond the server's limits.
                code if code.starts_with("22") || code.starts_with("23") || code.starts_with("54") => {
                    PortErrorKind::Refused
                }
                _ => PortErrorKind::Unavailable,
            },
            Self::Unreadable(_) => PortErrorKind::Corrupt,
            Self::WentBack { .. } | Self::Superseded | Self::Stopped | Self::Unconfirmed => PortErrorKind::Unknown,
            Self::File { .. } | Self::Lost(_) | Self::Silent(_) | Self::Rows { .. } => PortErrorKind::Unavailable,
        }
    }

    /// The server's code.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Server { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether the session is of no use any more.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Lost(_) | Self::Silent(_) => true,
            // The server is going down, was told to end this session, or never let us in.
            Self::Server { code, .. } => code.starts_with("57P") || code.starts_with("08") || code == "25P03",
            _ => false,
        }
    }

    /// Whether the same may succeed when done again at once: another transaction was in the way.
    pub fn is_conflict(&self) -> bool {
        matches!(self.code(), Some("40001" | "40P01"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: &str) -> PostgresError {
        PostgresError::Server { code: code.into(), text: "text".into(), about: None }
    }

    #[test]
    fn kinds_follow_what_the_caller_can_do() {
        for (code, kind) in [
            ("23505", PortErrorKind::Refused),
            ("22003", PortErrorKind::Refused),
            ("54000", PortErrorKind::Refused),
            ("XX001", PortErrorKind::Corrupt),
            ("40001", PortErrorKind::Unavailable),
            ("53100", PortErrorKind::Unavailable),
            ("57014", PortErrorKind::Unavailable),
        ] {
            assert_eq!(server(code).kind(), kind, "{code}");
        }
        assert_eq!(PostgresError::Unreadable("x").kind(), PortErrorKind::Corrupt);
        assert_eq!(PostgresError::Lost("x".into()).kind(), PortErrorKind::Unavailable);
    }

    #[test]
    fn a_session_the_server_ended_is_lost_and_a_conflict_is_not() {
        assert!(server("57P01").is_lost() && PostgresError::Lost(String::new()).is_lost());
        assert!(!server("40001").is_lost() && !server("57014").is_lost());
        assert!(server("40P01").is_conflict() && !server("23505").is_conflict());
    }
}
