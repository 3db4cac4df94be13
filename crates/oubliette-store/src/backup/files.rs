//! The list of files of a copy, and which of them a content needs. A list is written and read line by line: it may be longer
//! than there is memory.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use oubliette_core::ports::BlobRef;

use super::index::Index;
use super::manifest::FileSum;
use super::place::Sum;
use super::{BackupError, Manifest, Place, place_failed, vault_failed};

/// Longest line that is read.
const LINE: usize = 4096;

/// A line of a list: a file by its path below `blobs/`.
pub(super) struct Entry<'a> {
    pub(super) path: &'a str,
    pub(super) length: u64,
    pub(super) sum: Sum,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(line).ok()?.split(' ');
        let (path, length, digits) = (words.next()?, words.next()?, words.next()?);
        // Nothing that leads elsewhere.
        let plain =
            (path.starts_with("f/") || piece(path).is_some()) && !path.split('/').any(|part| part.starts_with('.'));
        let mut sum = [0; 32];
        hex::decode_to_slice(digits, &mut sum).ok()?;
        (plain && words.next().is_none()).then_some(Self { path, length: length.parse().ok()?, sum })
    }
}

/// Where a content lies, in the local store's words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lies {
    /// A file of its own, by its path below the blob folder.
    File(String),
    /// A stretch of a segment.
    Segment { name: String, from: u64, to: u64 },
}

impl Lies {
    /// Reads a reference of the local store; `None` for any other.
    pub(super) fn of(blob: &BlobRef) -> Option<Self> {
        let digits = |text: &str, count: usize| {
            text.len() == count && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        match blob.0.split('/').collect::<Vec<_>>().as_slice() {
            ["f", name] if digits(name, 32) => {
                Some(Self::File(format!("f/{}/{}/{name}", &name[30..31], &name[31..32])))
            }
            ["s", name, stretch] if digits(name, 16) => {
                let (offset, length) = stretch.split_once('+')?;
                let from: u64 = offset.parse().ok()?;
                let to = from.checked_add(length.parse().ok()?)?;
                Some(Self::Segment { name: (*name).to_owned(), from, to })
            }
            _ => None,
        }
    }
}

/// The piece of a segment that a path names: segment, begin, end.
pub(super) fn piece(path: &str) -> Option<(&str, u64, u64)> {
    let (name, range) = path.strip_prefix("s/")?.split_once('/')?;
    let (from, to) = range.split_once('-')?;
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    (from < to).then_some((name, from, to))
}

/// The path of a piece.
pub(super) fn piece_path(name: &str, from: u64, to: u64) -> String {
    format!("s/{name}/{from}-{to}")
}

/// A list on its way: in a file beside the vault first, because only at its end it is known what all belongs to it.
pub(super) struct List {
    path: PathBuf,
    out: BufWriter<File>,
    pub(super) files: u64,
    /// Bytes of all files in it.
    pub(super) bytes: u64,
    length: u64,
}

impl List {
    /// An empty one.
    pub(super) fn beside(folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join("backup.files");
        // What a process that ended left.
        let _ = std::fs::remove_file(&path);
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let out = BufWriter::new(made.map_err(vault_failed("making a list of files"))?);
        Ok(Self { path, out, files: 0, bytes: 0, length: 0 })
    }

    /// Adds a file.
    pub(super) fn add(&mut self, entry: &Entry<'_>) -> Result<(), BackupError> {
        let line = format!("{} {} {}\n", entry.path, entry.length, hex::encode(entry.sum));
        self.out.write_all(line.as_bytes()).map_err(vault_failed("writing a list of files"))?;
        self.files += 1;
        self.bytes += entry.length;
        self.length += line.len() as u64;
        Ok(())
    }

    /// Puts it into a copy.
    pub(super) fn put(&mut self, place: &Place, name: &str) -> Result<FileSum, BackupError> {
        self.out.flush().map_err(vault_failed("writing a list of files"))?;
        let file = File::open(&self.path).map_err(vault_failed("reading a list of files"))?;
        let sum = place.put(name, file, self.length).map_err(place_failed("writing the list"))?;
        Ok(FileSum::new((self.length, sum)))
    }
}

impl Drop for List {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Takes the list of a copy up into an index. When it is not what the manifest says, some of it may be there already.
pub(super) fn read(place: &Place, manifest: &Manifest, index: &Index) -> Result<(), BackupError> {
    let name = Manifest::path(&manifest.id, "files");
    let (mut sum, mut length) = (Context::new(&SHA256), 0);
    let mut lines = Lines { rest: Vec::new(), index, failed: None };
    let read = place.stream(&name, |bytes| {
        sum.update(bytes);
        length += bytes.len() as u64;
        lines.take(bytes);
        Ok(())
    });
    read.map_err(place_failed("reading a list of files"))?;
    let mut digest = [0; 32];
    digest.copy_from_slice(sum.finish().as_ref());
    // First: of a list that is not the one that was written nothing else needs to be said.
    if !manifest.files.is((length, digest)) {
        return Err(BackupError::Damaged(format!("{name} is not what was written")));
    }
    match lines.end() {
        None => Ok(()),
        Some(Failed::Line) => Err(BackupError::Damaged(format!("{name} is no list of files"))),
        Some(Failed::Index(error)) => Err(error),
    }
}

/// A list that comes in pieces.
struct Lines<'a> {
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
    index: &'a Index,
    failed: Option<Failed>,
}

enum Failed {
    Line,
    Index(BackupError),
}

impl Lines<'_> {
    fn take(&mut self, bytes: &[u8]) {
        let mut left = bytes;
        while let Some(end) = left.iter().position(|byte| *byte == b'\n').filter(|_| self.failed.is_none()) {
            if self.rest.is_empty() {
                self.line(&left[..end]);
            } else {
                self.rest.extend_from_slice(&left[..end]);
                let line = std::mem::take(&mut self.rest);
                self.line(&line);
            }
            left = &left[end + 1..];
        }
        if self.failed.is_none() {
            self.rest.extend_from_slice(left);
            if self.rest.len() > LINE {
                self.failed = Some(Failed::Line);
            }
        }
    }

    fn line(&mut self, line: &[u8]) {
        self.failed = match Entry::parse(line) {
            None => Some(Failed::Line),
            Some(entry) => self.index.name(&entry).err().map(Failed::Index),
        };
    }

    fn end(mut self) -> Option<Failed> {
        if self.failed.is_none() && !self.rest.is_empty() {
            let line = std::mem::take(&mut self.rest);
            self.line(&line);
        }
        self.failed
    }
}

/// The pieces of a segment that begin at its front and follow each other: their paths, and where they end.
pub(super) fn front<'a>(paths: impl Iterator<Item = &'a str>) -> (Vec<String>, u64) {
    let mut pieces: Vec<(u64, u64, &str)> =
        paths.filter_map(|path| piece(path).map(|(_, from, to)| (from, to, path))).collect();
    pieces.sort_unstable();
    let (mut chain, mut end) = (Vec::new(), 0);
    for (from, to, path) in pieces {
        if from == end {
            chain.push(path.to_owned());
            end = to;
        }
    }
    (chain, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_lies_where_the_local_store_says() {
        let lies = |text: &str| Lies::of(&BlobRef(text.to_owned()));
        let name = "0123456789abcdef0123456789abcd5e";
        assert_eq!(lies(&format!("f/{name}")), Some(Lies::File(format!("f/5/e/{name}"))));
        let stretch = Lies::Segment { name: "0000000700000009".to_owned(), from: 64, to: 1064 };
        assert_eq!(lies("s/0000000700000009/64+1000"), Some(stretch));
        for foreign in ["", "f/..", "f/../../x", "o/large/1", "s/0000000700000009/64", "s/../64+1"] {
            assert_eq!(lies(foreign), None, "{foreign}");
        }
    }

    fn manifest(files: FileSum) -> Manifest {
        Manifest {
            format: Manifest::FORMAT,
            id: "x".to_owned(),
            instance: uuid::Uuid::nil(),
            epoch: 1,
            commit_counter: 1,
            taken_at: jiff::Timestamp::UNIX_EPOCH,
            program: String::new(),
            database: FileSum::new((0, [0; 32])),
            files,
            contents: 0,
            bytes: 0,
            missing: 0,
        }
    }

    /// The list of a copy with these bytes, read.
    fn taken_up(text: &[u8], claimed: &[u8]) -> Result<Index, BackupError> {
        let home = tempfile::tempdir().unwrap();
        let place = Place::folder(home.path());
        let sum = place.put("copies/x/files", text, text.len() as u64).unwrap();
        let other = place.put("copies/x/other", claimed, claimed.len() as u64).unwrap();
        assert_eq!(sum == other, text == claimed);
        let index = Index::on(home.path()).unwrap();
        read(&place, &manifest(FileSum::new((claimed.len() as u64, other))), &index).map(|()| index)
    }

    #[test]
    fn a_list_longer_than_what_is_read_at_once_is_read_line_by_line_in_any_order() {
        let path = |number: u64| format!("f/{:x}/{:x}/{number:032x}", number >> 4 & 15, number & 15);
        let home = tempfile::tempdir().unwrap();
        let mut list = List::beside(home.path()).unwrap();
        let numbers = 0..100_000_u64;
        for number in numbers.clone().rev() {
            list.add(&Entry { path: &path(number), length: number, sum: [number as u8; 32] }).unwrap();
        }
        let place = Place::folder(home.path());
        let sum = list.put(&place, "copies/x/files").unwrap();
        let text = place.whole("copies/x/files", 1 << 30).unwrap();
        assert!(text.len() > 9 << 20 && sum.length == text.len() as u64, "{}", text.len());
        assert_eq!((list.files, list.bytes), (100_000, numbers.clone().sum::<u64>()));
        drop(list);
        assert!(!home.path().join("backup.files").exists());
        let index = taken_up(&text, &text).unwrap();
        for number in numbers {
            assert_eq!(index.named(&path(number)).unwrap(), Some((number, [number as u8; 32])));
        }
        // Without an end of the last line, as it was read before.
        let one = &text[text.len() - text.rsplit(|byte| *byte == b'\n').nth(1).unwrap().len() - 1..text.len() - 1];
        assert!(taken_up(one, one).unwrap().named(&path(0)).unwrap().is_some());
    }

    /// Most memory that this process ever used, in KiB.
    fn peak() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn a_long_list_takes_no_more_memory_than_a_short_one() {
        // Names as they come from the database: in order.
        let path = |number: u64| format!("f/{:x}/{:x}/{number:032x}", number >> 4 & 15, number & 15);
        let home = tempfile::tempdir().unwrap();
        let mut list = List::beside(home.path()).unwrap();
        let number = 600_000;
        for number in 0..number {
            list.add(&Entry { path: &path(number), length: 1, sum: [7; 32] }).unwrap();
        }
        let place = Place::folder(home.path());
        let sum = list.put(&place, "copies/x/files").unwrap();
        let before = peak();
        let index = Index::on(home.path()).unwrap();
        read(&place, &manifest(sum), &index).unwrap();
        let mut unseen = 0;
        index
            .unseen(|_| {
                unseen += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(unseen, number);
        let grown = (peak() - before) >> 10;
        println!("{} MB of a list, {grown} MiB of memory", list.length / 1_000_000);
        // The text alone is longer.
        assert!(grown < 40, "{grown} MiB");
    }

    #[test]
    fn a_list_that_is_none_or_another_one_is_refused() {
        let sum = "00".repeat(32);
        let good = format!("f/0/0/x 7 {sum}\ns/a/0-9 9 {sum}\n");
        taken_up(good.as_bytes(), good.as_bytes()).unwrap();
        for wrong in ["../x 7", "f/../x 7", "f/0/.x 7", "s/a/9-0 7", "f/0/0/x seven", "f/0/0/x 7 7", "x"] {
            let text = format!("{good}{wrong} {sum}\n{good}");
            let refused = taken_up(text.as_bytes(), text.as_bytes()).map(drop).unwrap_err();
            assert!(refused.to_string().contains("no list of files"), "{wrong}: {refused}");
            let other = taken_up(text.as_bytes(), good.as_bytes()).map(drop).unwrap_err();
            assert!(other.to_string().contains("not what was written"), "{other}");
        }
        let endless = vec![b'x'; 20 << 20];
        assert!(taken_up(&endless, &endless).is_err());
    }

    #[test]
    fn pieces_are_joined_from_the_front_only() {
        let paths = ["s/a/0-10", "s/a/30-40", "s/a/10-25", "s/a/x-1", "f/5/e/0-10"];
        assert_eq!(front(paths.into_iter()), (vec!["s/a/0-10".to_owned(), "s/a/10-25".to_owned()], 25));
        assert_eq!(front(std::iter::empty()), (Vec::new(), 0));
    }
}
