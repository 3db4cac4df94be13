//! The journal: records that must not be forgotten although no seal has followed yet.
//!
//! A purge that is answered before its seal, a hold, a revoked credential: should the database be rolled back, they are
//! replayed from here. Records are the caller's bytes and are **not** encrypted; nothing personal may be in them.
//!
//! ```text
//! file    "KFJRNL01" | number u32 | 0 u32                                                     journal-NNNNNNNN.kfj
//! record  "KFJR" | payload length u32 | position u64 | SHA-256(those 16 bytes || payload) 32 | payload
//! ```
//!
//! Positions count from 1 without gaps; of two records with one position the later counts. A record cut short at the end of a file was never acknowledged and is passed over;
//! a *missing* position is an error. After a start nothing is appended to an old file: what is not done yet is written
//! anew into a file of its own, because whether an old tail is really on the disk cannot be known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::media::Medium;
use crate::packs::{Reserve, failed_flush, io};
use crate::page::Take;
use crate::probe::{JOURNAL_DURABLE, JOURNAL_WRITTEN, Probe};
use crate::secret::sha256;
use crate::{ForestError, SealError};

const FILE_MAGIC: &[u8; 8] = b"KFJRNL01";
const RECORD_MAGIC: &[u8; 4] = b"KFJR";
const FILE_HEAD: u64 = 16;
const RECORD_HEAD: usize = 48;
/// Size at which the next record begins a new file.
const ROLL: u64 = 1 << 20;
/// Largest record.
pub(crate) const MAX_RECORD: usize = 64 << 20;
/// No file of a journal is longer. For who reads one that somebody else lists.
pub const LONGEST_JOURNAL_FILE: u64 = ROLL + (RECORD_HEAD + MAX_RECORD) as u64;

fn name(number: u32) -> String {
    format!("journal-{number:08}.kfj")
}

/// The number of a file, by its name; `None` for any other, also for one that writes the number in another way: it would be read
/// under the name that the number has.
fn number(of: &str) -> Option<u32> {
    of.strip_prefix("journal-")?.strip_suffix(".kfj")?.parse().ok().filter(|number| name(*number) == of)
}

/// The number of the next file. One can be the last only where somebody else put a file of such a name there.
fn after(number: u32) -> Result<u32, ForestError> {
    number.checked_add(1).ok_or(ForestError::Refused { reason: "no file of the journal has so high a number" })
}

pub(crate) fn encode_record(position: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(RECORD_HEAD + payload.len());
    out.extend_from_slice(RECORD_MAGIC);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&position.to_le_bytes());
    let sum = checksum(&out, payload);
    out.extend_from_slice(&sum);
    out.extend_from_slice(payload);
    out
}

fn checksum(head: &[u8], payload: &[u8]) -> [u8; 32] {
    let mut message = Vec::with_capacity(head.len() + payload.len());
    message.extend_from_slice(head);
    message.extend_from_slice(payload);
    sha256(&message)
}

pub(crate) fn encode_head(number: u32) -> Vec<u8> {
    let mut head = FILE_MAGIC.to_vec();
    head.extend_from_slice(&number.to_le_bytes());
    head.extend_from_slice(&[0; 4]);
    head
}

/// The whole records at the front of a file; `None` when its head is not one.
pub(crate) fn decode_file(number: u32, bytes: &[u8]) -> Option<Vec<(u64, Vec<u8>)>> {
    let mut from = Take(bytes.strip_prefix(encode_head(number).as_slice())?);
    let mut records = Vec::new();
    while let Some(record) = take_record(&mut from) {
        records.push(record);
    }
    Some(records)
}

/// How many bytes at the front of a file of the journal are as they were written: its head and whole records. `None` when
/// the name is not one of the journal's. For who compares two copies of it.
pub fn whole_journal(name: &str, bytes: &[u8]) -> Option<u64> {
    let records = decode_file(number(name)?, bytes);
    Some(records.map_or(0, |records| {
        records.iter().fold(FILE_HEAD, |len, (_, payload)| len + (RECORD_HEAD + payload.len()) as u64)
    }))
}

fn take_record(from: &mut Take<'_>) -> Option<(u64, Vec<u8>)> {
    let head = from.bytes(16)?;
    let sum: [u8; 32] = from.array()?;
    let mut fields = Take(head.strip_prefix(RECORD_MAGIC)?);
    let payload_len = fields.u32()?;
    let position = fields.u64()?;
    let payload = from.bytes(payload_len as usize)?;
    (checksum(head, payload) == sum).then(|| (position, payload.to_vec()))
}

struct File {
    number: u32,
    len: u64,
    /// Highest position in it.
    last: u64,
}

/// The journal of one vault.
pub(crate) struct Journal {
    medium: Arc<dyn Medium>,
    probe: Arc<dyn Probe>,
    reserve: Arc<Reserve>,
    files: Vec<File>,
    next_file: u32,
    next_position: u64,
    done: u64,
}

impl Journal {
    /// An empty journal.
    pub(crate) fn new(medium: Arc<dyn Medium>, probe: Arc<dyn Probe>, reserve: Arc<Reserve>) -> Self {
        Self { medium, probe, reserve, files: Vec::new(), next_file: 1, next_position: 1, done: 0 }
    }

    /// Reads what is there from the device, and writes what is not done into a new file.
    pub(crate) fn open(&mut self, done: u64) -> Result<(), ForestError> {
        self.done = done;
        self.next_position = done + 1;
        let listed = self.medium.list().map_err(io("listing the journal"))?;
        let mut found: Vec<(u32, u64)> =
            listed.into_iter().filter_map(|(name, len)| Some((number(&name)?, len))).collect();
        found.sort_unstable();
        self.next_file = after(found.last().map_or(0, |(number, _)| *number))?;
        let mut records = BTreeMap::new();
        for (number, len) in &found {
            let bytes = self
                .medium
                .read_back(&name(*number), 0, usize::try_from(*len).unwrap_or(usize::MAX))
                .map_err(io("reading the journal"))?;
            // Later files win: they hold what an earlier start carried over.
            records.extend(decode_file(*number, &bytes).unwrap_or_default().into_iter().filter(|(at, _)| *at > done));
        }
        if let Some(gap) = (done + 1..).zip(records.keys()).find(|(expected, found)| expected != *found) {
            return Err(ForestError::JournalGap { position: gap.0 });
        }
        for (position, payload) in &records {
            let written = self.write(*position, payload);
            written.map_err(|error| match error {
                SealError::NotDone(error) | SealError::Stalled(error) | SealError::Unknown(error) => error,
            })?;
        }
        if !records.is_empty() {
            for file in &self.files {
                self.medium.flush(&name(file.number)).map_err(io("flushing the journal"))?;
            }
            self.next_position = done + 1 + records.len() as u64;
        }
        for (number, _) in found {
            let _ = self.medium.remove(&name(number));
        }
        Ok(())
    }

    /// Appends a record durably.
    pub(crate) fn append(&mut self, payload: &[u8]) -> Result<u64, SealError> {
        if payload.len() > MAX_RECORD {
            return Err(SealError::NotDone(ForestError::Refused { reason: "the journal record is too large" }));
        }
        let position = self.next_position;
        self.write(position, payload)?;
        self.probe.reached(JOURNAL_WRITTEN);
        // After a flush that is not done the record stays in the file and the next one takes its position.
        self.flush_last().map_err(|source| failed_flush("flushing the journal", source))?;
        self.probe.reached(JOURNAL_DURABLE);
        self.next_position += 1;
        Ok(position)
    }

    fn write(&mut self, position: u64, payload: &[u8]) -> Result<(), SealError> {
        if self.files.last().is_none_or(|file| file.len >= ROLL) {
            let number = self.next_file;
            self.next_file = after(number).map_err(SealError::NotDone)?;
            self.reserve.create(&name(number), 0)?;
            self.put(number, 0, &encode_head(number))?;
            self.files.push(File { number, len: FILE_HEAD, last: 0 });
        }
        let record = encode_record(position, payload);
        let (number, at) = self.files.last().map(|file| (file.number, file.len)).unwrap_or_default();
        self.put(number, at, &record)?;
        if let Some(file) = self.files.last_mut() {
            file.len += record.len() as u64;
            file.last = position;
        }
        Ok(())
    }

    fn put(&self, number: u32, at: u64, bytes: &[u8]) -> Result<(), SealError> {
        self.reserve
            .spend_if_full(|| self.medium.write_at(&name(number), at, bytes))
            .map_err(|source| SealError::NotDone(ForestError::Io { operation: "writing the journal", source }))
    }

    fn flush_last(&self) -> std::io::Result<()> {
        self.files.last().map_or(Ok(()), |file| self.medium.flush(&name(file.number)))
    }

    /// Records that are not done, oldest first.
    pub(crate) fn pending(&self) -> Result<Vec<(u64, Vec<u8>)>, ForestError> {
        let mut records = BTreeMap::new();
        for file in self.files.iter().filter(|file| file.last > self.done) {
            let bytes = self
                .medium
                .read_at(&name(file.number), 0, usize::try_from(file.len).unwrap_or(usize::MAX))
                .map_err(io("reading the journal"))?;
            let read = decode_file(file.number, &bytes).ok_or(ForestError::JournalGap { position: self.done + 1 })?;
            records.extend(read.into_iter().filter(|(at, _)| *at > self.done));
        }
        // What was written but not made durable was not given out.
        records.retain(|position, _| *position < self.next_position);
        match (self.done + 1..self.next_position).find(|position| !records.contains_key(position)) {
            Some(position) => Err(ForestError::JournalGap { position }),
            None => Ok(records.into_iter().collect()),
        }
    }

    /// Whether a copy of one of the journal's files holds nothing that is missing here: each of its whole records is done,
    /// or its position has a whole record here. Reads all of the journal that is not done. `None` when the name is not one
    /// of the journal's.
    pub(crate) fn covers(&self, file: &str, copy: &[u8]) -> Option<Result<(), ForestError>> {
        let theirs = decode_file(number(file)?, copy).unwrap_or_default();
        let mut due = theirs.into_iter().map(|(position, _)| position).filter(|position| *position > self.done);
        let Some(first) = due.next() else { return Some(Ok(())) };
        Some(self.positions().and_then(|here| match std::iter::once(first).chain(due).find(|at| !here.contains(at)) {
            Some(position) => Err(ForestError::JournalGap { position }),
            None => Ok(()),
        }))
    }

    /// The positions of all whole records in its files, also of those that were never given out.
    fn positions(&self) -> Result<BTreeSet<u64>, ForestError> {
        let mut positions = BTreeSet::new();
        // What was removed or cut behind a medium's back may still be read through a file that it holds open.
        let listed: BTreeMap<String, u64> =
            self.medium.list().map_err(io("listing the journal"))?.into_iter().collect();
        for file in &self.files {
            let (name, len) = (name(file.number), usize::try_from(file.len).unwrap_or(usize::MAX));
            if listed.get(&name).is_none_or(|found| *found < file.len) {
                continue;
            }
            let bytes = self.medium.read_at(&name, 0, len).map_err(io("reading the journal"))?;
            positions.extend(decode_file(file.number, &bytes).unwrap_or_default().into_iter().map(|(at, _)| at));
        }
        Ok(positions)
    }

    /// Highest position given out.
    pub(crate) fn last(&self) -> u64 {
        self.next_position - 1
    }

    /// Follows a committed seal: files of which everything is done are removed, except the one in use.
    pub(crate) fn done(&mut self, done: u64) {
        self.done = self.done.max(done);
        while self.files.len() > 1 && self.files[0].last <= self.done {
            if self.medium.remove(&name(self.files[0].number)).is_err() {
                break;
            }
            self.files.remove(0);
        }
    }
}
