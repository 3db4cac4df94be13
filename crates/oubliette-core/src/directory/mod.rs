//! The directory: which interactions a session id, phone number, e-mail or other personal key names.
//!
//! On disk it is a row of sealed blocks in order of arrival, 32 interactions each (design §3): no place, key or update on
//! disk depends on a personal datum. The map from tags to groups lives in memory only and is rebuilt from the blocks at
//! start; tags are keyed with a secret of this process, truncated, and every hit is confirmed by opening the interaction.

mod block;
mod keys;
mod map;

pub use block::{BLOCK_ENTRIES, Block, Entry};
pub use keys::{KeyKind, confirm, is_external, keys_of, of_lookup, tags};
pub use map::LookupMap;
