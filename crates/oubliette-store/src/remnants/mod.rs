//! The remnant scanner: is a text still found anywhere below a folder, in any common dress.
//!
//! It reads every file (database, write-ahead log, packs, blobs, temporary files, logs), in pieces of [`PIECE`] bytes with an
//! overlap, and looks for each marker in all its forms at once ([`Encoding`]), for a number however its digits are grouped too;
//! names of files are looked at as well. What it tells is the file, the offset and the form: never the bytes around, which would
//! be a remnant of their own.
//!
//! Not found are compressed or encrypted forms. A short marker is found in random bytes by chance: a form of `n` bits turns
//! up about once in 2^n bytes, so forms under 32 bits are left out and markers under 4 bytes are refused.
//!
//! All calls block.

mod forms;
mod separated;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aho_corasick::{AhoCorasick, BuildError, MatchKind};
use thiserror::Error;

use self::forms::{Case, Form};
pub use self::forms::{Encoding, Marker};
use self::separated::Separated;

/// Bytes read at once.
pub const PIECE: usize = 1 << 20;
/// Most markers of one scan: memory grows with them (about 100 KiB each).
pub const MAX_MARKERS: usize = 2_000;
/// Longest marker in bytes: the overlap of two pieces grows with it.
pub const MAX_MARKER_BYTES: usize = 4_096;

/// Why no scan could be begun.
#[derive(Debug, Error)]
pub enum ScannerError {
    /// The marker of this number is too short to tell it from chance.
    #[error("marker {0} is too short: at least 4 bytes are needed")]
    TooShort(usize),
    /// The marker of this number is longer than [`MAX_MARKER_BYTES`].
    #[error("marker {0} is too long")]
    TooLong(usize),
    /// More than [`MAX_MARKERS`].
    #[error("too many markers")]
    TooMany,
    /// The search could not be built.
    #[error("the search could not be built")]
    Build(#[from] BuildError),
}

/// Where a marker was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// Where in the file; `None` when it is in the file's name.
    pub offset: Option<u64>,
    /// In which form.
    pub encoding: Encoding,
    /// Number of the marker as given to [`Scanner::new`].
    pub marker: usize,
}

/// What a scan saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files read to their end.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Files and folders that could not be read: of these nothing is known.
    pub unreadable: Vec<PathBuf>,
}

/// A search for a set of markers. Build it once, scan with it often.
pub struct Scanner {
    searches: Vec<Search>,
    numbers: Option<Separated>,
    /// Bytes that two pieces share, so that no form is cut.
    overlap: usize,
}

/// A form in a piece of bytes.
struct Hit {
    start: usize,
    end: usize,
    marker: usize,
    encoding: Encoding,
}

struct Search {
    automaton: AhoCorasick,
    forms: Vec<Form>,
}

impl Scanner {
    /// Prepares the search.
    pub fn new(markers: &[Marker]) -> Result<Self, ScannerError> {
        if markers.len() > MAX_MARKERS {
            return Err(ScannerError::TooMany);
        }
        let mut forms = Vec::new();
        for (number, marker) in markers.iter().enumerate() {
            if marker.len() > MAX_MARKER_BYTES {
                return Err(ScannerError::TooLong(number));
            }
            let before = forms.len();
            forms::add(number, marker, &mut forms);
            if forms.len() == before {
                return Err(ScannerError::TooShort(number));
            }
        }
        let digits = markers.iter().enumerate().filter_map(|(number, marker)| Some((number, marker.digits()?)));
        let numbers = Separated::new(digits.collect())?;
        let longest = forms.iter().map(|form| form.bytes.len()).max().unwrap_or(0);
        // A nibble on either side of a form is looked at too.
        let overlap = longest.max(numbers.as_ref().map_or(0, Separated::reach)) + 2;
        let (exact, folded): (Vec<_>, Vec<_>) = forms.into_iter().partition(|form| form.case == Case::Exact);
        let searches = [exact, folded].into_iter().filter(|forms| !forms.is_empty());
        Ok(Self { searches: searches.map(Search::new).collect::<Result<_, _>>()?, numbers, overlap })
    }

    /// Scans everything below `folder`. Links are not followed; what goes away meanwhile is passed over. `progress` is told the
    /// bytes read so far after each piece.
    pub fn scan_folder(&self, folder: &Path, progress: &mut dyn FnMut(u64)) -> Report {
        let mut report = Report::default();
        let mut folders = vec![folder.to_owned()];
        let mut buffer = Vec::new();
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) => {
                    unreadable(&mut report, folder, &error);
                    continue;
                }
            };
            for entry in entries {
                let Ok(entry) = entry else {
                    report.unreadable.push(folder.clone());
                    continue;
                };
                let path = entry.path();
                self.scan_name(&path, entry.file_name().as_encoded_bytes(), &mut report);
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    Ok(kind) if kind.is_file() => self.scan_file(path, &mut buffer, &mut report, progress),
                    Ok(_) => {}
                    Err(error) => unreadable(&mut report, path, &error),
                }
            }
        }
        report
    }

    fn scan_name(&self, path: &Path, name: &[u8], report: &mut Report) {
        self.look(name, &mut |hit| {
            let finding = Finding { file: path.to_owned(), offset: None, encoding: hit.encoding, marker: hit.marker };
            report.findings.push(finding);
        });
    }

    fn look(&self, bytes: &[u8], found: &mut dyn FnMut(Hit)) {
        for search in &self.searches {
            search.look(bytes, found);
        }
        if let Some(numbers) = &self.numbers {
            let encoding = Encoding::SeparatedDigits;
            numbers.look(bytes, &mut |start, end, marker| found(Hit { start, end, marker, encoding }));
        }
    }

    fn scan_file(&self, path: PathBuf, buffer: &mut Vec<u8>, report: &mut Report, progress: &mut dyn FnMut(u64)) {
        let Report { bytes, findings, .. } = report;
        let before = *bytes;
        let scanned = File::open(&path).and_then(|file| {
            self.scan_reader(
                file,
                buffer,
                |offset, marker, encoding| {
                    findings.push(Finding { file: path.clone(), offset: Some(offset), encoding, marker });
                },
                |read| {
                    *bytes = before + read;
                    progress(*bytes);
                },
            )
        });
        match scanned {
            Ok(()) => report.files += 1,
            Err(error) => unreadable(report, path, &error),
        }
    }

    /// Scans a stream of bytes to its end. `found` is told offset, marker and form of each finding, `progress` the bytes read
    /// so far. `buffer` is room to be used again.
    pub fn scan_reader(
        &self,
        mut reader: impl Read,
        buffer: &mut Vec<u8>,
        mut found: impl FnMut(u64, usize, Encoding),
        mut progress: impl FnMut(u64),
    ) -> io::Result<()> {
        buffer.resize(self.overlap + PIECE, 0);
        // `buffer[..held]` holds the file from `start` on; findings that end up to `told` were told.
        let (mut start, mut held, mut told) = (0_u64, 0_usize, 0_u64);
        loop {
            let read = match reader.read(&mut buffer[held..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            held += read;
            let at_end = read == 0;
            if held < buffer.len() && !at_end {
                continue;
            }
            // The last byte may be needed to judge what ends before it.
            let until = if at_end { start + held as u64 } else { start + held as u64 - 1 };
            self.look(&buffer[..held], &mut |hit| {
                let end = start + hit.end as u64;
                if told < end && end <= until {
                    found(start + hit.start as u64, hit.marker, hit.encoding);
                }
            });
            told = until;
            progress(start + held as u64);
            if at_end {
                return Ok(());
            }
            let kept = self.overlap.min(held);
            buffer.copy_within(held - kept..held, 0);
            start += (held - kept) as u64;
            held = kept;
        }
    }
}

fn unreadable(report: &mut Report, path: PathBuf, error: &io::Error) {
    if error.kind() != io::ErrorKind::NotFound {
        report.unreadable.push(path);
    }
}

impl Search {
    fn new(forms: Vec<Form>) -> Result<Self, BuildError> {
        let folded = forms.first().is_some_and(|form| form.case == Case::Folded);
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(folded)
            .build(forms.iter().map(|form| &form.bytes))?;
        Ok(Self { automaton, forms })
    }

    fn look(&self, bytes: &[u8], found: &mut dyn FnMut(Hit)) {
        for hit in self.automaton.find_overlapping_iter(bytes) {
            let form = &self.forms[hit.pattern().as_usize()];
            let before = hit.start().checked_sub(1).and_then(|at| bytes.get(at));
            if form.fits(before.copied(), bytes.get(hit.end()).copied()) {
                found(Hit { start: hit.start(), end: hit.end(), marker: form.marker, encoding: form.encoding });
            }
        }
    }
}

#[cfg(test)]
mod tests;
