//! Making a copy.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::fetch::Database;
use super::files::{self, Files, Lies};
use super::manifest::{self, FileSum, Manifest};
use super::{BackupError, COMMITMENT, MOST_BYTES, Place, list, lock, place_failed, vault_failed};
use crate::metadata::sqlite::{CopiedBlob, DatabaseCopy, copy_database};

/// How often it is asked whether a content that is gone was erased.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(200);
/// What is copied.
pub struct Source<'a> {
    /// The vault's database.
    pub database: &'a Path,
    /// Its blob folder.
    pub blobs: &'a Path,
    /// A folder for the database on its way to a bucket. On the vault's disk.
    pub scratch: &'a Path,
    /// Version of the program.
    pub program: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// A copy that was made.
#[derive(Clone, Debug)]
pub struct Taken {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Files that were not there yet.
    pub new_files: u64,
    /// Bytes of them.
    pub new_bytes: u64,
    /// Contents whose bytes do not begin as their rows say. They were copied as they are.
    pub damaged: u64,
}

/// Makes a copy. No content may move meanwhile; erasures and new contents do no harm. Blocks.
///
/// # Errors
/// No copy was made then; what was written for it serves the next one.
pub fn take(source: &Source<'_>, place: &Place) -> Result<Taken, BackupError> {
    let _lock = lock(place)?;
    let id = id(source.now)?;
    let name = Manifest::path(&id, "database.sqlite");
    let copied = Database::taken(source, place, &name)?;
    copied.copy.check()?;
    let instance = copied.copy.instance()?;
    manifest::mark(place, instance.instance)?;
    let database = match &copied.scratch {
        None => FileSum::new(place.sum(&name).map_err(place_failed("reading the database back"))?),
        Some(path) => {
            let file = File::open(path).map_err(vault_failed("reading the copied database"))?;
            let length = file.metadata().map_err(vault_failed("reading the copied database"))?.len();
            FileSum::new((length, place.put(&name, file, length).map_err(place_failed("writing the database"))?))
        }
    };
    let mut copying = Copying::new(source, place)?;
    let mut contents = Vec::new();
    copied.copy.blobs(|content| contents.push(content))?;
    copying.all(&contents)?;
    copying.settle_missing()?;
    let list = files::text(&copying.files, MOST_BYTES)?;
    let list_name = Manifest::path(&id, "files");
    let sum = place.put(&list_name, list.as_bytes(), list.len() as u64).map_err(place_failed("writing the list"))?;
    let manifest = Manifest {
        format: Manifest::FORMAT,
        id,
        instance: instance.instance,
        epoch: instance.epoch,
        commit_counter: instance.commit_counter,
        taken_at: source.now,
        program: source.program.to_owned(),
        database,
        files: FileSum::new((list.len() as u64, sum)),
        contents: contents.len() as u64,
        bytes: copying.files.values().map(|(length, _)| length).sum(),
        missing: copying.missing.len() as u64,
    };
    manifest.write(place)?;
    let Copying { new_files, new_bytes, damaged, .. } = copying;
    Ok(Taken { manifest, new_files, new_bytes, damaged })
}

/// A name that sorts by time and is no other copy's.
fn id(now: Timestamp) -> Result<String, BackupError> {
    let mut random = [0; 4];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| vault_failed("drawing a number")(io::Error::other("none")))?;
    Ok(format!("{}-{}", now.strftime("%Y%m%dT%H%M%SZ"), hex::encode(random)))
}

impl Database {
    /// Copies the vault's database: to its place, or beside the vault on its way to a bucket.
    fn taken(source: &Source<'_>, place: &Place, name: &str) -> Result<Self, BackupError> {
        let scratch = match place.local(name) {
            Some(path) => {
                let folder = path.parent().unwrap_or(source.scratch);
                crate::media::folder::make_directory(folder).map_err(place_failed("making a folder"))?;
                return Ok(Self { copy: copy_database(source.database, &path)?, scratch: None });
            }
            None => source.scratch.join("backup.sqlite"),
        };
        // What a process that ended left.
        let _ = std::fs::remove_file(&scratch);
        Ok(Self { copy: copy_database(source.database, &scratch)?, scratch: Some(scratch) })
    }
}

/// Contents on their way.
struct Copying<'a> {
    source: &'a Source<'a>,
    place: &'a Place,
    /// Lengths of what lies in the place, by path below `blobs/`.
    there: BTreeMap<String, u64>,
    /// What earlier copies say of it.
    known: Files,
    /// What belongs to this copy.
    files: Files,
    missing: BTreeSet<String>,
    new_files: u64,
    new_bytes: u64,
    damaged: u64,
}

impl<'a> Copying<'a> {
    fn new(source: &'a Source<'a>, place: &'a Place) -> Result<Self, BackupError> {
        let listed = place.list("blobs").map_err(place_failed("listing what is there"))?;
        let there =
            listed.into_iter().filter_map(|(name, len)| Some((name.strip_prefix("blobs/")?.to_owned(), len))).collect();
        let mut known = Files::new();
        for manifest in list(place)? {
            known.extend(files::read(place, &manifest)?);
        }
        let files = Files::new();
        let missing = BTreeSet::new();
        Ok(Self { source, place, there, known, files, missing, new_files: 0, new_bytes: 0, damaged: 0 })
    }

    fn all(&mut self, contents: &[CopiedBlob]) -> Result<(), BackupError> {
        let mut segments: BTreeMap<String, Vec<(u64, u64, &CopiedBlob)>> = BTreeMap::new();
        for content in contents {
            match Lies::of(&content.blob) {
                Some(Lies::File(path)) => self.file(&path, content)?,
                Some(Lies::Segment { name, from, to }) => segments.entry(name).or_default().push((from, to, content)),
                None => return Err(BackupError::Damaged("a content does not lie in the blob folder".to_owned())),
            }
        }
        segments.iter().try_for_each(|(name, stretches)| self.segment(name, stretches))
    }

    /// Whether a file lies in the place as an earlier copy says; it belongs to this one then.
    fn reuse(&mut self, path: &str) -> bool {
        match (self.there.get(path), self.known.get(path)) {
            (Some(length), Some(known)) if known.0 == *length => {
                self.files.insert(path.to_owned(), *known);
                true
            }
            _ => false,
        }
    }

    fn file(&mut self, path: &str, content: &CopiedBlob) -> Result<(), BackupError> {
        if self.reuse(path) {
            return Ok(());
        }
        let Some(file) = self.open(path)? else {
            self.missing.insert(content.blob.0.clone());
            return Ok(());
        };
        let length = file.metadata().map_err(vault_failed("reading a content"))?.len();
        self.look(&file, 0, content);
        self.put(path, file, length)
    }

    fn segment(&mut self, name: &str, stretches: &[(u64, u64, &CopiedBlob)]) -> Result<(), BackupError> {
        let end = stretches.iter().map(|(_, to, _)| *to).max().unwrap_or(0);
        let sound: Vec<String> = {
            let as_known = |path: &&String| self.known.get(*path).is_some_and(|known| self.there[*path] == known.0);
            self.there.keys().filter(as_known).cloned().collect()
        };
        let (chain, covered) = files::front(sound.iter().map(String::as_str), name);
        for path in &chain {
            // All of the front: a piece in it may hold nothing of this copy, and still stands before one that does.
            self.reuse(path);
        }
        if covered >= end {
            return Ok(());
        }
        let Some(file) = self.open(&format!("s/{name}"))? else {
            let lost = stretches.iter().filter(|(_, to, _)| *to > covered);
            self.missing.extend(lost.map(|(.., content)| content.blob.0.clone()));
            return Ok(());
        };
        for (from, _, content) in stretches.iter().filter(|(_, to, _)| *to > covered) {
            self.look(&file, *from, content);
        }
        let mut file = file;
        file.seek(SeekFrom::Start(covered)).map_err(vault_failed("reading a segment"))?;
        self.put(&files::piece_path(name, covered, end), file, end - covered)
    }

    /// Counts a content that does not begin as its row says.
    fn look(&mut self, file: &File, from: u64, content: &CopiedBlob) {
        let mut found = [0; 32];
        if file.read_exact_at(&mut found, from + COMMITMENT).is_err() || found != content.commitment {
            self.damaged += 1;
        }
    }

    fn put(&mut self, path: &str, file: File, length: u64) -> Result<(), BackupError> {
        let sum = self.place.put(&format!("blobs/{path}"), file, length);
        self.files.insert(path.to_owned(), (length, sum.map_err(place_failed("writing a content"))?));
        self.new_files += 1;
        self.new_bytes += length;
        Ok(())
    }

    fn open(&self, path: &str) -> Result<Option<File>, BackupError> {
        match File::open(self.source.blobs.join(path)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(vault_failed("opening a content")(error)),
        }
    }

    /// Makes sure that what was not there any more belongs to an erasure.
    fn settle_missing(&self) -> Result<(), BackupError> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let vault = DatabaseCopy::open_live(self.source.database)?;
        let mut tries = 0;
        loop {
            match vault.live(self.missing.iter().map(String::as_str))? {
                0 => return Ok(()),
                lost if tries == TRIES => return Err(BackupError::Lost(lost)),
                // Asked between its row and its end, an erasure looks as if there were none.
                _ => std::thread::sleep(PAUSE),
            }
            tries += 1;
        }
    }
}
