//! What a log's entries say, in bytes that never change.
//!
//! ```text
//! entry        "OUBL" ‖ version u8 = 1 ‖ kind u8 ‖ time u64 ‖ body
//! u8 … u64     big-endian
//! hash         32 bytes
//! time         seconds since 1970, by the operator's clock, at most 253402300799 (the year 9999)
//! token        length u8 (1 to 64) ‖ letters, digits and . _ : / - of ASCII
//! origin       length u8 (1 to 255) ‖ UTF-8 without spaces, pluses and control characters
//! list         count u8 ‖ items
//! ```
//! Fixed layouts without optional spellings: a value has one encoding, and whatever [`Entry::decode`] reads is encoded to the
//! same bytes again. The bodies stand at the heads of [`seal`](SealEntry), [`batch`](BatchEntry), [`key`](KeyRotation) and
//! [`event`](RestoreEntry) modules.
//!
//! | kind | entry | body |
//! | --- | --- | --- |
//! | 1 | [`SealEntry`] | a purge's keys were destroyed |
//! | 2 | [`BatchEntry`] | contents were taken in |
//! | 3 | [`BatchEntry`] | blobs of erased contents were removed |
//! | 4 | [`KeyRotation`] | the log changes its key |
//! | 5 | [`RestoreEntry`] | an older copy of the data was brought back |
//! | 6 | [`HoldEntry`] | a hold was placed or released |
//! | 7 | [`PartyDropped`] | a mirror or an agent is no longer waited for |
//! | 8 | [`LogOpened`] | first entry of a log |
//! | 9 | [`LogClosed`] | last entry of a log |
//!
//! Nothing in an entry is derived from content, phone numbers or sessions, and no entry carries an id: those are in salted
//! receipts ([`crate::receipt`]), of which an entry has the Merkle root.

mod batch;
mod codec;
mod event;
mod key;
mod seal;

pub use batch::BatchEntry;
pub use codec::Token;
pub use event::{
    HoldAction, HoldEntry, LogClosed, LogOpened, Party, PartyDropped, RestoreEntry, RestoreStage, UnsignedDrop,
};
pub use key::KeyRotation;
pub use seal::{Event, EventCount, SealEntry};

use codec::{Reader, Writer};

use crate::time::Seconds;

const MAGIC: &[u8] = b"OUBL";
const VERSION: u8 = 1;

/// An entry cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Not of a version that is known here.
    #[error("the log entry is of no version that is known here")]
    Version,
    /// Not as the version has it.
    #[error("malformed log entry")]
    Malformed,
}

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was made, by the operator's clock.
    pub time: Seconds,
    /// What it says.
    pub body: Body,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Keys were destroyed.
    Seal(SealEntry),
    /// Contents were taken in: the root is over their commitments ([`crate::receipt::Existed`]).
    Ingest(BatchEntry),
    /// Blobs were removed: the root is over [`crate::receipt::Removed`].
    Removal(BatchEntry),
    /// The log changes its key.
    KeyRotation(KeyRotation),
    /// An older copy of the data was brought back.
    Restore(RestoreEntry),
    /// A hold was placed or released.
    Hold(HoldEntry),
    /// A mirror or agent is no longer waited for.
    PartyDropped(PartyDropped),
    /// First entry.
    LogOpened(LogOpened),
    /// Last entry.
    LogClosed(LogClosed),
}

impl Body {
    /// Name of the kind, for people and figures.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Seal(_) => "seal",
            Self::Ingest(_) => "ingest",
            Self::Removal(_) => "removal",
            Self::KeyRotation(_) => "key-rotation",
            Self::Restore(_) => "restore",
            Self::Hold(_) => "hold",
            Self::PartyDropped(_) => "party-dropped",
            Self::LogOpened(_) => "log-opened",
            Self::LogClosed(_) => "log-closed",
        }
    }
}

impl Entry {
    /// The entry's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.bytes(MAGIC);
        out.u8(VERSION);
        let (kind, write): (u8, &dyn Fn(&mut Writer)) = match &self.body {
            Body::Seal(body) => (1, &|out| body.write(out)),
            Body::Ingest(body) => (2, &|out| body.write(out)),
            Body::Removal(body) => (3, &|out| body.write(out)),
            Body::KeyRotation(body) => (4, &|out| body.write(out)),
            Body::Restore(body) => (5, &|out| body.write(out)),
            Body::Hold(body) => (6, &|out| body.write(out)),
            Body::PartyDropped(body) => (7, &|out| body.write(out)),
            Body::LogOpened(body) => (8, &|out| body.write(out)),
            Body::LogClosed(body) => (9, &|out| body.write(out)),
        };
        out.u8(kind);
        out.time(self.time);
        write(&mut out);
        out.finish()
    }

    /// Reads an entry's bytes; nothing may follow it. Total: any bytes are an entry or an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let mut from = Reader::new(bytes);
        if from.take(MAGIC.len()) != Some(MAGIC) || from.u8() != Some(VERSION) {
            return Err(EntryError::Version);
        }
        Self::read(&mut from).filter(|_| from.is_empty()).ok_or(EntryError::Malformed)
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let kind = from.u8()?;
        let time = from.time()?;
        let body = match kind {
            1 => Body::Seal(SealEntry::read(from)?),
            2 => Body::Ingest(BatchEntry::read(from)?),
            3 => Body::Removal(BatchEntry::read(from)?),
            4 => Body::KeyRotation(KeyRotation::read(from)?),
            5 => Body::Restore(RestoreEntry::read(from)?),
            6 => Body::Hold(HoldEntry::read(from)?),
            7 => Body::PartyDropped(PartyDropped::read(from)?),
            8 => Body::LogOpened(LogOpened::read(from)?),
            9 => Body::LogClosed(LogClosed::read(from)?),
            _ => return None,
        };
        Some(Self { time, body })
    }
}
