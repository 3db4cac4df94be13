//! The thread behind one mirror: does what it is told in order, and when its place fails, opens it anew until it holds what
//! the primary holds.

mod mending;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::lost_list::{self, Lack};
use super::mark::{Mark, NAME, REPLACE};
use super::medium::{AHEAD, Pieces};
use super::standing::{Shared, Standing, State, chain};
use super::{Contact, LogFiles, Mirror, MirrorSpec, Refill, Vouch};
use crate::media::{Parties, Place};

/// How often the mark follows the epoch in force.
const MARK_EVERY: Duration = Duration::from_secs(5);
/// Between two attempts to reach a place.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// How often a mirror that stays behind is spoken of.
const REMIND: Duration = Duration::from_secs(60);

/// An answer.
pub(super) type Reply = io::Result<Vec<u8>>;

/// What a follower is told.
pub(super) enum Order {
    /// Whom it follows, whose mark it looks for, and as what its place is to be opened if not as it was. First of all.
    Follow(Arc<dyn Place>, Mark, Option<Contact>),
    Create(String),
    Write(String, Pieces),
    Truncate(String, u64),
    Remove(String),
    /// Makes durable what was written up to this serial.
    Flush(String, u64, SyncSender<Reply>),
    ReadBack(String, u64, usize, SyncSender<Reply>),
    /// The epoch in force is to be noted now.
    Mark(SyncSender<Reply>),
    /// The place as it was looked at.
    Place(SyncSender<io::Result<Arc<dyn Place>>>),
    /// From now on it is to hold what the primary holds; who says what of it may be overwritten.
    Begin(Vouch),
    /// Time to try, if it does not.
    Heal,
}

/// The turn of an order that is for any time.
pub(super) const ANY: u64 = u64::MAX;
/// An order with the turn in which it was given.
pub(super) type Given = (u64, Order);

/// What a first look at a place found.
pub(super) struct Seen {
    pub(super) mark: Option<Mark>,
    /// Files that are no mark.
    pub(super) files: usize,
    /// The list of parties, where the primary has none.
    pub(super) list: Option<Parties>,
    /// There is a mark, and nothing but what a filling left that was cut short.
    pub(super) is_cut_short: bool,
}

/// Starts a follower, which looks at its place first of all, beside the primary. `lack`: that one has no list of parties.
pub(super) fn start(
    spec: MirrorSpec,
    contact: Contact,
    epoch: Arc<AtomicU64>,
    log_files: Arc<LogFiles>,
    primary: Arc<dyn Place>,
    lack: Option<Lack>,
) -> io::Result<(Mirror, Receiver<io::Result<Seen>>)> {
    let cause = "it was not looked at yet".to_owned();
    let state = State {
        standing: Standing::Behind { cause, since: Instant::now() },
        unconfirmed: BTreeMap::new(),
        serial: 0,
        turn: 0,
        healing: false,
        in_vain: 0,
        admitted: contact == Contact::Again,
    };
    let shared = Arc::new(Shared {
        name: spec.name.clone(),
        kind: spec.kind,
        state: Mutex::new(state),
        copied: AtomicU64::new(0),
        moved: Mutex::new(Instant::now()),
        queued: AtomicU64::new(0),
        nudged: AtomicBool::new(false),
    });
    let (orders, queue) = channel();
    let (looked, seen) = sync_channel(1);
    let (end, ended) = sync_channel(1);
    let of_thread = Arc::clone(&shared);
    std::thread::Builder::new().name(format!("mirror-{}", spec.name)).spawn(move || {
        let found = (spec.open)(contact).and_then(|place| {
            let mut seen = see(&*place)?;
            if let Some(mark) = seen.mark {
                seen.list = lack.map_or(Ok(None), |lack| lost_list::list_at(&*primary, &*place, lack))?;
                seen.is_cut_short = lost_list::is_cut_short(&*primary, &*place, &mark)?;
            }
            Ok((seen, place))
        });
        let place = match found {
            Ok((seen, place)) => {
                let _ = looked.send(Ok(seen));
                Some(place)
            }
            Err(error) => {
                let _ = looked.send(Err(error));
                None
            }
        };
        if let Ok((_, Order::Follow(primary, mark, again))) = queue.recv() {
            let contact = again.unwrap_or(contact);
            let follower = Follower {
                shared: of_thread,
                spec,
                contact,
                epoch,
                log_files,
                primary,
                mark,
                place,
                vouch: None,
                doubted: BTreeMap::new(),
                pause: FIRST_PAUSE,
                tried: None,
                marked: (0, Instant::now()),
                reminded: Instant::now(),
            };
            follower.run(&queue);
        }
        let _ = end.send(());
    })?;
    Ok((Mirror { shared, is_new: false, orders, ended: Mutex::new(ended) }, seen))
}

fn see(place: &dyn Place) -> io::Result<Seen> {
    let files = place.list()?.iter().filter(|(name, _)| name != NAME && name != REPLACE).count();
    Ok(Seen { mark: Mark::read(place)?, files, list: None, is_cut_short: false })
}

struct Follower {
    shared: Arc<Shared>,
    spec: MirrorSpec,
    contact: Contact,
    epoch: Arc<AtomicU64>,
    log_files: Arc<LogFiles>,
    primary: Arc<dyn Place>,
    mark: Mark,
    place: Option<Arc<dyn Place>>,
    /// Once it has begun.
    vouch: Option<Vouch>,
    /// By file, from where on nothing of the place is believed, whatever it reads: a flush may have failed there.
    doubted: BTreeMap<String, u64>,
    pause: Duration,
    tried: Option<Instant>,
    /// The epoch of the mark, and when it was looked at.
    marked: (u64, Instant),
    reminded: Instant,
}

impl Follower {
    fn run(mut self, queue: &Receiver<Given>) {
        loop {
            let order = match queue.recv_timeout(if self.holds() { MARK_EVERY } else { self.pause }) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            match order {
                Some((turn, order)) if turn == ANY || turn == self.shared.lock().turn => self.follow(order),
                Some((_, order)) => self.pass_over(order),
                None => {}
            }
            if self.vouch.is_none() {
                continue;
            }
            if !self.holds() {
                self.try_to_heal();
            } else if self.marked.1.elapsed() >= MARK_EVERY {
                // What a mark says is not needed by anything that is answered.
                let _ = self.note_epoch();
            }
        }
    }

    fn holds(&self) -> bool {
        self.shared.lock().standing == Standing::Holding
    }

    fn follow(&mut self, order: Order) {
        match order {
            Order::Follow(..) => {}
            Order::Heal => self.shared.nudged.store(false, Ordering::Release),
            Order::Begin(vouch) => self.vouch = Some(vouch),
            Order::Create(name) => self.carry_out(|place| match place.create(&name, 0) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                made => made,
            }),
            Order::Write(name, pieces) => {
                let shared = Arc::clone(&self.shared);
                let bytes = pieces.iter().map(|(_, bytes)| bytes.len() as u64).sum();
                self.carry_out(|place| {
                    for (at, bytes) in &pieces {
                        place.write_at(&name, *at, bytes)?;
                        shared.moves();
                    }
                    // So that a flush of much that was written does not take a slow place longer than it may.
                    let ahead = pieces.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() >= AHEAD;
                    if ahead { place.flush(&name) } else { Ok(()) }
                });
                self.shared.queued.fetch_sub(bytes, Ordering::AcqRel);
            }
            Order::Truncate(name, len) => self.carry_out(|place| place.truncate(&name, len)),
            Order::Remove(name) => self.carry_out(|place| match place.remove(&name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            }),
            Order::Flush(name, serial, reply) => {
                let answer = self.attempt(|place| place.flush(&name).map(|()| Vec::new()));
                if answer.is_ok() {
                    let mut state = self.shared.lock();
                    if state.unconfirmed.get(&name).is_some_and(|entry| entry.serial <= serial) {
                        state.unconfirmed.remove(&name);
                    }
                }
                let _ = reply.send(answer);
            }
            Order::ReadBack(name, offset, len, reply) => {
                let _ = reply.send(self.attempt(|place| place.read_back(&name, offset, len)));
            }
            Order::Mark(reply) => {
                let _ = reply.send(self.note_epoch().map(|()| Vec::new()));
            }
            Order::Place(reply) => {
                let place = self.place.clone().ok_or_else(|| io::Error::other("it is not open"));
                let _ = reply.send(place);
            }
        }
    }

    /// An order of before the place was made like the primary: what it writes is older than what lies there.
    fn pass_over(&mut self, order: Order) {
        match order {
            Order::Write(_, pieces) => {
                let bytes = pieces.iter().map(|(_, bytes)| bytes.len() as u64).sum();
                self.shared.queued.fetch_sub(bytes, Ordering::AcqRel);
            }
            Order::Flush(.., reply) | Order::ReadBack(.., reply) | Order::Mark(reply) => {
                let _ = reply.send(Err(io::Error::other("the mirror was behind")));
            }
            _ => {}
        }
    }

    fn carry_out(&mut self, work: impl FnOnce(&dyn Place) -> io::Result<()>) {
        let _ = self.attempt(|place| work(place).map(|()| Vec::new()));
    }

    /// Does something in a place that holds the key state; whoever fails is behind from then on.
    fn attempt(&mut self, work: impl FnOnce(&dyn Place) -> Reply) -> Reply {
        let Some(place) = self.place.as_ref().filter(|_| self.shared.lock().standing == Standing::Holding) else {
            return Err(io::Error::other("the mirror is behind"));
        };
        let done = work(&**place);
        self.shared.moves();
        if let Err(error) = &done {
            self.shared.falls_behind(error);
            // Nothing of it is believed any more, its open files least of all.
            self.place = None;
        }
        done
    }

    /// Only of a mirror that is among the parties: a mark without an epoch is one that nothing relies on.
    fn note_epoch(&mut self) -> io::Result<()> {
        let epoch = self.epoch.load(Ordering::Acquire);
        self.marked.1 = Instant::now();
        if self.marked.0 == epoch || !self.shared.lock().admitted {
            return Ok(());
        }
        let mark = Mark { epoch, ..self.mark };
        self.attempt(|place| mark.write(place).map(|()| Vec::new()))?;
        self.marked.0 = epoch;
        Ok(())
    }

    fn try_to_heal(&mut self) {
        if self.tried.is_some_and(|tried| tried.elapsed() < self.pause) {
            return;
        }
        self.shared.lock().healing = true;
        let healed = self.heal();
        self.shared.lock().healing = false;
        match healed {
            Ok(copied) => {
                tracing::info!(mirror = self.shared.name, bytes = copied, "a mirror holds the key state");
                self.pause = FIRST_PAUSE;
                self.contact = Contact::Again;
            }
            Err(error) => {
                self.place = None;
                self.shared.falls_behind(&error);
                self.shared.lock().in_vain += 1;
                self.pause = (self.pause * 2).min(LAST_PAUSE);
                if self.reminded.elapsed() >= REMIND {
                    self.reminded = Instant::now();
                    let cause = chain(&error);
                    tracing::error!(mirror = self.shared.name, cause, "a mirror still does not hold the key state");
                }
            }
        }
        self.tried = Some(Instant::now());
    }

    /// Opens the place and makes it hold what the primary holds. The bytes that were copied.
    fn heal(&mut self) -> io::Result<u64> {
        // The one that was looked at when the vault was opened serves once. Let go before another is opened: it may be locked.
        // A process that was superseded has an old list of the primary's files, and the mirror is another's by now.
        self.primary.confirm()?;
        let looked_at = self.place.take().filter(|_| self.tried.is_none());
        let place = match looked_at {
            Some(place) => place,
            None => (self.spec.open)(self.contact)?,
        };
        self.recognise(&*place)?;
        let mut copied = self.alike(&*place)?;
        loop {
            let due: Vec<(String, u64, u64)> = {
                let state = self.shared.lock();
                state.unconfirmed.iter().map(|(name, entry)| (name.clone(), entry.from, entry.serial)).collect()
            };
            for (name, from, _) in &due {
                copied += self.rewrite(&*place, name, *from)?;
            }
            let mut state = self.shared.lock();
            for (name, _, serial) in due {
                if state.unconfirmed.get(&name).is_some_and(|entry| entry.serial == serial) {
                    state.unconfirmed.remove(&name);
                }
            }
            if state.unconfirmed.is_empty() {
                self.place = Some(place);
                // Under the same lock as the last look: what is written from here on is told by orders.
                state.standing = Standing::Holding;
                state.turn += 1;
                state.healing = false;
                state.in_vain = 0;
                break;
            }
        }
        self.shared.copied.fetch_add(copied, Ordering::Relaxed);
        self.note_epoch()?;
        Ok(copied)
    }

    /// Whether the place is this mirror's; makes it so if it is an empty one that may be.
    fn recognise(&mut self, place: &dyn Place) -> io::Result<()> {
        let seen = see(place)?;
        match seen.mark {
            Some(mark) if mark.instance != self.mark.instance => {
                Err(io::Error::other("it holds the key state of another vault"))
            }
            Some(mark) if mark.state != self.mark.state && !lost_list::is_cut_short(&*self.primary, place, &mark)? => {
                Err(io::Error::other(
                    "it is a mirror of this vault and of another key state: of the one before it moved, or the list of who takes \
                     part was lost here while this mirror was away. Do not empty it before that is known",
                ))
            }
            Some(mark) if mark.epoch > self.epoch.load(Ordering::Acquire) => {
                Err(io::Error::other("it knows a newer epoch than the one in force here: old keys came back"))
            }
            Some(mark) => {
                self.claim_above(mark.claim)?;
                if (mark.claim, mark.state) != (self.mark.claim, self.mark.state) {
                    Mark { epoch: mark.epoch, ..self.mark }.write(place)?;
                }
                self.marked.0 = mark.epoch;
                Ok(())
            }
            None if seen.files > 0 => Err(io::Error::other("it holds files that are no mirror's")),
            None => {
                let told = place.list()?.iter().any(|(name, _)| name == REPLACE);
                if self.contact == Contact::Again && self.spec.refill == Refill::WhenTold && !told {
                    return Err(io::Error::other(
                        "it is empty, although it held the key state: is its disk mounted? If this is a new disk, put an \
                         empty file named `replace` there",
                    ));
                }
                self.claim_above(0)?;
                Mark { epoch: 0, ..self.mark }.write(place)?;
                self.marked.0 = 0;
                if told { place.remove(REPLACE) } else { Ok(()) }
            }
        }
    }

    /// Takes a claim that is not below what was found in the place. Whoever was superseded learns it here at the latest: the
    /// primary gives it no number above the one that its successor put there.
    fn claim_above(&mut self, found: u64) -> io::Result<()> {
        if self.mark.claim == 0 || self.mark.claim < found {
            self.mark.claim = self.primary.number_above(found)?;
        }
        Ok(())
    }
}
