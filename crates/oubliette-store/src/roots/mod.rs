//! Root stores: the only places whose overwritten bytes must really be gone.

pub mod check;
pub mod fiemap;
pub mod file;

pub use check::{Finding, RegisterAssessment, Weight, assess};
pub use file::{FileRegister, RegisterError};
