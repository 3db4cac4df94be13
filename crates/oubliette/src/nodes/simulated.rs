//! Both sides of the lease against each other, over a network and with pauses that a test makes: every pair of faults at every
//! pair of moments. Whatever happens, no key opens anything once the erasure that took it back was allowed to go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keyforest::{Leaf, LeafKey};
use oubliette_core::crypto::KeyCell;
use oubliette_core::ports::{Lease, Lenders as _, PurgeSet};
use oubliette_store::lease::LEASE;

use super::lease::{FrontLease, Ticket};
use super::lendings::{BootClock, Lendings};
use super::wire::{Renew, Renewed};

/// Milliseconds of one step, and steps of one run: ten seconds.
const STEP: u64 = 100;
const STEPS: u64 = 100;
/// When the key is lent and when it is taken back.
const LENT: u64 = 10;
const ERASED: u64 = 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    RenewalLost,
    AnswerLost,
    /// The answer takes so many steps.
    AnswerSlow(u64),
    /// The front stands still for so many steps.
    FrontPaused(u64),
    /// The holder cannot confirm its own claim for so many steps.
    HolderOutOfReach(u64),
}

const FAULTS: [Fault; 8] = [
    Fault::RenewalLost,
    Fault::AnswerLost,
    Fault::AnswerSlow(5),
    Fault::AnswerSlow(28),
    Fault::FrontPaused(5),
    Fault::FrontPaused(29),
    Fault::FrontPaused(45),
    Fault::HolderOutOfReach(25),
];

/// A front as it renews, one step at a time.
struct Front {
    lease: Arc<FrontLease>,
    first: bool,
    acked: u64,
    /// When the renewal under way was sent.
    sent: Option<u64>,
    /// An answer and when it arrives.
    arriving: Option<(u64, Result<Renewed, ()>)>,
    using: Vec<(Ticket, Arc<KeyCell>)>,
}

struct Run {
    clock: BootClock,
    lendings: Lendings,
    front: Front,
    /// Every key that was ever lent.
    cells: Vec<Arc<KeyCell>>,
    sessions: u64,
}

impl Run {
    fn new(clock: BootClock) -> Self {
        let front = Front {
            lease: FrontLease::new(1, Arc::clone(&clock)),
            first: true,
            acked: 0,
            sent: None,
            arriving: None,
            using: Vec::new(),
        };
        Self { lendings: Lendings::new(Arc::clone(&clock)), clock, front, cells: Vec::new(), sessions: 1 }
    }

    fn renew(&mut self, now: u64, lost: Option<Fault>, left: Duration) {
        if let Some((at, _)) = &self.front.arriving
            && *at <= now
            && let Some((_, answer)) = self.front.arriving.take()
        {
            self.heard(answer);
        }
        // The answer is given up after a lease, as the front does.
        if self.front.sent.is_some_and(|sent| (now - sent) * STEP >= LEASE.as_millis() as u64) {
            (self.front.sent, self.front.arriving) = (None, None);
            if !self.front.lease.holds() {
                self.begin_anew();
            }
        }
        if self.front.sent.is_some() {
            return;
        }
        self.front.sent = Some(now);
        let renew = Renew {
            front: self.front.lease.session,
            name: "front".to_owned(),
            first: self.front.first,
            acked: self.front.acked,
            released: Vec::new(),
            quiet: false,
            bye: false,
        };
        if lost == Some(Fault::RenewalLost) {
            return;
        }
        let answer = self.lendings.hear(&renew).and_then(|_| self.lendings.answer(renew.front, left)).map_err(drop);
        let delay = match lost {
            Some(Fault::AnswerLost) => return,
            Some(Fault::AnswerSlow(steps)) => steps,
            _ => 1,
        };
        self.front.arriving = Some((now + delay, answer));
    }

    fn heard(&mut self, answer: Result<Renewed, ()>) {
        let Some(sent) = self.front.sent.take() else { return };
        match answer {
            Ok(_) if !self.front.first && !self.front.lease.holds() => self.begin_anew(),
            Ok(renewed) => {
                self.front.lease.renewed(Duration::from_millis(sent * STEP), &renewed);
                self.front.acked = renewed.upto;
                self.front.first = false;
            }
            Err(()) => self.begin_anew(),
        }
    }

    fn begin_anew(&mut self) {
        self.front.lease.end();
        self.sessions += 1;
        self.front.using.clear();
        self.front.lease = FrontLease::new(self.sessions, Arc::clone(&self.clock));
        (self.front.first, self.front.acked) = (true, 0);
    }

    fn borrow(&mut self) {
        let lease = Arc::clone(&self.front.lease);
        let ticket = lease.ask();
        if !self.lendings.lend(lease.session, ticket.request, Leaf(8)) {
            return;
        }
        let cell = KeyCell::new(LeafKey::new([7; 32]), Arc::clone(&lease) as Arc<dyn Lease>);
        self.cells.push(Arc::clone(&cell));
        if ticket.take(&cell) {
            self.front.using.push((ticket, cell));
        }
    }

    fn opens(&self) -> bool {
        self.cells.iter().any(|cell| cell.with_key(|_| ()).is_ok())
    }
}

/// Runs with these faults; gives the step at which the erasure was allowed to go on, and whether the key ever opened anything.
fn run(faults: &[(u64, Fault)]) -> (u64, bool) {
    let millis = Arc::new(AtomicU64::new(0));
    let time = Arc::clone(&millis);
    let mut run = Run::new(Arc::new(move || Duration::from_millis(time.load(Ordering::SeqCst))));
    let set = PurgeSet { leaves: [Leaf(8)].into_iter().collect(), ..PurgeSet::default() };
    let (mut gone_on, mut opened, mut paused_until, mut unconfirmed_until, mut confirmed) = (None, false, 0, 0, 0);
    for now in 0..STEPS {
        millis.store(now * STEP, Ordering::SeqCst);
        let fault = faults.iter().find(|(at, _)| *at == now).map(|(_, fault)| *fault);
        match fault {
            Some(Fault::FrontPaused(steps)) => paused_until = now + steps,
            Some(Fault::HolderOutOfReach(steps)) => unconfirmed_until = now + steps,
            _ => {}
        }
        if now >= unconfirmed_until {
            confirmed = now;
        }
        let left = LEASE.saturating_sub(Duration::from_millis((now - confirmed) * STEP));
        if now >= paused_until {
            run.renew(now, fault, left);
        }
        if now == LENT {
            run.borrow();
        }
        if now == ERASED {
            run.lendings.take_back(&set);
        }
        if now >= ERASED && gone_on.is_none() && run.lendings.is_back(&set) {
            gone_on = Some(now);
        }
        // Asked at every step, also while the front is paused: it may go on at any moment, its streams before its renewals.
        let opens = run.opens();
        opened |= opens;
        assert!(!(opens && gone_on.is_some()), "opened at {now}, after the erasure went on at {gone_on:?}: {faults:?}");
    }
    (gone_on.unwrap_or_else(|| panic!("the erasure never went on: {faults:?}")), opened)
}

#[test]
fn without_a_fault_a_key_opens_until_it_is_taken_back_and_the_erasure_hardly_waits() {
    let (gone_on, opened) = run(&[]);
    assert!(opened && gone_on <= ERASED + 3, "{gone_on}");
}

#[test]
fn with_any_two_faults_no_key_opens_anything_after_the_erasure_went_on_and_it_always_does() {
    // A renewal under way takes no longer than a lease; from the next one on it is a lease and its margin.
    let longest = ERASED + 2 * (LEASE.as_millis() as u64).div_ceil(STEP) + 1;
    for first in FAULTS {
        for second in FAULTS {
            for at in 5..ERASED + 10 {
                for then in at + 1..ERASED + 12 {
                    let faults = [(at, first), (then, second)];
                    let (gone_on, _) = run(&faults);
                    assert!(gone_on <= longest, "{gone_on}: {faults:?}");
                }
            }
        }
    }
}
