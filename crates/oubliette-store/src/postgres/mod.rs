//! Connections to PostgreSQL, for every adapter that keeps its rows there.
//!
//! [`Options`] say which server; a [`Connector`] opens [`Session`]s to it, each checked before it is used: the version, the
//! settings on which "committed" rests, the encoding, that it is a primary. A [`Pool`] lends sessions for reads.
//!
//! - *Invariant:* the password shows in no error, no log line and no `Debug`.
//! - *Invariant:* an error carries the server's code and the name of what it is about, never a value of a row.
//! - *Invariant:* whoever speaks TLS here checked certificate and name.
//! - *Absent:* statements on rows; they belong to the adapters.

mod connector;
mod error;
mod options;
mod pipeline;
mod pool;
mod session;
mod tls;

pub use connector::{Connector, LOCKS};
pub use error::{PostgresError, fault, port_error};
pub use options::{Options, Password, Target};
pub use pipeline::in_order;
pub use pool::Pool;
pub use session::{Parameter, Session};
