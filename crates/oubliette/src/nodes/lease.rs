//! The front's side of its lease: until when it may use what was lent, and what it uses.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use oubliette_core::crypto::KeyCell;
use oubliette_core::ports::Lease;
use tokio_util::sync::CancellationToken;

use super::lendings::BootClock;
use super::wire::Renewed;

/// One lease with one holder. Once ended it never holds again: who goes on does so under another one, with nothing lent.
pub struct FrontLease {
    /// What the holder knows it by.
    pub session: u64,
    /// Nanoseconds of the clock; 0: not yet, or never again.
    until: AtomicU64,
    clock: BootClock,
    table: Mutex<Table>,
    ended: CancellationToken,
}

#[derive(Default)]
struct Table {
    ended: bool,
    last: u64,
    asked: HashMap<u64, Asked>,
    released: Vec<u64>,
}

enum Asked {
    /// The answer is not there.
    Open,
    /// The key was taken back before it came.
    Recalled,
    Lent(Weak<KeyCell>),
}

impl Lease for FrontLease {
    fn holds(&self) -> bool {
        nanos((self.clock)()) < self.until.load(Ordering::Acquire)
    }
}

impl FrontLease {
    /// A lease to be asked for; it does not hold yet.
    pub fn new(session: u64, clock: BootClock) -> Arc<Self> {
        let (until, table, ended) = (AtomicU64::new(0), Mutex::default(), CancellationToken::new());
        Arc::new(Self { session, until, clock, table, ended })
    }

    /// Its clock's time.
    pub fn now(&self) -> Duration {
        (self.clock)()
    }

    /// Obeys the answer to a renewal that was sent at `sent`: first gives back what is taken back, then goes on.
    pub fn renewed(&self, sent: Duration, answer: &Renewed) {
        self.recall(&answer.recalled);
        let until = nanos(sent + Duration::from_millis(answer.ttl));
        let table = self.lock();
        if !table.ended {
            self.until.fetch_max(until, Ordering::AcqRel);
        }
    }

    /// Ends it: every key is wiped, every stream ends, everything that waits for an answer gives up.
    pub fn end(&self) {
        let mut table = self.lock();
        table.ended = true;
        self.until.store(0, Ordering::Release);
        let cells: Vec<_> = table.asked.values().filter_map(Asked::cell).collect();
        drop(table);
        cells.iter().for_each(|cell| cell.revoke());
        self.ended.cancel();
    }

    /// Resolves when it is ended.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// A name for a request under which a key may be lent.
    pub fn ask(self: &Arc<Self>) -> Ticket {
        let mut table = self.lock();
        table.last += 1;
        let request = table.last;
        table.asked.insert(request, Asked::Open);
        Ticket { lease: Arc::clone(self), request, answered: false }
    }

    /// Requests that are over and that the holder has not been told of.
    pub fn released(&self) -> Vec<u64> {
        self.lock().released.clone()
    }

    /// The holder was told of the first so many.
    pub fn told(&self, count: usize) {
        self.lock().released.drain(..count);
    }

    /// Keys in use.
    pub fn lent(&self) -> usize {
        self.lock().asked.values().filter(|asked| asked.cell().is_some()).count()
    }

    fn recall(&self, requests: &[u64]) {
        let mut table = self.lock();
        let mut cells = Vec::new();
        for request in requests {
            if let Some(asked) = table.asked.get_mut(request) {
                cells.extend(asked.cell());
                *asked = Asked::Recalled;
            }
        }
        drop(table);
        // Waits for chunks being opened; none is opened after.
        cells.iter().for_each(|cell| cell.revoke());
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    fn cell(&self) -> Option<Arc<KeyCell>> {
        match self {
            Self::Lent(cell) => cell.upgrade(),
            Self::Open | Self::Recalled => None,
        }
    }
}

/// A request under way; over when dropped.
pub struct Ticket {
    lease: Arc<FrontLease>,
    /// Its name.
    pub request: u64,
    /// The holder has answered without a key.
    answered: bool,
}

impl Ticket {
    /// The answer came and held no key: nothing is to be given back.
    pub fn without_a_key(mut self) {
        self.answered = true;
    }

    /// Takes a lent key into use; `false` when it was taken back meanwhile, or the lease is over.
    pub fn take(&self, cell: &Arc<KeyCell>) -> bool {
        let mut table = self.lease.lock();
        if table.ended {
            return false;
        }
        match table.asked.get_mut(&self.request) {
            Some(asked @ Asked::Open) => {
                *asked = Asked::Lent(Arc::downgrade(cell));
                true
            }
            _ => false,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut table = self.lease.lock();
        let lent = !matches!(table.asked.remove(&self.request), None | Some(Asked::Open)) || !self.answered;
        if lent && !table.ended {
            table.released.push(self.request);
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
