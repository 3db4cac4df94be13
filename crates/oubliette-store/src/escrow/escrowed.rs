//! A root store whose every root also lies with agents: the seal's part of the escrow.
//!
//! What the key forest asks of a register decides the order. Writing the next root puts it to the agents first, beside the one
//! in force; destroying the old one destroys it in the register and then with the agents. Too few agents in reach is
//! [`SlotError::Again`]: the seal stalls and comes about when they are back. Whoever was away is told later, from the
//! background, also by the next process. The model of it is `tests/escrow_model`.
//!
//! The quorum reckons with agents that all hold parts of one dealing. Where agents were added, let go or numbered anew, or
//! another number of them brings a root back, what they hold of an old root may be more together. Then no old root counts as
//! destroyed before *all* of them have said so, once at the start and once after the first seal ([`Before::Other`]).

use std::borrow::Cow;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use keyforest::Probe;
use keyforest::media::{SLOT_BYTES, SlotDevice, SlotError};
use thiserror::Error;
use zeroize::Zeroizing;

use super::depot::Keep;
use super::envelope::{self, Envelope, EnvelopeError, Label, is_name};
use super::ledger::Ledger;
use super::link::{Agent, AgentLink, AgentState, Answer, AskClaim, Dealings, Goal, Raise};
use super::{Note, Noted, PublicKey, Quorum, Root, Settle};

/// How often agents are looked after that are not as they should be.
const TEND: Duration = Duration::from_secs(1);
/// How long who asks agents for what they hold waits before it asks again.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How long one that answers with the others is waited for when the others are enough.
const GRACE: Duration = Duration::from_millis(20);

/// The agents hold the new root; the register does not.
const ROOT_PUT: &str = "escrow.root_put";
/// The register's old root is gone; the agents have not been told.
const REGISTER_DESTROYED: &str = "escrow.register_destroyed";
/// Moments that a test may crash at.
pub const CRASH_POINTS: &[&str] = &[ROOT_PUT, REGISTER_DESTROYED];

/// How the root lay with the agents before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// As it does now, or not at all.
    Same,
    /// In another way, or that is not known.
    Other,
}

/// What an escrow needs to know.
pub struct EscrowOptions {
    /// The vault.
    pub instance: [u8; 16],
    /// The number of this process's claim to the vault; 0 where only one can have it.
    pub fence: u64,
    /// What roots are sealed to.
    pub key: PublicKey,
    /// How many agents are enough.
    pub quorum: Quorum,
    /// Raises that number, for an agent that remembers a higher one.
    pub raise: Raise,
    /// Whether this process still has its claim; `None` where nobody counts claims. Then an agent that has talked with a later
    /// process ends this one.
    pub claim: Option<AskClaim>,
    /// The agents in order: an agent's place in it is its share's number.
    pub agents: Vec<(String, Box<dyn AgentLink>)>,
    /// How the root lay with them before.
    pub before: Before,
    /// What earlier processes noted of agents of these names. Of others nothing was.
    pub noted: Vec<(String, Noted)>,
    /// Notes in which register an agent's envelopes lie.
    pub note: Note,
    /// Has all that is noted of agents be so wherever the key state lies.
    pub settle: Settle,
    /// How long a call waits for enough of them before it says [`SlotError::Again`].
    pub patience: Duration,
    /// Told of named moments.
    pub probe: Arc<dyn Probe>,
}

/// Why there can be no such escrow.
#[derive(Debug, Error)]
pub enum EscrowError {
    /// Names that do not tell the agents apart.
    #[error("every agent has a name of its own: letters, digits, `-`, `_` and `.`, at most 32")]
    Names,
    /// The quorum is of another number of agents.
    #[error("the quorum and the agents do not fit together")]
    Quorum,
    /// A thread.
    #[error("a thread for an escrow agent could not be started")]
    Thread(#[source] io::Error),
}

/// What is known of an agent.
#[derive(Clone, Debug)]
pub struct AgentReport {
    /// Its name.
    pub name: String,
    /// It holds the root in force, and nothing else. Not known while a seal is under way.
    pub current: bool,
    /// No seal is under way, and it does not.
    pub lags: bool,
    /// What the vault knows of it.
    pub state: AgentState,
}

/// A register with agents beside it.
pub struct Escrowed {
    inner: Arc<Inner>,
}

struct Inner {
    register: Arc<dyn SlotDevice>,
    instance: [u8; 16],
    key: PublicKey,
    quorum: Quorum,
    agents: Vec<Agent>,
    /// What they are known to hold.
    ledger: Arc<Ledger>,
    patience: Duration,
    probe: Arc<dyn Probe>,
    turn: Mutex<Turn>,
    /// The slot in force, while no change is under way. Changed only by who has the turn.
    settled: Mutex<Option<(usize, Root)>>,
    /// The epoch of the last one that was in force then; 0 before the first.
    in_force: AtomicU64,
    /// Agents may hold what was dealt in another way.
    mixed: AtomicBool,
    closed: AtomicBool,
    wake: Condvar,
}

/// One change of the register at a time.
#[derive(Default)]
struct Turn {
    /// The envelopes that were made last: a repeated call puts the same.
    made: Option<(Root, Vec<Envelope>)>,
    /// The epoch that the start found in force.
    found: Option<u64>,
}

impl Escrowed {
    /// Puts agents beside a register. Asks nothing of anybody yet.
    pub fn new(register: Arc<dyn SlotDevice>, options: EscrowOptions) -> Result<Self, EscrowError> {
        let EscrowOptions { instance, fence, raise, claim, key, quorum, agents, .. } = options;
        let EscrowOptions { before, noted, note, settle, patience, probe, .. } = options;
        let distinct = agents.iter().enumerate().all(|(at, (name, _))| {
            is_name(name) && !agents[..at].iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
        });
        if !distinct {
            return Err(EscrowError::Names);
        }
        if agents.len() != quorum.agents() {
            return Err(EscrowError::Quorum);
        }
        let of = |(at, (name, _)): (usize, &(String, Box<dyn AgentLink>))| Label {
            instance,
            root: Root { epoch: 0, state: [0; 32] },
            needed: quorum.restore() as u8,
            number: at as u8 + 1,
            key: key.id(),
            agent: name.clone(),
        };
        let ledger = Arc::new(Ledger::new(agents.iter().enumerate().map(of).collect(), quorum.put()));
        let start = |(at, (name, link)): (usize, (String, Box<dyn AgentLink>))| {
            let noted = noted.iter().find(|(known, _)| *known == name).map(|(_, noted)| *noted).unwrap_or_default();
            let (raise, claim, note) = (Arc::clone(&raise), claim.clone(), Arc::clone(&note));
            let (settle, ledger) = (Arc::clone(&settle), Arc::clone(&ledger));
            let of = Dealings { at, ledger, instance, fence, raise, claim, noted, note, settle };
            Agent::start(name, of, link).map_err(EscrowError::Thread)
        };
        let agents = agents.into_iter().enumerate().map(start).collect::<Result<_, _>>()?;
        let inner = Arc::new(Inner {
            register,
            instance,
            key,
            quorum,
            agents,
            ledger,
            patience,
            probe,
            turn: Mutex::default(),
            settled: Mutex::default(),
            in_force: AtomicU64::new(0),
            mixed: AtomicBool::new(before == Before::Other),
            closed: AtomicBool::new(false),
            wake: Condvar::new(),
        });
        let weak = Arc::downgrade(&inner);
        let thread = std::thread::Builder::new().name("escrow".to_owned()).spawn(move || tend(&weak));
        thread.map_err(EscrowError::Thread)?;
        Ok(Self { inner })
    }

    /// How many agents are enough for what.
    pub fn quorum(&self) -> Quorum {
        self.inner.quorum
    }

    /// Whether agents may still hold roots that were dealt in another way than the quorum reckons with.
    pub fn is_mixed(&self) -> bool {
        self.inner.mixed.load(Ordering::Acquire)
    }

    /// What is known of every agent, in order. Waits for none of them.
    pub fn agents(&self) -> Vec<AgentReport> {
        let in_force = self.inner.settled().map(|(_, root)| root);
        let report = |agent: &Agent| {
            let state = agent.state().clone();
            let confirmed = in_force.map(|root| state.confirmed == Some(self.inner.ledger.label(agent.at, root)));
            let (current, lags) = (confirmed == Some(true), confirmed == Some(false));
            AgentReport { name: agent.name.clone(), current, lags, state }
        };
        self.inner.agents.iter().map(report).collect()
    }
}

impl Escrowed {
    /// Whether some agent is not given what it is to have before every mirror of the key state has the note of it.
    pub fn withholds(&self) -> bool {
        self.inner.agents.iter().any(|agent| agent.state().withheld)
    }

    /// Whether as many agents as a new root needs are known to hold the one in force or a later one, in the way that it is dealt now.
    /// Then others that hold it need not.
    pub fn has_root(&self) -> bool {
        let in_force = self.inner.in_force.load(Ordering::Acquire);
        in_force > 0 && self.inner.ledger.is_dealt(in_force)
    }

    /// The same by what they say when they are asked now, and not only by what they last said: one may have lost it since, and
    /// nobody asks it again while no seal is made. Asks and waits for as long as for a seal, and as `goes_on`: while one is made,
    /// agents have other things to say.
    pub fn shows_root(&self, goes_on: &dyn Fn() -> bool) -> bool {
        let enough = self.inner.quorum.put();
        let end = Instant::now() + self.inner.patience;
        while goes_on() && Instant::now() < end {
            let asked = self.inner.bring(|_, _| true);
            let (mut done, mut open) = (0, self.inner.agents.len());
            wait(&asked, |answer| answer == Answer::Done, enough, end, &mut done, &mut open);
            if done >= enough && self.has_root() {
                return true;
            }
            std::thread::sleep(ASK_AGAIN);
        }
        false
    }

    /// Gives the agents that something is withheld from the root in force now, and waits for them as long as for a seal. What
    /// comes of it the agents say. Call when the mirrors are written and may hold the notes by now.
    pub fn give(&self) {
        let asked = self.inner.tend(|agent| agent.state().withheld);
        let end = Instant::now() + self.inner.patience;
        while asked.recv_timeout(end.saturating_duration_since(Instant::now())).is_ok() {}
    }
}

impl Drop for Escrowed {
    fn drop(&mut self) {
        self.inner.closed.store(true, Ordering::Release);
        self.inner.wake.notify_all();
    }
}

impl SlotDevice for Escrowed {
    /// The register's own: what agents add to it is told in numbers of their own.
    fn class(&self) -> Cow<'static, str> {
        self.inner.register.class()
    }

    fn read_slot(&self, slot: usize) -> io::Result<Box<[u8; SLOT_BYTES]>> {
        self.inner.register.read_slot(slot)
    }

    fn write_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
        let inner = &self.inner;
        let mut turn = inner.turn();
        if let Some(root) = Root::of(block) {
            *inner.settled() = None;
            let in_force = inner.root(1 - slot.min(1))?;
            inner.put(&mut turn, block, root, in_force, false)?;
            inner.probe.reached(ROOT_PUT);
        }
        inner.register.write_slot(slot, block)
    }

    /// Also brings the agents the root in force that lack it: they may be new, or the configuration was changed. Those that may not
    /// be given anything yet hold up nothing here: nothing new is put beside what they have.
    fn rewrite_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
        let mut turn = self.inner.turn();
        if let Some(root) = Root::of(block) {
            *self.inner.settled() = None;
            self.inner.put(&mut turn, block, root, Some(root), true)?;
        }
        self.inner.register.rewrite_slot(slot, block)
    }

    /// The successor lies in the other slot, and with the agents. Where there is none the state itself ends here: then the
    /// agents go first, for afterwards nobody would know what to tell them.
    fn destroy_slot(&self, slot: usize) -> Result<(), SlotError> {
        let inner = &self.inner;
        let mut turn = inner.turn();
        *inner.settled() = None;
        let Some(successor) = inner.root(1 - slot.min(1))? else {
            if let Some(last) = inner.root(slot)? {
                let keep = Keep::NothingUpTo(last.epoch);
                inner.ask(inner.destroy(), "destroyed the last root", false, |_| Goal::Keep(keep.clone()))?;
            }
            return inner.register.destroy_slot(slot);
        };
        inner.register.destroy_slot(slot)?;
        inner.probe.reached(REGISTER_DESTROYED);
        let only = |agent: &Agent| Goal::Keep(Keep::Only(inner.ledger.label(agent.at, successor)));
        inner.ask(inner.destroy(), "confirmed the old root destroyed", false, only)?;
        *inner.settled() = Some((1 - slot, successor));
        inner.in_force.store(successor.epoch, Ordering::Release);
        // Whoever was let go may have a part of the root that the start found, but of no later one.
        if *turn.found.get_or_insert(successor.epoch) < successor.epoch {
            inner.mixed.store(false, Ordering::Release);
        }
        Ok(())
    }
}

impl Inner {
    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settled(&self) -> MutexGuard<'_, Option<(usize, Root)>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn root(&self, slot: usize) -> Result<Option<Root>, SlotError> {
        let block = Zeroizing::new(*self.register.read_slot(slot).map_err(SlotError::Again)?);
        Ok(Root::of(&block))
    }

    /// How many agents must have destroyed all older roots before a seal counts.
    fn destroy(&self) -> usize {
        if self.mixed.load(Ordering::Acquire) { self.agents.len() } else { self.quorum.destroy() }
    }

    fn envelopes(&self, block: &[u8; SLOT_BYTES]) -> Result<Vec<Envelope>, SlotError> {
        let sealed: Result<_, _> = self.agents.iter().map(|agent| self.envelope(agent, block)).collect();
        sealed.map_err(|error| SlotError::Again(io::Error::other(error)))
    }

    fn envelope(&self, agent: &Agent, block: &[u8; SLOT_BYTES]) -> Result<Envelope, EnvelopeError> {
        envelope::seal(block, self.instance, self.quorum, agent.at as u8 + 1, &agent.name, &self.key)
    }

    fn put(
        &self,
        turn: &mut Turn,
        block: &[u8; SLOT_BYTES],
        root: Root,
        in_force: Option<Root>,
        withheld: bool,
    ) -> Result<(), SlotError> {
        if turn.made.as_ref().is_none_or(|(made, _)| *made != root) {
            turn.made = Some((root, self.envelopes(block)?));
        }
        let made = turn.made.as_ref().map(|(_, made)| &made[..]).unwrap_or_default();
        self.ask(self.quorum.put(), "hold the new root", withheld, |agent| {
            let envelope = made[agent.at].clone();
            Goal::Put { envelope, in_force }
        })
    }

    /// Asks until `enough` agents have done it: those that were well first, the others only if it takes them. With `withheld`
    /// those count too that may not be given anything yet.
    fn ask(&self, enough: usize, what: &str, withheld: bool, goal: impl Fn(&Agent) -> Goal) -> Result<(), SlotError> {
        let end = Instant::now() + self.patience;
        let (answer, answers) = channel();
        let (well, away): (Vec<&Agent>, Vec<&Agent>) =
            self.agents.iter().partition(|agent| agent.state().trouble.is_none());
        let counts = |answer| answer == Answer::Done || (withheld && answer == Answer::Withheld);
        let (mut done, mut open) = (0, 0);
        for group in [well, away] {
            for agent in &group {
                agent.ask(goal(agent), answer.clone());
            }
            open += group.len();
            wait(&answers, counts, enough, end, &mut done, &mut open);
            if done >= enough {
                return Ok(());
            }
        }
        if self.agents.iter().any(|agent| agent.state().passed_over) {
            return Err(SlotError::End(io::Error::other("another process of the vault has claimed the escrow agents")));
        }
        let all = self.agents.len();
        let why = if enough > self.quorum.put() { " since the agents were changed" } else { "" };
        Err(SlotError::Again(io::Error::new(
            io::ErrorKind::HostUnreachable,
            format!(
                "{done} of {all} escrow agents {what}, {enough} are needed{why}: nothing is sealed before they are back{}",
                self.troubles()
            ),
        )))
    }

    /// What keeps agents from doing as they are asked, to be told behind a sentence.
    fn troubles(&self) -> String {
        let trouble = |agent: &Agent| Some(format!("; {}: {}", agent.name, agent.state().trouble.clone()?));
        self.agents.iter().filter_map(trouble).collect()
    }

    /// Brings agents of `which` in line that are not, while no seal is under way. Waits for none of them; they answer there.
    fn tend(&self, which: impl Fn(&Agent) -> bool) -> Receiver<Answer> {
        self.bring(|agent, lags| lags && which(agent))
    }

    /// The same with those that are in line, of which `which` is told whether they lag.
    fn bring(&self, which: impl Fn(&Agent, bool) -> bool) -> Receiver<Answer> {
        let (answer, answers) = channel();
        let _turn = self.turn();
        let Some((slot, root)) = *self.settled() else { return answers };
        let asked = |agent: &&Agent| {
            let lags = agent.state().confirmed != Some(self.ledger.label(agent.at, root));
            which(agent, lags)
        };
        let asked: Vec<&Agent> = self.agents.iter().filter(asked).collect();
        if asked.is_empty() {
            return answers;
        }
        let Ok(block) = self.register.read_slot(slot).map(|block| Zeroizing::new(*block)) else { return answers };
        if Root::of(&block) != Some(root) {
            return answers;
        }
        for agent in asked {
            let Ok(envelope) = self.envelope(agent, &block) else { continue };
            agent.ask(Goal::Only(envelope), answer.clone());
        }
        answers
    }
}

/// Counts answers until they are enough, or all are there.
fn wait(
    answers: &Receiver<Answer>,
    counts: impl Fn(Answer) -> bool,
    enough: usize,
    end: Instant,
    done: &mut usize,
    open: &mut usize,
) {
    let mut until = end;
    while *open > 0 {
        let Ok(answer) = answers.recv_timeout(until.saturating_duration_since(Instant::now())) else { return };
        *open -= 1;
        *done += usize::from(counts(answer));
        if *done >= enough {
            // The others are mostly as quick, and what they confirm need not be asked for later.
            until = until.min(Instant::now() + GRACE);
        }
    }
}

/// The background thread; ends with the register.
fn tend(weak: &Weak<Inner>) {
    loop {
        let Some(inner) = weak.upgrade() else { return };
        if inner.closed.load(Ordering::Acquire) {
            return;
        }
        let _ = inner.tend(|agent| agent.state().pending == 0);
        let turn = inner.turn();
        let waited = inner.wake.wait_timeout(turn, TEND);
        drop(waited);
    }
}
