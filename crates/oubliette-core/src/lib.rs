//! The domain of Oubliette: interactions and contents, how they are sealed, found and erased, and the ports this needs.
//!
//! Start at [`service::Vault`]. The protocol is told in `docs/erasure.md`.

pub mod crypto;
pub mod model;
pub mod ports;
pub mod service;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod transcript;
