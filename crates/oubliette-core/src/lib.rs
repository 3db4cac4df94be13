//! The domain of Oubliette: interactions and contents, how they are sealed, found and erased, and the ports this needs.
//!
//! Start at [`service::Vault`]. The protocol is told in `docs/erasure.md`.

mod audio;
pub mod crypto;
pub mod directory;
pub mod email;
pub mod ids;
pub mod model;
pub mod phone;
pub mod ports;
pub mod proof;
pub mod secrets;
pub mod service;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod transcript;
