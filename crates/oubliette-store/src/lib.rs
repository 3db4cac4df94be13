//! oubliette-store

pub mod media;
pub mod roots;
