//! The vault: its parts, how it opens.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use jiff::Timestamp;
use keyforest::{Group, Leaf, LeafKey, LeafStatus, Pins};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::task::TaskTracker;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::answer::Unanswered;
use super::attached::{self, Attachment, Older};
use super::certificates::{BatchTrees, SEARCHES, Trees, bulk_turns};
use super::certify::{Certifier, unknown_batches};
use super::committer;
use super::credentials::CredentialCache;
use super::growing::Growing;
use super::leaves::LeafCursor;
use super::log::{self, Announced, Beginning, TransparencyLog};
use super::ops::Op;
use super::sealer::Sealer;
use super::shared::Shared;
use super::{PublicId, Readiness, Status, VaultError, VaultParts, VaultSettings};
use crate::crypto::record;
use crate::directory::LookupMap;
use crate::ids::IdCipher;
use crate::model::{Actor, InteractionMeta, Scope, TenantId};
use crate::ports::{Blobs, Clock, InteractionRow, Metadata, PortError, PortErrorKind};
use crate::proof::Salts;
use crate::secrets::{LogKey, LogKeyState, Secrets};

/// Lanes of the key forest.
pub mod lanes {
    use keyforest::Lane;

    use crate::model::TenantId;

    /// Directory blocks.
    pub const DIRECTORY: Lane = Lane(1);
    /// Orders.
    pub const ORDERS: Lane = Lane(2);

    /// Interactions of a tenant. System lanes have tenant 0, so they never share a bucket with these.
    pub fn interactions(tenant: TenantId) -> Lane {
        Lane(u64::from(tenant.0) << 8)
    }
}

/// The vault: cheap to clone, shared by all fronts. Every method checks the actor's scopes itself.
#[derive(Clone)]
pub struct Vault {
    pub(super) inner: Arc<Inner>,
}

/// What [`Vault::open_having`] runs.
pub type First = Box<dyn FnOnce(&TransparencyLog) -> Result<(), VaultError> + Send>;

pub(super) struct Inner {
    pub metadata: Arc<dyn Metadata>,
    pub blobs: Arc<dyn Blobs>,
    pub clock: Arc<dyn Clock>,
    pub settings: VaultSettings,
    pub shared: Arc<Shared>,
    pub sealer: Sealer,
    pub log: Arc<TransparencyLog>,
    pub committer: mpsc::Sender<Op>,
    /// The committer is at work.
    pub committing: AtomicBool,
    pub secrets: RwLock<Secrets>,
    pub ids: RwLock<HashMap<TenantId, Arc<IdCipher>>>,
    pub token_key: hmac::Key,
    /// Salts of receipts.
    pub salts: Salts,
    /// Things that came in since the log was last told of arrivals, roughly.
    pub arrived: AtomicU64,
    pub credentials: RwLock<CredentialCache>,
    pub tenant_lock: tokio::sync::Mutex<()>,
    pub provision_lock: tokio::sync::Mutex<()>,
    pub lookup: LookupMap,
    pub lookups_ready: watch::Sender<bool>,
    pub cursors: Mutex<HashMap<Group, LeafCursor>>,
    /// Interactions whose awaited upload runs in this process.
    pub running: Mutex<std::collections::HashSet<Group>>,
    /// What is brought to its end although nobody waits for it any more.
    pub unattended: TaskTracker,
    /// Groups that an erasure planned from older rows would miss.
    pub growing: Arc<Growing>,
    pub unanswered: Unanswered,
    pub instance: Uuid,
    /// The mark of the older copy of the database that the vault stands on.
    pub attached: Option<Attachment>,
    /// Added to the database's commit counter.
    pub commit_offset: u64,
    pub closing: watch::Sender<bool>,
    pub sweep: tokio::sync::Notify,
    /// Held by who needs contents to stay where they are; taken whole while they are moved.
    pub places: Arc<tokio::sync::RwLock<()>>,
    /// Told when there is something for the log.
    pub tell: tokio::sync::Notify,
    pub certifier: tokio::sync::Mutex<Certifier>,
    pub trees: Trees,
    pub batch_trees: BatchTrees,
    /// Turns of those who write bulk files.
    pub bulk_files: Arc<Semaphore>,
    /// Turns of those who look for an item's erasure.
    pub searches: Semaphore,
    pub workers: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    counted: tokio::sync::Mutex<Option<Counted>>,
}

/// How many interactions there were, and what it took to find out.
struct Counted {
    interactions: u64,
    at: Instant,
    took: Duration,
}

impl Counted {
    /// A count that is to be had at once is made each time; one that takes long must not be more than a hundredth of what
    /// the database has to do, however often somebody asks.
    fn is_fresh(&self, now: Instant) -> bool {
        self.took >= Duration::from_millis(10) && now.duration_since(self.at) < self.took * 100
    }
}

/// What a fresh key state must be made with: sealed secrets and the pins that tie it to its database.
pub fn genesis(instance: Uuid) -> Result<(Zeroizing<Vec<u8>>, Pins), VaultError> {
    let mut secrets = Secrets::draw().map_err(VaultError::internal)?;
    let key = LogKey::draw(&log::default_origin(&instance), LogKeyState::InForce, 0);
    secrets.log_keys_mut().push(key.map_err(VaultError::internal)?);
    Ok((secrets.encode(), Pins { instance: *instance.as_bytes(), commit_counter: 0, log_head: [0; 32] }))
}

impl Vault {
    /// Opens a vault: checks that database and register belong together, finishes what a crash left, rebuilds the look-up
    /// map in the background, starts the sealer and the sweeper. Over a copy that was attached ([`Vault::attach`]) it can only
    /// be read.
    ///
    /// # Errors
    /// [`super::Mismatch`] where one side was rolled back.
    pub async fn open(parts: VaultParts) -> Result<Self, VaultError> {
        Self::open_having(parts, None).await
    }

    /// As [`Vault::open`]; `first` is run before anything is sealed or removed that a crash left, for what the log must have
    /// before that. It may block.
    ///
    /// # Errors
    /// Those of [`Vault::open`], and those of `first`: nothing of the vault's contents was changed then.
    pub async fn open_having(parts: VaultParts, first: Option<First>) -> Result<Self, VaultError> {
        let older = parts.settings.log.reopen.as_ref().map_or(Older::Refuse, |_| Older::RefuseKnown);
        Self::begin(parts, older, first).await
    }

    /// Opens a vault over an older copy of its database, and marks the copy so that every later opening does the same. Nothing
    /// is destroyed, and nothing is written but to the copy. [`Vault::commit_restore`] makes it the vault's database.
    ///
    /// # Errors
    /// As [`Vault::open`]; [`super::Mismatch::NotBehind`] when the database is not an older one.
    pub async fn attach(parts: VaultParts) -> Result<Self, VaultError> {
        Self::begin(parts, Older::Attach, None).await
    }

    async fn begin(parts: VaultParts, older: Older, first: Option<First>) -> Result<Self, VaultError> {
        let attachment = parts.forest.attachment();
        let secrets = Secrets::decode(&attachment).map_err(VaultError::internal)?;
        let looked = log::look_for(&parts.log, &parts.probe, &secrets, &parts.forest.pins()).await;
        let unknown = unknown_batches(&*parts.metadata, &looked);
        let standing = attached::standing(&*parts.metadata, &parts.forest, unknown, older, parts.clock.now()).await?;
        let mut instance = parts.metadata.instance().await.map_err(open_error)?;
        // Nothing newer is pinned before the copy is the vault's database: another copy may take its place until then.
        let pinned = parts.forest.pins().commit_counter;
        instance.commit_counter = standing.attached.as_ref().map_or(standing.counter, |_| pinned);
        let token_key = secrets.key("access tokens").map_err(VaultError::internal)?;
        let salts = Salts::new(&*secrets.key("receipts").map_err(VaultError::internal)?);
        let credentials = parts.metadata.credentials().await.map_err(open_error)?;
        let shared = Arc::new(Shared::new(
            parts.forest,
            Arc::clone(&parts.clock),
            parts.lease,
            parts.lenders,
            parts.probe,
            &instance,
            &parts.settings,
        ));
        let sealer = Sealer::start(Arc::clone(&shared))?;
        let beginning = Beginning {
            shared: &shared,
            sealer: &sealer,
            medium: parts.log,
            settings: parts.settings.log.clone(),
            announced: standing.attached.as_ref().map_or(Announced::Finish, |_| Announced::Leave),
            looked,
        };
        let (log, secrets) = log::start(beginning, secrets).await?;
        let (committer, queue) = mpsc::channel(1_024);
        let inner = Arc::new(Inner {
            metadata: parts.metadata,
            blobs: parts.blobs,
            clock: parts.clock,
            bulk_files: bulk_turns(&parts.settings.bulk),
            settings: parts.settings,
            shared,
            sealer,
            log,
            committer,
            committing: AtomicBool::new(false),
            secrets: RwLock::new(secrets.clone()),
            ids: RwLock::default(),
            token_key: hmac::Key::new(hmac::HMAC_SHA256, &*token_key),
            salts,
            arrived: AtomicU64::new(0),
            credentials: RwLock::new(CredentialCache::load(credentials)),
            tenant_lock: tokio::sync::Mutex::default(),
            provision_lock: tokio::sync::Mutex::default(),
            lookup: LookupMap::default(),
            lookups_ready: watch::Sender::new(false),
            cursors: Mutex::default(),
            running: Mutex::default(),
            unattended: TaskTracker::new(),
            growing: Arc::default(),
            unanswered: Unanswered::default(),
            instance: instance.instance,
            attached: standing.attached,
            commit_offset: standing.offset,
            closing: watch::Sender::new(false),
            sweep: tokio::sync::Notify::new(),
            places: Arc::default(),
            tell: tokio::sync::Notify::new(),
            certifier: tokio::sync::Mutex::default(),
            trees: Trees::default(),
            batch_trees: BatchTrees::default(),
            searches: Semaphore::new(SEARCHES),
            workers: Mutex::default(),
            counted: tokio::sync::Mutex::default(),
        });
        inner.install_secrets(secrets)?;
        if let Some(first) = first {
            let log = Arc::clone(&inner.log);
            tokio::task::spawn_blocking(move || first(&log)).await.map_err(VaultError::internal)??;
        }
        inner.settle_revoked().await?;
        if inner.attached.is_some() {
            super::recovery::hide_what_is_due(&inner).await?;
            let worker = tokio::spawn(super::walk::rebuild_lookups(Arc::downgrade(&inner)));
            inner.workers.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
            return Ok(Self { inner });
        }
        super::recovery::finish_what_a_crash_left(&inner).await?;
        let next_block = super::recovery::next_directory_block(&inner).await?;
        committer::start(Arc::downgrade(&inner), queue, next_block)?;
        let mut workers = vec![
            tokio::spawn(super::recovery::rebuild_lookups(Arc::downgrade(&inner), next_block)),
            tokio::spawn(super::sweeper::mark_seals(Arc::downgrade(&inner))),
            tokio::spawn(super::sweeper::sweep(Arc::downgrade(&inner))),
        ];
        if inner.settings.telling {
            workers.push(tokio::spawn(super::certify::work(Arc::downgrade(&inner))));
        }
        *inner.workers.lock().unwrap_or_else(PoisonError::into_inner) = workers;
        Ok(Self { inner })
    }

    /// No content moves to another place while this is held; waits for those that are being moved. Erasures and their
    /// removal go on. For who copies what the rows name.
    pub async fn hold_places(&self) -> tokio::sync::OwnedRwLockReadGuard<()> {
        Arc::clone(&self.inner.places).read_owned().await
    }

    /// Whether requests can be served.
    pub fn readiness(&self) -> Readiness {
        Readiness {
            leased: self.inner.shared.lease.holds(),
            lookups: *self.inner.lookups_ready.borrow(),
            sealing: self.inner.shared.sealing.load(Ordering::Acquire),
            poisoned: self.inner.shared.is_poisoned(),
            attached: self.attached(),
        }
    }

    /// Whether it stands on an older copy of its database and can only be read.
    pub fn attached(&self) -> bool {
        self.inner.attached.is_some()
    }

    /// Waits until the look-up map is complete.
    pub async fn wait_ready(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.inner.lookups_ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// Waits until a flush failed and the process must end (exit and recover; design §4.3).
    pub async fn poisoned(&self) {
        let _ = self.inner.shared.poisoned.subscribe().wait_for(|poisoned| *poisoned).await;
    }

    /// Figures for operators.
    pub async fn status(&self) -> Result<Status, VaultError> {
        let inner = &self.inner;
        let port = |error| inner.port(error);
        let unsealed = inner.metadata.unsealed_purges().await.map_err(port)?;
        let waiting: Vec<_> = {
            let waiting = inner.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            unsealed.iter().filter(|purge| waiting.contains_key(&purge.id)).collect()
        };
        let age = |since: Timestamp| u64::try_from(inner.clock.now().as_second() - since.as_second()).unwrap_or(0);
        let uncertified = inner.metadata.uncertified_purges(u64::MAX, 1_000).await.map_err(port)?;
        let unswept = inner.metadata.unswept_purges(None, 1_000).await.map_err(port)?;
        let overdue = unswept.iter().filter(|purge| purge.retained_until.is_none()).filter_map(|purge| purge.sealed_at);
        Ok(Status {
            instance: inner.instance,
            epoch: inner.shared.forest.epoch(),
            register_class: inner.shared.forest.register_class().into_owned(),
            interactions: inner.count_interactions().await?,
            unsealed: waiting.len() as u64,
            oldest_unsealed_seconds: waiting.first().map_or(0, |purge| age(purge.accepted_at)),
            uncertified: uncertified.len() as u64,
            unswept: unswept.len() as u64,
            oldest_unswept_seconds: overdue.min().map_or(0, age),
            seals: inner.shared.seals.load(Ordering::Relaxed),
            punctured: inner.shared.punctured.load(Ordering::Relaxed),
            seal_micros: inner.shared.seal_micros.load(Ordering::Relaxed),
            readiness: self.readiness(),
            lookup_bytes: inner.lookup.bytes(),
        })
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &VaultSettings {
        &self.inner.settings
    }

    /// Now, by the clock it was opened with.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }
}

/// An error while opening: there is nobody yet to be told *unavailable*.
fn open_error(error: PortError) -> VaultError {
    VaultError::Unavailable(Some(error))
}

impl Inner {
    /// Interactions in the vault, as of a moment ago.
    async fn count_interactions(&self) -> Result<u64, VaultError> {
        // Who comes while it is counted waits for that count.
        let mut counted = self.counted.lock().await;
        #[expect(clippy::disallowed_methods, reason = "measures a duration, not a date")]
        let begun = Instant::now();
        if let Some(counted) = counted.as_ref().filter(|counted| counted.is_fresh(begun)) {
            return Ok(counted.interactions);
        }
        let interactions = self.metadata.count_interactions().await.map_err(|error| self.port(error))?;
        *counted = Some(Counted { interactions, at: begun, took: begun.elapsed() });
        Ok(interactions)
    }

    /// A port's error as a service's. An unknown outcome ends the process' trust in its media.
    pub fn port(&self, error: PortError) -> VaultError {
        match error.kind {
            PortErrorKind::Unavailable => VaultError::Unavailable(Some(error)),
            PortErrorKind::Unknown => {
                self.shared.poison();
                VaultError::Unavailable(Some(error))
            }
            PortErrorKind::Corrupt | PortErrorKind::Refused => VaultError::internal(error),
        }
    }

    /// Refuses an actor that has none of these scopes.
    pub fn allow(&self, actor: &Actor, any_of: &[Scope]) -> Result<(), VaultError> {
        if self.shared.is_poisoned() || *self.closing.borrow() || !self.shared.lease.holds() {
            return Err(VaultError::Unavailable(None));
        }
        match any_of {
            [first, ..] if !any_of.iter().any(|scope| actor.scopes.contains(*scope)) => Err(VaultError::Denied(*first)),
            _ => Ok(()),
        }
    }

    /// As [`Inner::allow`], for what changes something.
    pub fn allow_change(&self, actor: &Actor, any_of: &[Scope]) -> Result<(), VaultError> {
        self.allow(actor, any_of)?;
        self.changeable()
    }

    /// Refuses every change while the vault stands on an older copy of its database.
    pub fn changeable(&self) -> Result<(), VaultError> {
        if self.attached.is_some() { Err(VaultError::Attached) } else { Ok(()) }
    }

    /// Takes new secrets into use.
    pub fn install_secrets(&self, secrets: Secrets) -> Result<(), VaultError> {
        let mut ids = HashMap::new();
        for (tenant, secret) in secrets.tenants() {
            ids.insert(tenant, Arc::new(IdCipher::new(secret).map_err(VaultError::internal)?));
        }
        *self.ids.write().unwrap_or_else(PoisonError::into_inner) = ids;
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = secrets;
        Ok(())
    }

    /// The id permutation of a tenant.
    pub fn id_cipher(&self, tenant: TenantId) -> Option<Arc<IdCipher>> {
        self.ids.read().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned()
    }

    /// The public id of a group.
    pub fn public_id(&self, tenant: TenantId, group: Group) -> Result<PublicId, VaultError> {
        let cipher = self.id_cipher(tenant).ok_or(VaultError::NotFound)?;
        cipher.encode(group).map_err(VaultError::internal)
    }

    /// Lends a leaf's key to `work`, which must not keep it. No seal is called *sealed* while any such work runs.
    ///
    /// # Errors
    /// `Gone` when the leaf was erased, `NotFound` when it was never issued.
    pub fn with_key<T>(&self, leaf: Leaf, work: impl FnOnce(&LeafKey) -> T) -> Result<T, VaultError> {
        let _gate = self.shared.key_gate.read().unwrap_or_else(PoisonError::into_inner);
        let key = self.shared.forest.key(leaf).map_err(|error| self.key_error(error))?;
        let done = work(&key);
        if self.shared.lease.holds() { Ok(done) } else { Err(VaultError::Unavailable(None)) }
    }

    /// Why a key was taken away in the middle of its use: its leaf was erased, or this process lost the right to use keys
    /// and knows nothing of the leaf any more.
    pub fn revoked(&self) -> VaultError {
        if self.shared.lease.holds() { VaultError::Gone } else { VaultError::Unavailable(None) }
    }

    /// Why there is no key. That a leaf was never issued is known under the lease only: whoever has it now may have issued it.
    pub(super) fn key_error(&self, error: keyforest::KeyError) -> VaultError {
        match key_error(error) {
            VaultError::NotFound => self.never_issued(),
            error => error,
        }
    }

    pub(super) fn never_issued(&self) -> VaultError {
        if self.shared.lease.holds() { VaultError::NotFound } else { VaultError::Unavailable(None) }
    }

    /// Whether a leaf can be read: not hidden, not punctured, issued.
    pub fn readable(&self, leaf: Leaf) -> Result<(), VaultError> {
        if self.shared.hidden.covering(leaf).is_some() {
            return Err(VaultError::Gone);
        }
        match self.shared.forest.status(leaf).map_err(VaultError::internal)? {
            LeafStatus::Live => Ok(()),
            LeafStatus::Punctured => Err(VaultError::Gone),
            LeafStatus::NeverIssued => Err(self.never_issued()),
        }
    }

    /// Opens an interaction's metadata.
    pub fn open_meta(&self, row: &InteractionRow) -> Result<InteractionMeta, VaultError> {
        let place = record::Place::Interaction(row.tenant.0, row.group.0);
        let bytes = self
            .with_key(row.group.leaf(0), |key| record::open(key, place, &row.sealed_meta))?
            .map_err(VaultError::internal)?;
        // The parser's own words could quote what it read.
        serde_json::from_slice(&bytes).map_err(|_| VaultError::internal(record::RecordError))
    }

    /// Seals an interaction's metadata with a fresh salt.
    pub fn seal_meta(&self, tenant: TenantId, group: Group, meta: &InteractionMeta) -> Result<Vec<u8>, VaultError> {
        let place = record::Place::Interaction(tenant.0, group.0);
        let bytes = serde_json::to_vec(meta).map_err(VaultError::internal)?;
        self.with_key(group.leaf(0), |key| record::seal(key, place, bytes))?.map_err(VaultError::internal)
    }

    /// Adds buckets to the supply; concurrent callers share one seal. Unavailable while seals are put off.
    pub async fn provision(&self) -> Result<(), VaultError> {
        let before = self.shared.forest.high_water();
        let provision = async {
            let _one_at_a_time = self.provision_lock.lock().await;
            if self.shared.forest.high_water() != before {
                return Ok(());
            }
            self.sealer.provision(super::recovery::PROVISION_BUCKETS).await
        };
        // Nobody waits for a seal that is put off, nor queues another one behind it.
        tokio::select! {
            biased;
            () = self.shared.stalled() => Err(VaultError::Unavailable(None)),
            done = provision => done,
        }
    }

    /// Issues a group for an interaction.
    pub async fn allocate_group(&self, tenant: TenantId) -> Result<Group, VaultError> {
        loop {
            match self.shared.forest.allocate_group(lanes::interactions(tenant)) {
                Ok(group) => return Ok(group),
                Err(keyforest::ForestError::Unprovisioned) => self.provision().await?,
                Err(error) => return Err(VaultError::internal(error)),
            }
        }
    }
}

pub(super) fn key_error(error: keyforest::KeyError) -> VaultError {
    match error {
        keyforest::KeyError::Punctured => VaultError::Gone,
        keyforest::KeyError::NeverIssued => VaultError::NotFound,
        keyforest::KeyError::Page(cause) => VaultError::internal(cause),
    }
}

impl VaultError {
    /// An error whose cause is for the log only.
    pub fn internal(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Internal(Some(Box::new(cause)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a moment to reckon from, not a date")]
    fn counting_that_takes_long_is_done_seldom_and_any_other_each_time() {
        let at = Instant::now();
        let counted = |took| Counted { interactions: 1, at, took: Duration::from_millis(took) };
        assert!(!counted(9).is_fresh(at));
        assert!(counted(100).is_fresh(at + Duration::from_secs(9)));
        assert!(!counted(100).is_fresh(at + Duration::from_secs(10)));
    }
}
