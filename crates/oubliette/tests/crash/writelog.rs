//! A disk whose every write is logged, in the format of dm-log-writes, and the disk as it was at any flush.
//!
//! The disk is a file exported by `qemu-storage-daemon`, whose `blklogwrites` filter writes the log. All numbers are
//! little-endian. Sector 0 of the log: magic, version, number of entries (all u64), sector size (u32). Each entry: one
//! sector with sector, number of sectors, flags, length of extra data (all u64), then the written sectors.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use crate::rig::{Disk, Kind, Process, Workspace, run};

const MAGIC: u64 = 0x6a_736677_736872;
const FLUSH: u64 = 1;
const DISCARD: u64 = 4;
const MARK: u64 = 8;

/// A logged disk with a file system on it.
pub struct LoggedDisk {
    disk: Option<Disk>,
    daemon: Process,
    export: PathBuf,
    log: PathBuf,
    size: u64,
}

impl LoggedDisk {
    /// A fresh ext4 of `mib` MiB with room for `log_mib` MiB of log.
    pub fn create(workspace: &Workspace, mib: u64, log_mib: u64) -> Self {
        let path = |name: &str| workspace.path(name);
        let (raw, log, export) = (path("disk.raw"), path("writes.log"), path("export.raw"));
        for (file, size) in [(&raw, mib), (&log, log_mib), (&export, 0)] {
            File::create(file).and_then(|file| file.set_len(size << 20)).expect("an image can be made");
        }
        let text = |path: &Path| path.to_str().expect("a path of letters").to_owned();
        let arguments = [
            "--blockdev".to_owned(),
            format!("driver=file,node-name=f0,filename={},cache.direct=off", text(&raw)),
            "--blockdev".to_owned(),
            format!("driver=file,node-name=l0,filename={}", text(&log)),
            "--blockdev".to_owned(),
            "driver=blklogwrites,node-name=lw0,file=f0,log=l0,log-super-update-interval=1".to_owned(),
            "--export".to_owned(),
            format!("type=fuse,id=e0,node-name=lw0,mountpoint={},writable=on", text(&export)),
        ];
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let daemon = Process::start(workspace, Path::new("qemu-storage-daemon"), &arguments, &[], &path("daemon.log"));
        for _ in 0..500 {
            if std::fs::metadata(&export).is_ok_and(|export| export.len() == mib << 20) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let disk = Disk::make(workspace, "logged", Kind::Ext4, &export);
        Self { disk: Some(disk), daemon, export, log, size: mib << 20 }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.disk.as_ref().expect("mounted until dropped").path()
    }

    /// The log, also while it is being written.
    pub fn log(&self) -> WriteLog {
        WriteLog::open(&self.log).expect("the log can be read")
    }

    /// Ends the file system without ceremony and the daemon; gives the log and the size of the disk.
    pub fn finish(mut self) -> (PathBuf, u64) {
        self.stop();
        (self.log.clone(), self.size)
    }

    fn stop(&mut self) {
        if let Some(disk) = self.disk.take() {
            disk.close();
        }
        let _ = run("umount", [&self.export]);
        self.daemon.kill();
        let _ = run("umount", [Path::new("-l"), self.export.as_path()]);
    }
}

impl Drop for LoggedDisk {
    fn drop(&mut self) {
        drop(self.disk.take());
        self.daemon.kill();
        if self.export.exists() || std::fs::metadata(&self.export).is_err() {
            let _ = run("umount", [Path::new("-l"), self.export.as_path()]);
        }
    }
}

/// Reads the entries of a log in order.
pub struct WriteLog {
    file: File,
    sector_bytes: u64,
    /// Offset of the next entry.
    next: u64,
    entries: u64,
}

/// One entry; its written bytes stay in the log.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Position on the disk in bytes.
    pub at: u64,
    /// Bytes written or discarded.
    pub length: u64,
    /// Where the bytes lie in the log; `None` for a discard.
    pub data: Option<u64>,
    /// Everything before it is durable once it is.
    pub flush: bool,
}

impl WriteLog {
    /// Opens a log at its first entry.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut head = [0; 28];
        file.read_exact_at(&mut head, 0)?;
        if number(&head, 0) != MAGIC || number(&head, 8) != 1 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "this is no write log"));
        }
        let sector_bytes = u64::from(u32::from_le_bytes(head[24..28].try_into().expect("four bytes")));
        Ok(Self { file, sector_bytes, next: sector_bytes, entries: 0 })
    }

    /// How many entries the log says it has by now.
    fn written(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        self.file.read_exact_at(&mut count, 16)?;
        Ok(u64::from_le_bytes(count))
    }

    /// The next entry, if it has been written.
    pub fn read(&mut self) -> io::Result<Option<Entry>> {
        if self.entries >= self.written()? {
            return Ok(None);
        }
        let mut head = [0; 32];
        self.file.read_exact_at(&mut head, self.next)?;
        let (at, length) = (number(&head, 0) * self.sector_bytes, number(&head, 8) * self.sector_bytes);
        let (flags, extra) = (number(&head, 16), number(&head, 24));
        let body = self.next + self.sector_bytes;
        let data = (flags & (DISCARD | MARK) == 0 && length > 0).then_some(body);
        self.next = body + if data.is_some() { length } else { 0 };
        if flags & MARK != 0 {
            self.next += extra.div_ceil(self.sector_bytes) * self.sector_bytes;
        }
        self.entries += 1;
        Ok(Some(Entry { at, length, data, flush: flags & FLUSH != 0 }))
    }

    /// Entries read so far.
    pub fn position(&self) -> u64 {
        self.entries
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Counts flushes as they are written: the meter of a ledger.
pub fn meter(log: WriteLog) -> impl Fn() -> u64 + Send + Sync {
    let log = Mutex::new(log);
    move || {
        let mut log = log.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while log.read().expect("the log can be read").is_some() {}
        log.position()
    }
}

/// Bytes shown on both sides of a write: longer than any page of keys.
const AROUND: u64 = 32 << 10;

/// Rebuilds a disk from its log, flush by flush.
pub struct Replay {
    log: WriteLog,
    image: File,
    /// The first write of the next state, read already.
    ahead: Option<Entry>,
}

/// Is shown bytes.
pub type See<'s> = &'s mut dyn FnMut(&[u8]);

/// A state of the disk, with nothing under way.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// Entries after which the disk was in this state.
    pub first: u64,
    /// Entries after which it still was.
    pub entry: u64,
    /// Flushes in a row that found the disk like this: at least one.
    pub flushes: u64,
}

impl Replay {
    /// An empty disk of `size` bytes at `image`.
    pub fn begin(log: &Path, image: &Path, size: u64) -> io::Result<Self> {
        let image = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(image)?;
        image.set_len(size)?;
        Ok(Self { log: WriteLog::open(log)?, image, ahead: None })
    }

    /// Goes on to the next flush that has something to flush: the disk holds all that was written before it. Flushes that
    /// follow it with nothing written between are the same state. `None` at the end.
    pub fn next_state(&mut self) -> io::Result<Option<State>> {
        self.advance(None)
    }

    /// Like [`Replay::next_state`], and shows every single write with what lies around it on the disk at that moment.
    pub fn next_state_seeing(&mut self, see: See<'_>) -> io::Result<Option<State>> {
        self.advance(Some(see))
    }

    fn advance(&mut self, mut see: Option<See<'_>>) -> io::Result<Option<State>> {
        let mut state: Option<State> = None;
        while let Some(entry) = self.next_entry()? {
            if state.is_some() && entry.length > 0 {
                self.ahead = Some(entry);
                return Ok(state);
            }
            self.write(entry)?;
            if let (Some(see), Some(_)) = (&mut see, entry.data) {
                see(&self.around(entry)?);
            }
            if entry.flush {
                let at = self.log.position();
                let (first, flushes) = state.map_or((at, 1), |state| (state.first, state.flushes + 1));
                state = Some(State { first, entry: at, flushes });
            }
        }
        Ok(state)
    }

    /// The written bytes and their neighbours: what is longer than a block is seen whole wherever it was cut.
    fn around(&self, entry: Entry) -> io::Result<Vec<u8>> {
        let from = entry.at.saturating_sub(AROUND);
        let to = (entry.at + entry.length + AROUND).min(self.image.metadata()?.len());
        let mut bytes = vec![0; usize::try_from(to - from).expect("a write fits into memory")];
        self.image.read_exact_at(&mut bytes, from)?;
        Ok(bytes)
    }

    fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        match self.ahead.take() {
            Some(entry) => Ok(Some(entry)),
            None => self.log.read(),
        }
    }

    fn write(&self, entry: Entry) -> io::Result<()> {
        let Some(mut from) = entry.data else { return Ok(()) };
        let (mut to, mut left) = (entry.at, entry.length);
        let mut buffer = vec![0; 1 << 20];
        while left > 0 {
            let piece = usize::try_from(left.min(1 << 20)).expect("at most a MiB");
            self.log.file.read_exact_at(&mut buffer[..piece], from)?;
            self.image.write_all_at(&buffer[..piece], to)?;
            (from, to, left) = (from + piece as u64, to + piece as u64, left - piece as u64);
        }
        Ok(())
    }
}
