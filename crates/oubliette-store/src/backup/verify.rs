//! Reading a copy again, all of it.

use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};

use super::files::{self, Entry, Lies};
use super::index::Index;
use super::manifest::Manifest;
use super::{BackupError, COMMITMENT, Place, find, place_failed};
use crate::metadata::sqlite::{CopiedBlob, DatabaseCopy};

/// What was found of a copy.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Files that are not what was written, or not there: paths of the first of them.
    pub damaged: Vec<String>,
    /// How many more of these there are.
    pub more_damaged: u64,
    /// Contents of the database that are in no file of the copy, beside those that were erased while it was made.
    pub uncovered: u64,
    /// Contents whose bytes do not begin as their rows say.
    pub contradicted: u64,
}

impl Verified {
    /// Whether it is whole.
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty() && self.uncovered == 0 && self.contradicted == 0
    }
}

/// Damaged files that are told by name.
const TOLD: usize = 10_000;

/// Reads every byte of a copy and compares it with what was written, and every content's beginning with its row. `scratch`: a
/// folder for an index of the copy's files and, where the place is a bucket, for the database. Blocks.
///
/// # Errors
/// There is no such copy, its database is damaged, or the place cannot be read.
pub fn verify(place: &Place, id: &str, scratch: &Path) -> Result<Verified, BackupError> {
    let manifest = find(place, id)?;
    let index = Index::on(scratch)?;
    files::read(place, &manifest, &index)?;
    let database = super::fetch::Database::of(place, &manifest, scratch)?;
    database.copy.check()?;
    let instance = database.copy.instance()?;
    if (instance.instance, instance.epoch, instance.commit_counter)
        != (manifest.instance, manifest.epoch, manifest.commit_counter)
    {
        return Err(BackupError::Damaged("the database is not the one that the manifest speaks of".to_owned()));
    }
    let mut verifying = Verifying {
        place,
        index: &index,
        segment: None,
        found: Verified { manifest, damaged: Vec::new(), more_damaged: 0, uncovered: 0, contradicted: 0 },
    };
    database.copy.blobs(|content| verifying.next(&content))?;
    verifying.segment_ends()?;
    // What no content of the database lies in belongs to the copy as well.
    index.unseen(|entry| verifying.file(entry, Vec::new()))?;
    let mut found = verifying.found;
    found.uncovered = found.uncovered.saturating_sub(found.manifest.missing);
    Ok(found)
}

/// Where in a file which commitment is expected.
type Due = Vec<(u64, [u8; 32])>;

/// Where in a segment a content begins and ends, and its commitment.
type Stretch = (u64, u64, [u8; 32]);

/// A copy on its way.
struct Verifying<'a> {
    place: &'a Place,
    index: &'a Index,
    /// The segment whose contents are being told.
    segment: Option<(String, Vec<Stretch>)>,
    found: Verified,
}

impl Verifying<'_> {
    /// The next content. They come in the order of their places: those of one segment after each other.
    fn next(&mut self, content: &CopiedBlob) -> Result<(), BackupError> {
        match Lies::of(&content.blob) {
            Some(Lies::File(path)) => match self.index.named(&path)? {
                Some((length, sum)) => {
                    self.index.see(&path)?;
                    self.file(&Entry { path: &path, length, sum }, vec![(COMMITMENT, content.commitment)])?;
                }
                None => self.found.uncovered += 1,
            },
            Some(Lies::Segment { name, from, to }) => {
                if self.segment.as_ref().is_some_and(|(segment, _)| *segment != name) {
                    self.segment_ends()?;
                }
                self.segment.get_or_insert_with(|| (name, Vec::new())).1.push((from, to, content.commitment));
            }
            None => self.found.uncovered += 1,
        }
        Ok(())
    }

    /// All contents of a segment were told: its pieces are read.
    fn segment_ends(&mut self) -> Result<(), BackupError> {
        let Some((name, mut contents)) = self.segment.take() else { return Ok(()) };
        for path in self.index.pieces(&name)? {
            let Some((_, start, end)) = files::piece(&path) else { continue };
            let within = |(from, to, _): &mut Stretch| start <= *from && *to <= end;
            let due = contents.extract_if(.., within);
            let due: Due = due.map(|(from, _, commitment)| (from - start + COMMITMENT, commitment)).collect();
            if let Some((length, sum)) = self.index.named(&path)? {
                self.index.see(&path)?;
                self.file(&Entry { path: &path, length, sum }, due)?;
            }
        }
        self.found.uncovered += contents.len() as u64;
        Ok(())
    }

    fn file(&mut self, entry: &Entry<'_>, due: Due) -> Result<(), BackupError> {
        match read(self.place, entry.path, due) {
            Ok(found) if (found.length, found.sum) == (entry.length, entry.sum) => {
                self.found.contradicted += found.contradicted;
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(place_failed("reading a content")(error));
            }
            _ if self.found.damaged.len() < TOLD => self.found.damaged.push(entry.path.to_owned()),
            _ => self.found.more_damaged += 1,
        }
        Ok(())
    }
}

struct Found {
    length: u64,
    sum: [u8; 32],
    contradicted: u64,
}

/// Reads a file once, for its hash and for the commitments expected in it.
fn read(place: &Place, path: &str, mut due: Due) -> std::io::Result<Found> {
    due.sort_unstable();
    let mut sum = Context::new(&SHA256);
    let mut found = Found { length: 0, sum: [0; 32], contradicted: 0 };
    let mut seen = vec![[0_u8; 32]; due.len()];
    let mut first = 0;
    place.stream(&format!("blobs/{path}"), |bytes| {
        let (from, to) = (found.length, found.length + bytes.len() as u64);
        while due.get(first).is_some_and(|(at, _)| at + 32 <= from) {
            first += 1;
        }
        for ((at, _), seen) in due.iter().zip(&mut seen).skip(first).take_while(|((at, _), _)| *at < to) {
            let (begin, end) = ((*at).max(from), (at + 32).min(to));
            if begin < end {
                seen[(begin - at) as usize..(end - at) as usize]
                    .copy_from_slice(&bytes[(begin - from) as usize..(end - from) as usize]);
            }
        }
        sum.update(bytes);
        found.length = to;
        Ok(())
    })?;
    found.sum.copy_from_slice(sum.finish().as_ref());
    found.contradicted = due.iter().zip(&seen).filter(|((_, expected), seen)| expected != *seen).count() as u64;
    Ok(found)
}

impl super::fetch::Database {
    /// The database of a copy, checked against the manifest, where it can be opened.
    pub(super) fn of(place: &Place, manifest: &Manifest, scratch: &Path) -> Result<Self, BackupError> {
        let name = Manifest::path(&manifest.id, "database.sqlite");
        if !manifest.database.is(place.sum(&name).map_err(place_failed("reading the database"))?) {
            return Err(BackupError::Damaged("the copy's database is not what was written".to_owned()));
        }
        match place.local(&name) {
            Some(path) => Ok(Self { copy: DatabaseCopy::open(&path)?, scratch: None }),
            None => {
                let path = scratch.join("backup-check.sqlite");
                let _ = std::fs::remove_file(&path);
                super::fetch::download(place, &name, &path)?;
                Ok(Self { copy: DatabaseCopy::open(&path)?, scratch: Some(path) })
            }
        }
    }
}
