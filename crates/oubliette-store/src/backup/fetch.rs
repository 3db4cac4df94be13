//! Bringing a copy back into a data folder.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

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
    let files = files::read(place, &manifest)?;
    for taken in [data.join("db"), data.join("blobs")] {
        if taken.exists() {
            return Err(BackupError::Damaged(format!("{} is there already", taken.display())));
        }
    }
    let mut segments: Vec<(&str, u64, u64)> = files.keys().filter_map(|path| files::piece(path)).collect();
    segments.sort_unstable();
    let mut joined: Option<(&str, u64, File)> = None;
    for (name, from, to) in segments {
        let path = data.join("blobs").join("s").join(name);
        let (end, mut file) = match joined.take() {
            Some((segment, end, file)) if segment == name => (end, file),
            other => {
                finish(other)?;
                (0, create(&path)?)
            }
        };
        if from != end {
            return Err(BackupError::Damaged(format!("pieces of the segment {name} do not follow each other")));
        }
        append(place, &files::piece_path(name, from, to), &files, &mut file)?;
        joined = Some((name, to, file));
    }
    finish(joined)?;
    for path in files.keys().filter(|path| path.starts_with("f/")) {
        let mut file = create(&data.join("blobs").join(path))?;
        append(place, path, &files, &mut file)?;
        finish(Some((path, 0, file)))?;
    }
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
fn append(place: &Place, path: &str, files: &files::Files, file: &mut File) -> Result<(), BackupError> {
    let name = format!("blobs/{path}");
    let mut sum = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut length = 0;
    let copied = place.stream(&name, |bytes| {
        sum.update(bytes);
        length += bytes.len() as u64;
        file.write_all(bytes)
    });
    copied.map_err(place_failed("bringing a content back"))?;
    let sum = sum.finish();
    match files.get(path) {
        Some((expected, digest)) if (*expected, &digest[..]) == (length, sum.as_ref()) => Ok(()),
        _ => Err(BackupError::Damaged(format!("{name} is not what was written"))),
    }
}

fn finish(file: Option<(&str, u64, File)>) -> Result<(), BackupError> {
    file.map_or(Ok(()), |(_, _, file)| file.sync_all()).map_err(vault_failed("flushing a file"))
}

/// Copies one file out of the place, durably.
pub(super) fn download(place: &Place, name: &str, to: &Path) -> Result<(), BackupError> {
    let mut file = create(to)?;
    place.stream(name, |bytes| file.write_all(bytes)).map_err(place_failed("reading the database"))?;
    file.sync_all().map_err(vault_failed("flushing a file"))
}
