//! The right to use keys, where several processes could have the vault open: a lease on the claim to the key state.
//!
//! The holder of the claim confirms it in the database twice a second. What the answer says was true when it was asked, so
//! keys may be used for [`LEASE`] from *before* the question. A process that takes over waits that long before it destroys
//! anything: whoever held the claim before has stopped giving keys out by then, even if it was paused and knows of nothing.
//!
//! Measured with `CLOCK_BOOTTIME`, which runs on while the machine sleeps.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use oubliette_core::ports::Lease;
use rustix::time::{ClockId, clock_gettime};

/// How long a confirmed claim is good for.
pub const LEASE: Duration = Duration::from_secs(3);
/// Between two confirmations.
const EVERY: Duration = Duration::from_millis(500);

/// What a confirmation found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// The claim stands.
    Still,
    /// Somebody else has it: never again.
    Lost,
}

/// A lease that ends [`LEASE`] after the last successful confirmation was asked for.
pub struct ClaimLease {
    /// Nanoseconds of the clock; 0 once lost.
    until: AtomicU64,
    lost: AtomicBool,
}

impl Lease for ClaimLease {
    fn holds(&self) -> bool {
        now() < self.until.load(Ordering::Acquire)
    }
}

impl ClaimLease {
    /// How much longer it holds as things stand. What is promised to others for no longer than this has ended before a
    /// successor uses a key.
    pub fn left(&self) -> Duration {
        Duration::from_nanos(self.until.load(Ordering::Acquire).saturating_sub(now()))
    }

    /// Somebody else has taken over; the process must end.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

/// Keeps a lease alive from a thread of its own until it is dropped.
pub struct LeaseKeeper {
    lease: Arc<ClaimLease>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LeaseKeeper {
    /// Confirms once, so that the lease holds when this returns, and goes on doing so. `confirm` blocks.
    ///
    /// # Errors
    /// What the first confirmation failed with; `ResourceBusy` when the claim is lost already.
    pub fn start(mut confirm: impl FnMut() -> io::Result<Confirmed> + Send + 'static) -> io::Result<Self> {
        let lease = Arc::new(ClaimLease { until: AtomicU64::new(0), lost: AtomicBool::new(false) });
        if once(&lease, &mut confirm)? == Confirmed::Lost {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process has taken the vault over"));
        }
        let (stop, stopped) = channel();
        let kept = Arc::clone(&lease);
        let thread = std::thread::Builder::new().name("lease".to_owned()).spawn(move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                match once(&kept, &mut confirm) {
                    Ok(Confirmed::Still) => {}
                    Ok(Confirmed::Lost) => {
                        tracing::error!("another process has taken this vault over: this one must end");
                        return;
                    }
                    Err(error) if kept.holds() => {
                        tracing::debug!(%error, "the claim could not be confirmed");
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the claim cannot be confirmed: no key is used until it can");
                    }
                }
            }
        })?;
        Ok(Self { lease, stop: Some(stop), thread: Some(thread) })
    }

    /// The lease.
    pub fn lease(&self) -> Arc<ClaimLease> {
        Arc::clone(&self.lease)
    }
}

impl Drop for LeaseKeeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.lease.until.store(0, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.lease.until.store(0, Ordering::Release);
    }
}

fn once(lease: &ClaimLease, confirm: &mut impl FnMut() -> io::Result<Confirmed>) -> io::Result<Confirmed> {
    let asked = now();
    let confirmed = confirm()?;
    match confirmed {
        Confirmed::Still => {
            let until = asked.saturating_add(u64::try_from(LEASE.as_nanos()).unwrap_or(u64::MAX));
            lease.until.store(until, Ordering::Release);
        }
        Confirmed::Lost => {
            lease.until.store(0, Ordering::Release);
            lease.lost.store(true, Ordering::Release);
        }
    }
    Ok(confirmed)
}

/// The time of the clock that leases are measured with: since the machine's start, its sleep included.
pub fn boot_time() -> Duration {
    Duration::from_nanos(now())
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_lease_holds_while_the_claim_is_confirmed_lapses_when_it_is_not_and_comes_back() {
        let answers = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&answers);
        let keeper = LeaseKeeper::start(move || match asked.load(Ordering::SeqCst) {
            true => Ok(Confirmed::Still),
            false => Err(io::ErrorKind::TimedOut.into()),
        })
        .unwrap();
        let lease = keeper.lease();
        assert!(lease.holds() && lease.left() > Duration::ZERO && lease.left() <= LEASE);
        answers.store(false, Ordering::SeqCst);
        std::thread::sleep(LEASE + EVERY);
        assert!(!lease.holds() && !lease.is_lost() && lease.left() == Duration::ZERO);
        answers.store(true, Ordering::SeqCst);
        std::thread::sleep(EVERY * 3);
        assert!(lease.holds());
        drop(keeper);
        assert!(!lease.holds(), "who let go uses no key");
    }

    #[test]
    fn a_slow_answer_shortens_the_lease_by_the_time_it_took() {
        let slow = Arc::new(Mutex::new(Duration::ZERO));
        let set = Arc::clone(&slow);
        let keeper = LeaseKeeper::start(move || {
            let wait = *slow.lock().unwrap();
            std::thread::sleep(wait);
            Ok(Confirmed::Still)
        })
        .unwrap();
        *set.lock().unwrap() = LEASE + EVERY;
        std::thread::sleep(LEASE + EVERY * 2);
        assert!(!keeper.lease().holds(), "an answer that came after the lease's end does not renew it from then");
        *set.lock().unwrap() = Duration::ZERO;
    }

    #[test]
    fn a_claim_that_is_lost_ends_the_lease_for_good_and_at_once() {
        let mut calls = 0;
        let keeper = LeaseKeeper::start(move || {
            calls += 1;
            Ok(if calls == 1 { Confirmed::Still } else { Confirmed::Lost })
        })
        .unwrap();
        std::thread::sleep(EVERY * 2);
        assert!(keeper.lease().is_lost() && !keeper.lease().holds());
        assert!(LeaseKeeper::start(|| Ok(Confirmed::Lost)).is_err());
    }
}
