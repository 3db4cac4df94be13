//! The file register: two blocks of a preallocated file, overwritten in place past the page cache.
//!
//! Its directory holds nothing else, lies outside the data folder, and asks backup programs to pass it by: a copied root
//! defeats every purge that came before the copy.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use keyforest::media::{SLOT_BYTES, SlotDevice, SlotError};
use rustix::fs::{FlockOperation, IFlags, OFlags};
use thiserror::Error;

use crate::media::align::Aligned;
use crate::media::folder::make_directory;

const FILE: &str = "register";
const MODE: u32 = 0o600;
/// The first line that backup programs look for, as the Cache Directory Tagging specification gives it.
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55
# This directory holds the root key of an Oubliette vault. A copy of it would bring erased
# data back: it must not be in any backup. See docs/operating/backup.md.
";

/// Why the register could not be opened.
#[derive(Debug, Error)]
pub enum RegisterError {
    /// It would lie in the data folder, whose copies it must not be in.
    #[error("the register must not lie in the data folder")]
    InsideDataFolder,
    /// Another process has it open.
    #[error("another process holds the register")]
    Held,
    /// The file is there but is not two blocks long.
    #[error("the register file has the wrong length")]
    Malformed,
    /// The system refused.
    #[error("register {operation}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Two slots in one file. Exclusive: the lock is held as long as this lives.
pub struct FileRegister {
    path: PathBuf,
    file: File,
    /// Whether reads and writes pass the page cache.
    direct: bool,
    /// One block at a time: two overlapping direct writes would have no order.
    turn: Mutex<()>,
}

impl FileRegister {
    /// Where the register of a data folder lies unless the configuration says otherwise: `NAME.register` beside it.
    pub fn default_directory(data: &Path) -> PathBuf {
        let data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
        let mut name = data.file_name().unwrap_or_default().to_owned();
        name.push(".register");
        data.with_file_name(name)
    }

    /// Opens the register in `directory`, making it when it is missing. Refuses a directory that is the data folder or
    /// lies below it, symbolic links resolved.
    pub fn open(directory: &Path, data: &Path) -> Result<Self, RegisterError> {
        if inside(directory, data) {
            return Err(RegisterError::InsideDataFolder);
        }
        make_directory(directory).map_err(io("making its directory"))?;
        let handle = File::open(directory).map_err(io("opening its directory"))?;
        tag(directory)?;
        let path = directory.join(FILE);
        let fresh = !path.exists();
        let file = Self::open_file(&path, OFlags::DIRECT | OFlags::DSYNC);
        let (file, direct) = match file {
            // The filesystem knows no direct I/O: durable writes still, and `check` lowers the class.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                (Self::open_file(&path, OFlags::DSYNC).map_err(io("opening"))?, false)
            }
            other => (other.map_err(io("opening"))?, true),
        };
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => RegisterError::Held,
            other => RegisterError::Io { operation: "locking", source: other.into() },
        })?;
        let register = Self { path, file, direct, turn: Mutex::new(()) };
        register.prepare(fresh)?;
        handle.sync_all().map_err(io("making its directory durable"))?;
        // Best effort: not every filesystem has the flag, and `check` does not count on it.
        for marked in [&handle, &register.file] {
            if let Ok(flags) = rustix::fs::ioctl_getflags(marked) {
                let _ = rustix::fs::ioctl_setflags(marked, flags | IFlags::NODUMP);
            }
        }
        Ok(register)
    }

    fn open_file(path: &Path, flags: OFlags) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(MODE)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
    }

    /// Gives a new file its two blocks, written so that later overwrites find them allocated.
    fn prepare(&self, fresh: bool) -> Result<(), RegisterError> {
        let len = self.file.metadata().map_err(io("reading its length"))?.len();
        let whole = 2 * SLOT_BYTES as u64;
        if len == whole {
            return Ok(());
        }
        // A crash while it was first made leaves it short; nothing was in it yet.
        if !fresh && len > whole {
            return Err(RegisterError::Malformed);
        }
        for slot in 0..2 {
            if len < (slot as u64 + 1) * SLOT_BYTES as u64 {
                self.write(slot, &[0; SLOT_BYTES]).map_err(io("preallocating"))?;
            }
        }
        self.file.sync_all().map_err(io("preallocating"))
    }

    /// Removes the register's files if neither slot was ever written to, for a start that is refused before there is a vault.
    /// A register that holds anything stays as it is.
    pub fn discard_blank(self) {
        let blank = |slot| self.read_slot(slot).is_ok_and(|block| block.iter().all(|byte| *byte == 0));
        if blank(0) && blank(1) {
            for name in [super::check::EXTENTS, "CACHEDIR.TAG", FILE] {
                let _ = fs::remove_file(self.path.with_file_name(name));
            }
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether reads and writes pass the page cache.
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// The open file, for checks of its place.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    fn write(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> io::Result<()> {
        let offset = offset(slot)?;
        let mut buffer = Aligned::zeroed(SLOT_BYTES);
        buffer.as_mut_slice().copy_from_slice(block);
        let _turn = self.turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.file.write_all_at(buffer.as_slice(), offset)?;
        // O_DSYNC has made the block durable; without direct I/O this also orders the device's own cache.
        if self.direct { Ok(()) } else { self.file.sync_data() }
    }
}

impl SlotDevice for FileRegister {
    fn class(&self) -> Cow<'static, str> {
        "file".into()
    }

    fn read_slot(&self, slot: usize) -> io::Result<Box<[u8; SLOT_BYTES]>> {
        let offset = offset(slot)?;
        if !self.direct {
            rustix::fs::fadvise(
                &self.file,
                offset,
                std::num::NonZeroU64::new(SLOT_BYTES as u64),
                rustix::fs::Advice::DontNeed,
            )?;
        }
        let mut buffer = Aligned::zeroed(SLOT_BYTES);
        self.file.read_exact_at(buffer.as_mut_slice(), offset)?;
        let mut block = Box::new([0; SLOT_BYTES]);
        block.copy_from_slice(buffer.as_slice());
        Ok(block)
    }

    // A failed write may have left clean pages of what the disk never got: only a recovery can tell. So none is repeated.
    fn write_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
        self.write(slot, block).map_err(SlotError::End)
    }
}

fn offset(slot: usize) -> io::Result<u64> {
    if slot < 2 { Ok((slot * SLOT_BYTES) as u64) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

fn io(operation: &'static str) -> impl FnOnce(io::Error) -> RegisterError {
    move |source| RegisterError::Io { operation, source }
}

/// Whether `directory` is `data` or lies below it. What does not exist yet is resolved through its nearest existing
/// ancestor.
fn inside(directory: &Path, data: &Path) -> bool {
    resolve(directory).starts_with(resolve(data))
}

fn resolve(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for ancestor in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (ancestor.canonicalize(), path.strip_prefix(ancestor)) {
            return real.join(rest);
        }
    }
    path
}

fn tag(directory: &Path) -> Result<(), RegisterError> {
    let path = directory.join("CACHEDIR.TAG");
    if fs::read(&path).is_ok_and(|found| found == TAG.as_bytes()) {
        return Ok(());
    }
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&path);
    let written = file.as_mut().map_err(|error| io::Error::from(error.kind())).and_then(|file| {
        file.write_all(TAG.as_bytes())?;
        file.sync_all()
    });
    written.map_err(io("marking its directory"))
}
