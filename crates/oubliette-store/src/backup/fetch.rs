//! Bringing a copy back into a data folder.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::files::Entry;
use super::index::Index;
use super::manifest::Manifest;
use super::{BackupError, Place, files, find, place_failed, vault_failed};
use crate::media::folder::make_directory;
use crate::metadata::sqlite::DatabaseCopy;

/// A database of a copy, open.
pub(super) struct Database {
    pub(super) copy: DatabaseCopy,
    /// A file that goes when this does.
    pub(super) scratch: Option<PathBuf>,
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(path) = &self.scratch {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Writes a copy into `data`: `db/oubliette.sqlite` and `blobs/`, durable and checked on return. Neither may be there.
/// There is no key among it. Blocks.
///
/// # Errors
/// There is no such copy, it is damaged, or something is in the way. What was written stays and may be removed.
pub fn fetch(place: &Place, id: &str, data: &Path) -> Result<Manifest, BackupError> {
    let manifest = find(place, id)?;
    for taken in [data.join("db"), data.join("blobs")] {
        if taken.exists() {
            return Err(BackupError::Damaged(format!("{} is there already", taken.display())));
        }
    }
    make_directory(data).map_err(vault_failed("making a folder"))?;
    let index = Index::on(data)?;
    files::read(place, &manifest, &index)?;
    let mut joined: Option<(String, u64, File)> = None;
    index.all_pieces(|entry| {
        let Some((name, from, to)) = files::piece(entry.path) else { return Ok(()) };
        let (end, mut file) = match joined.take() {
            Some((segment, end, file)) if segment == name => (end, file),
            other => {
                finish(other.map(|(.., file)| file))?;
                (0, create(&data.join("blobs").join("s").join(name))?)
            }
        };
        if from != end {
            return Err(BackupError::Damaged(format!("pieces of the segment {name} do not follow each other")));
        }
        append(place, entry, &mut file)?;
        joined = Some((name.to_owned(), to, file));
        Ok(())
    })?;
    finish(joined.map(|(.., file)| file))?;
    index.all_files(|entry| {
        let mut file = create(&data.join("blobs").join(entry.path))?;
        append(place, entry, &mut file)?;
        finish(Some(file))
    })?;
    let database = data.join("db").join("oubliette.sqlite");
    let name = Manifest::path(id, "database.sqlite");
    make_directory(&data.join("db")).map_err(vault_failed("making a folder"))?;
    download(place, &name, &database)?;
    if !manifest.database.is(Place::folder(data.join("db")).sum("oubliette.sqlite").map_err(vault_failed("reading"))?) {
        return Err(BackupError::Damaged("the copy's database is not what was written".to_owned()));
    }
    DatabaseCopy::open(&database)?.check()?;
    Ok(manifest)
}

fn create(path: &Path) -> Result<File, BackupError> {
    let make = || {
        make_directory(path.parent().unwrap_or(Path::new(".")))?;
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
    };
    make().map_err(vault_failed("making a file"))
}

/// Appends a file of the copy, checked against the list.
fn append(place: &Place, entry: &Entry<'_>, file: &mut File) -> Result<(), BackupError> {
    let name = format!("blobs/{}", entry.path);
    let mut sum = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut length = 0;
    let copied = place.stream(&name, |bytes| {
        sum.update(bytes);
        length += bytes.len() as u64;
        file.write_all(bytes)
    });
    copied.map_err(place_failed("bringing a content back"))?;
    let sum = sum.finish();
    if (entry.length, &entry.sum[..]) == (length, sum.as_ref()) {
        Ok(())
    } else {
        Err(BackupError::Damaged(format!("{name} is not what was written")))
    }
}

fn finish(file: Option<File>) -> Result<(), BackupError> {
    file.map_or(Ok(()), |file| file.sync_all()).map_err(vault_failed("flushing a file"))
}

/// Copies one file out of the place, durably.
pub(super) fn download(place: &Place, name: &str, to: &Path) -> Result<(), BackupError> {
    let mut file = create(to)?;
    place.stream(name, |bytes| file.write_all(bytes)).map_err(place_failed("reading the database"))?;
    file.sync_all().map_err(vault_failed("flushing a file"))
}
