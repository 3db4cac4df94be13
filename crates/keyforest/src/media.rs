//! What packs, journal and register stand on: files with explicit durability, and a two-slot device.
//!
//! All calls block; callers run them off the asynchronous threads.

use std::io;

/// Named, append-mostly files of one folder. Nothing is durable before [`Medium::flush`] returned `Ok`.
///
/// After a failed flush the caller must treat the process as lost: a later flush may succeed on clean cache that never
/// reached the disk.
pub trait Medium: Send + Sync {
    /// Creates an empty file durably (its name survives a power cut), reserving `reserve` bytes of disk where possible.
    ///
    /// A flush that fails inside is never reported as [`io::ErrorKind::StorageFull`] or another kind that means *certainly
    /// not done*: the forest tries those again.
    fn create(&self, name: &str, reserve: u64) -> io::Result<()>;
    /// Writes at an offset; grows the file as needed. Not durable.
    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes all earlier writes to the file durable.
    fn flush(&self, name: &str) -> io::Result<()>;
    /// Reads exactly `len` bytes.
    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>>;
    /// Reads exactly `len` bytes from the device rather than from the page cache, as far as the system allows.
    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>>;
    /// Cuts the file to `len` bytes. Not durable before a flush.
    fn truncate(&self, name: &str, len: u64) -> io::Result<()>;
    /// Names and lengths of all files.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;
    /// Removes a file durably.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// Size of a register slot's block in bytes.
pub const SLOT_BYTES: usize = 4096;

/// Two blocks that are overwritten in place. The only medium whose overwritten bytes must be gone.
pub trait SlotDevice: Send + Sync {
    /// The class named in status and certificates, for example `file`.
    fn class(&self) -> &'static str;
    /// Reads slot 0 or 1 from the device, never from the page cache.
    fn read_slot(&self, slot: usize) -> io::Result<Box<[u8; SLOT_BYTES]>>;
    /// Overwrites slot 0 or 1 in place; durable on return.
    fn write_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> io::Result<()>;
}
