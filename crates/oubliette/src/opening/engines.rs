//! The engines that the configuration names, opened: rows, contents, key pages, root store, and the right to use keys.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keyforest::Probe;
use keyforest::media::SlotDevice;
use oubliette_core::ports::{Blobs, Lease, Metadata, Unbounded};
use oubliette_store::blobs::object::{Capabilities, ObjectBlobs, S3Options};
use oubliette_store::blobs::{LocalBlobs, LocalOptions};
use oubliette_store::escrow::AskClaim;
use oubliette_store::lease::{ClaimLease, Confirmed, LEASE, LeaseKeeper};
use oubliette_store::media::postgres::{
    self, Claiming, FencedRegister, KeyDatabase, KeyDatabaseOptions, PostgresValues, StandbyPages,
};
use oubliette_store::media::{Folder, Objects, ObjectsOptions, Place, Twin};
use oubliette_store::metadata::postgres::{PostgresMetadata, PostgresOptions};
use oubliette_store::metadata::sqlite::{SqliteMetadata, SqliteOptions};
use oubliette_store::postgres::Options as PostgresServer;
use oubliette_store::roots::check::RegisterAssessment;
use oubliette_store::roots::{Carrier, FileRegister, RootOptions, RootPlace, folder_carriers};

use uuid::Uuid;

use super::{OpenError, Opening, blocking};
use crate::config::{BlobPlace, Config, SecondPlace};

/// How long the second place of key pages may take to catch up, and how long an answer that got lost is looked for.
const PATIENCE: Duration = Duration::from_secs(30);
/// One request for key pages to an object store, with its repetitions.
const PAGE_LIMIT: Duration = Duration::from_secs(30);
/// A holder of the claim that has said nothing for this long is passed over: it has stopped using keys before.
const SILENT: Duration = Duration::from_secs(10);
/// Named value of the key database: the claim that was given up in order, and so need not be waited out.
const RELEASED: &str = "released";

/// What a vault stands on. Dropping it lets go of everything.
pub struct Engines {
    /// Rows.
    pub metadata: Arc<dyn Metadata>,
    /// Contents.
    pub blobs: Arc<dyn Blobs>,
    /// What the bucket can do, where contents lie in one.
    pub bucket: Option<Capabilities>,
    /// Key pages and journal, without mirrors.
    pub packs: Arc<dyn Place>,
    /// The root store.
    pub register: Arc<dyn SlotDevice>,
    /// What is known of it.
    pub assessment: RegisterAssessment,
    /// The right to use keys.
    pub lease: Arc<dyn Lease>,
    /// The claim to the key state, where others could have it.
    pub claim: Option<Claim>,
}

/// The claim to a key state that several processes can reach, and what keeps it alive.
pub struct Claim {
    database: KeyDatabase,
    keeper: LeaseKeeper,
}

impl Claim {
    /// The lease on it.
    pub fn lease(&self) -> Arc<ClaimLease> {
        self.keeper.lease()
    }

    /// Turns true when anything shows that another process has it, be it the lease or a write.
    pub fn superseded(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let (lease, refused) = (self.lease(), self.database.superseded());
        move || lease.is_lost() || refused.load(Ordering::Acquire)
    }

    /// Its number: higher than that of any claim before it.
    pub fn number(&self) -> u64 {
        self.database.number()
    }

    /// Small values behind it.
    pub fn values(&self) -> PostgresValues {
        self.database.values()
    }

    /// Gives the claim up in order: whoever takes it next need not wait for the lease to end. Call when no key is used any
    /// more. Blocks.
    pub fn release(self) {
        let Self { database, keeper } = self;
        drop(keeper);
        // The number as it is now: opening the second place may have raised it.
        let released =
            database.number_above(0).and_then(|number| database.values().put(RELEASED, &number.to_le_bytes()));
        if let Err(error) = released {
            tracing::warn!(%error, "the claim was not given up in order: the next process waits for the lease to end");
        }
    }
}

/// Everything in the data folder, and a root store of any class.
pub async fn embedded(
    config: &Config,
    probe: &Arc<dyn Probe>,
    register: Option<(FileRegister, RegisterAssessment)>,
) -> Result<Engines, OpenError> {
    let data = &config.storage.data;
    let options = SqliteOptions { probe: Arc::clone(probe), ..SqliteOptions::default() };
    let metadata: Arc<dyn Metadata> =
        Arc::new(SqliteMetadata::open(&data.join("db").join("oubliette.sqlite"), options)?);
    let (blobs, bucket) = blobs(config, probe).await?;
    let packs = folder(&data.join("packs"))?;
    let (register, assessment) = match register {
        Some((register, assessment)) => (Arc::new(register) as Arc<dyn SlotDevice>, assessment),
        None => {
            let instance = metadata.instance().await?.instance.to_string();
            let (options, data) = (config.root_place()?, data.clone());
            let opened = blocking(move || {
                let carriers = folder_carriers(data.join("roots"));
                options.open(&RootPlace { data: &data, instance: &instance, carrier: &carriers })
            });
            let opened = opened.await??;
            (opened.device, opened.assessment)
        }
    };
    Ok(Engines {
        metadata,
        blobs,
        bucket,
        packs: Arc::new(packs),
        register,
        assessment,
        lease: Arc::new(Unbounded),
        claim: None,
    })
}

/// Rows and key state in PostgreSQL. Waits for another process that has the vault as the opening says.
pub async fn scaled(
    config: &Config,
    server: PostgresServer,
    opening: &Opening,
    probe: &Arc<dyn Probe>,
) -> Result<Engines, OpenError> {
    let (database, inherited) = claim(&server, opening).await?;
    // From the first on, long before keys are used: whoever stands by passes over a holder that says nothing, and opening the
    // rows takes long when they are migrated.
    let keeper = blocking({
        let database = database.clone();
        move || keep(&database)
    });
    let keeper = keeper.await?.map_err(OpenError::KeyDatabase)?;
    // The claim's number fences the rows too: a process that was passed over commits nothing more.
    let options = PostgresOptions {
        server: server.clone(),
        probe: Arc::clone(probe),
        readers: config.postgres.connections,
        fence: Some(database.number()),
        superseded: database.superseded(),
        new_instance: opening.instance.unwrap_or_else(Uuid::new_v4),
        ..PostgresOptions::default()
    };
    let metadata: Arc<dyn Metadata> = Arc::new(PostgresMetadata::open(options).await?);
    let (blobs, capabilities) = blobs(config, probe).await?;
    let instance = metadata.instance().await?.instance.to_string();
    let (second, root, data) = (config.second_place()?, config.root_place()?, config.storage.data.clone());
    let bucket = match config.blob_place()? {
        BlobPlace::S3(bucket, _) => Some(*bucket),
        BlobPlace::Local => None,
    };
    let opened = blocking({
        let database = database.clone();
        move || keys(&database, inherited, second, bucket, &root, &data, &instance)
    });
    let Keys { packs, register, assessment } = opened.await??;
    let claim = Claim { database, keeper };
    let (bucket, lease) = (capabilities, claim.lease());
    Ok(Engines { metadata, blobs, bucket, packs, register, assessment, lease, claim: Some(claim) })
}

/// The claim, and whether a process that held it before may still be using keys.
async fn claim(server: &PostgresServer, opening: &Opening) -> Result<(KeyDatabase, bool), OpenError> {
    let mut told = false;
    loop {
        let claiming = if opening.wait { Claiming::WhenSilent(SILENT) } else { Claiming::Wait(Duration::ZERO) };
        let options = KeyDatabaseOptions { claiming, patience: PATIENCE, ..KeyDatabaseOptions::new(server.clone()) };
        let opened = blocking(move || {
            let database = KeyDatabase::open(options)?;
            let released = database.values().get(RELEASED)?;
            let before = database.number() - 1;
            let inherited = before > 0 && released.as_deref() != Some(&before.to_le_bytes()[..]);
            Ok::<_, std::io::Error>((database, inherited))
        });
        match opened.await? {
            Ok(claimed) => return Ok(claimed),
            Err(error) if postgres::is_in_use(&error) && opening.wait => {
                if !told {
                    tracing::info!("standing by: another process has the vault open");
                    told = true;
                    if let Some(standing_by) = &opening.standing_by {
                        standing_by.notify_one();
                    }
                }
            }
            Err(error) if postgres::is_in_use(&error) => return Err(OpenError::Elsewhere),
            // It was in reach before: a server that restarts is waited for. At the start it may be the configuration's fault.
            Err(error) if told => {
                tracing::warn!(%error, "standing by: the key state's database is out of reach");
                tokio::time::sleep(LEASE).await;
            }
            Err(source) => return Err(OpenError::KeyDatabase(source)),
        }
    }
}

/// Folder of the key pages in the bucket of the contents.
pub(crate) const KEYS: &str = "keys";

struct Keys {
    packs: Arc<dyn Place>,
    register: Arc<dyn SlotDevice>,
    assessment: RegisterAssessment,
}

/// Keeps confirming the claim.
fn keep(database: &KeyDatabase) -> std::io::Result<LeaseKeeper> {
    let database = database.clone();
    LeaseKeeper::start(move || confirmed(database.confirm()))
}

fn keys(
    database: &KeyDatabase,
    inherited: bool,
    second: SecondPlace,
    bucket: Option<S3Options>,
    root: &RootOptions,
    data: &Path,
    instance: &str,
) -> Result<Keys, OpenError> {
    let failed = OpenError::KeyDatabase;
    if inherited {
        // Whoever had it before may have been paused: by the end of this no key of an older state is used anywhere.
        tracing::info!("the vault was not let go of in order: waiting until the lease of the process before has ended");
        std::thread::sleep(LEASE);
    }
    let pages = database.pages().map_err(failed)?;
    let packs: Arc<dyn Place> = match second {
        SecondPlace::Standby(server) => Arc::new(StandbyPages::new(pages, &server, PATIENCE).map_err(failed)?),
        SecondPlace::Folder(path) => twin(Arc::new(pages), Arc::new(alone(&path)?))?,
        SecondPlace::Blobs => {
            let bucket = bucket.ok_or(OpenError::Torn("the second place of the key pages names no bucket"))?;
            let prefix = if bucket.prefix.is_empty() { KEYS.to_owned() } else { format!("{}/{KEYS}", bucket.prefix) };
            let options = ObjectsOptions { prefix, limit: PAGE_LIMIT };
            let objects = Objects::open(bucket.object_store()?, &options, |floor| database.number_above(floor));
            twin(Arc::new(pages), Arc::new(objects.map_err(failed)?))?
        }
    };
    let values = database.values();
    let carriers = move |name: &str| -> std::io::Result<Box<dyn Carrier>> { Ok(Box::new(values.carrier(name))) };
    let opened = root.open(&RootPlace { data, instance, carrier: &carriers })?;
    let register: Arc<dyn SlotDevice> = Arc::new(FencedRegister::new(opened.device, database.clone()));
    Ok(Keys { packs, register, assessment: opened.assessment })
}

/// Asks for the claim to key pages that several processes can reach. Who holds on to this does not hold them, nor the claim.
pub fn ask_claim(packs: &Arc<dyn Place>) -> AskClaim {
    let packs = Arc::downgrade(packs);
    Arc::new(move || {
        let packs = packs.upgrade().ok_or_else(|| std::io::Error::other("the vault is closed"))?;
        confirmed(packs.confirm())
    })
}

fn confirmed(answer: std::io::Result<()>) -> std::io::Result<Confirmed> {
    match answer {
        Ok(()) => Ok(Confirmed::Still),
        Err(error) if postgres::is_superseded(&error) => Ok(Confirmed::Lost),
        Err(error) => Err(error),
    }
}

fn twin(first: Arc<dyn Place>, second: Arc<dyn Place>) -> Result<Arc<dyn Place>, OpenError> {
    let (twin, caught_up) = Twin::open(first, second)?;
    if caught_up.to_first > 0 || caught_up.to_second > 0 {
        tracing::info!(
            bytes_to_first = caught_up.to_first,
            bytes_to_second = caught_up.to_second,
            "the places of the key pages caught up with each other"
        );
    }
    Ok(Arc::new(twin))
}

async fn blobs(config: &Config, probe: &Arc<dyn Probe>) -> Result<(Arc<dyn Blobs>, Option<Capabilities>), OpenError> {
    Ok(match config.blob_place()? {
        BlobPlace::Local => {
            let moved_grace = Duration::from_secs(config.storage.moved_grace_seconds);
            let options = LocalOptions { probe: Arc::clone(probe), moved_grace, ..LocalOptions::default() };
            (Arc::new(LocalBlobs::open(&config.storage.data.join("blobs"), options)?), None)
        }
        BlobPlace::S3(bucket, limits) => {
            let blobs = ObjectBlobs::attach(&bucket, limits).await?;
            let capabilities = *blobs.capabilities();
            (Arc::new(blobs), Some(capabilities))
        }
    })
}

fn folder(path: &Path) -> Result<Folder, OpenError> {
    let operation = "opening the key pages";
    Folder::open(path).map_err(|source| OpenError::Io { operation, path: path.to_owned(), source })
}

/// A folder that no other process writes to while this one does.
fn alone(path: &Path) -> Result<Folder, OpenError> {
    let operation = "opening the second place of the key pages";
    Folder::open_alone(path).map_err(|source| OpenError::Io { operation, path: path.to_owned(), source })
}
