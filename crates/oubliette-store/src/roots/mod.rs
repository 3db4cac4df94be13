//! Root stores: the only places whose overwritten bytes must really be gone.

pub mod file;

pub use file::{FileRegister, RegisterError};
