//! oubliette-store
