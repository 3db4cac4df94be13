//! `[postgres]`

use std::path::PathBuf;

use crate::config::section::section;

section! {
    /// How PostgreSQL is reached when `storage.metadata` names it. Its address, database, user and `sslmode` stand in that
    /// URL; several hosts, separated by commas, are tried until one takes writes.
    Postgres, "postgres" {
        /// File with the password. Never in the URL.
        password_file: Option<PathBuf> = None,
        /// PEM file with the authorities that may have signed the server's certificate. Default: the system's.
        ca_file: Option<PathBuf> = None,
        /// Connections that read, at most. Those that write and those of the key state come on top: about eight.
        connections: u32 = 16,
        /// A statement is given up after this long.
        statement_timeout_seconds: u64 = 30,
        /// A connection is given up after this long.
        connect_timeout_seconds: u64 = 10,
    }
}
