//! A vault that can be opened again and again.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyforest::{Forest, ForestConfig, NoProbe, Probe, Stores};
use oubliette_core::model::*;
use oubliette_core::ports::{Clock, Metadata, NoLenders, SystemClock, Unbounded};
use oubliette_core::service::*;
use oubliette_core::testing::blobs::JudgeBlobs;
use oubliette_proof::Token;
use oubliette_proof::certificate::{Certificate, Verified};
use oubliette_proof::note::TrustedKeys;
use oubliette_store::media::Folder;
use oubliette_store::metadata::postgres::{PostgresMetadata, PostgresOptions};
use oubliette_store::metadata::sqlite::{SqliteMetadata, SqliteOptions};
use oubliette_store::roots::FileRegister;
use tempfile::TempDir;
use uuid::Uuid;

use crate::certificates::arranged::{Arranged, Faults, Pageless};
use crate::postgres::Database;
use crate::roots::moody::Moody;

/// What outlives a vault.
pub struct Base {
    root: TempDir,
    database: Option<Database>,
    pub blobs: JudgeBlobs,
    pub faults: Arc<Faults>,
    /// Whether the register is out of reach once the keys are open: nothing can be sealed then.
    pub away: Arc<AtomicBool>,
    /// Whether no key page can be written; a seal is begun anew then.
    pub full: Arc<AtomicBool>,
}

impl Base {
    pub fn sqlite() -> Self {
        let root = tempfile::tempdir().unwrap();
        let (faults, away, full) = Default::default();
        Self { root, database: None, blobs: JudgeBlobs::new(), faults, away, full }
    }

    pub async fn postgres() -> Self {
        Self { database: Some(Database::fresh().await), ..Self::sqlite() }
    }

    /// Where key pages and log lie.
    pub fn packs(&self) -> PathBuf {
        self.root.path().join("data/packs")
    }

    async fn stores(&self, probe: Arc<dyn Probe>) -> Stores {
        let data = self.root.path().join("data");
        std::fs::create_dir_all(data.join("packs")).unwrap();
        // Who was dropped at a crash lets go a little later.
        let register = patiently(|| FileRegister::open(&self.root.path().join("register"), &data)).await;
        let packs = Folder::open(data.join("packs")).unwrap();
        let packs = Arc::new(Pageless { inner: packs, full: Arc::clone(&self.full) });
        let register = Moody::switched(Arc::new(register), Arc::clone(&self.away));
        Stores { packs, register, probe }
    }

    async fn metadata(&self) -> Arc<dyn Metadata> {
        match &self.database {
            Some(database) => {
                let options = PostgresOptions { server: database.options(), ..PostgresOptions::default() };
                Arc::new(PostgresMetadata::open(options).await.unwrap())
            }
            None => {
                let path = self.root.path().join("data/vault.db");
                Arc::new(patiently(|| SqliteMetadata::open(&path, SqliteOptions::default())).await)
            }
        }
    }

    /// The vault as it is; new at first.
    pub async fn open(&self) -> Open {
        self.open_with(Arc::new(NoProbe), true).await
    }

    pub async fn open_with(&self, probe: Arc<dyn Probe>, sweeping: bool) -> Open {
        let settings = VaultSettings { sweeping, ..VaultSettings::default() };
        self.open_as(probe, settings).await
    }

    /// With another log than before.
    pub async fn reopen_log(&self) -> Open {
        let log = LogSettings { reopen: Token::new("lost"), ..LogSettings::default() };
        self.open_as(Arc::new(NoProbe), VaultSettings { log, ..VaultSettings::default() }).await
    }

    pub async fn open_as(&self, probe: Arc<dyn Probe>, settings: VaultSettings) -> Open {
        let fresh = self.is_fresh();
        let parts = self.parts(probe, settings).await;
        let metadata = Arc::clone(&parts.metadata);
        let vault = Vault::open(parts).await.unwrap();
        vault.wait_ready().await;
        let tenant = if fresh { vault.create_tenant("first").await.unwrap() } else { TenantId(1) };
        Open { vault, metadata, actor: actor_of(tenant) }
    }

    /// The vault over rows that are an older copy.
    pub async fn attach(&self) -> Open {
        let parts = self.parts(Arc::new(NoProbe), VaultSettings::default()).await;
        let metadata = Arc::clone(&parts.metadata);
        let vault = Vault::attach(parts).await.unwrap();
        vault.wait_ready().await;
        Open { vault, metadata, actor: actor_of(TenantId(1)) }
    }

    fn is_fresh(&self) -> bool {
        !self.root.path().join("register").exists()
    }

    /// What a vault is opened on.
    pub async fn parts(&self, probe: Arc<dyn Probe>, settings: VaultSettings) -> VaultParts {
        let fresh = self.is_fresh();
        let away = self.away.swap(false, Ordering::SeqCst);
        let stores = self.stores(Arc::clone(&probe)).await;
        let inner = self.metadata().await;
        let metadata: Arc<dyn Metadata> = Arc::new(Arranged { inner, faults: Arc::clone(&self.faults) });
        let log = Arc::clone(&stores.packs);
        let forest = if fresh {
            let (attachment, pins) = genesis(metadata.instance().await.unwrap().instance).unwrap();
            Forest::create(stores, ForestConfig::default(), &attachment, pins).unwrap()
        } else {
            Forest::open(stores, ForestConfig::default()).unwrap().0
        };
        self.away.store(away, Ordering::SeqCst);
        VaultParts {
            metadata,
            blobs: Arc::new(self.blobs.clone()),
            forest: Arc::new(forest),
            log,
            clock: Arc::new(SystemClock),
            lease: Arc::new(Unbounded),
            lenders: Arc::new(NoLenders),
            probe,
            settings: VaultSettings { default_region: Some("US".to_owned()), ..settings },
        }
    }
}

pub fn actor_of(tenant: TenantId) -> Actor {
    Actor { tenant, credential: Uuid::from_u128(7), scopes: Scopes::all() }
}

async fn patiently<T, E: std::fmt::Debug>(mut open: impl FnMut() -> Result<T, E>) -> T {
    for _ in 0..100 {
        match open() {
            Ok(opened) => return opened,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    open().unwrap()
}

/// An error with all its causes.
pub fn all_words(error: &dyn std::error::Error) -> String {
    let words = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    words.collect::<Vec<_>>().join(": ")
}

/// An open vault.
pub struct Open {
    pub vault: Vault,
    pub metadata: Arc<dyn Metadata>,
    pub actor: Actor,
}

impl Open {
    /// A call with a recording and a transcript.
    pub async fn call(&self, session: &str, phone: &str) -> Interaction {
        let mut draft = self.vault.draft(&self.actor).await.unwrap();
        let audio = NewContent::fixed(ContentKind::CallRecording, "audio/wav");
        draft.add(audio, body_of(vec![7; 100_000])).await.unwrap();
        let transcript = NewContent::fixed(ContentKind::Transcript, "application/json");
        draft.add(transcript, body_of(format!("words of {session}").into_bytes())).await.unwrap();
        let mut meta = InteractionMeta::starting(SystemClock.now());
        meta.session_id = Some(session.to_owned());
        let customer =
            Participant { role: "customer".to_owned(), phone: Some(phone.to_owned()), ..Participant::default() };
        meta.participants.push(customer);
        let new = NewInteraction { kind: InteractionKind::Call, state: State::Processed, meta, unique_session: false };
        draft.commit(new).await.unwrap()
    }

    /// A certified order of so many calls, and their ids.
    pub async fn order(&self, calls: usize) -> (Uuid, Vec<String>) {
        let mut ids = Vec::with_capacity(calls);
        for number in 0..calls {
            ids.push(self.call(&format!("s{number}"), "+15125550009").await.id.to_string());
        }
        let selector = Selector { phones: vec!["+15125550009".to_owned()], ..Selector::default() };
        let order = Order { selector, reference: None, reason: None, legal_basis: None, plan_hash: None };
        let id = self.vault.order(&self.actor, order).await.unwrap().0.unwrap();
        self.certificate(id, None).await;
        (id, ids)
    }

    pub async fn content(&self, interaction: &Interaction, kind: ContentKind) -> Content {
        let contents = self.vault.contents(&self.actor, interaction).await.unwrap();
        contents.into_iter().find(|content| content.meta.kind == kind).unwrap()
    }

    /// What `ask` gives once it is no longer *uncertified*.
    pub async fn once_certified<T>(&self, mut ask: impl AsyncFnMut() -> Result<T, VaultError>) -> T {
        for _ in 0..600 {
            match ask().await {
                Err(VaultError::Uncertified) => tokio::time::sleep(Duration::from_millis(50)).await,
                other => return other.unwrap(),
            }
        }
        panic!("no certificate after half a minute");
    }

    /// The certificate of an erased interaction.
    pub async fn certificate_of(&self, id: &str) -> Certificate {
        self.once_certified(async || self.vault.item_certificate(&self.actor, id, None).await).await
    }

    /// The certificate of an order.
    pub async fn certificate(&self, erasure: Uuid, reference: Option<&str>) -> Certificate {
        self.once_certified(async || self.vault.certificate(&self.actor, erasure, reference).await).await
    }

    /// As somebody checks it who has the log's key and nothing else.
    pub fn check(&self, certificate: &Certificate) -> Verified {
        let bytes = certificate.to_json();
        let keys = TrustedKeys::new(vec![self.vault.log().key()]);
        Certificate::parse(&bytes).unwrap().verify(&keys).unwrap()
    }

    /// Waits until the log tells that an order's blobs are gone.
    pub async fn removed(&self, erasure: Uuid) {
        for _ in 0..600 {
            if self.metadata.purge(erasure).await.unwrap().unwrap().removal.is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not removed after half a minute");
    }

    pub async fn close(self) {
        self.vault.close().await;
        drop(self.vault);
        self.metadata.close().await;
    }
}

/// Panics once, the `at`-th time that a point is reached: a crash of whoever is there.
pub struct Falls {
    point: &'static str,
    left: Mutex<usize>,
}

impl Falls {
    pub fn at(point: &'static str, time: usize) -> Arc<Self> {
        Arc::new(Self { point, left: Mutex::new(time) })
    }

    pub fn has_fallen(&self) -> bool {
        *self.left.lock().unwrap() == 0
    }
}

impl Probe for Falls {
    fn reached(&self, point: &'static str) {
        let falls = {
            let mut left = self.left.lock().unwrap();
            if point != self.point || *left == 0 {
                return;
            }
            *left -= 1;
            *left == 0
        };
        assert!(!falls, "a crash at {point}, as arranged");
    }
}
