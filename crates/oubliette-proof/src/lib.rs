//! What an outsider checks: formats and rules by which an erasure is proven. No I/O: functions over bytes, none of which
//! panics on what it is given.
//!
//! - [`tree`]: Merkle tree hashing (RFC 6962, RFC 9162), proofs, the tiles in which a log is stored (C2SP tlog-tiles).
//! - [`note`]: signed notes, keys, checkpoints, cosignatures, tlog-proof files (C2SP signed-note, tlog-checkpoint,
//!   tlog-cosignature, tlog-proof).
//! - [`entry`]: what the log's entries say.
//! - [`receipt`]: salted commitments under an entry's root.
//! - [`certificate`]: a receipt with all that is needed to check it offline, one or a million; and what it means in words.
//! - [`audit`]: whether a log has only grown.
//!
//! `docs/proof.md` describes the same for readers who check by hand. All keys and hashes are aws-lc's.

pub mod audit;
pub mod certificate;
pub mod entry;
pub mod note;
pub mod receipt;
pub mod tree;

mod encoding;
mod hash;
mod id;
mod json;
mod time;

pub use entry::Token;
pub use hash::{Hash, sha256};
pub use id::{ItemId, Salt};
pub use time::Seconds;
