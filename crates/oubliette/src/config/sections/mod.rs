//! The sections, one file each.

mod cors;
mod erasure;
mod ingest;
mod key_state;
mod limits;
mod log;
mod metrics;
mod openbao;
mod participants;
mod phones;
mod pkcs11;
mod postgres;
mod root;
mod s3;
mod server;
mod storage;
mod tls;
mod vonage;

pub use cors::Cors;
pub use erasure::Erasure;
pub use ingest::Ingest;
pub use key_state::KeyState;
pub use limits::Limits;
pub use log::{Log, LogFormat};
pub use metrics::Metrics;
pub use openbao::Openbao;
pub use participants::Participants;
pub use phones::Phones;
pub use pkcs11::Pkcs11;
pub use postgres::Postgres;
pub use root::Root;
pub use s3::S3;
pub use server::Server;
pub use storage::Storage;
pub use tls::Tls;
pub use vonage::Vonage;
