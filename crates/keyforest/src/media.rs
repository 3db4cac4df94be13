//! What packs, journal and register stand on: files with explicit durability, and a two-slot device.
//!
//! All calls block; callers run them off the asynchronous threads.

use std::borrow::Cow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

use thiserror::Error;
use zeroize::Zeroizing;

/// Named, append-mostly files of one folder. Nothing is durable before [`Medium::flush`] returned `Ok`.
///
/// After a failed flush the caller must treat the process as lost: a later flush may succeed on clean cache that never
/// reached the disk. Only an error made by [`not_done`] says otherwise.
pub trait Medium: Send + Sync {
    /// Creates an empty file durably (its name survives a power cut), reserving `reserve` bytes of disk where possible.
    ///
    /// A flush that fails inside is never reported as [`io::ErrorKind::StorageFull`] or another kind that means *certainly
    /// not done*: the forest tries those again.
    fn create(&self, name: &str, reserve: u64) -> io::Result<()>;
    /// Writes at an offset; grows the file as needed. Not durable.
    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes all earlier writes to the file durable.
    ///
    /// With an error made by [`not_done`] the medium keeps every byte that it was handed, and the next flush that returns
    /// `Ok` makes them durable too.
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

/// The error of a creation or a flush that did not come about and may be tried again: nothing was forgotten on the way.
/// Part of it may lie on the medium already; what is written there later replaces it.
///
/// For media that know it, such as a database that answered that it rolled back. A file's flush never does.
pub fn not_done(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::other(NotDone(source.into()))
}

/// Whether an error was made by [`not_done`].
pub fn is_not_done(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<NotDone>())
}

#[derive(Debug)]
struct NotDone(Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for NotDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not done, to be tried again")
    }
}

impl std::error::Error for NotDone {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// Size of a register slot's block in bytes.
pub const SLOT_BYTES: usize = 4096;

/// What the forest uses of a block that it writes: the rest is zero, and a device may need that room for itself.
pub const SLOT_RECORD: usize = 512;

/// Why a change of a slot is not known to be done, by what to do next.
#[derive(Debug, Error)]
pub enum SlotError {
    /// It may have happened or not. Make the same call again until it succeeds: that is safe, and nothing else may be
    /// done to the register before. A store out of reach says this.
    #[error(transparent)]
    Again(io::Error),
    /// What is there now is not known and cannot be found out by this process: it must end and recover. A failed flush.
    #[error(transparent)]
    End(io::Error),
}

impl From<SlotError> for io::Error {
    fn from(error: SlotError) -> Self {
        match error {
            SlotError::Again(error) | SlotError::End(error) => error,
        }
    }
}

/// Two slots. The only medium whose overwritten and destroyed contents must be gone.
pub trait SlotDevice: Send + Sync {
    /// The class named in status and certificates, for example `file`.
    fn class(&self) -> Cow<'static, str>;
    /// Reads slot 0 or 1 from the device, never from the page cache. A slot that was destroyed, never written or written
    /// only in part gives anything that is not a whole record; an error means that it could not be found out.
    fn read_slot(&self, slot: usize) -> io::Result<Box<[u8; SLOT_BYTES]>>;
    /// Puts a block into slot 0 or 1. On `Ok` it is durable, reads back, and what the slot held before is gone for ever.
    /// The other slot stays as it is, whatever happens. Only the first [`SLOT_RECORD`] bytes may be other than zero.
    fn write_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError>;
    /// Makes durable what slot 0 or 1 holds and was read as `block`: a cache may have shown what the medium never got. The
    /// root in force goes this way, so at no moment may the slot be without it. Overwriting a block with itself is that;
    /// a device that stores a block in pieces has to rewrite each with itself.
    fn rewrite_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
        self.write_slot(slot, block)
    }
    /// Makes what slot 0 or 1 holds unreadable for ever; on `Ok` it is so. Unless a device has another way, its slot is
    /// overwritten with random bytes.
    fn destroy_slot(&self, slot: usize) -> Result<(), SlotError> {
        let mut noise = Zeroizing::new([0; SLOT_BYTES]);
        crate::secret::random(&mut noise[..]).map_err(|_| SlotError::Again(io::Error::other("no random numbers")))?;
        self.write_slot(slot, &noise)
    }
}

/// Two slots in memory: what they hold dies with the process. For a root that is to be proven before any store gets it.
#[derive(Default)]
pub struct MemorySlots([Mutex<Held>; 2]);

/// What a slot in memory holds; wiped when it is let go.
type Held = Option<Box<Zeroizing<[u8; SLOT_BYTES]>>>;

impl MemorySlots {
    fn slot(&self, slot: usize) -> io::Result<MutexGuard<'_, Held>> {
        let slot = self.0.get(slot).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(slot.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl SlotDevice for MemorySlots {
    fn class(&self) -> Cow<'static, str> {
        "memory".into()
    }

    fn read_slot(&self, slot: usize) -> io::Result<Box<[u8; SLOT_BYTES]>> {
        let mut block = Box::new([0; SLOT_BYTES]);
        if let Some(held) = &*self.slot(slot)? {
            block.copy_from_slice(&held[..]);
        }
        Ok(block)
    }

    fn write_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
        let mut fresh = Box::new(Zeroizing::new([0; SLOT_BYTES]));
        fresh.copy_from_slice(block);
        *self.slot(slot).map_err(SlotError::End)? = Some(fresh);
        Ok(())
    }
}
