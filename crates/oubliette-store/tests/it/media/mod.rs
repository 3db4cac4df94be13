//! Media for the key forest: folders, rows of PostgreSQL, objects, and two of them at once.

mod conformance;
mod faults;
mod fence;
mod figures;
mod folder;
mod lives;
mod mending;
mod mirrored;
mod objects;
mod proxy;
mod records;
mod retries;
mod schema;
mod setup;
mod simulated;
mod standby;
mod twin;
mod values;
