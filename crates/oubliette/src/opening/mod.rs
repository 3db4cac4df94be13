//! The vault, opened from the configuration in one place: by default everything in the data folder and the register beside
//! it; rows and keys in PostgreSQL, contents in a bucket, the root in other stores where the configuration says so
//! ([`engines`]).
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

mod close;
mod dismissals;
mod engines;
mod error;
mod escrow;
mod leaving;
mod loss;
mod made;
mod mirrors;

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use keyforest::media::{Medium, SlotDevice};
use keyforest::{Forest, ForestConfig, ForestError, Probe, Stores};
use oubliette_core::ports::{Clock, Lease, Lenders, Metadata, NoLenders, SystemClock};
use oubliette_core::service::{First, LogSettings, Vault, VaultParts, VaultSettings, genesis};
use oubliette_proof::Token;
use oubliette_store::escrow::Escrowed;
use oubliette_store::guard;
use oubliette_store::lease::ClaimLease;
use oubliette_store::media::Mirrored;
use oubliette_store::roots::check::{RegisterAssessment, Weight};
use oubliette_store::roots::{self, FileRegister, RootOptions};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::dismissals::Asking;
pub use self::dismissals::Dismissals;
pub use self::engines::{Claim, Engines, scaled};
pub(crate) use self::engines::{KEYS, embedded};
pub use self::error::OpenError;
pub use self::escrow::troubles;
pub use self::leaving::{Forgot, Leaving, Left};
pub use self::loss::Loss;
use self::made::Made;
use crate::backup::Backups;
use crate::config::{Config, MetadataPlace};
use crate::moving::{self, Mover, Source, UntilHandedOver, Watched};
use crate::telemetry::{self, SealTimer, WatchedRegister};

/// What is said of a vault over an older copy.
const READ_ONLY: &str =
    "an older copy of the database is attached: the vault can only be read until `oubliette restore commit`";

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
    /// What was seen of the root store and the bucket and is no reason to change anything.
    pub notes: Vec<String>,
    /// What would be lost with the disk of the data folder; among the notes.
    pub disk: Option<Loss>,
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
    /// Whether the log is told of seals and arrivals. Off only in benchmarks.
    pub telling: bool,
    /// While another process has claimed a vault that several can reach: stand by until it lets go or falls silent.
    pub wait: bool,
    /// Told when this process begins to stand by.
    pub standing_by: Option<Arc<Notify>>,
    /// Who reads with keys lent from here.
    pub lenders: Arc<dyn Lenders>,
    /// The id that a database gets which is made now; drawn without one.
    pub instance: Option<Uuid>,
    /// Parties that are let go: it is opened without them, once the decision is recorded.
    pub leaving: Option<Leaving>,
    /// How the transparency log is opened, other than the configuration says.
    pub log: Option<LogSettings>,
    /// The database is an older copy that was put back: mark it. Nothing is made where there is none.
    pub attach: bool,
}

impl Opening {
    /// As the program opens it: system clock, crash points of the environment where they are compiled in.
    pub fn new(register: RegisterPolicy) -> Self {
        let (clock, probe) = (Arc::new(SystemClock), program_probe());
        let lenders = Arc::new(NoLenders);
        let (standing_by, instance, log, leaving) = (None, None, None, None);
        let (create, sweeping, telling, wait, attach) = (true, true, true, false, false);
        Self {
            create,
            register,
            clock,
            probe,
            sweeping,
            telling,
            wait,
            standing_by,
            lenders,
            instance,
            log,
            leaving,
            attach,
        }
    }
}

/// An open vault with what it stands on.
pub struct OpenVault {
    /// The vault.
    pub vault: Vault,
    /// Its rows, for the program's own small values.
    pub metadata: Arc<dyn Metadata>,
    /// The data folder.
    pub data: PathBuf,
    /// What opening found.
    pub report: OpenReport,
    /// Moves it to another place, when it lies in its data folder.
    pub mover: Option<Mover>,
    /// The key state's mirrors, where there are any.
    pub mirrors: Option<Arc<Mirrored>>,
    /// The agents that hold the root in escrow, where there are any.
    pub escrow: Option<Arc<Escrowed>>,
    held: Option<escrow::Held>,
    /// Makes copies of its data.
    pub backups: Backups,
    /// What was recorded of parties that were let go.
    pub left: Vec<Left>,
    /// Agents that were let go, now or before, and have not confirmed that they forgot what they held.
    pub dismissals: Arc<Dismissals>,
    /// Who asks those.
    asking: Option<(CancellationToken, JoinHandle<()>)>,
    key_state: Arc<dyn Medium>,
    forest: Arc<Forest>,
    claim: Option<Claim>,
    _lock: File,
}

impl OpenVault {
    /// Opens the configured vault, making it when there is none.
    pub async fn open(config: &Config, register: RegisterPolicy) -> Result<Self, OpenError> {
        Self::open_guarded(config, Opening::new(register)).await
    }

    /// Opens the configured vault to serve it, making it when there is none. Where several processes can reach it, stands by
    /// until it is this one's turn.
    pub async fn serve(config: &Config) -> Result<Self, OpenError> {
        Self::open_guarded(config, Opening { wait: true, ..Opening::new(RegisterPolicy::Refuse) }).await
    }

    /// As [`OpenVault::serve`], for a node that others stand beside and read with keys lent from here.
    pub async fn serve_as_node(
        config: &Config,
        lenders: Arc<dyn Lenders>,
        standing_by: Arc<Notify>,
    ) -> Result<Self, OpenError> {
        let opening = Opening::new(RegisterPolicy::Refuse);
        Self::open_guarded(config, Opening { wait: true, lenders, standing_by: Some(standing_by), ..opening }).await
    }

    /// Opens the configured vault; refuses when there is none.
    pub async fn open_existing(config: &Config, register: RegisterPolicy) -> Result<Self, OpenError> {
        Self::open_guarded(config, Opening { create: false, ..Opening::new(register) }).await
    }

    /// Opens the configured vault over an older copy of its database, and marks the copy. Refuses when there is no vault, or when
    /// its database is as new as its key state.
    pub async fn attach(config: &Config) -> Result<Self, OpenError> {
        let opening = Opening { create: false, attach: true, ..Opening::new(RegisterPolicy::Warn) };
        Self::open_guarded(config, opening).await
    }

    /// Locks the process's memory and switches dumps off before any key is read.
    async fn open_guarded(config: &Config, opening: Opening) -> Result<Self, OpenError> {
        let guards = guard::engage().warnings();
        let mut open = Self::open_with(config, opening).await?;
        for warning in &guards {
            tracing::warn!("{warning}");
        }
        open.report.warnings.extend(guards);
        Ok(open)
    }

    /// Opens the configured vault and begins another transparency log, as the settings say: an operator's explicit act.
    pub async fn reopen_log(config: &Config, register: RegisterPolicy, log: LogSettings) -> Result<Self, OpenError> {
        Self::open_guarded(config, Opening { create: false, log: Some(log), ..Opening::new(register) }).await
    }

    /// Opens with everything told.
    pub async fn open_with(config: &Config, mut opening: Opening) -> Result<Self, OpenError> {
        config.check()?;
        let data = config.storage.data.clone();
        let place = config.metadata_place()?;
        let database = data.join("db").join("oubliette.sqlite");
        let local = matches!(place, MetadataPlace::Sqlite);
        if local && !opening.create && !database.exists() {
            return Err(OpenError::Absent(data));
        }
        let register_folder = config.register_folder()?;
        let mut folders = vec![data.clone(), data.join("run")];
        folders.extend(local.then(|| data.join("db")));
        let mut missing: Vec<&Path> = folders[1..].iter().map(PathBuf::as_path).collect();
        let lock_file = data.join("lock");
        missing.extend([lock_file.as_path(), register_folder.as_path()]);
        let missing = Made::missing(&missing);
        for folder in &folders {
            make_private(folder)?;
        }
        let lock = lock(&data)?;
        // Behind the lock, and so dropped before it.
        let made = Made::here(missing);
        let mut report = OpenReport { created: local && !database.exists(), ..OpenReport::default() };
        let probe: Arc<dyn Probe> = Arc::new(SealTimer::new(Arc::clone(&opening.probe)));

        let root = config.root_place()?;
        let accepted = |assessment: &RegisterAssessment, report: &mut OpenReport| {
            let notes = assessment.findings.iter().filter(|finding| finding.weight == Weight::Note);
            report.notes.extend(notes.map(|finding| format!("register: {}", finding.text)));
            let Some(reason) = lowered(assessment) else { return Ok(()) };
            if opening.register == RegisterPolicy::Refuse && !config.storage.accept_unverified_register {
                return Err(OpenError::Unverified { class: assessment.class.clone(), reason });
            }
            let warning = format!("the register's class is {}, not verified: {reason}", assessment.class);
            report.lowered = Some(warning.clone());
            report.warnings.push(warning);
            Ok(())
        };
        // A register file is looked at before anything else is made, so that a refusal leaves nothing behind.
        let file = match &root {
            RootOptions::File { directory } if local => {
                let register = FileRegister::open(directory, &data)?;
                let assessment = assess(&register)?;
                if let Err(error) = accepted(&assessment, &mut report) {
                    if made.holds(&register_folder) {
                        register.discard_blank();
                    }
                    return Err(error);
                }
                Some((register, assessment))
            }
            _ => None,
        };
        made.keep();
        let looked_at = file.is_some();
        let engines = match place {
            MetadataPlace::Sqlite => engines::embedded(config, &probe, file).await?,
            MetadataPlace::Postgres(server) => engines::scaled(config, *server, &opening, &probe).await?,
        };
        let Engines { metadata, blobs, bucket, packs, register, assessment, lease, claim } = engines;
        if let Some(bucket) = bucket {
            report.warnings.extend(bucket.warnings().into_iter().map(|warning| format!("bucket: {warning}")));
            report.notes.push(format!("bucket: {bucket}"));
        }
        let (metadata, lease, watched) = if local {
            moving::may_open(&*metadata).await?;
            let (rows, lease) = (Arc::new(Watched::new(metadata)), Arc::new(UntilHandedOver::default()));
            let watched = (Arc::clone(&rows), Arc::clone(&lease));
            (rows as Arc<dyn Metadata>, lease as Arc<dyn Lease>, Some(watched))
        } else {
            moving::has_arrived(&*metadata).await?;
            (metadata, lease, None)
        };
        if !looked_at {
            accepted(&assessment, &mut report)?;
        }
        // What opening asks of the root store counts as well.
        telemetry::recorder();
        let register: Arc<dyn SlotDevice> = Arc::new(WatchedRegister::new(register));
        let instance = metadata.instance().await?.instance;
        let mirrors = blocking({
            let (config, primary, register) = (config.clone(), Arc::clone(&packs), Arc::clone(&register));
            let (leaving, mut report) = (opening.leaving.take(), std::mem::take(&mut report));
            move || {
                let attached = mirrors::attach(&config, primary, &*register, instance, leaving.as_ref(), &mut report);
                attached.map(|mirrors| (mirrors, leaving, report))
            }
        });
        let (mirrors, leaving, told) = mirrors.await??;
        report = told;
        let primary = Arc::clone(&packs);
        let raising = Arc::downgrade(&primary);
        let packs = match &mirrors {
            Some(mirrored) => Arc::clone(mirrored) as Arc<dyn Medium>,
            None => packs as Arc<dyn Medium>,
        };
        let key_state = Arc::clone(&packs);
        let log = Arc::clone(&packs);
        let held = blocking({
            let ground = escrow::Ground {
                register: Arc::clone(&register),
                key_state: Arc::clone(&packs),
                mirrored: mirrors.clone(),
                instance,
                fence: claim.as_ref().map_or(0, Claim::number),
                claim: claim.as_ref().map(|_| engines::ask_claim(&primary)),
                raise: Arc::new(move |floor| primary.number_above(floor)),
                probe: Arc::clone(&probe),
            };
            let (config, leaving) = (config.clone(), leaving.as_ref().map(Leaving::agents).unwrap_or_default());
            move || escrow::beside(&config, &leaving, ground)
        });
        let held = held.await??;
        report.disk = loss::with_disk(config, leaving.as_ref())?;
        report.notes.extend(report.disk.iter().map(|loss| loss.sentence.clone()));
        let escrow = held.as_ref().map(|held| Arc::clone(&held.escrow));
        let register = escrow.clone().map_or(register, |escrow| escrow as Arc<dyn SlotDevice>);
        let stores = Stores { packs, register: Arc::clone(&register), probe: Arc::clone(&probe) };
        let forest = Arc::new(open_forest(config, stores, &*metadata, &opening, &mut report).await?);
        if let Some(mirrored) = &mirrors {
            let (mirrored, forest) = (Arc::clone(mirrored), Arc::clone(&forest));
            blocking(move || mirrors::begin(&mirrored, &forest)).await??;
        }
        escrow::give(escrow.as_ref(), mirrors.as_ref()).await?;

        let mut settings =
            VaultSettings { sweeping: opening.sweeping, telling: opening.telling, ..config.vault_settings()? };
        // Who is let go takes no part in this process's seals.
        settings.mirrors =
            mirrors.as_ref().map_or(0, |mirrors| u8::try_from(mirrors.status().len()).unwrap_or(u8::MAX));
        settings.log = opening.log.unwrap_or(settings.log);
        if let Some(escrow) = &escrow {
            // At most sixteen.
            settings.agents = escrow.quorum().agents() as u8;
            settings.agents_confirm = escrow.quorum().destroy() as u8;
        }
        settings.register_findings = assessment.lowered_by().into_iter().filter_map(Token::new).collect();
        let opened_log = Arc::new(OnceLock::new());
        let mover = watched.map(|(rows, lease)| {
            let source = Source {
                metadata: rows,
                blobs: Arc::clone(&blobs),
                forest: Arc::clone(&forest),
                packs: Arc::clone(&log),
                log: Arc::clone(&opened_log),
                register,
                lease,
                settings: settings.clone(),
                clock: Arc::clone(&opening.clock),
                probe: Arc::clone(&probe),
            };
            Mover::new(source, config.clone())
        });
        let parts = VaultParts {
            metadata: Arc::clone(&metadata),
            blobs,
            forest: Arc::clone(&forest),
            clock: opening.clock,
            lease,
            lenders: opening.lenders,
            log,
            probe: Arc::clone(&probe),
            settings,
        };
        let left = Arc::new(OnceLock::new());
        let escrow_place = config.escrow_place()?;
        let is_left: Vec<String> = leaving.as_ref().map(Leaving::agents).unwrap_or_default();
        let agents = escrow_place.as_ref().map(|place| place.agents.clone()).unwrap_or_default();
        let mut takes_part = agents.clone();
        takes_part.retain(|(name, _)| !is_left.contains(name));
        let first = leaving.map(|leaving| -> First {
            let (left, key_state, epoch) = (Arc::clone(&left), Arc::clone(&key_state), forest.epoch());
            Box::new(move |log| {
                let _ = left.set(leaving.settle(log, &key_state, epoch, &agents, &*probe)?);
                Ok(())
            })
        });
        let vault = if opening.attach { Vault::attach(parts).await? } else { Vault::open_having(parts, first).await? };
        let mut left = left.get().cloned().unwrap_or_default();
        if !left.is_empty() {
            escrow::give(escrow.as_ref(), mirrors.as_ref()).await?;
        }
        let asking = Asking {
            dismissals: Arc::default(),
            key_state: Arc::downgrade(&key_state),
            escrow: escrow.as_ref().map(Arc::downgrade),
            takes_part,
            files: escrow_place.map(|place| place.files),
            instance: instance.into_bytes(),
            fence: claim.as_ref().map_or(0, Claim::number),
            raise: Arc::new(move |floor| {
                let primary = raising.upgrade().ok_or_else(|| std::io::Error::other("the vault is closed"))?;
                primary.number_above(floor)
            }),
            stop: CancellationToken::new(),
        };
        let stop_asking = asking.stop.clone();
        let dismissals = Arc::clone(&asking.dismissals);
        let asked = !left.is_empty();
        let asking = blocking(move || if asked { asking.ask() } else { asking.look() }.map(|()| asking)).await?;
        let asking = asking.map_err(OpenError::KeyPages)?;
        for left in left.iter_mut().filter(|left| left.given) {
            left.forgot = dismissals.why(left.entry).map_or(Forgot::Confirmed, Forgot::Unconfirmed);
        }
        let owing = dismissals.sentences();
        owing.iter().for_each(|sentence| tracing::warn!("{sentence}"));
        let _ = opened_log.set(vault.log());
        if vault.attached() {
            report.warnings.push(READ_ONLY.to_owned());
        }
        // What stands on an older copy is not moved anywhere.
        let mover = mover.filter(|_| !vault.attached());
        for warning in &report.warnings {
            tracing::warn!("{warning}");
        }
        if let Some(mirrored) = &mirrors {
            mirrored.serve();
            tokio::spawn(mirrors::keep_told(Arc::downgrade(mirrored), Arc::downgrade(&forest)));
        }
        if let Some(held) = &held {
            tokio::spawn(held.keep_noted());
        }
        let asking = (!owing.is_empty()).then(|| (stop_asking, tokio::spawn(asking.keep_asking())));
        let backups = Backups::new(vault.clone(), config.clone());
        Ok(Self {
            vault,
            metadata,
            data,
            report,
            mover,
            mirrors,
            escrow,
            held,
            backups,
            left,
            dismissals,
            asking,
            key_state,
            forest,
            claim,
            _lock: lock,
        })
    }

    /// Key pages and journal, with their mirrors.
    pub fn key_state(&self) -> Arc<dyn Medium> {
        Arc::clone(&self.key_state)
    }

    /// Whether another process has taken the vault over: this one must end.
    pub fn superseded(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let superseded = self.claim.as_ref().map(Claim::superseded);
        move || superseded.as_ref().is_some_and(|superseded| superseded())
    }

    /// The lease on the claim to the key state, where others could have it.
    pub fn lease(&self) -> Option<Arc<ClaimLease>> {
        self.claim.as_ref().map(Claim::lease)
    }

    /// Puts a small value where other processes can read it without a claim; durable on return.
    pub async fn publish(&self, name: &'static str, value: Vec<u8>) -> Result<(), OpenError> {
        let Some(claim) = &self.claim else { return Ok(()) };
        let values = claim.values();
        let put = tokio::task::spawn_blocking(move || values.put(name, &value)).await;
        put.map_err(|_| OpenError::Torn("a value was not put"))?.map_err(OpenError::KeyDatabase)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, OpenError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| OpenError::Torn("opening the vault was cut short"))
}

/// The limits of the key state that the configuration gives.
pub(crate) fn forest_limits(config: &Config) -> ForestConfig {
    ForestConfig {
        page_memory: config.storage.key_memory_bytes,
        reserve_bytes: config.storage.key_reserve_bytes,
        ..ForestConfig::default()
    }
}

/// Locks the data folder of a vault that is not opened as a whole.
pub(crate) fn lock_data(config: &Config) -> Result<File, OpenError> {
    lock(&config.storage.data)
}

async fn open_forest(
    config: &Config,
    stores: Stores,
    metadata: &dyn Metadata,
    opening: &Opening,
    report: &mut OpenReport,
) -> Result<Forest, OpenError> {
    let instance = metadata.instance().await?;
    let limits = forest_limits(config);
    let fresh = instance.epoch == 0 && metadata.tenants().await?.is_empty();
    // A copy of a vault's first moments knows as little as a fresh database.
    if fresh && !opening.create && !opening.attach {
        return Err(OpenError::Absent(config.storage.data.clone()));
    }
    let fresh = fresh && !opening.attach;
    report.created |= fresh;
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

/// What a look at the register's place tells before the vault is opened.
pub enum RegisterLook {
    /// A register file, and whether its place overwrites in place.
    File(RegisterAssessment),
    /// There is no register file yet.
    NoFile,
    /// Another store, which is looked at when the vault is opened.
    NoPlace,
}

/// Looks at the register's place. Makes nothing.
pub fn inspect_register(config: &Config) -> Result<RegisterLook, OpenError> {
    let RootOptions::File { directory: folder } = config.root_place()? else {
        return Ok(RegisterLook::NoPlace);
    };
    if !folder.exists() {
        return Ok(RegisterLook::NoFile);
    }
    let register = FileRegister::open(&folder, &config.storage.data)?;
    Ok(RegisterLook::File(assess(&register)?))
}

fn assess(register: &FileRegister) -> Result<RegisterAssessment, OpenError> {
    roots::check::assess(register).map_err(|source| OpenError::Io {
        operation: "looking at the register's place",
        path: register.path().to_owned(),
        source,
    })
}

/// What lowers the class, as one sentence; `None` when nothing does.
pub fn lowered(assessment: &RegisterAssessment) -> Option<String> {
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
pub(crate) fn program_probe() -> Arc<dyn Probe> {
    crate::crash::probe_from_environment()
}

#[cfg(not(feature = "crashpoints"))]
pub(crate) fn program_probe() -> Arc<dyn Probe> {
    Arc::new(keyforest::NoProbe)
}
