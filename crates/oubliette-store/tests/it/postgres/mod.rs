//! Everything on PostgreSQL: connections, and what is its own in the metadata. `scripts/engines.sh` starts the server.

pub(crate) mod cluster;
mod commits;
mod connect;
mod failover;
mod journal;
mod metadata;
mod own;
mod plans;
mod proxy;
pub(crate) mod support;
mod together;

pub use support::Database;
