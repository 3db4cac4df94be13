//! The embedded vault: SQLite, local blobs, key packs and the file register, opened from the configuration in one place.
//!
//! ```text
//! DATA/            0700     may be copied and backed up in any way
//!   lock                    held while a process has the vault open
//!   db/                     SQLite
//!   packs/                  key pages and journal
//!   blobs/                  sealed contents
//!   run/                    where a running program can be asked
//! DATA.register/            the register: never in a copy
//! ```

mod made;

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyforest::{Forest, ForestConfig, ForestError, Probe, Stores};
use oubliette_core::ports::{Blobs, Clock, Metadata, PortError, SystemClock, Unbounded};
use oubliette_core::service::{Vault, VaultError, VaultParts, VaultSettings, genesis};
use oubliette_store::blobs::{LocalBlobs, LocalOptions};
use oubliette_store::guard;
use oubliette_store::media::Folder;
use oubliette_store::metadata::sqlite::{SqliteMetadata, SqliteOptions};
use oubliette_store::roots::check::{RegisterAssessment, Weight};
use oubliette_store::roots::{self, FileRegister, RegisterError};
use thiserror::Error;

use self::made::Made;
use crate::config::{Config, ConfigError};
use crate::telemetry::SealTimer;

/// Why a vault cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The configuration is at fault.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another process has it open.
    #[error("{} is open in another process", .0.display())]
    InUse(PathBuf),
    /// There is no vault and none was to be made.
    #[error("there is no vault in {}", .0.display())]
    Absent(PathBuf),
    /// The register's filesystem is not known to overwrite in place.
    #[error(
        "the register's class is {class}, not verified: {reason}; move storage.register to ext4 or xfs, or set \
         storage.accept_unverified_register = true and know that deletions rest on that filesystem"
    )]
    Unverified {
        /// What it is.
        class: String,
        /// Why.
        reason: String,
    },
    /// Database there, keys not, or the other way round.
    #[error("{0}")]
    Torn(&'static str),
    /// A file or folder.
    #[error("{operation}: {}", path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The register.
    #[error("the register cannot be opened")]
    Register(#[from] RegisterError),
    /// The keys.
    #[error("the key state cannot be opened")]
    Forest(#[from] ForestError),
    /// The database or the blobs.
    #[error("the store cannot be opened")]
    Store(#[from] PortError),
    /// The vault.
    #[error("the vault cannot be opened")]
    Vault(#[from] VaultError),
}

/// What to do about a register whose class is lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterPolicy {
    /// Refuse, unless the configuration accepts it.
    Refuse,
    /// Go on with a warning.
    Warn,
}

/// What opening found.
#[derive(Clone, Debug, Default)]
pub struct OpenReport {
    /// It was made just now.
    pub created: bool,
    /// The register's class is lowered: why.
    pub lowered: Option<String>,
    /// What the operator should know, that included.
    pub warnings: Vec<String>,
}

/// What differs between callers.
pub struct Opening {
    /// Make a vault where there is none.
    pub create: bool,
    /// About a lowered register class.
    pub register: RegisterPolicy,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Told of named moments.
    pub probe: Arc<dyn Probe>,
    /// Whether rows and blobs of sealed erasures are removed in the background. Off only in benchmarks.
    pub sweeping: bool,
}

impl Opening {
    /// As the program opens it: system clock, crash points of the environment where they are compiled in.
    pub fn new(register: RegisterPolicy) -> Self {
        Self { create: true, register, clock: Arc::new(SystemClock), probe: program_probe(), sweeping: true }
    }
}

/// An open vault with what it stands on.
pub struct Embedded {
    /// The vault.
    pub vault: Vault,
    /// Its rows, for the program's own small values.
    pub metadata: Arc<dyn Metadata>,
    /// The data folder.
    pub data: PathBuf,
    /// What opening found.
    pub report: OpenReport,
    _lock: File,
}

impl Embedded {
    /// Opens the configured vault, making it when there is none.
    pub async fn open(config: &Config, register: RegisterPolicy) -> Result<Self, OpenError> {
        Self::open_guarded(config, Opening::new(register)).await
    }

    /// Opens the configured vault; refuses when there is none.
    pub async fn open_existing(config: &Config, register: RegisterPolicy) -> Result<Self, OpenError> {
        Self::open_guarded(config, Opening { create: false, ..Opening::new(register) }).await
    }

    /// Locks the process's memory and switches dumps off before any key is read.
    async fn open_guarded(config: &Config, opening: Opening) -> Result<Self, OpenError> {
        let guards = guard::engage().warnings();
        let mut embedded = Self::open_with(config, opening).await?;
        for warning in &guards {
            tracing::warn!("{warning}");
        }
        embedded.report.warnings.extend(guards);
        Ok(embedded)
    }

    /// Opens with everything told.
    pub async fn open_with(config: &Config, opening: Opening) -> Result<Self, OpenError> {
        config.check()?;
        let data = config.storage.data.clone();
        let register_folder = config.register_folder()?;
        let database = data.join("db").join("oubliette.sqlite");
        if !opening.create && !database.exists() {
            return Err(OpenError::Absent(data));
        }
        let folders = [data.clone(), data.join("db"), data.join("run")];
        let missing = Made::missing(&[&folders[1], &folders[2], &data.join("lock"), &register_folder]);
        for folder in &folders {
            make_private(folder)?;
        }
        let lock = lock(&data)?;
        // Behind the lock, and so dropped before it.
        let made = Made::here(missing);
        let mut report = OpenReport { created: !database.exists(), ..OpenReport::default() };

        let register = FileRegister::open(&register_folder, &data)?;
        let assessment = assess(&register)?;
        if let Some(reason) = lowered(&assessment) {
            if opening.register == RegisterPolicy::Refuse && !config.storage.accept_unverified_register {
                if made.holds(&register_folder) {
                    register.discard_blank();
                }
                return Err(OpenError::Unverified { class: assessment.class, reason });
            }
            let warning = format!("the register's class is {}, not verified: {reason}", assessment.class);
            report.lowered = Some(warning.clone());
            report.warnings.push(warning);
        }
        made.keep();

        let probe: Arc<dyn Probe> = Arc::new(SealTimer::new(opening.probe));
        let options = SqliteOptions { probe: Arc::clone(&probe), ..SqliteOptions::default() };
        let metadata: Arc<dyn Metadata> = Arc::new(SqliteMetadata::open(&database, options)?);
        let blob_options = LocalOptions { probe: Arc::clone(&probe), ..LocalOptions::default() };
        let blobs: Arc<dyn Blobs> = Arc::new(LocalBlobs::open(&data.join("blobs"), blob_options)?);
        let packs = Folder::open(data.join("packs")).map_err(|source| OpenError::Io {
            operation: "opening the key pages",
            path: data.join("packs"),
            source,
        })?;
        let stores = Stores { packs: Arc::new(packs), register: Arc::new(register), probe: Arc::clone(&probe) };
        let forest = open_forest(config, stores, &*metadata).await?;

        let settings = VaultSettings { sweeping: opening.sweeping, ..config.vault_settings()? };
        let parts = VaultParts {
            metadata: Arc::clone(&metadata),
            blobs,
            forest: Arc::new(forest),
            clock: opening.clock,
            lease: Arc::new(Unbounded),
            probe,
            settings,
        };
        let vault = Vault::open(parts).await?;
        for warning in &report.warnings {
            tracing::warn!("{warning}");
        }
        Ok(Self { vault, metadata, data, report, _lock: lock })
    }

    /// Seals what is planned and lets go.
    pub async fn close(self) {
        self.vault.close().await;
    }
}

async fn open_forest(config: &Config, stores: Stores, metadata: &dyn Metadata) -> Result<Forest, OpenError> {
    let instance = metadata.instance().await?;
    let limits = ForestConfig {
        page_memory: config.storage.key_memory_bytes,
        reserve_bytes: config.storage.key_reserve_bytes,
        ..ForestConfig::default()
    };
    let fresh = instance.epoch == 0 && metadata.tenants().await?.is_empty();
    let opened = tokio::task::spawn_blocking(move || {
        let Stores { packs, register, probe } = &stores;
        let again = Stores { packs: Arc::clone(packs), register: Arc::clone(register), probe: Arc::clone(probe) };
        match Forest::open(stores, limits.clone()) {
            Err(ForestError::NoRoot) if fresh => {
                let (attachment, pins) = genesis(instance.instance)?;
                Ok(Forest::create(again, limits, &attachment, pins)?)
            }
            Err(ForestError::NoRoot) => Err(OpenError::Torn(
                "the database is there but its register holds no root: was storage.register moved or deleted? Without it \
                 nothing can be opened",
            )),
            opened => Ok(opened?.0),
        }
    });
    opened.await.map_err(|_| OpenError::Torn("opening the key state was cut short"))?
}

/// What is to be said of the register's place; `None` when there is no register yet. Makes nothing.
pub fn inspect_register(config: &Config) -> Result<Option<Vec<String>>, OpenError> {
    let folder = config.register_folder()?;
    if !folder.exists() {
        return Ok(None);
    }
    let register = FileRegister::open(&folder, &config.storage.data)?;
    let assessment = assess(&register)?;
    Ok(Some(lowered(&assessment).map(|reason| format!("class {}: {reason}", assessment.class)).into_iter().collect()))
}

fn assess(register: &FileRegister) -> Result<RegisterAssessment, OpenError> {
    roots::check::assess(register).map_err(|source| OpenError::Io {
        operation: "looking at the register's place",
        path: register.path().to_owned(),
        source,
    })
}

/// What lowers the class, as one sentence; `None` when nothing does.
fn lowered(assessment: &RegisterAssessment) -> Option<String> {
    let lowers = assessment.findings.iter().filter(|finding| finding.weight == Weight::Lowers);
    let texts: Vec<_> = lowers.map(|finding| finding.text.as_str()).collect();
    (!assessment.verified).then(|| texts.join("; "))
}

fn make_private(folder: &Path) -> Result<(), OpenError> {
    let error = |source| OpenError::Io { operation: "making a folder", path: folder.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(error)?;
    let metadata = std::fs::metadata(folder).map_err(error)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).map_err(error)?;
    }
    Ok(())
}

fn lock(data: &Path) -> Result<File, OpenError> {
    let path = data.join("lock");
    let error = |source| OpenError::Io { operation: "locking the data folder", path: path.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(error)?;
    match file.try_lock() {
        // Not one that a refused start took away again between the opening and the locking.
        Ok(()) if std::fs::metadata(&path).map_err(error)?.ino() == file.metadata().map_err(error)?.ino() => Ok(file),
        Ok(()) => Err(OpenError::InUse(data.to_owned())),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(data.to_owned())),
        Err(TryLockError::Error(source)) => Err(error(source)),
    }
}

#[cfg(feature = "crashpoints")]
fn program_probe() -> Arc<dyn Probe> {
    crate::crash::probe_from_environment()
}

#[cfg(not(feature = "crashpoints"))]
fn program_probe() -> Arc<dyn Probe> {
    Arc::new(keyforest::NoProbe)
}
