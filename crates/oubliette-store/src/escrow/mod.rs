//! Escrow of the root: what brings a vault back whose machine is gone, and yet forgets with every seal.
//!
//! Agents hold the current root, sealed to a recovery key that lies off line, each in an erasable register of its own. A
//! static copy of a root would defeat every later purge, so there is none: with every seal the agents get the new root beside
//! the old one, and the seal counts only when enough of them have destroyed the old one. `quorum` says how many; `slots` says
//! where an agent puts what.

pub mod client;
pub mod depot;
pub mod envelope;
pub mod escrowed;
mod ledger;
pub mod link;
pub mod printable;
pub mod quorum;
pub mod recovery;
pub mod recovery_key;
pub mod register;
pub mod shamir;
pub mod slots;
mod sys;
pub mod wire;
pub mod xwing;

pub use client::{AgentFiles, HttpsAgent};
pub use depot::{Depot, Keep, Kept, Opened, Refused, Stamp};
pub use envelope::{Envelope, EnvelopeError};
pub use escrowed::{AgentReport, Before, EscrowError, EscrowOptions, Escrowed};
pub use keyforest::RootName as Root;
pub use link::{AgentLink, AgentState, AskClaim, LinkError, Raise, dismiss};
pub use quorum::{Quorum, QuorumError};
pub use recovery_key::{PublicKey, RecoveryKeyError, SecretKey};
pub use register::{LiesIn, Note, Noted, RegisterId, Settle};
