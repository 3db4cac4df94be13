//! Making a copy.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::fetch::Database;
use super::files::{self, Entry, Lies, List};
use super::index::Index;
use super::manifest::{self, FileSum, Manifest};
use super::place::Sum;
use super::{BackupError, COMMITMENT, Place, list, lock, place_failed, vault_failed};
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
    let mut contents = 0;
    copied.copy.blobs(|content| {
        contents += 1;
        copying.next(content)
    })?;
    copying.segment_ends()?;
    copying.settle_missing()?;
    let files = copying.list.put(place, &Manifest::path(&id, "files"))?;
    let manifest = Manifest {
        format: Manifest::FORMAT,
        id,
        instance: instance.instance,
        epoch: instance.epoch,
        commit_counter: instance.commit_counter,
        taken_at: source.now,
        program: source.program.to_owned(),
        database,
        files,
        contents,
        bytes: copying.list.bytes,
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

/// Where in a segment a content begins and ends.
type Stretch = (u64, u64, CopiedBlob);

/// Contents on their way.
struct Copying<'a> {
    source: &'a Source<'a>,
    place: &'a Place,
    /// What lies in the place, and what earlier copies say of it.
    index: Index,
    /// What belongs to this copy.
    list: List,
    /// The segment whose contents are being told, and its stretches.
    segment: Option<(String, Vec<Stretch>)>,
    missing: BTreeSet<String>,
    new_files: u64,
    new_bytes: u64,
    damaged: u64,
}

impl<'a> Copying<'a> {
    fn new(source: &'a Source<'a>, place: &'a Place) -> Result<Self, BackupError> {
        let index = Index::on(source.scratch)?;
        index.take_up(place)?;
        for manifest in list(place)? {
            files::read(place, &manifest, &index)?;
        }
        let list = List::beside(source.scratch)?;
        let missing = BTreeSet::new();
        Ok(Self { source, place, index, list, segment: None, missing, new_files: 0, new_bytes: 0, damaged: 0 })
    }

    /// The next content. They come in the order of their places: those of one segment after each other.
    fn next(&mut self, content: CopiedBlob) -> Result<(), BackupError> {
        match Lies::of(&content.blob) {
            Some(Lies::File(path)) => self.file(&path, &content),
            Some(Lies::Segment { name, from, to }) => {
                if self.segment.as_ref().is_some_and(|(segment, _)| *segment != name) {
                    self.segment_ends()?;
                }
                self.segment.get_or_insert_with(|| (name, Vec::new())).1.push((from, to, content));
                Ok(())
            }
            None => Err(BackupError::Damaged("a content does not lie in the blob folder".to_owned())),
        }
    }

    /// All contents of a segment were told.
    fn segment_ends(&mut self) -> Result<(), BackupError> {
        self.segment.take().map_or(Ok(()), |(name, stretches)| self.segment(&name, &stretches))
    }

    /// What earlier copies say of a file, where it lies in the place as they do.
    fn known(&self, path: &str) -> Result<Option<(u64, Sum)>, BackupError> {
        let known = self.index.named(path)?;
        let length = self.index.length(path)?;
        Ok(known.filter(|known| length == Some(known.0)))
    }

    /// Whether a file lies in the place as an earlier copy says; it belongs to this one then.
    fn reuse(&mut self, path: &str) -> Result<bool, BackupError> {
        let Some((length, sum)) = self.known(path)? else { return Ok(false) };
        self.list.add(&Entry { path, length, sum })?;
        Ok(true)
    }

    fn file(&mut self, path: &str, content: &CopiedBlob) -> Result<(), BackupError> {
        if self.reuse(path)? {
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

    fn segment(&mut self, name: &str, stretches: &[Stretch]) -> Result<(), BackupError> {
        let end = stretches.iter().map(|(_, to, _)| *to).max().unwrap_or(0);
        let mut sound = Vec::new();
        for path in self.index.pieces(name)? {
            if self.known(&path)?.is_some() {
                sound.push(path);
            }
        }
        let (chain, covered) = files::front(sound.iter().map(String::as_str));
        for path in &chain {
            // All of the front: a piece in it may hold nothing of this copy, and still stands before one that does.
            self.reuse(path)?;
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
        let sum = self.place.put(&format!("blobs/{path}"), file, length).map_err(place_failed("writing a content"))?;
        self.list.add(&Entry { path, length, sum })?;
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
