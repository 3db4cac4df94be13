//! The forest: derive, allocate, puncture, seal, recover.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use zeroize::Zeroizing;

use crate::build::{Built, Frontiers, load_frontier};
use crate::cache::Cache;
use crate::ggm::{BUCKET, Frontier};
use crate::journal::Journal;
use crate::lanes::Lanes;
use crate::open::{self, Opened};
use crate::page::{EntryView, PageRef};
use crate::probe::{Broken, broken};
use crate::seal::{self, Sealer};
use crate::state::{State, Stored};
use crate::{
    Change, ForestConfig, ForestError, Group, KeyError, Lane, Leaf, LeafKey, LeafSet, LeafStatus, OpenReport, Pins,
    SealError, Sealed, Stores,
};

/// The key forest of one vault. Share it behind an `Arc`; reads run beside a seal.
pub struct Forest {
    pub(crate) stores: Stores,
    pub(crate) config: ForestConfig,
    /// Written by the seal alone. Whoever derives holds it for reading, so that after an install no seed of the state
    /// before is on its way anywhere.
    state: RwLock<State>,
    cache: Mutex<Cache>,
    lanes: Mutex<Lanes>,
    journal: Mutex<Journal>,
    sealer: Mutex<Sealer>,
    /// Pages of a seal that is checked and not in force yet: as precious as those that are. Beside the sealer, which is locked
    /// for as long as a seal takes.
    waiting: Mutex<Vec<Stored>>,
    /// A flush failed: nothing may be written any more.
    ended: AtomicBool,
    /// Buckets below this number belong to earlier runs.
    run_from: u64,
}

impl Forest {
    /// Makes a fresh state with `attachment` and a first supply of buckets; refuses when one exists. What a crash during
    /// an earlier attempt left is thrown away.
    pub fn create(stores: Stores, config: ForestConfig, attachment: &[u8], pins: Pins) -> Result<Self, ForestError> {
        let opened = open::create(&stores, &config, attachment, pins)?;
        let supply = 0..opened.state.buckets();
        Ok(Self::assemble(stores, config, opened, supply).0)
    }

    /// Opens and recovers (design §4.3): highest valid slot wins; if its pages do not open nothing is overwritten.
    /// Otherwise the other slot is overwritten before this returns. The supply is empty: provision before allocating.
    pub fn open(stores: Stores, config: ForestConfig) -> Result<(Self, OpenReport), ForestError> {
        let opened = open::open(&stores, &config)?;
        let buckets = opened.state.buckets();
        let supply = if broken(&*stores.probe, Broken::LeafReissued) { 0..buckets } else { buckets..buckets };
        Ok(Self::assemble(stores, config, opened, supply))
    }

    /// `supply`: the buckets that this run may issue from. Those before it belong to earlier runs.
    fn assemble(stores: Stores, config: ForestConfig, opened: Opened, supply: Range<u64>) -> (Self, OpenReport) {
        let run_from = supply.start;
        let forest = Self {
            cache: Mutex::new(Cache::new(config.page_memory)),
            lanes: Mutex::new(Lanes::new(supply)),
            state: RwLock::new(opened.state),
            journal: Mutex::new(opened.journal),
            sealer: Mutex::new(Sealer {
                packs: opened.packs,
                slot: opened.slot,
                under_way: false,
                unfinished: None,
                attempt: None,
            }),
            waiting: Mutex::default(),
            ended: AtomicBool::new(false),
            run_from,
            stores,
            config,
        };
        (forest, opened.report)
    }

    /// The epoch in force.
    pub fn epoch(&self) -> u64 {
        self.state_read().root.epoch
    }

    /// First leaf number that was never provisioned.
    pub fn high_water(&self) -> Leaf {
        Leaf(self.state_read().high_water())
    }

    /// Values pinned by the seal in force.
    pub fn pins(&self) -> Pins {
        self.state_read().root.pins
    }

    /// The caller's sealed attachment.
    pub fn attachment(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.state_read().attachment.to_vec())
    }

    /// SHA-256 of the state root page's ciphertext in force.
    pub fn state_hash(&self) -> [u8; 32] {
        self.state_read().root_hash
    }

    /// Derives a leaf's key. May read a page: blocks.
    pub fn key(&self, leaf: Leaf) -> Result<LeafKey, KeyError> {
        let state = self.state_read();
        if leaf.0 >= state.high_water() {
            return Err(KeyError::NeverIssued);
        }
        let (bucket, slot) = (leaf.0 / BUCKET, leaf.0 % BUCKET);
        let key = match state.entry(bucket) {
            EntryView::Empty => None,
            EntryView::Seed(seed) => Frontier::whole(&seed.0).leaf(slot),
            EntryView::Page(reference) => {
                self.cached(state.root.epoch, bucket, reference).map_err(KeyError::Page)?.leaf(slot)
            }
        };
        key.ok_or(KeyError::Punctured)
    }

    /// Whether a leaf is live, punctured or never issued. May read a page: blocks.
    pub fn status(&self, leaf: Leaf) -> Result<LeafStatus, ForestError> {
        let state = self.state_read();
        if leaf.0 >= state.high_water() {
            return Ok(LeafStatus::NeverIssued);
        }
        let bucket = leaf.0 / BUCKET;
        let live = match state.entry(bucket) {
            EntryView::Empty => false,
            EntryView::Seed(_) => true,
            EntryView::Page(reference) => self.cached(state.root.epoch, bucket, reference)?.covers(leaf.0 % BUCKET),
        };
        Ok(if live { LeafStatus::Live } else { LeafStatus::Punctured })
    }

    /// The live leaves in a range, those above the high-water mark left out. May read pages: blocks. Takes memory for each of
    /// them: ask for as many as may be held.
    pub fn live(&self, range: Range<u64>) -> Result<LeafSet, ForestError> {
        let state = self.state_read();
        let end = range.end.min(state.high_water());
        let mut found = Vec::new();
        let mut at = range.start;
        while at < end {
            let bucket = at / BUCKET;
            let until = ((bucket + 1) * BUCKET).min(end);
            match state.entry(bucket) {
                EntryView::Empty => {}
                EntryView::Seed(_) => found.extend((at..until).map(Leaf)),
                EntryView::Page(reference) => {
                    let frontier = self.cached(state.root.epoch, bucket, reference)?;
                    found.extend((at..until).filter(|leaf| frontier.covers(leaf % BUCKET)).map(Leaf));
                }
            }
            at = until;
        }
        Ok(found.into_iter().collect())
    }

    /// Issues the next unused group of the lane, opening a provisioned bucket for it when needed. No I/O.
    ///
    /// # Errors
    /// [`ForestError::Unprovisioned`] when the supply is used up.
    pub fn allocate_group(&self, lane: Lane) -> Result<Group, ForestError> {
        lock(&self.lanes).group(lane).ok_or(ForestError::Unprovisioned)
    }

    /// Issues the next single leaf of a lane that is used leaf by leaf (directory blocks, orders). No I/O.
    ///
    /// # Errors
    /// [`ForestError::Unprovisioned`] when the supply is used up.
    pub fn allocate_leaf(&self, lane: Lane) -> Result<Leaf, ForestError> {
        lock(&self.lanes).leaf(lane).ok_or(ForestError::Unprovisioned)
    }

    /// Provisioned buckets not yet opened by any lane.
    pub fn supply(&self) -> u64 {
        lock(&self.lanes).supply()
    }

    /// Buckets the next seal should add: [`ForestConfig::provision_buckets`] when the supply is below half of that, else 0.
    pub fn wants_provision(&self) -> u64 {
        let target = self.config.provision_buckets;
        if self.supply() < target.div_ceil(2) { target } else { 0 }
    }

    /// Leaves of buckets that earlier runs opened or provisioned and this run will not issue from.
    /// Unused whole groups among them may be punctured; then say so with [`Change::closed_below`].
    pub fn unclosed(&self) -> Range<u64> {
        let end = self.run_from * BUCKET;
        self.state_read().root.closed_below.min(end)..end
    }

    /// Appends a record to the journal; durable on return. Gives its position. The record is not encrypted.
    ///
    /// # Errors
    /// [`SealError::NotDone`]: the record is not in the journal and the next one takes its position. Only a process that
    /// ends before the next one may find it there, so a record must be true already when it is handed over.
    /// [`SealError::Unknown`]: the process must end.
    pub fn journal_append(&self, record: &[u8]) -> Result<u64, SealError> {
        let mut journal = self.journal_lock();
        self.refuse_after_the_end()?;
        self.end_if_unknown(journal.append(record))
    }

    /// Records after the last position done, oldest first.
    pub fn journal(&self) -> Result<Vec<(u64, Vec<u8>)>, ForestError> {
        self.journal_lock().pending()
    }

    /// Seals one change (design §4.3 step 4). One at a time; readers go on meanwhile. On `Ok` the old root is destroyed
    /// and no memory of the forest holds a seed above a punctured leaf.
    ///
    /// A seal that was not done because its medium did not hold its pages yet goes on with what was written when it is tried
    /// again: the change is the same then, but for canaries and for pins and journal positions that are not lower. What was
    /// pinned is what the first attempt said.
    ///
    /// # Errors
    /// [`SealError::NotDone`]: nothing happened, try again. [`SealError::Stalled`]: go on with [`Forest::finish_seal`];
    /// another seal is refused before. [`SealError::Unknown`]: the process must end; every further seal and journal record
    /// is refused.
    pub fn seal(&self, change: &Change) -> Result<Sealed, SealError> {
        self.sealing(|sealer| match sealer.unfinished {
            Some(_) => Err(SealError::NotDone(ForestError::Refused { reason: "an earlier seal is not finished" })),
            None => seal::seal(self, sealer, change),
        })
    }

    /// Does of a seal what the register need not hear of: builds the next state, writes its pages, makes them durable and
    /// checks them. [`Forest::finish_seal`] does the rest, [`Forest::abandon_seal`] takes it back; until one of them is called
    /// another seal is refused. Nothing is destroyed and nothing of the next state is in use before.
    ///
    /// # Errors
    /// As [`Forest::seal`], but never [`SealError::Stalled`].
    pub fn prepare_seal(&self, change: &Change) -> Result<(), SealError> {
        self.sealing(|sealer| match sealer.unfinished {
            Some(_) => Err(SealError::NotDone(ForestError::Refused { reason: "an earlier seal is not finished" })),
            None => {
                sealer.unfinished = Some(seal::prepare(self, sealer, change)?);
                Ok(())
            }
        })
    }

    /// Takes back a seal that was prepared. One whose root was handed to the register is not: it may be in force.
    ///
    /// # Errors
    /// [`SealError::NotDone`] when it cannot be taken back; [`SealError::Unknown`] after the end.
    pub fn abandon_seal(&self) -> Result<(), SealError> {
        self.sealing(|sealer| {
            let seal = sealer.unfinished.take();
            sealer.unfinished = seal.and_then(|seal| seal::abandon(self, sealer, seal));
            match sealer.unfinished {
                Some(_) => Err(SealError::NotDone(ForestError::Refused { reason: "the register knows of the seal" })),
                None => Ok(()),
            }
        })
    }

    /// Goes on with a seal that was prepared or that waits for the register, with the change it was begun with.
    ///
    /// # Errors
    /// As [`Forest::seal`]; [`SealError::NotDone`] when no seal waits.
    pub fn finish_seal(&self) -> Result<Sealed, SealError> {
        self.sealing(|sealer| match sealer.unfinished.take() {
            Some(unfinished) => seal::finish(self, sealer, unfinished),
            None => Err(SealError::NotDone(ForestError::Refused { reason: "no seal waits to be finished" })),
        })
    }

    fn sealing<T>(&self, work: impl FnOnce(&mut Sealer) -> Result<T, SealError>) -> Result<T, SealError> {
        let mut sealer = lock(&self.sealer);
        if sealer.under_way {
            self.ended.store(true, Ordering::SeqCst);
        }
        self.refuse_after_the_end()?;
        sealer.under_way = true;
        let sealed = work(&mut sealer);
        sealer.under_way = false;
        self.end_if_unknown(sealed)
    }

    /// Register class named in status and certificates.
    pub fn register_class(&self) -> Cow<'static, str> {
        self.stores.register.class()
    }

    /// Bytes of punctured buckets held in memory, at most [`ForestConfig::page_memory`].
    pub fn paged_in_bytes(&self) -> usize {
        lock(&self.cache).bytes()
    }

    fn refuse_after_the_end(&self) -> Result<(), SealError> {
        if self.ended.load(Ordering::SeqCst) { Err(SealError::Unknown(ForestError::Ended)) } else { Ok(()) }
    }

    fn end_if_unknown<T>(&self, result: Result<T, SealError>) -> Result<T, SealError> {
        if matches!(result, Err(SealError::Unknown(_))) {
            self.ended.store(true, Ordering::SeqCst);
        }
        result
    }

    pub(crate) fn state_read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn journal_lock(&self) -> MutexGuard<'_, Journal> {
        lock(&self.journal)
    }

    /// Notes the pages of the seal that waits; none when none does.
    pub(crate) fn wait_with(&self, pages: Vec<Stored>) {
        *lock(&self.waiting) = pages;
    }

    /// The pages that are needed and that `within` says yes to: those of the state in force, and of a seal that waits; with the
    /// epoch in force.
    pub(crate) fn needed(&self, within: impl Fn(&Stored) -> bool) -> (u64, Vec<Stored>) {
        // First: a seal lets them go after they are in force.
        let mut due: Vec<Stored> = lock(&self.waiting).iter().filter(|page| within(page)).copied().collect();
        let state = self.state_read();
        due.extend(state.pages().filter(within));
        (state.root.epoch, due)
    }

    /// A bucket's frontier, through the cache. The caller holds the state for reading.
    fn cached(&self, epoch: u64, bucket: u64, reference: &PageRef) -> Result<Arc<Frontier>, ForestError> {
        if let Some(found) = lock(&self.cache).find(bucket) {
            return Ok(found);
        }
        let frontier = Arc::new(load_frontier(&*self.stores.packs, epoch, bucket, reference)?);
        lock(&self.cache).insert(bucket, frontier.clone());
        Ok(frontier)
    }

    /// Puts a sealed state in force. When this returns, what it replaced is wiped.
    pub(crate) fn install(&self, built: Built, puncture: &LeafSet) {
        let end = built.delta.root.buckets;
        let retired = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let mut cache = lock(&self.cache);
            for (bucket, frontier) in built.rebuilt {
                cache.remove(bucket);
                if let Some(frontier) = frontier {
                    cache.insert(bucket, frontier);
                }
            }
            state.install(built.delta)
        };
        drop(retired);
        let mut lanes = lock(&self.lanes);
        lanes.punctured(puncture.as_slice());
        lanes.provisioned(end);
    }
}

impl Frontiers for Forest {
    fn frontier(&self, bucket: u64, reference: &PageRef) -> Result<Arc<Frontier>, ForestError> {
        if let Some(found) = lock(&self.cache).find(bucket) {
            return Ok(found);
        }
        // Not kept: the seal replaces it in a moment.
        load_frontier(&*self.stores.packs, 0, bucket, reference).map(Arc::new)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
