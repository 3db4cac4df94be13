//! A vault in a folder of its own, copies of its data, and places where a copy is put beside the newest key state.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use keyforest::Probe;
use oubliette::config::Config;
use oubliette::opening::{OpenError, OpenVault, Opening, RegisterPolicy};
use oubliette_core::ports::{Clock, NoLenders, PortErrorKind, SystemClock};
use oubliette_store::roots::RegisterError;
use tempfile::TempDir;

/// A place for a vault.
pub struct House {
    folder: TempDir,
    /// Seconds a delete waits for its seal.
    seal_timeout: u64,
}

impl House {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), seal_timeout: 30 }
    }

    /// One whose deletes wait so many seconds for their seals.
    pub fn waiting(seal_timeout: u64) -> Self {
        Self { seal_timeout, ..Self::new() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("vault")
    }

    pub fn register(&self) -> PathBuf {
        self.folder.path().join("vault.register")
    }

    /// Opens it as the server does.
    pub async fn open(&self) -> Result<OpenVault, OpenError> {
        self.open_with(|_| ()).await
    }

    /// Opens it as `restore attach` does.
    pub async fn attach(&self) -> Result<OpenVault, OpenError> {
        self.open_with(|opening| (opening.create, opening.attach) = (false, true)).await
    }

    /// Opens it with a probe.
    pub async fn probed(&self, probe: Arc<dyn Probe>) -> Result<OpenVault, OpenError> {
        self.open_with(|opening| opening.probe = probe).await
    }

    /// Opens it by another clock.
    pub async fn clocked(&self, clock: Arc<dyn Clock>) -> Result<OpenVault, OpenError> {
        self.open_with(|opening| opening.clock = clock).await
    }

    async fn open_with(&self, change: impl FnOnce(&mut Opening)) -> Result<OpenVault, OpenError> {
        let mut config = Config::default();
        config.storage.data = self.data();
        config.storage.key_reserve_bytes = 1 << 16;
        config.erasure.seal_timeout_seconds = self.seal_timeout;
        config.phones.default_region = Some("US".to_owned());
        let mut opening = Opening::new(RegisterPolicy::Warn);
        (opening.clock, opening.lenders) = (Arc::new(SystemClock), Arc::new(NoLenders));
        change(&mut opening);
        let mut opening = Some(opening);
        for _ in 0..500 {
            let Opening { create, register, clock, probe, lenders, attach, .. } = opening.as_ref().unwrap();
            let again = Opening {
                create: *create,
                attach: *attach,
                clock: Arc::clone(clock),
                probe: Arc::clone(probe),
                lenders: Arc::clone(lenders),
                ..Opening::new(*register)
            };
            match OpenVault::open_with(&config, opening.replace(again).unwrap()).await {
                // A thread of the vault that was closed may hold it a moment longer.
                Err(OpenError::Register(RegisterError::Held) | OpenError::InUse(_)) => {}
                Err(OpenError::Store(error)) if error.kind != PortErrorKind::Corrupt => {}
                opened => return opened,
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the vault stays open");
    }

    /// First leaf number that was never provisioned, as the register says.
    pub fn high_water(&self) -> u64 {
        let bytes = std::fs::read(self.register().join("register")).unwrap();
        let number = |slot: &[u8], at: usize| u64::from_le_bytes(slot[at..at + 8].try_into().unwrap());
        let slots = bytes.chunks(4096).filter(|slot| slot.starts_with(b"KFSLOT01"));
        let newest = slots.max_by_key(|slot| number(slot, 8)).unwrap();
        number(newest, 104)
    }

    /// Another place with the key state of this one and the database and blobs of a copy.
    pub fn with_copy(&self, copy: &Path) -> Self {
        let place = Self::new();
        std::fs::create_dir_all(place.data()).unwrap();
        copy_tree(&self.data().join("packs"), &place.data().join("packs"));
        copy_tree(&self.register(), &place.register());
        for part in ["db", "blobs"] {
            copy_tree(&copy.join(part), &place.data().join(part));
        }
        place
    }
}

/// How a copy of the data is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// File by file, again until two copies of the database in a row are the same; then the blobs.
    Files,
    /// By the database's own means, from another process; then the blobs, file by file.
    VacuumInto,
}

/// Copies database and blobs of a vault that may be in use.
pub fn copy_data(data: &Path, to: &Path, tool: Tool) {
    let (from, database) = (data.join("db"), to.join("db"));
    match tool {
        Tool::Files => {
            let mut last = None;
            for _ in 0..200 {
                let _ = std::fs::remove_dir_all(&database);
                std::fs::create_dir_all(to).unwrap();
                // By another process, as tools do: closing a file of the database here would drop the vault's own locks on it.
                let done = Command::new("cp").arg("-r").args([&from, &database]).output().unwrap();
                let text = String::from_utf8_lossy(&done.stderr).into_owned();
                assert!(done.status.success() || text.contains("No such file"), "{text}");
                let now = contents(&database);
                if last.as_ref() == Some(&now) {
                    break;
                }
                last = Some(now);
            }
        }
        Tool::VacuumInto => {
            std::fs::create_dir_all(&database).unwrap();
            let text = "import sqlite3, sys\nsource = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True, timeout=30)\n\
                        source.execute('VACUUM INTO ?', (sys.argv[2],))";
            let mut python = Command::new("python3");
            python.args(["-c", text]).args([from.join("oubliette.sqlite"), database.join("oubliette.sqlite")]);
            let done = python.output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
    }
    copy_tree(&data.join("blobs"), &to.join("blobs"));
}

/// The database's files but for SQLite's index of its log, which is made anew.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.to_string_lossy().ends_with("-shm"))
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    found.sort();
    found
}

/// Copies a folder with everything in it. What disappears meanwhile is passed over, as tools do.
pub fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let Ok(entries) = std::fs::read_dir(from) else { return };
    for entry in entries.flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_tree(&path, &target);
        } else if let Err(error) = std::fs::copy(&path, &target) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", path.display());
        }
    }
}
