//! Finding out what the log has: indexes first, then the entries behind the last of them.
//!
//! Nothing is appended to a file of an earlier start, because where a torn tail ends in one place it may not in another (a
//! medium of two places holds what it was given once and for all). A later file says at which entry it begins, and what an
//! earlier one has from there on does not count.
//!
//! What was appended after the last seal may have been read from a cache that no flush reached: it is written once more, the
//! same bytes to the same place, and flushed, before anything is signed over it.

use std::io;

use keyforest::media::Medium;
use oubliette_proof::tree::leaf_hash;

use super::frame::{FILE_HEAD, FRAME_HEAD, FileHead, FileId, Frame, read_frame, sum_after};
use super::places::{Placed, Places};
use super::{LogError, index};

/// Longest entry: a bundle's length field has two bytes.
pub(super) const MAX_ENTRY: usize = u16::MAX as usize;
const WINDOW: usize = 1 << 20;

/// What was found.
pub(super) struct Loaded {
    pub(super) places: Places,
    /// Number of the next new file.
    pub(super) next_file: u32,
    /// Segments whose index has to be made again.
    pub(super) unindexed: Vec<u32>,
}

/// Reads the log `ordinal`; entries below `sure` are known to be durable. Blocks.
pub(super) fn load(medium: &dyn Medium, ordinal: u32, sure: u64) -> Result<Loaded, LogError> {
    let listed = medium.list().map_err(|source| LogError::Io { operation: "listing the log", source })?;
    let mut files: Vec<(FileId, u64)> =
        listed.iter().filter_map(|(name, len)| Some((FileId::parse(name)?, *len))).collect();
    files.retain(|(id, _)| id.ordinal == ordinal);
    files.sort_unstable();
    let newest = files.last().map_or(0, |(id, _)| id.number);
    let next_file = newest.checked_add(1).ok_or(LogError::Damaged("no file of the log has so high a number"))?;

    let mut places = Places::new();
    let mut indexed = 0;
    while let Some(segment) = index::read(medium, ordinal, indexed, &listed) {
        places.adopt(&segment);
        indexed += 1;
    }
    let from = places.end();
    let mut heads = Vec::new();
    for (id, len) in files {
        if from.is_none_or(|(file, _)| id.number >= file) && len >= FILE_HEAD as u64 {
            let bytes = medium.read_back(&id.name(), 0, FILE_HEAD).map_err(reading)?;
            // A file whose head is not whole was made in the last moment of a process, and holds nothing.
            heads.extend(FileHead::decode(id, &bytes).map(|head| (head, len)));
        }
    }
    for (place, (head, len)) in heads.iter().enumerate() {
        let limit = heads.get(place + 1).map(|(next, _)| next.first);
        let goes_on = from.filter(|(file, _)| *file == head.id.number).map(|(_, offset)| offset);
        if goes_on.is_none() && (head.first != places.size() || head.before != places.sum()) {
            return Err(LogError::Damaged("entries are missing between two files"));
        }
        let begin = goes_on.unwrap_or(FILE_HEAD as u64);
        let mut cursor =
            Cursor { medium, name: head.id.name(), at: begin, end: *len, back: true, ..Cursor::new(medium) };
        let mut unsure = Unsure::default();
        take(&mut cursor, &mut places, head.id.number, limit, sure, &mut unsure)?;
        match limit {
            None => unsure.write_again(medium, head)?,
            Some(limit) if places.size() < limit => {
                // One place of two may be damaged.
                let at = places.end().filter(|(file, _)| *file == head.id.number).map_or(begin, |(_, end)| end);
                cursor = Cursor { at, back: false, window: Vec::new(), skip: 0, ..cursor };
                take(&mut cursor, &mut places, head.id.number, Some(limit), sure, &mut Unsure::default())?;
            }
            Some(_) => {}
        }
    }
    let unindexed = (indexed..places.segments()).collect();
    Ok(Loaded { places, next_file, unindexed })
}

/// Takes over the entries that a file has, up to `limit`.
fn take(
    cursor: &mut Cursor<'_>,
    places: &mut Places,
    file: u32,
    limit: Option<u64>,
    sure: u64,
    unsure: &mut Unsure,
) -> Result<(), LogError> {
    while limit.is_none_or(|limit| places.size() < limit) {
        let (begin, number) = (cursor.at, places.size());
        let Some(frame) = cursor.next(number)? else { break };
        if sum_after(&places.sum(), number, frame.entry) != frame.sum {
            break;
        }
        let placed = Placed { leaf: leaf_hash(frame.entry), file, span: (begin, begin + frame.len as u64) };
        let (sum, len) = (frame.sum, frame.len);
        if number >= sure {
            unsure.at.get_or_insert(begin);
            unsure.bytes.extend_from_slice(cursor.front(len));
        }
        cursor.pass(len);
        places.push(&placed, sum);
    }
    Ok(())
}

/// The end of a file, as it was read from the device.
#[derive(Default)]
struct Unsure {
    at: Option<u64>,
    bytes: Vec<u8>,
}

impl Unsure {
    fn write_again(&self, medium: &dyn Medium, head: &FileHead) -> Result<(), LogError> {
        let Some(at) = self.at else { return Ok(()) };
        let failed = |source| LogError::Io { operation: "writing the log's end once more", source };
        let name = head.id.name();
        if at == FILE_HEAD as u64 {
            medium.write_at(&name, 0, &head.encode()).map_err(failed)?;
        }
        medium.write_at(&name, at, &self.bytes).and_then(|()| medium.flush(&name)).map_err(failed)
    }
}

/// Reads a file's frames one after the other.
struct Cursor<'a> {
    medium: &'a dyn Medium,
    name: String,
    /// Where the next frame begins, and where the file ends.
    at: u64,
    end: u64,
    /// From the device rather than from a cache.
    back: bool,
    window: Vec<u8>,
    /// Bytes of the window that are behind `at`.
    skip: usize,
}

impl<'a> Cursor<'a> {
    fn new(medium: &'a dyn Medium) -> Self {
        Self { medium, name: String::new(), at: 0, end: 0, back: true, window: Vec::new(), skip: 0 }
    }

    /// The frame of the entry `number`, if that is what comes next. Stays where it is.
    fn next(&mut self, number: u64) -> Result<Option<Frame<'_>>, LogError> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        if self.window.len() - self.skip < (FRAME_HEAD + MAX_ENTRY).min(left) {
            let len = left.min(WINDOW);
            let read = match self.back {
                true => self.medium.read_back(&self.name, self.at, len),
                false => self.medium.read_at(&self.name, self.at, len),
            };
            (self.window, self.skip) = (read.map_err(reading)?, 0);
        }
        Ok(read_frame(&self.window[self.skip..], number).filter(|frame| frame.entry.len() <= MAX_ENTRY))
    }

    fn front(&self, len: usize) -> &[u8] {
        &self.window[self.skip..self.skip + len]
    }

    fn pass(&mut self, len: usize) {
        self.at += len as u64;
        self.skip += len;
    }
}

fn reading(source: io::Error) -> LogError {
    LogError::Io { operation: "reading the log", source }
}
