//! Files as rows.
//!
//! What is written waits in memory for its flush, which is one statement. Long files are written in several, each fenced:
//! a flush that breaks off in between leaves a beginning, as on a disk.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyforest::media::Medium;

use super::claim::{Values, Write};
use super::reader::Reader;
use super::{KeyDatabase, statements};
use crate::media::pending::{Batch, Pending, lay, within};
use crate::media::place::{Place, joined};
use crate::media::plain;

/// Longest row.
const ROW: usize = 256 << 10;
/// Most bytes written by one statement.
const STATEMENT: usize = 8 << 20;
/// Most bytes that wait for a flush; what comes beyond is written ahead.
const WAITING: usize = 16 << 20;

/// Key pages and journal in PostgreSQL. Opened by [`KeyDatabase::pages`].
pub struct PostgresPages {
    database: KeyDatabase,
    /// This process is the only one that changes the tables.
    files: Mutex<BTreeMap<String, File>>,
    next: AtomicI64,
}

struct File {
    id: i64,
    /// As written.
    len: u64,
    /// As in the table.
    durable: u64,
    pending: Pending,
}

impl PostgresPages {
    pub(super) fn open(database: KeyDatabase) -> io::Result<Self> {
        let rows = database.read(statements::FILES, Vec::new(), |row| {
            let len = row.get::<_, i64>(2).unsigned_abs();
            (row.get(1), File { id: row.get(0), len, durable: len, pending: Pending::default() })
        })?;
        let files: BTreeMap<String, File> = rows.into_iter().collect();
        let next = files.values().map(|file| file.id).max().unwrap_or(0) + 1;
        Ok(Self { database, files: Mutex::new(files), next: AtomicI64::new(next) })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, File>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn database(&self) -> &KeyDatabase {
        &self.database
    }

    /// Reads durable bytes as another server shows them.
    pub(super) fn read_back_over(
        &self,
        reader: &Arc<Reader>,
        name: &str,
        offset: u64,
        len: usize,
    ) -> io::Result<Vec<u8>> {
        let id = {
            let files = self.lock();
            let file = files.get(name).ok_or_else(missing)?;
            within(offset, len, file.durable)?;
            file.id
        };
        self.durable(reader, id, offset, len)
    }

    /// Bytes that are in the table; zeros where there are none.
    fn durable(&self, reader: &Arc<Reader>, id: i64, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let (from, to) = (signed(offset)?, signed(offset + len as u64)?);
        let values: Values = vec![Box::new(id), Box::new(from), Box::new(to), Box::new(ROW as i64)];
        let rows = self.database.read_over(reader, statements::READ, values, |row| {
            (row.get::<_, i64>(0).unsigned_abs(), row.get::<_, Vec<u8>>(1))
        })?;
        for (at, row) in rows {
            lay(&mut bytes, offset, at, &row);
        }
        Ok(bytes)
    }

    fn write_out(&self, name: &str, batch: &Batch) -> io::Result<()> {
        let (id, mut durable, len) = {
            let files = self.lock();
            let file = files.get(name).ok_or_else(missing)?;
            (file.id, file.durable, file.len)
        };
        if let Some(cut) = batch.cut {
            durable = durable.min(cut);
            self.database
                .write(Write { text: statements::CUT, values: vec![Box::new(id), Box::new(signed(durable)?)] })?;
        }
        let mut statements = statements_of(batch);
        if statements.is_empty() && len > durable {
            // Nothing but a longer file.
            statements.push((Vec::new(), Vec::new()));
        }
        let last = statements.len().saturating_sub(1);
        for (number, (at, bytes)) in statements.into_iter().enumerate() {
            let end = at.last().zip(bytes.last()).map_or(0, |(at, bytes)| at.unsigned_abs() + bytes.len() as u64);
            durable = if number == last { len.max(end) } else { durable.max(end) };
            let values: Values = vec![Box::new(id), Box::new(signed(durable)?), Box::new(at), Box::new(bytes)];
            self.database.write(Write { text: statements::PUT, values })?;
        }
        if let Some(file) = self.lock().get_mut(name) {
            file.durable = durable;
            file.pending.done(batch);
        }
        Ok(())
    }
}

/// Offsets and bytes of the rows of each statement.
fn statements_of(batch: &Batch) -> Vec<(Vec<i64>, Vec<Vec<u8>>)> {
    let mut out: Vec<(Vec<i64>, Vec<Vec<u8>>)> = Vec::new();
    let mut room = 0;
    for (at, piece) in &batch.pieces {
        for (row, bytes) in piece.chunks(ROW).enumerate() {
            if room < bytes.len() || out.is_empty() {
                out.push((Vec::new(), Vec::new()));
                room = STATEMENT;
            }
            if let Some((offsets, rows)) = out.last_mut() {
                offsets.push(at.cast_signed() + (row * ROW) as i64);
                rows.push(bytes.to_vec());
            }
            room -= bytes.len();
        }
    }
    out
}

fn signed(value: u64) -> io::Result<i64> {
    i64::try_from(value).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Medium for PostgresPages {
    /// `reserve` is the server's affair.
    fn create(&self, name: &str, _reserve: u64) -> io::Result<()> {
        plain(name)?;
        if self.lock().contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let values: Values = vec![Box::new(id), Box::new(name.to_owned())];
        self.database.write(Write { text: statements::CREATE, values })?;
        let file = File { id, len: 0, durable: 0, pending: Pending::default() };
        self.lock().insert(name.to_owned(), file);
        Ok(())
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        signed(offset.saturating_add(bytes.len() as u64))?;
        let ahead = {
            let mut files = self.lock();
            let file = files.get_mut(name).ok_or_else(missing)?;
            file.pending.write(offset, bytes);
            file.len = file.len.max(offset + bytes.len() as u64);
            file.pending.bytes() >= WAITING
        };
        if ahead { self.flush(name) } else { Ok(()) }
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        let batch = {
            let files = self.lock();
            let file = files.get(name).ok_or_else(missing)?;
            let batch = file.pending.batch();
            if batch.is_empty() && file.len == file.durable {
                return Ok(());
            }
            batch
        };
        self.write_out(name, &batch)
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let id = {
            let files = self.lock();
            let file = files.get(name).ok_or_else(missing)?;
            within(offset, len, file.len)?;
            file.id
        };
        let mut bytes = self.durable(self.database.reader(), id, offset, len)?;
        if let Some(file) = self.lock().get(name) {
            file.pending.overlay(offset, &mut bytes);
        }
        Ok(bytes)
    }

    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.read_back_over(self.database.reader(), name, offset, len)
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        signed(len)?;
        let mut files = self.lock();
        let file = files.get_mut(name).ok_or_else(missing)?;
        file.pending.truncate(len);
        file.len = len;
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        Ok(self.lock().iter().map(|(name, file)| (name.clone(), file.len)).collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let id = self.lock().get(name).ok_or_else(missing)?.id;
        self.database.write(Write { text: statements::REMOVE, values: vec![Box::new(id)] })?;
        self.lock().remove(name);
        Ok(())
    }
}

impl Place for PostgresPages {
    fn confirm(&self) -> io::Result<()> {
        self.database.confirm()
    }

    fn number_above(&self, floor: u64) -> io::Result<u64> {
        self.database.number_above(floor)
    }

    fn held(&self, name: &str) -> io::Result<Vec<Range<u64>>> {
        let Some(id) = self.lock().get(name).map(|file| file.id) else { return Ok(Vec::new()) };
        let rows = self.database.read(statements::HELD, vec![Box::new(id)], |row| {
            row.get::<_, i64>(0).unsigned_abs()..row.get::<_, i64>(1).unsigned_abs()
        })?;
        Ok(joined(rows))
    }
}
