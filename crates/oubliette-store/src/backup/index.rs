//! What a copy's list names and what lies in a place, too much to be held in memory: on disk, in a database of its own that no
//! other process sees and that is gone with this one. There are names of files, lengths and sums in it.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::files::{Entry, piece};
use super::place::Sum;
use super::{BackupError, Place, place_failed, vault_failed};

/// Kept in memory of it, in KiB.
const CACHE: i64 = 16 << 10;
/// Names handed over at once.
const SOME: i64 = 10_000;

/// The index. Dropped, nothing of it is left.
pub(super) struct Index(Connection);

impl Index {
    /// An empty one, on the disk of `folder`.
    pub(super) fn on(folder: &Path) -> Result<Self, BackupError> {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| vault_failed("drawing a number")(io::Error::other("none")))?;
        let path = folder.join(format!(".backup-index-{}", hex::encode(random)));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        made.map_err(vault_failed("making an index of files"))?;
        let opened = Connection::open(&path).and_then(|connection| {
            // Nobody else opens it, and nobody wants it back: no journal, no flush, one transaction without an end.
            connection.execute_batch(&format!(
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
                 PRAGMA cache_size = -{CACHE};
                 BEGIN EXCLUSIVE;
                 CREATE TABLE lies (path TEXT PRIMARY KEY, length INTEGER NOT NULL) WITHOUT ROWID;
                 CREATE TABLE named (path TEXT PRIMARY KEY, length INTEGER NOT NULL, sum BLOB NOT NULL, segment TEXT,
                     begin INTEGER, seen INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
                 CREATE INDEX pieces ON named (segment, begin) WHERE segment IS NOT NULL;"
            ))?;
            Ok(connection)
        });
        // It lives on while it is open.
        let removed = std::fs::remove_file(&path);
        let index = Self(opened.map_err(failed)?);
        removed.map_err(vault_failed("making an index of files"))?;
        Ok(index)
    }

    /// Notes a file that lies in the place.
    pub(super) fn lies(&self, path: &str, length: u64) -> Result<(), BackupError> {
        let mut insert = self.0.prepare_cached("INSERT OR REPLACE INTO lies VALUES (?1, ?2)").map_err(failed)?;
        insert.execute(params![path, length]).map_err(failed)?;
        Ok(())
    }

    /// Notes all contents that lie in a place.
    pub(super) fn take_up(&self, place: &Place) -> Result<(), BackupError> {
        let mut failed = None;
        let listed = place.each("blobs", |name, length| {
            let noted = name.strip_prefix("blobs/").map_or(Ok(()), |path| self.lies(path, length));
            noted.map_err(|error| {
                failed = Some(error);
                io::ErrorKind::Other.into()
            })
        });
        match failed {
            Some(error) => Err(error),
            None => listed.map_err(place_failed("listing what is there")),
        }
    }

    /// How long a file is that lies in the place.
    pub(super) fn length(&self, path: &str) -> Result<Option<u64>, BackupError> {
        let mut ask = self.0.prepare_cached("SELECT length FROM lies WHERE path = ?1").map_err(failed)?;
        ask.query_row([path], |row| row.get(0)).optional().map_err(failed)
    }

    /// Notes a line of a list.
    pub(super) fn name(&self, entry: &Entry<'_>) -> Result<(), BackupError> {
        let (segment, begin) = piece(entry.path).map(|(segment, from, _)| (segment, from)).unzip();
        let mut insert = self
            .0
            .prepare_cached(
                "INSERT OR REPLACE INTO named (path, length, sum, segment, begin) VALUES (?1, ?2, ?3, ?4, ?5)",
            )
            .map_err(failed)?;
        insert.execute(params![entry.path, entry.length, entry.sum, segment, begin]).map_err(failed)?;
        Ok(())
    }

    /// What the lists say of a file.
    pub(super) fn named(&self, path: &str) -> Result<Option<(u64, Sum)>, BackupError> {
        let mut ask = self.0.prepare_cached("SELECT length, sum FROM named WHERE path = ?1").map_err(failed)?;
        ask.query_row([path], |row| Ok((row.get(0)?, row.get(1)?))).optional().map_err(failed)
    }

    /// The paths of a segment's pieces, in the order of where they begin.
    pub(super) fn pieces(&self, segment: &str) -> Result<Vec<String>, BackupError> {
        let mut ask =
            self.0.prepare_cached("SELECT path FROM named WHERE segment = ?1 ORDER BY begin, path").map_err(failed)?;
        let rows = ask.query_map([segment], |row| row.get(0)).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// Notes that a file of the lists was dealt with.
    pub(super) fn see(&self, path: &str) -> Result<(), BackupError> {
        let mut update = self.0.prepare_cached("UPDATE named SET seen = 1 WHERE path = ?1").map_err(failed)?;
        update.execute([path]).map_err(failed)?;
        Ok(())
    }

    /// Hands over what the lists name and nobody has dealt with, by path.
    pub(super) fn unseen(
        &self,
        mut each: impl FnMut(&Entry<'_>) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        self.each("SELECT path, length, sum FROM named WHERE NOT seen ORDER BY path", &mut each)
    }

    /// Hands over all pieces of segments: by segment, and where they begin.
    pub(super) fn all_pieces(
        &self,
        mut each: impl FnMut(&Entry<'_>) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let ordered = "SELECT path, length, sum FROM named WHERE segment IS NOT NULL ORDER BY segment, begin, path";
        self.each(ordered, &mut each)
    }

    /// Hands over all files that are no pieces.
    pub(super) fn all_files(
        &self,
        mut each: impl FnMut(&Entry<'_>) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        self.each("SELECT path, length, sum FROM named WHERE segment IS NULL ORDER BY path", &mut each)
    }

    fn each(&self, sql: &str, each: &mut dyn FnMut(&Entry<'_>) -> Result<(), BackupError>) -> Result<(), BackupError> {
        let mut ask = self.0.prepare_cached(sql).map_err(failed)?;
        let mut rows = ask.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let path: String = row.get(0).map_err(failed)?;
            each(&Entry { path: &path, length: row.get(1).map_err(failed)?, sum: row.get(2).map_err(failed)? })?;
        }
        Ok(())
    }

    /// Hands over, some at once, what lies in the place and no list names.
    pub(super) fn unnamed(
        &self,
        mut some: impl FnMut(Vec<(String, u64)>) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let mut ask = self
            .0
            .prepare(
                "SELECT path, length FROM lies WHERE path > ?1
                 AND NOT EXISTS (SELECT 1 FROM named WHERE named.path = lies.path) ORDER BY path LIMIT ?2",
            )
            .map_err(failed)?;
        let mut last = String::new();
        loop {
            let rows = ask.query_map(params![last, SOME], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
            let found: Vec<(String, u64)> = rows.collect::<Result<_, _>>().map_err(failed)?;
            let Some((end, _)) = found.last() else { return Ok(()) };
            last.clone_from(end);
            some(found)?;
        }
    }
}

fn failed(error: rusqlite::Error) -> BackupError {
    vault_failed("keeping an index of files")(io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_answers_in_order_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::on(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        for (path, length) in [("s/b/10-30", 20), ("f/0/1/x", 7), ("s/a/0-9", 9), ("s/b/0-10", 10), ("s/b/9-10", 1)] {
            index.name(&Entry { path, length, sum: [length as u8; 32] }).unwrap();
            index.lies(path, length + 1).unwrap();
        }
        index.name(&Entry { path: "f/0/1/x", length: 8, sum: [8; 32] }).unwrap();
        index.lies("f/9/9/z", 5).unwrap();
        assert_eq!(index.named("f/0/1/x").unwrap(), Some((8, [8; 32])), "the later one counts");
        assert_eq!((index.named("f/9/9/z").unwrap(), index.length("f/9/9/z").unwrap()), (None, Some(5)));
        assert_eq!(index.pieces("b").unwrap(), ["s/b/0-10", "s/b/9-10", "s/b/10-30"]);
        let mut found = Vec::new();
        let mut all = |entry: &Entry<'_>| {
            found.push(entry.path.to_owned());
            Ok(())
        };
        index.all_files(&mut all).unwrap();
        index.all_pieces(&mut all).unwrap();
        assert_eq!(found, ["f/0/1/x", "s/a/0-9", "s/b/0-10", "s/b/9-10", "s/b/10-30"]);
        index.see("s/a/0-9").unwrap();
        let mut left = Vec::new();
        index
            .unseen(|entry| {
                left.push(entry.path.to_owned());
                Ok(())
            })
            .unwrap();
        assert_eq!(left, ["f/0/1/x", "s/b/0-10", "s/b/10-30", "s/b/9-10"]);
        let mut unnamed = Vec::new();
        index
            .unnamed(|some| {
                unnamed.extend(some);
                Ok(())
            })
            .unwrap();
        assert_eq!(unnamed, [("f/9/9/z".to_owned(), 5)]);
    }

    /// What is said in docs/operating/backup.md.
    #[test]
    fn a_file_takes_about_two_hundred_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::on(folder.path()).unwrap();
        const FILES: u64 = 20_000;
        for number in 0..FILES {
            // Named as large contents are, in no order.
            let path = format!(
                "f/{:x}/{:x}/{:032x}",
                number % 16,
                number / 16 % 16,
                number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            );
            index.name(&Entry { path: &path, length: 1 << 20, sum: [7; 32] }).unwrap();
            index.lies(&path, 1 << 20).unwrap();
        }
        let pages = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
        let bytes: u64 = index.0.query_row(pages, [], |row| row.get(0)).unwrap();
        assert!((100..=250).contains(&(bytes / FILES)), "{} bytes a file", bytes / FILES);
    }
}
