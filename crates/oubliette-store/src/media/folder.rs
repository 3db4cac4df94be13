//! A [`Medium`] over one directory.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use keyforest::media::Medium;
use rustix::fs::{Advice, FallocateFlags, OFlags};

use crate::media::align::Aligned;
use crate::media::ground::Ground;
use crate::media::plain;

/// Files of the folder are readable by the vault's user alone: page ciphertexts need no secrecy, but nobody else has any
/// business here.
const MODE: u32 = 0o600;

/// One directory; subdirectories and names with a slash are not used. File handles stay open.
pub struct Folder {
    path: PathBuf,
    directory: File,
    ground: Ground,
    open: Mutex<HashMap<String, Handles>>,
}

#[derive(Clone)]
struct Handles {
    file: Arc<File>,
    /// Opened past the page cache, where the filesystem can; made at the first read back.
    direct: Option<Arc<File>>,
}

impl Folder {
    /// Opens a directory, making it durably when it is missing.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        make_directory(&path)?;
        let directory = File::open(&path)?;
        let ground = Ground::of(&path);
        Ok(Self { path, directory, ground, open: Mutex::new(HashMap::new()) })
    }

    /// Opens a directory for this process alone; refuses one that another process has opened so. A place that lies beside a
    /// fenced one needs it: what a folder is told to write it writes, whoever says so.
    pub fn open_alone(path: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = Self::open(path)?;
        match folder.directory.try_lock() {
            Ok(()) => Ok(folder),
            Err(fs::TryLockError::WouldBlock) => {
                Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process uses this folder"))
            }
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handles) = open.get(name) {
            return Ok(handles.file.clone());
        }
        let file = Arc::new(OpenOptions::new().read(true).write(true).open(self.at(name)?)?);
        open.insert(name.to_owned(), Handles { file: file.clone(), direct: None });
        Ok(file)
    }

    fn direct(&self, name: &str) -> io::Result<Option<Arc<File>>> {
        let file = self.file(name)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let handles = open.entry(name.to_owned()).or_insert(Handles { file, direct: None });
        if handles.direct.is_none() {
            let flags = OFlags::DIRECT.bits().cast_signed();
            match OpenOptions::new().read(true).custom_flags(flags).open(self.at(name)?) {
                Ok(file) => handles.direct = Some(Arc::new(file)),
                // The filesystem knows no direct reads.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                Err(error) => return Err(error),
            }
        }
        Ok(handles.direct.clone())
    }

    /// A file that was removed by somebody, or whose folder was, takes all that is written to it for as long as it is open. So does
    /// one that another was put in the place of; it may have other names still.
    fn is_there(&self, name: &str, file: &File) -> io::Result<()> {
        let open = file.metadata()?;
        match fs::metadata(self.at(name)?) {
            Ok(named) if (named.dev(), named.ino()) == (open.dev(), open.ino()) => Ok(()),
            Ok(_) => Err(io::Error::other(format!("{name} was replaced by somebody else"))),
            Err(error) => Err(io::Error::new(error.kind(), format!("{name} was removed by somebody else: {error}"))),
        }
    }

    fn forget(&self, name: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn at(&self, name: &str) -> io::Result<PathBuf> {
        plain(name)?;
        Ok(self.path.join(name))
    }
}

impl Medium for Folder {
    fn create(&self, name: &str, reserve: u64) -> io::Result<()> {
        let path = self.at(name)?;
        let options = || OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).to_owned();
        let file = options().open(&path)?;
        let reserved = if reserve == 0 {
            Ok(())
        } else {
            match rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, reserve) {
                Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
                other => other.map_err(io::Error::from),
            }
        };
        if let Err(error) = reserved {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        let flushed = file.sync_all().and_then(|()| self.directory.sync_all());
        flushed.and_then(|()| self.ground.holds()).map_err(failed_flush)?;
        let handles = Handles { file: Arc::new(file), direct: None };
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), handles);
        Ok(())
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write_all_at(bytes, offset)
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        let file = self.file(name)?;
        let flushed = file.sync_data().and_then(|()| self.ground.holds()).and_then(|()| self.is_there(name, &file));
        flushed.map_err(failed_flush)
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file(name)?.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        if let Some(file) = self.direct(name)? {
            match Aligned::read(&file, offset, len) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                other => return other,
            }
        }
        // Without direct reads: drop the clean pages, then read. The pages were flushed, so none of them is dirty.
        let file = self.file(name)?;
        rustix::fs::fadvise(&*file, offset, std::num::NonZeroU64::new(len as u64), Advice::DontNeed)?;
        self.read_at(name, offset, len)
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.file(name)?.set_len(len)
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                files.push((name, metadata.len()));
            }
        }
        files.sort();
        Ok(files)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.at(name)?)?;
        self.forget(name);
        self.directory.sync_all().and_then(|()| self.ground.holds()).map_err(failed_flush)
    }
}

/// A failed flush must never look like a full disk: the forest would take it for a write that certainly did not happen.
fn failed_flush(error: io::Error) -> io::Error {
    io::Error::other(error)
}

/// Makes a directory and those above it, each durably.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_directory(parent)?;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(parent)?.sync_all(),
    }
}
