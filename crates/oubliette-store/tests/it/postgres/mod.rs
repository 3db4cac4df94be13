//! Everything on PostgreSQL: connections, and what is its own in the metadata. `scripts/engines.sh` starts the server.

mod cluster;
mod connect;
mod support;
