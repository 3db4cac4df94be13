//! oubliette-core
