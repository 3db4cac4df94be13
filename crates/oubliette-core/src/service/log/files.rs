//! Appending to the log's files and reading from them.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use keyforest::Probe;
use keyforest::media::{Medium, is_not_done};
use oubliette_proof::Hash;
use oubliette_proof::tree::{TILE_WIDTH, leaf_hash};

use super::frame::{FILE_HEAD, FileHead, FileId, Sum, read_frame, write_frame};
use super::load::MAX_ENTRY;
use super::places::{Piece, Placed, SEGMENT, Segment};
use super::{LogError, index};

/// Entries are written and not flushed.
pub(super) const WRITTEN: &str = "log.append.written";
/// Entries are durable and nothing was signed over them.
pub(super) const DURABLE: &str = "log.append.durable";
/// An index was written.
pub(super) const INDEXED: &str = "log.index.written";

/// The files of one log.
pub(super) struct Files {
    pub(super) medium: Arc<dyn Medium>,
    pub(super) probe: Arc<dyn Probe>,
    pub(super) ordinal: u32,
}

/// Where the next entries go.
pub(super) struct Writer {
    /// The file of this start, with the entry it begins with and its end.
    file: Option<(u32, u64, u64)>,
    next_file: u32,
    ended: bool,
}

impl Writer {
    pub(super) fn new(next_file: u32) -> Self {
        Self { file: None, next_file, ended: false }
    }
}

impl Files {
    fn name(&self, number: u32) -> String {
        FileId { ordinal: self.ordinal, number }.name()
    }

    /// Writes entries behind the first `size`, the last of which has `sum`, with one flush.
    pub(super) fn append(
        &self,
        writer: &mut Writer,
        size: u64,
        sum: Sum,
        entries: &[Vec<u8>],
    ) -> Result<Vec<(Placed, Sum)>, LogError> {
        if writer.ended {
            return Err(LogError::Ended(None));
        }
        if let Some(entry) = entries.iter().find(|entry| entry.len() > MAX_ENTRY) {
            return Err(LogError::TooLong(entry.len()));
        }
        let (number, first, end) = match writer.file {
            Some((number, first, end)) if size - first < SEGMENT => (number, first, end),
            _ => {
                let fresh = (self.create(writer)?, size, FILE_HEAD as u64);
                *writer.file.insert(fresh)
            }
        };
        let (mut bytes, mut placed, mut before) = (Vec::new(), Vec::with_capacity(entries.len()), sum);
        for (entry, at) in entries.iter().zip(size..) {
            let begin = end + bytes.len() as u64;
            before = write_frame(&mut bytes, &before, at, entry);
            let span = (begin, end + bytes.len() as u64);
            placed.push((Placed { leaf: leaf_hash(entry), file: number, span }, before));
        }
        let name = self.name(number);
        // A file's head goes with its first entries: one without them says nothing.
        let head = FileHead { id: FileId { ordinal: self.ordinal, number }, first, before: sum };
        let written = match end == FILE_HEAD as u64 {
            true => self.medium.write_at(&name, 0, &[head.encode(), bytes].concat()),
            false => self.medium.write_at(&name, end, &bytes),
        };
        // What a write that failed left there is replaced by the next one.
        written.map_err(LogError::NotDone)?;
        self.probe.reached(WRITTEN);
        self.medium.flush(&name).map_err(|error| writer.failed(error))?;
        self.probe.reached(DURABLE);
        let end = placed.last().map_or(end, |(placed, _)| placed.span.1);
        writer.file = Some((number, first, end));
        Ok(placed)
    }

    fn create(&self, writer: &mut Writer) -> Result<u32, LogError> {
        let number = writer.next_file;
        // Whatever became of it, its name is not used again.
        let next = number.checked_add(1).ok_or(LogError::Damaged("no file of the log has so high a number"))?;
        writer.next_file = next;
        writer.file = None;
        self.medium.create(&self.name(number), 0).map_err(|error| {
            use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
            // A medium gives these kinds for no failed flush.
            match error.kind() {
                StorageFull | QuotaExceeded | ReadOnlyFilesystem | PermissionDenied => LogError::NotDone(error),
                _ => writer.failed(error),
            }
        })?;
        Ok(number)
    }

    /// Writes the index of a whole segment. Not having it costs the next start time: what can be tried again is left to it.
    pub(super) fn index(&self, number: u32, segment: &Segment) -> Result<(), LogError> {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let written = index::write(&*self.medium, self.ordinal, number, segment);
        self.probe.reached(INDEXED);
        match written {
            Err(error) if is_not_done(&error) => Ok(()),
            Err(error) => match error.kind() {
                StorageFull | QuotaExceeded | ReadOnlyFilesystem | PermissionDenied => Ok(()),
                _ => Err(LogError::Ended(Some(error))),
            },
            Ok(()) => Ok(()),
        }
    }

    /// The entries of a tile, from its first on, that lie in these pieces; `good` says whether they are what was written.
    pub(super) fn entries(
        &self,
        tile: u64,
        pieces: &[Piece],
        good: impl Fn(&[Vec<u8>]) -> bool,
    ) -> Result<Vec<Vec<u8>>, LogError> {
        let mut failed = None;
        // Of two places one may be damaged.
        for back in [false, true] {
            match self.read(tile * TILE_WIDTH, pieces, back) {
                Ok(entries) if good(&entries) => return Ok(entries),
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        Err(match failed {
            Some(source) => LogError::Io { operation: "reading the log", source },
            None => LogError::Damaged("entries are not what was written"),
        })
    }

    fn read(&self, first: u64, pieces: &[Piece], back: bool) -> io::Result<Vec<Vec<u8>>> {
        let mut entries: Vec<Vec<u8>> = Vec::new();
        for piece in pieces {
            let len = usize::try_from(piece.to - piece.from).map_err(io::Error::other)?;
            let name = self.name(piece.file);
            let bytes = match back {
                true => self.medium.read_back(&name, piece.from, len)?,
                false => self.medium.read_at(&name, piece.from, len)?,
            };
            let mut at = 0;
            while let Some(frame) = read_frame(&bytes[at..], first + entries.len() as u64) {
                entries.push(frame.entry.to_vec());
                at += frame.len;
                if entries.len() as u64 == TILE_WIDTH {
                    return Ok(entries);
                }
            }
        }
        Ok(entries)
    }
}

impl Writer {
    fn failed(&mut self, error: io::Error) -> LogError {
        if is_not_done(&error) {
            return LogError::NotDone(error);
        }
        self.ended = true;
        LogError::Ended(Some(error))
    }
}

/// Leaf hashes of whole tiles that were read last: 8 KiB each.
#[derive(Default)]
pub(super) struct Leaves(Mutex<VecDeque<(u64, Arc<Vec<Hash>>)>>);

/// Tiles kept.
const KEPT: usize = 64;

impl Leaves {
    /// The leaf hashes of a tile, read by `read` when they are not kept.
    pub(super) fn get(
        &self,
        tile: u64,
        read: impl FnOnce() -> Result<Vec<Hash>, LogError>,
    ) -> Result<Arc<Vec<Hash>>, LogError> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, leaves)) = lock().iter().find(|(kept, _)| *kept == tile) {
            return Ok(Arc::clone(leaves));
        }
        let leaves = Arc::new(read()?);
        let mut kept = lock();
        kept.push_back((tile, Arc::clone(&leaves)));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        Ok(leaves)
    }
}
