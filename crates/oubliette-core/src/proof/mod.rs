//! From what the vault knows to what the log says: how receipts are made of rows, and what is kept to make them again.
//!
//! Nothing here touches a store. Receipts are *deterministic*: a salt is an HMAC, under a key that never leaves the key state,
//! of what it salts. So a receipt need not be kept; it is made again from the purge's row and its [`Manifest`], byte for byte
//! the one whose commitment is in the log.

mod arrivals;
mod codec;
mod facts;
mod manifest;
mod receipts;
mod root;
mod stated;

pub use arrivals::{Arrival, batch_places, place_of, read_arrivals, read_notes, write_arrivals, write_note};
pub use facts::SealFacts;
pub(crate) use facts::token;
pub use manifest::{Manifest, ManifestBuilder, Shape, Single, places_of, purge_places};
pub use receipts::{Receipts, Salts, content_facts, interaction_facts, order_facts};
pub use root::RootBuilder;
pub use stated::{Stated, role_of};
