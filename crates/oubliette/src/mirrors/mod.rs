//! A mirror of the key state at another Oubliette: the vault's side ([`Remote`]) and the other's ([`host`]).
//!
//! Mutual TLS 1.3; HTTP/1.1 with small binary requests. What travels is ciphertext and leaf numbers, as in every mirror.
//!
//! ```text
//! POST /mirror/v1/INSTANCE/OPERATION?name=FILE&at=OFFSET&len=LENGTH     header oubliette-session: the answer to `open`
//!
//! open      begins a session and ends the one before; the session's number      list     lines "LENGTH NAME"
//! create    makes an empty file                                                 flush    makes a file durable
//! write     the body at an offset; with len=flush durable on the answer         truncate cuts a file
//! read      bytes as they are on the device                                     remove   removes a file durably
//! ```
//!
//! Answers: 200; 404 no such file; 409 it is there already; 410 the session is over; 403 another's; 416 beyond the end;
//! 507 no room; 500 anything else, after which the session is over.

pub mod host;
mod remote;

pub use remote::Remote;

/// The session's number.
const SESSION: &str = "oubliette-session";
/// Most bytes of one request's or answer's body.
const MOST: usize = 8 << 20;
/// Longest list of files that is kept for a vault.
const FILES: usize = 100_000;
