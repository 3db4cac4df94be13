//! Older copies of the data beside the key state as it is now: what is live comes back, what was erased does not.

mod checks;
mod copies;
mod disk;
mod house;
mod journal;
mod load;
mod program;
mod proofs;
pub mod servers;
mod set_back;
