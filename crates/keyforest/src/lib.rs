//! A puncturable key forest.
//!
//! Every key of a vault hangs from one 32-byte root. Erasing *punctures* leaves; a *seal* writes the new state under a fresh
//! root, proves from the written bytes that it is complete, puts the new root into the register and destroys the old one.
//! From then on nobody who owns every other byte that was ever written can derive a punctured leaf.
//!
//! This crate knows nothing of interactions and does no I/O of its own: packs, journal and register stand on the small
//! traits in [`media`]. The protocol and its crash analysis are described in `docs/erasure.md`; the formats at the head of
//! each module: `ggm` (derivation), `page` (pages and references), `root` (register slot and state root page), `packs` and
//! `journal` (files).

#[cfg(feature = "attack")]
pub mod attack;
mod build;
mod cache;
mod copy;
mod error;
mod forest;
mod ggm;
mod journal;
mod lanes;
mod leaf;
pub mod media;
mod open;
mod packs;
mod page;
mod probe;
mod readback;
mod root;
mod seal;
mod secret;
mod state;
mod types;
mod verify;
mod vouch;

#[cfg(test)]
mod golden_tests;

pub use copy::{destroy_roots, hand_root_over, holds_pages, holds_root, newest_epoch};
pub use error::{ForestError, KeyError, SealError};
pub use forest::Forest;
pub use journal::{LONGEST_JOURNAL_FILE, whole_journal};
pub use leaf::{Group, Leaf, LeafKey, LeafSet};
pub use open::opens;
pub use packs::number as pack_number;
#[cfg(feature = "broken-variants")]
pub use probe::Broken;
pub use probe::{CRASH_POINTS, NoProbe, Probe};
pub use root::RootName;
pub use types::{Change, ForestConfig, Lane, LeafStatus, OpenReport, Pins, Sealed, Stores};
