//! What tests of this crate and of the adapters share: judges and conformance suites.

pub mod blobs;
pub mod conformance;
pub mod live;
pub mod machine;
