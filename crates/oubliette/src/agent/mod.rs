//! The escrow agent: a small daemon beside somebody else's disks. It holds the current envelope of one vault's root, in an
//! erasable register of its own, and forgets it when it is told to.
//!
//! It cannot open what it holds: the recovery key lies off line. It gives an envelope out only while its operator has allowed
//! that with `oubliette agent release`. There is nothing else: no keys, no contents, nothing personal.

mod config;
mod release;
mod serve;

pub use config::AgentConfig;
pub use release::Release;
pub use serve::{RunningAgent, start};
