//! The sections, one file each.

mod cors;
mod erasure;
mod ingest;
mod limits;
mod log;
mod metrics;
mod participants;
mod phones;
mod server;
mod storage;
mod tls;
mod vonage;

pub use cors::Cors;
pub use erasure::Erasure;
pub use ingest::Ingest;
pub use limits::Limits;
pub use log::{Log, LogFormat};
pub use metrics::Metrics;
pub use participants::Participants;
pub use phones::Phones;
pub use server::Server;
pub use storage::Storage;
pub use tls::Tls;
pub use vonage::Vonage;
