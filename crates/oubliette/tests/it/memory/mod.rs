//! How much memory the real program takes: with large recordings going through it, and with a large vault in it.
//!
//! Memory is what the kernel counts as resident (pages of files that SQLite or the blob store read through the page cache
//! are not), above what the idle program takes.

mod recordings;
mod resident;
mod traffic;
mod vaults;
