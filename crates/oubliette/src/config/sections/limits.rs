//! `[limits]`

use crate::config::section::section;

section! {
    /// Everything has a limit.
    Limits, "limits" {
        /// Largest recording or other content in bytes.
        max_content_bytes: u64 = 8 << 30,
        /// Largest JSON body in bytes.
        max_json_bytes: usize = 4 << 20,
        /// Largest request head in bytes (at least 8192).
        max_header_bytes: usize = 32 << 10,
        /// Connections served at once; further ones wait to be accepted.
        max_connections: usize = 1024,
        /// Seconds a TLS handshake may take.
        handshake_timeout_seconds: u64 = 10,
        /// Seconds a client may take to send a request's head, also counted between two requests of a connection.
        header_timeout_seconds: u64 = 60,
        /// Seconds a client may pause while sending a body or while taking in an answer.
        stall_timeout_seconds: u64 = 60,
        /// Seconds that running requests get to finish when the server is told to stop.
        drain_timeout_seconds: u64 = 30,
    }
}
