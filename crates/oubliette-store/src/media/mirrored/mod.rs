//! The key state with mirrors: further places that hold it before an old root dies.
//!
//! The *primary* is the medium that a layout has without mirrors. Everything is written there first and read from there.
//! Each mirror is followed by a thread of its own ([`follower`]): a place that hangs holds up no reading. A flush is `Ok` when
//! the primary and every mirror hold the bytes durably; what is read *back* is read from all of them and must be the same
//! everywhere. So no root is destroyed before its successor's pages were read from every mirror.
//!
//! A mirror that fails is *behind*: from then on nothing of it is believed. Flushes answer that they may be tried again
//! ([`keyforest::media::not_done`]); the primary has the bytes. Its place is opened anew until it answers, is told everything
//! that was not confirmed once more, is read back and compared, and only then counts again. A failed flush of a mirror never
//! ends the process, and is never believed after.
//!
//! While a vault is opened ([`Mirrored::open`] to [`Mirrored::begin`]) only the primary is written: recovery makes nothing
//! that a mirror lacks for a root in force, because that root was written after all mirrors held its pages. What the primary
//! lacks and a mirror has is copied to it before ([`Mirrored::pull`]). From then to [`Mirrored::serve`] a flush passes over
//! mirrors that are behind, so that a vault opens without them; reading pages back never does, so nothing is sealed.

mod follower;
mod lost_list;
mod mark;
mod pulling;
mod records;
mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use bytes::Bytes;
use keyforest::media::{Medium, not_done};
use thiserror::Error;

use self::follower::{ANY, Given, Order, Reply, Seen};
use self::lost_list::{Brought, Lack};
use self::mark::Mark;
pub use self::standing::Standing;
use self::standing::{Shared, chain};
use super::parties::{Parties, PartyKind};
use super::place::Place;

/// Bytes of unflushed writes that are handed to the mirrors, and flushed there, before a flush asks for it.
const AHEAD: usize = 8 << 20;
/// Most bytes that wait for a mirror: who writes more waits with them.
const QUEUED: u64 = 64 << 20;
/// Copied at once.
const CHUNK: u64 = 4 << 20;
/// After so many attempts in vain a start no longer waits for a mirror.
const ATTEMPTS: u32 = 2;
/// Between two looks whether all mirrors hold the key state.
const POLL: Duration = Duration::from_millis(5);
/// The name of the primary's reserve of disk space: that is the primary's own affair.
const RESERVE: &str = "reserve";
/// What the names of the transparency log's files begin with.
const LOG: &str = "log-";

/// Why there is no following a mirror. Nothing was written to it.
#[derive(Debug, Error)]
pub enum MirrorError {
    /// It is another vault's, or this one's before it was moved.
    #[error(
        "the mirror {0} holds the key state of another vault, or of this one before it moved: name the right place, or an \
         empty one"
    )]
    Stranger(String),
    /// Files of unknown origin where an empty place was expected.
    #[error("the mirror {0} holds files that are no mirror's: name the right place, or an empty one")]
    Occupied(String),
    /// The list of parties here is damaged, and the mirror has it whole.
    #[error(
        "the list of who takes part is damaged here, and the mirror {0} has it whole (the newest of its files `parties-…`): copy \
         it over the damaged one, or take that one away; do not empty the mirror. Start again then"
    )]
    ListDamaged(String),
    /// The list of parties is gone here, and could not be taken over from the mirror.
    #[error(
        "the list of who takes part is gone here, and could not be taken over from the mirror {0}, which has it: do not empty \
         that mirror; start again when it can be reached"
    )]
    ListLost(String),
    /// The primary failed.
    #[error("the key state failed while {operation}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

fn io_failed(operation: &'static str) -> impl FnOnce(io::Error) -> MirrorError {
    move |source| MirrorError::Io { operation, source }
}

/// Whether a place that held the key state and is empty now may simply be filled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refill {
    /// Yes: an emptied bucket is an emptied bucket.
    Freely,
    /// Only when an empty file `replace` lies in it: an empty folder may be the place where a disk is not mounted.
    WhenTold,
}

/// Whether a place is opened for a mirror that never held anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// It may be made.
    First,
    /// It must be there.
    Again,
}

/// Says whether a medium, the first, holds whole what the key state in force needs of a range of a file. Asked before other
/// bytes of a mirror, the second, are overwritten, cut or removed because the primary does not have them: what the primary has
/// lost or damaged may be whole there and nowhere else.
pub type Vouch = Arc<dyn Fn(&dyn Medium, &dyn Medium, &str, &Range<u64>) -> io::Result<()> + Send + Sync>;

/// Opens a mirror's place with nothing kept of an earlier opening.
pub type OpenPlace = Box<dyn Fn(Contact) -> io::Result<Arc<dyn Place>> + Send>;

/// A mirror as it is configured.
pub struct MirrorSpec {
    /// Its name.
    pub name: String,
    /// What kind of place it is, for people.
    pub kind: &'static str,
    /// About an empty place.
    pub refill: Refill,
    /// Opens the place.
    pub open: OpenPlace,
}

/// A mirror as it is now.
#[derive(Clone, Debug)]
pub struct MirrorStatus {
    /// Its name.
    pub name: String,
    /// What kind of place it is.
    pub kind: &'static str,
    /// Whether it holds the key state.
    pub standing: Standing,
    /// Bytes copied to it since the vault was opened, beside what was sealed meanwhile.
    pub copied: u64,
    /// Bytes that wait to be written to it.
    pub queued: u64,
}

/// What looking at the mirrors found.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// The highest epoch that a mirror knows to have been in force, and which mirror.
    pub newest: Option<(u64, String)>,
    /// Mirrors that could not be looked at, and why.
    pub unreachable: Vec<(String, String)>,
    /// The primary holds no key state while a mirror does.
    pub primary_lost: bool,
}

struct Mirror {
    shared: Arc<Shared>,
    /// What lies there is nothing to take over: a filling that was cut short.
    is_new: bool,
    orders: std::sync::mpsc::Sender<Given>,
    ended: Mutex<Receiver<()>>,
}

/// Writes since the last flush, as the mirrors are to be told of them.
type Pieces = Vec<(u64, Bytes)>;

/// Files of the log that were begun since the key state was opened. Those of before are never appended to again.
type LogFiles = Mutex<BTreeSet<String>>;

/// The key state with its mirrors. One medium to whoever uses it.
pub struct Mirrored {
    primary: Arc<dyn Place>,
    mirrors: Vec<Mirror>,
    /// Mirrors are written as well.
    begun: AtomicBool,
    /// A flush is nothing without them.
    serving: AtomicBool,
    pieces: Mutex<BTreeMap<String, Pieces>>,
    limit: Duration,
    epoch: Arc<AtomicU64>,
    log_files: Arc<LogFiles>,
    mark: Mark,
    /// All mirrors were looked at when it was opened.
    seen_all: bool,
    /// Of a list of parties that is gone here.
    brought: Brought,
}

impl fmt::Debug for Mirrored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirrored").field("mirrors", &self.status()).finish_non_exhaustive()
    }
}

impl Mirrored {
    /// Looks at all mirrors side by side and begins to follow those that can be reached; the others are tried again. `limit`:
    /// how long one of them may take to answer before it counts as away. Writes nothing, neither here nor there.
    ///
    /// A list of parties that is gone here and whole at a mirror of this key state is brought by [`Mirrored::pull`].
    ///
    /// # Errors
    /// [`MirrorError::Stranger`], [`MirrorError::Occupied`] and [`MirrorError::ListDamaged`] are the operator's to mend.
    pub fn open(
        primary: Arc<dyn Place>,
        instance: [u8; 16],
        specs: Vec<MirrorSpec>,
        limit: Duration,
    ) -> Result<(Self, Looked), MirrorError> {
        let listed = primary.list().map_err(io_failed("listing its files"))?;
        let lost = !listed.iter().any(|(name, _)| name.starts_with("pack-"));
        let parties = Parties::read(&*primary).map_err(io_failed("reading who takes part"))?;
        let known = |name: &str| parties.as_ref().is_some_and(|list| list.get(PartyKind::Mirror, name).is_some());
        let lack = parties.is_none().then_some(if lost { Lack::All } else { Lack::List });
        let (epoch, log_files) = (Arc::new(AtomicU64::new(0)), Arc::<LogFiles>::default());
        let mut looked = Looked::default();
        let mut looking = Vec::new();
        for spec in specs {
            let contact = if known(&spec.name) { Contact::Again } else { Contact::First };
            let (epoch, log_files, primary) = (Arc::clone(&epoch), Arc::clone(&log_files), Arc::clone(&primary));
            let started = follower::start(spec, contact, epoch, log_files, primary, lack);
            looking.push(started.map_err(io_failed("starting a thread"))?);
        }
        let mut state = parties.as_ref().map(Parties::state);
        let (mut mirrors, mut brought) = (Vec::new(), Brought::default());
        let until = Instant::now() + limit;
        for (mut mirror, seen) in looking {
            let name = mirror.shared.name.clone();
            let slow = || Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"));
            match seen.recv_timeout(until.saturating_duration_since(Instant::now())).unwrap_or_else(|_| slow()) {
                // It is filled as one that is new.
                Ok(Seen { mark: Some(mark), is_cut_short: true, .. })
                    if !lost && mark.instance == instance && state != Some(mark.state) =>
                {
                    mirror.is_new = true;
                }
                Ok(Seen { mark: Some(mark), list, .. }) => {
                    let belongs = mark.instance == instance && *state.get_or_insert(mark.state) == mark.state;
                    // A key state that is there and knows no parties has no mirrors yet: this mark is another's. Or it has lost
                    // who takes part, and the mirror knows.
                    let known = parties.is_some() || (belongs && brought.take_note(&name, &mark, list));
                    if !belongs || !(known || lost) {
                        return Err(MirrorError::Stranger(name));
                    }
                    looked.primary_lost |= lost && mark.epoch > 0;
                    if looked.newest.as_ref().is_none_or(|(newest, _)| *newest < mark.epoch) {
                        looked.newest = Some((mark.epoch, name));
                    }
                }
                Ok(Seen { mark: None, files: 0, .. }) => {}
                Ok(Seen { mark: None, .. }) => return Err(MirrorError::Occupied(name)),
                Err(error) => {
                    mirror.shared.falls_behind(&error);
                    looked.unreachable.push((name, chain(&error)));
                }
            }
            mirrors.push(mirror);
        }
        if lack == Some(Lack::List) {
            brought.replaces(&listed)?;
        }
        let state = match state {
            Some(state) => state,
            None => {
                let mut drawn = [0; 16];
                let random = SystemRandom::new().fill(&mut drawn);
                random
                    .map_err(|_| MirrorError::Io { operation: "drawing a number", source: io::Error::other("none") })?;
                drawn
            }
        };
        let mark = Mark { instance, state, epoch: 0, claim: 0 };
        for mirror in &mirrors {
            // Looked at as one that is new; an empty folder where its disk should be is not filled.
            let known = lack == Some(Lack::List) && brought.knows(&mirror.shared.name);
            let again = known.then_some(Contact::Again);
            let _ = mirror.orders.send((ANY, Order::Follow(Arc::clone(&primary), mark, again)));
        }
        let (begun, serving, pieces) = (AtomicBool::new(false), AtomicBool::new(false), Mutex::default());
        let seen_all = looked.unreachable.is_empty();
        Ok((
            Self { primary, mirrors, begun, serving, pieces, limit, epoch, log_files, mark, seen_all, brought },
            looked,
        ))
    }

    /// From now on mirrors are written as well, and nothing is sealed without them. Waits up to `wait` for all of them to
    /// hold what the primary holds, or to turn out to be away, and notes in the key state those that hold it for the first
    /// time. Call when the forest is open, with the epoch in force. A mirror loses nothing that `vouch` does not stand in for.
    ///
    /// # Errors
    /// The primary failed. That a mirror is behind is no error: [`Mirrored::status`] says so.
    pub fn begin(self: &Arc<Self>, epoch: u64, vouch: Vouch, wait: Duration) -> io::Result<()> {
        self.epoch.store(epoch, Ordering::Release);
        self.begin_list()?;
        self.begun.store(true, Ordering::Release);
        for mirror in &self.mirrors {
            let _ = mirror.orders.send((ANY, Order::Begin(Arc::clone(&vouch))));
        }
        let until = Instant::now() + wait;
        while !self.mirrors.iter().all(Mirror::is_settled) && Instant::now() < until {
            std::thread::sleep(POLL);
        }
        self.admit(epoch)
    }

    /// Writes down which key state this is, where no party ever joined: a mirror's mark names it, and a process that ends before
    /// the first mirror holds everything is to know its own again. Not while one that is away may have a list that is gone here.
    fn begin_list(self: &Arc<Self>) -> io::Result<()> {
        if self.mirrors.is_empty() || !self.seen_all {
            return Ok(());
        }
        let medium: Arc<dyn Medium> = Arc::clone(self) as Arc<dyn Medium>;
        let begun = Parties::read(&*self.primary)?.is_some();
        Parties::change(&medium, || self.mark.state, |_| !begun).map(drop)
    }

    /// From now on nothing at all is durable without the mirrors. Call before anything is answered.
    pub fn serve(&self) {
        self.serving.store(true, Ordering::Release);
    }

    /// Notes mirrors that hold the key state for the first time. What cannot be written now is written by a later call.
    pub fn admit(self: &Arc<Self>, epoch: u64) -> io::Result<()> {
        let medium: Arc<dyn Medium> = Arc::clone(self) as Arc<dyn Medium>;
        let mut listed = Vec::new();
        let join = |parties: &mut Parties| {
            let mut news = false;
            for Mirror { shared, .. } in &self.mirrors {
                let holds = shared.lock().standing == Standing::Holding;
                news |= holds && parties.join(PartyKind::Mirror, &shared.name, epoch);
                if parties.get(PartyKind::Mirror, &shared.name).is_some() {
                    listed.push(shared);
                }
            }
            news
        };
        match Parties::change(&medium, || self.mark.state, join) {
            Err(error) if keyforest::media::is_not_done(&error) => return Ok(()),
            admitted => admitted.map(drop)?,
        }
        listed.into_iter().for_each(|shared| shared.lock().admitted = true);
        Ok(())
    }

    /// Whether mirrors are written by now.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Makes what was written to a file durable here and at every mirror. Passes over none at any time, also while a vault is being
    /// opened, as a flush does.
    ///
    /// # Errors
    /// Those of a flush; it may be tried again before the mirrors are written, and while one does not hold the key state.
    pub fn flush_everywhere(&self, name: &str) -> io::Result<()> {
        if !self.has_begun() {
            return Err(not_done("the mirrors are not written yet"));
        }
        let (here, there) = self.flush_both(name);
        here.and(there)
    }

    /// Flushes here, and at the mirrors.
    fn flush_both(&self, name: &str) -> (io::Result<()>, io::Result<()>) {
        self.hand_over(name);
        let asked: Vec<_> = self
            .mirrors
            .iter()
            .map(|mirror| {
                let serial = mirror.shared.lock().serial;
                (mirror, mirror.ask(|reply| Order::Flush(name.to_owned(), serial, reply)))
            })
            .collect();
        let flushed = self.primary.flush(name);
        (flushed, self.gather(asked).map(drop))
    }

    /// The random number of the key state, which the mirrors carry.
    pub fn state(&self) -> [u8; 16] {
        self.mark.state
    }

    /// Tells the mirrors, in their own time, which epoch is in force.
    pub fn sealed(&self, epoch: u64) {
        self.epoch.fetch_max(epoch, Ordering::AcqRel);
    }

    /// Has the mirrors note the epoch in force now, and waits up to `wait` for it. For an end in good order.
    pub fn settle(&self, epoch: u64, wait: Duration) {
        self.sealed(epoch);
        let until = Instant::now() + wait;
        let answers: Vec<_> = self.mirrors.iter().filter_map(|mirror| mirror.ask(Order::Mark)).collect();
        for answer in answers {
            let _ = answer.recv_timeout(until.saturating_duration_since(Instant::now()));
        }
    }

    /// Whether every mirror holds the key state.
    pub fn all_hold(&self) -> bool {
        self.mirrors.iter().all(|mirror| mirror.shared.lock().standing == Standing::Holding)
    }

    /// How many mirrors there are: all of them hold a state before the root before it is destroyed.
    pub fn count(&self) -> usize {
        self.mirrors.len()
    }

    /// All of them as they are now.
    pub fn status(&self) -> Vec<MirrorStatus> {
        let status = |mirror: &Mirror| MirrorStatus {
            name: mirror.shared.name.clone(),
            kind: mirror.shared.kind,
            standing: mirror.shared.lock().standing.clone(),
            copied: mirror.shared.copied.load(Ordering::Relaxed),
            queued: mirror.shared.queued.load(Ordering::Acquire),
        };
        self.mirrors.iter().map(status).collect()
    }

    /// Hands what was written to a file to the mirrors that hold the key state; to the others nothing needs to be said.
    fn hand_over(&self, name: &str) {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner).remove(name).unwrap_or_default();
        if pieces.is_empty() {
            return;
        }
        let bytes = pieces.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        for mirror in &self.mirrors {
            mirror.shared.make_room(QUEUED, POLL, self.limit);
            mirror.tell(|| {
                mirror.shared.queued.fetch_add(bytes, Ordering::AcqRel);
                Order::Write(name.to_owned(), pieces.clone())
            });
        }
    }

    fn is_mirrored(&self, name: &str) -> bool {
        self.has_begun() && is_shared(name)
    }

    /// Waits for the mirrors' answers for as long as they get on; the first that does not, or is a refusal, counts.
    fn gather(&self, answers: Vec<(&Mirror, Option<Receiver<Reply>>)>) -> io::Result<Vec<Vec<u8>>> {
        let asked = Instant::now();
        let mut got = Vec::new();
        let mut failed = None;
        for (mirror, answer) in answers {
            let Some(answer) = answer else {
                failed = failed.or_else(|| Some(mirror.shared.refusal()));
                continue;
            };
            match mirror.shared.answer(&answer, asked, self.limit) {
                Some(Ok(bytes)) => got.push(bytes),
                Some(Err(_)) => failed = failed.or_else(|| Some(mirror.shared.refusal())),
                None => {
                    mirror.shared.falls_behind(&io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time"));
                    failed = failed.or_else(|| Some(mirror.shared.refusal()));
                }
            }
        }
        failed.map_or(Ok(got), Err)
    }
}

/// Files that are the same in all places.
fn is_shared(name: &str) -> bool {
    name != mark::NAME && name != mark::REPLACE && name != RESERVE
}

impl Mirror {
    /// Whether it holds the key state, or has been tried and is not to be had now.
    fn is_settled(&self) -> bool {
        let state = self.shared.lock();
        state.standing == Standing::Holding || state.in_vain >= ATTEMPTS
    }

    /// Sends an order if the mirror holds the key state; the answer's place.
    fn ask(&self, order: impl FnOnce(SyncSender<Reply>) -> Order) -> Option<Receiver<Reply>> {
        let state = self.shared.lock();
        if state.standing != Standing::Holding {
            drop(state);
            if !self.shared.nudged.swap(true, Ordering::AcqRel) {
                let _ = self.orders.send((ANY, Order::Heal));
            }
            return None;
        }
        let (reply, answer) = sync_channel(1);
        self.orders.send((state.turn, order(reply))).ok().map(|()| answer)
    }

    fn tell(&self, order: impl FnOnce() -> Order) {
        let state = self.shared.lock();
        if state.standing == Standing::Holding {
            let _ = self.orders.send((state.turn, order()));
        }
    }

    /// Nothing of a file needs to be confirmed any more, but that it is not there. After it was removed from the primary.
    fn removed(&self, name: &str) {
        let mut state = self.shared.lock();
        state.unconfirmed.remove(name);
        if state.healing {
            state.unconfirmed_from(name, 0);
        }
    }

    /// Notes that a file is not confirmed from an offset on. After the primary was written.
    fn wrote(&self, name: &str, from: u64) {
        self.shared.lock().unconfirmed_from(name, from);
    }
}

impl Medium for Mirrored {
    fn create(&self, name: &str, reserve: u64) -> io::Result<()> {
        if name.starts_with(LOG) {
            self.log_files.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        }
        self.primary.create(name, reserve)?;
        if self.is_mirrored(name) {
            for mirror in &self.mirrors {
                mirror.wrote(name, 0);
                mirror.tell(|| Order::Create(name.to_owned()));
            }
        }
        Ok(())
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let written = self.primary.write_at(name, offset, bytes);
        if self.is_mirrored(name) && !bytes.is_empty() {
            for mirror in &self.mirrors {
                mirror.wrote(name, offset);
            }
            let ahead = {
                let mut all = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
                let pieces = all.entry(name.to_owned()).or_default();
                pieces.push((offset, Bytes::copy_from_slice(bytes)));
                pieces.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() >= AHEAD
            };
            if ahead {
                self.hand_over(name);
            }
        }
        written
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        if !self.is_mirrored(name) {
            return self.primary.flush(name);
        }
        let (here, there) = self.flush_both(name);
        // What must end the process counts more than what may be tried again.
        here.and(if self.serving.load(Ordering::Acquire) { there } else { Ok(()) })
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.primary.read_at(name, offset, len)
    }

    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        // While a vault opens, its log is read to go on with it, not to prove it before a root is destroyed.
        let to_go_on = name.starts_with(LOG) && !self.serving.load(Ordering::Acquire);
        if to_go_on || !self.is_mirrored(name) {
            return self.primary.read_back(name, offset, len);
        }
        let ask = |mirror: &Mirror| mirror.ask(|reply| Order::ReadBack(name.to_owned(), offset, len, reply));
        let asked: Vec<_> = self.mirrors.iter().map(|mirror| (mirror, ask(mirror))).collect();
        let bytes = self.primary.read_back(name, offset, len)?;
        for (mirror, copy) in self.mirrors.iter().zip(self.gather(asked)?) {
            if copy != bytes {
                mirror.wrote(name, offset);
                mirror.shared.falls_behind(&io::Error::other("it gave other bytes back than were written"));
                return Err(mirror.shared.refusal());
            }
        }
        Ok(bytes)
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.primary.truncate(name, len)?;
        if self.is_mirrored(name) {
            self.hand_over(name);
            for mirror in &self.mirrors {
                mirror.wrote(name, len);
                mirror.tell(|| Order::Truncate(name.to_owned(), len));
            }
        }
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.primary.list()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.primary.remove(name)?;
        if self.is_mirrored(name) {
            self.pieces.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
            for mirror in &self.mirrors {
                mirror.removed(name);
                mirror.tell(|| Order::Remove(name.to_owned()));
            }
        }
        Ok(())
    }
}

impl Drop for Mirrored {
    fn drop(&mut self) {
        // A follower that hangs in its place is left behind: the process ends without it.
        let ended: Vec<_> = self.mirrors.drain(..).map(|mirror| mirror.ended).collect();
        for ended in ended {
            let ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
            let _ = ended.recv_timeout(Duration::from_secs(1));
        }
    }
}
