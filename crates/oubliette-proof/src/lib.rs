//! oubliette-proof
