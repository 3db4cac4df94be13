//! Escrow of the root: what brings a vault back whose machine is gone, and yet forgets with every seal.
//!
//! Agents hold the current root, sealed to a recovery key that lies off line, each in an erasable register of its own. A
//! static copy of a root would defeat every later purge, so there is none: with every seal the agents get the new root beside
//! the old one, and the seal counts only when enough of them have destroyed the old one. `quorum` says how many; `slots` says
//! where an agent puts what.

pub mod quorum;
pub mod slots;

pub use quorum::{Quorum, QuorumError};
