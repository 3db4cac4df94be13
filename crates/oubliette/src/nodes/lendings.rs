//! What the holder has lent: which front may use the key of which leaf, and until when.
//!
//! Times are those of one clock that runs on while the machine sleeps. A front counts its lease from *before* it sent a
//! renewal; here it is counted from when that was answered, and a margin longer, so it has ended there before it has ended
//! here. A lease is never promised for longer than the holder's own: whoever takes the vault over waits that long, and by
//! then no key that was lent is used anywhere.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyforest::Leaf;
use oubliette_core::ports::{Lenders, PurgeSet};
use oubliette_store::lease::LEASE;
use tokio::sync::Notify;

use super::wire::{Renew, Renewed};

/// How much longer than the front's a lease lasts here: clocks that run at slightly different speeds.
const MARGIN: Duration = Duration::from_millis(100);
/// How long a front that has just said who it is may take to get its first answer.
const GREETING: Duration = Duration::from_secs(1);
/// Keys one front may hold.
const MAX_LENT: usize = 100_000;
/// Fronts at once.
const MAX_FRONTS: usize = 1_000;

/// Time for leases.
pub type BootClock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The front's lease is not known (any more): everything lent under it is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown;

/// Everything lent by this process.
pub struct Lendings {
    state: Mutex<State>,
    /// Told when keys came back or a lease ended.
    returned: Condvar,
    clock: BootClock,
}

#[derive(Default)]
struct State {
    fronts: HashMap<u64, Front>,
    /// About to hand over: nothing new is lent.
    moving: bool,
    /// Handing over: every lease is over.
    closing: bool,
}

struct Front {
    name: String,
    /// When its lease has ended for certain.
    until: Duration,
    /// When it last had obeyed everything it was told.
    heard: Duration,
    lent: HashMap<u64, Lent>,
    /// Requests given up for which nothing had been lent.
    given_up: HashSet<u64>,
    /// Number of the newest recall, of the newest one told, and of the newest one obeyed.
    recalls: u64,
    told: u64,
    acked: u64,
    quiet: bool,
    wake: Arc<Notify>,
}

struct Lent {
    leaf: Leaf,
    /// The recall that names it.
    recalled: Option<u64>,
}

impl Lendings {
    /// With this clock.
    pub fn new(clock: BootClock) -> Self {
        Self { state: Mutex::default(), returned: Condvar::new(), clock }
    }

    /// Takes in what a front says with a renewal. What it gives tells when there is something to say before the time.
    ///
    /// # Errors
    /// The lease has ended, or the vault was handed over.
    pub fn hear(&self, renew: &Renew) -> Result<Arc<Notify>, Unknown> {
        let now = (self.clock)();
        let mut state = self.current(now);
        if renew.bye {
            state.fronts.remove(&renew.front);
            self.returned.notify_all();
            return Err(Unknown);
        }
        if renew.first && !state.closing && state.fronts.len() < MAX_FRONTS {
            state.fronts.entry(renew.front).or_insert_with(|| Front {
                name: renew.name.clone(),
                until: now + GREETING,
                heard: now,
                lent: HashMap::new(),
                given_up: HashSet::new(),
                recalls: 0,
                told: 0,
                acked: 0,
                quiet: false,
                wake: Arc::new(Notify::new()),
            });
        }
        let front = state.fronts.get_mut(&renew.front).ok_or(Unknown)?;
        for request in &renew.released {
            // Given up before it was lent: it may be about to be.
            if front.lent.remove(request).is_none() && front.given_up.len() < MAX_LENT {
                front.given_up.insert(*request);
            }
        }
        front.acked = front.acked.max(renew.acked.min(front.told));
        if front.acked == front.told {
            front.heard = now;
        }
        let acked = front.acked;
        front.lent.retain(|_, lent| lent.recalled.is_none_or(|recall| recall > acked));
        front.quiet = renew.quiet;
        let wake = Arc::clone(&front.wake);
        drop(state);
        self.returned.notify_all();
        Ok(wake)
    }

    /// Whether a front is to be answered without waiting.
    pub fn pressing(&self, front: u64) -> bool {
        let state = self.lock();
        state.closing
            || state.fronts.get(&front).is_none_or(|front| {
                front.recalls > front.told || front.told > front.acked || (state.moving && !front.quiet)
            })
    }

    /// The answer to a renewal, and with it the lease: for as long as the holder's own still lasts (`left`).
    pub fn answer(&self, front: u64, left: Duration) -> Result<Renewed, Unknown> {
        let now = (self.clock)();
        let mut state = self.current(now);
        let (moving, over) = (state.moving, state.closing);
        let front = state.fronts.get_mut(&front).ok_or(Unknown)?;
        let mut ttl = if over { Duration::ZERO } else { left.min(LEASE) };
        if front.recalls > front.acked {
            // Something is taken back and it has not said that it obeyed: only from when it had obeyed all before. Keys may
            // be taken back one after the other without a pause, so a lease cannot wait for a moment without any.
            ttl = ttl.min((front.heard + LEASE).saturating_sub(now));
        }
        // What is promised is told in whole milliseconds.
        let ttl = Duration::from_millis(u64::try_from(ttl.as_millis()).unwrap_or(0));
        front.until = front.until.max(now + ttl + MARGIN);
        front.told = front.recalls;
        let mut recalled: Vec<u64> =
            front.lent.iter().filter(|(_, lent)| lent.recalled.is_some()).map(|(request, _)| *request).collect();
        recalled.sort_unstable();
        Ok(Renewed { ttl: ttl.as_millis() as u64, recalled, upto: front.told, moving, over })
    }

    /// Notes that a key is about to be lent; `false`: it may not be.
    pub fn lend(&self, front: u64, request: u64, leaf: Leaf) -> bool {
        let mut state = self.current((self.clock)());
        if state.moving || state.closing {
            return false;
        }
        let Some(front) = state.fronts.get_mut(&front).filter(|front| front.lent.len() < MAX_LENT) else {
            return false;
        };
        if front.given_up.remove(&request) || front.lent.contains_key(&request) {
            return false;
        }
        front.lent.insert(request, Lent { leaf, recalled: None });
        true
    }

    /// Names of the fronts that have a lease.
    pub fn fronts(&self) -> Vec<String> {
        let state = self.current((self.clock)());
        let mut names: Vec<String> = state.fronts.values().map(|front| front.name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// Asks all fronts to send nothing new. Nothing is lent from here on.
    pub fn move_on(&self) {
        let mut state = self.lock();
        state.moving = true;
        state.fronts.values().for_each(|front| front.wake.notify_one());
    }

    /// Waits until every front has said that it sends nothing new, or has no lease.
    pub fn wait_quiet(&self) {
        self.wait(|front| !front.quiet);
    }

    /// Ends every lease and waits until each front has said that nothing is used under it any more. Blocks for no longer than a
    /// lease.
    pub fn close(&self) {
        let mut state = self.lock();
        (state.moving, state.closing) = (true, true);
        state.fronts.values().for_each(|front| front.wake.notify_one());
        drop(state);
        self.wait(|_| true);
    }

    /// Waits while a front with a lease is so.
    fn wait(&self, so: impl Fn(&Front) -> bool) {
        let mut now = (self.clock)();
        let mut state = self.current(now);
        while let Some(until) = state.fronts.values().filter(|front| so(front)).map(|front| front.until).max() {
            let rest = until.saturating_sub(now).max(Duration::from_millis(1));
            state = self.returned.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
            now = (self.clock)();
            state.end_leases(now);
        }
    }

    fn current(&self, now: Duration) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.end_leases(now);
        state
    }

    // Changed in single steps: a panic leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end_leases(&mut self, now: Duration) {
        self.fronts.retain(|_, front| {
            let ended = now >= front.until;
            if ended {
                tracing::info!(front = front.name, keys = front.lent.len(), "a front's lease has ended");
            }
            !ended
        });
    }
}

impl Front {
    fn recall(&mut self, which: impl Fn(Leaf) -> bool) {
        let next = self.recalls + 1;
        for lent in self.lent.values_mut().filter(|lent| lent.recalled.is_none() && which(lent.leaf)) {
            lent.recalled = Some(next);
            self.recalls = next;
        }
        if self.recalls == next {
            self.wake.notify_one();
        }
    }
}

impl Lenders for Lendings {
    fn take_back(&self, set: &PurgeSet) {
        self.lock().fronts.values_mut().for_each(|front| front.recall(|leaf| set.contains(leaf)));
    }

    fn is_back(&self, set: &PurgeSet) -> bool {
        let state = self.current((self.clock)());
        state.fronts.values().all(|front| front.lent.values().all(|lent| !set.contains(lent.leaf)))
    }

    fn wait_back(&self, set: &PurgeSet) {
        self.wait(|front| front.lent.values().any(|lent| set.contains(lent.leaf)));
    }
}

#[cfg(test)]
mod tests;
