//! Reading a copy again, all of it.

use std::collections::BTreeMap;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};

use super::files::{self, Lies};
use super::manifest::Manifest;
use super::{BackupError, COMMITMENT, Place, find, place_failed};
use crate::metadata::sqlite::DatabaseCopy;

/// What was found of a copy.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Files that are not what was written, or not there: paths.
    pub damaged: Vec<String>,
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

/// Reads every byte of a copy and compares it with what was written, and every content's beginning with its row. `scratch`: a
/// folder for the database, where the place is a bucket. Blocks.
///
/// # Errors
/// There is no such copy, its database is damaged, or the place cannot be read.
pub fn verify(place: &Place, id: &str, scratch: &Path) -> Result<Verified, BackupError> {
    let manifest = find(place, id)?;
    let files = files::read(place, &manifest)?;
    let database = super::fetch::Database::of(place, &manifest, scratch)?;
    database.copy.check()?;
    let instance = database.copy.instance()?;
    if (instance.instance, instance.epoch, instance.commit_counter)
        != (manifest.instance, manifest.epoch, manifest.commit_counter)
    {
        return Err(BackupError::Damaged("the database is not the one that the manifest speaks of".to_owned()));
    }
    // By file: where in it which commitment is expected.
    let mut expected: BTreeMap<String, Vec<(u64, [u8; 32])>> = BTreeMap::new();
    let mut uncovered = 0;
    let pieces = pieces(&files);
    database.copy.blobs(|content| match Lies::of(&content.blob) {
        Some(Lies::File(path)) if files.contains_key(&path) => {
            expected.entry(path).or_default().push((COMMITMENT, content.commitment));
        }
        Some(Lies::Segment { name, from, to }) => {
            let within = pieces
                .get(name.as_str())
                .and_then(|pieces| pieces.iter().find(|(piece_from, piece_to)| *piece_from <= from && to <= *piece_to));
            match within {
                Some((start, end)) => {
                    let path = files::piece_path(&name, *start, *end);
                    expected.entry(path).or_default().push((from - start + COMMITMENT, content.commitment));
                }
                None => uncovered += 1,
            }
        }
        _ => uncovered += 1,
    })?;
    let (mut damaged, mut contradicted) = (Vec::new(), 0);
    for (path, (length, sum)) in &files {
        let due = expected.remove(path).unwrap_or_default();
        match read(place, path, due) {
            Ok(found) if (found.length, found.sum) == (*length, *sum) => contradicted += found.contradicted,
            Ok(_) => damaged.push(path.clone()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => damaged.push(path.clone()),
            Err(error) => return Err(place_failed("reading a content")(error)),
        }
    }
    let uncovered = u64::saturating_sub(uncovered, manifest.missing);
    Ok(Verified { manifest, damaged, uncovered, contradicted })
}

/// The pieces of each segment.
fn pieces(files: &files::Files) -> BTreeMap<&str, Vec<(u64, u64)>> {
    let mut found: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for (name, from, to) in files.keys().filter_map(|path| files::piece(path)) {
        found.entry(name).or_default().push((from, to));
    }
    found
}

struct Found {
    length: u64,
    sum: [u8; 32],
    contradicted: u64,
}

/// Reads a file once, for its hash and for the commitments expected in it.
fn read(place: &Place, path: &str, mut due: Vec<(u64, [u8; 32])>) -> std::io::Result<Found> {
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
