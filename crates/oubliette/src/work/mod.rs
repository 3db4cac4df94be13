//! Background work of the program.

pub mod fetch;
pub mod witness;
