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

mod first_look;
mod follower;
mod lost_list;
mod mark;
mod medium;
mod pulling;
mod records;
mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyforest::media::Medium;
use thiserror::Error;

pub use self::first_look::Looked;
use self::follower::{ANY, Given, Order};
use self::lost_list::Brought;
use self::mark::Mark;
use self::medium::Pieces;
use self::standing::Shared;
pub use self::standing::{Standing, waits_for_mirror};
use super::parties::{Parties, PartyKind};
use super::place::Place;

/// Copied at once.
const CHUNK: u64 = 4 << 20;
/// After so many attempts in vain a start no longer waits for a mirror.
const ATTEMPTS: u32 = 2;
/// Between two looks whether all mirrors hold the key state.
const POLL: Duration = Duration::from_millis(5);
/// The name of the primary's reserve of disk space: that is the primary's own affair.
const RESERVE: &str = "reserve";

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

struct Mirror {
    shared: Arc<Shared>,
    /// What lies there is nothing to take over: a filling that was cut short.
    is_new: bool,
    orders: std::sync::mpsc::Sender<Given>,
    ended: Mutex<Receiver<()>>,
}

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
