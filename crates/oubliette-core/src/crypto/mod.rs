//! How bytes are sealed, and how a seal ends.
//!
//! [`chunked`] is the public format (C2SP chunked encryption), pure. [`layout`] puts our own header in front of it and hides
//! the exact length ([`padding`]). [`KeyCell`] holds the key of one leaf where it can be taken away from every running upload
//! and download at once. [`seal_stream`] and [`open_range`] connect those to streams and to the blob store, and never hold
//! more than a few hundred kilobytes.
//!
//! Not here: where leaf keys come from (`keyforest`), which leaves are erased (the services).

mod body;
pub mod chunked;
mod key_cell;
pub mod layout;
pub mod padding;
mod plaintext;
pub mod record;

pub use body::{BlobRead, OpenError, RangeStream, SealError, SealedBody, open_range, seal_stream};
pub use key_cell::{CellError, CellOpener, CellSealer, KeyCell, Revoked};
pub use layout::BlobContext;
pub use plaintext::Plaintext;
