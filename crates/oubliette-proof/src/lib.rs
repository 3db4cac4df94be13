//! What an outsider checks: formats and rules by which an erasure is proven. No I/O: functions over bytes, none of which
//! panics on what it is given.
//!
//! - [`tree`]: Merkle tree hashing (RFC 6962, RFC 9162), proofs, the tiles in which a log is stored (C2SP tlog-tiles).
//! - [`note`]: signed notes, keys, checkpoints, cosignatures, tlog-proof files (C2SP signed-note, tlog-checkpoint,
//!   tlog-cosignature, tlog-proof).
//!
//! All keys and hashes are aws-lc's.

pub mod note;
pub mod tree;

mod encoding;
mod hash;

pub use hash::{Hash, sha256};
