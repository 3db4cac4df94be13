//! A puncturable key forest.
//!
//! Every key of a vault hangs from one 32-byte root. Erasing *punctures* leaves; a *seal* writes the new state under a fresh
//! root, proves from the written bytes that it is complete, puts the new root into the register and destroys the old one.
//! From then on nobody who owns every other byte that was ever written can derive a punctured leaf.
//!
//! This crate knows nothing of interactions and does no I/O of its own: packs, journal and register stand on the small
//! traits in [`media`]. The protocol and its crash analysis are described in `docs/erasure.md`.

mod forest;
mod leaf;
pub mod media;
mod probe;

pub use forest::{
    Change, Forest, ForestConfig, ForestError, KeyError, Lane, LeafStatus, OpenReport, Pins, SealError, Sealed, Stores,
};
pub use leaf::{Group, Leaf, LeafKey, LeafSet};
pub use probe::{NoProbe, Probe};
