//! What sealer, committer and services share of an opened vault.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use keyforest::{Forest, Group, Pins, Probe};
use oubliette_proof::Token;
use tokio::sync::watch;
use uuid::Uuid;

use super::VaultSettings;
use super::erasing::ErasingIds;
use super::hidden::{ActiveKeys, Hidden};
use super::journal::Journaled;
use super::log::TransparencyLog;
use super::noting::Unnoted;
use crate::ports::{Clock, InstanceRow, Lease, Lenders, PurgeSet};

/// Between two looks whether seals are being made.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// An erasure on its way to its seal.
#[derive(Clone)]
pub struct Pending {
    /// Its id.
    pub id: Uuid,
    /// What it covers.
    pub set: Arc<PurgeSet>,
}

/// What sealer, committer and services share.
pub struct Shared {
    /// The keys.
    pub forest: Arc<Forest>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The right to use keys.
    pub lease: Arc<dyn Lease>,
    /// Who reads with keys lent from here.
    pub lenders: Arc<dyn Lenders>,
    /// Crash points.
    pub probe: Arc<dyn Probe>,
    /// Hidden sets.
    pub hidden: Hidden,
    /// Sessions of hidden interactions.
    pub erasing: ErasingIds,
    /// Keys in use by streams.
    pub active: ActiveKeys,
    /// Held for reading while a derived key is on some thread's stack; the sealer takes it for writing before it says
    /// *sealed*, so by then every such key has been dropped.
    pub key_gate: RwLock<()>,
    /// Waiters of erasures not sealed yet.
    pub waiting: Mutex<HashMap<Uuid, watch::Sender<bool>>>,
    /// Seals the metadata has not heard of yet.
    pub unmarked: Unnoted,
    /// Told when `unmarked` grew.
    pub sealed: tokio::sync::Notify,
    /// Recently made interactions: canaries that must open after every seal.
    pub canaries: Mutex<std::collections::VecDeque<Group>>,
    /// The process must end.
    pub poisoned: watch::Sender<bool>,
    /// Seals are being made.
    pub sealing: AtomicBool,
    /// The vault closes: a seal that cannot be made now is left to the next start.
    pub stopping: AtomicBool,
    /// Seals made.
    pub seals: AtomicU64,
    /// Leaves punctured.
    pub punctured: AtomicU64,
    /// Bytes and flushes of all seals, and their time in microseconds, for metrics.
    pub seal_micros: AtomicU64,
    /// The newest commit counter known.
    commit_counter: AtomicU64,
    /// The newest commit that did more than note what the next start finds out by itself.
    changed: AtomicU64,
    instance: Uuid,
    /// The log; a seal made before it is open pins its head as it was.
    log: OnceLock<Arc<TransparencyLog>>,
    /// What lowers the register's class.
    pub register_findings: Vec<Token>,
    /// Mirrors that a state must lie in before the root before it dies.
    pub mirrors: u8,
    /// Agents there are, and how many of them must have destroyed an old root before a seal counts.
    pub agents: [u8; 2],
    /// Records of the journal whose erasures are not sealed.
    pub journaled: Journaled,
}

impl Shared {
    /// Fresh shared state of an opened vault.
    pub fn new(
        forest: Arc<Forest>,
        clock: Arc<dyn Clock>,
        lease: Arc<dyn Lease>,
        lenders: Arc<dyn Lenders>,
        probe: Arc<dyn Probe>,
        instance: &InstanceRow,
        settings: &VaultSettings,
    ) -> Self {
        Self {
            forest,
            clock,
            lease,
            lenders,
            probe,
            hidden: Hidden::default(),
            erasing: ErasingIds::default(),
            active: ActiveKeys::default(),
            key_gate: RwLock::new(()),
            waiting: Mutex::default(),
            unmarked: Unnoted::default(),
            sealed: tokio::sync::Notify::new(),
            canaries: Mutex::default(),
            poisoned: watch::Sender::new(false),
            sealing: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
            seals: AtomicU64::new(0),
            punctured: AtomicU64::new(0),
            seal_micros: AtomicU64::new(0),
            commit_counter: AtomicU64::new(instance.commit_counter),
            changed: AtomicU64::new(instance.commit_counter),
            instance: instance.instance,
            log: OnceLock::new(),
            register_findings: settings.register_findings.clone(),
            mirrors: settings.mirrors,
            agents: [settings.agents, settings.agents_confirm],
            journaled: Journaled::default(),
        }
    }

    /// Remembers the newest durable commit; the next seal pins it.
    pub fn note_commit(&self, counter: u64) {
        self.commit_counter.fetch_max(counter, Ordering::AcqRel);
    }

    /// The same of a commit that changed something: a stop makes a seal that pins it, if no other has.
    pub fn note_change(&self, counter: u64) {
        self.note_commit(counter);
        self.changed.fetch_max(counter, Ordering::AcqRel);
    }

    /// Ends the process' trust in its media: nothing is answered as done any more.
    pub fn poison(&self) {
        self.poisoned.send_replace(true);
    }

    /// Whether the process must end.
    pub fn is_poisoned(&self) -> bool {
        *self.poisoned.borrow()
    }

    /// Subscribes to an erasure's seal; call before handing it to the sealer.
    pub fn expect(&self, id: Uuid) -> watch::Receiver<bool> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(id).or_insert_with(|| watch::Sender::new(false)).subscribe()
    }

    /// Subscribes to an erasure that is on its way; `None` when it is not (any more).
    pub fn awaiting(&self, id: Uuid) -> Option<watch::Receiver<bool>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).get(&id).map(watch::Sender::subscribe)
    }

    /// Remembers a new interaction as a canary.
    pub fn note_live(&self, group: Group) {
        let mut canaries = self.canaries.lock().unwrap_or_else(PoisonError::into_inner);
        canaries.push_back(group);
        if canaries.len() > 4 {
            canaries.pop_front();
        }
    }

    /// Returns when seals are not being made: a store that they need does not answer.
    pub async fn stalled(&self) {
        while self.sealing.load(Ordering::Acquire) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What the next seal pins.
    pub fn pins(&self) -> Pins {
        // Durable already: a seal pins no head that a crash could take back.
        let log_head = self.log.get().map_or_else(|| self.forest.pins().log_head, |log| log.pin());
        Pins { instance: *self.instance.as_bytes(), commit_counter: self.newest_commit(), log_head }
    }

    /// The vault's id.
    pub fn instance(&self) -> Uuid {
        self.instance
    }

    /// From here on each seal pins this log's head.
    pub fn set_log(&self, log: Arc<TransparencyLog>) {
        let _ = self.log.set(log);
    }

    /// Counts the time that a seal took.
    pub fn note_time(&self, spent: Duration) {
        self.seal_micros.fetch_add(u64::try_from(spent.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether something was changed since the last seal that an older copy of the rows would lack unnoticed.
    pub fn outpaced(&self) -> bool {
        self.changed.load(Ordering::Acquire) > self.forest.pins().commit_counter
    }

    /// The newest commit that is known to be durable.
    pub fn newest_commit(&self) -> u64 {
        self.commit_counter.load(Ordering::Acquire)
    }
}
