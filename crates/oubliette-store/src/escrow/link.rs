//! How the vault talks with one agent: a thread of its own for each, so that requests to one agent keep their order and a slow
//! one holds up nobody.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::depot::{Keep, Kept, Opened, Refused, Session, Stamp};
use super::envelope::Label;
use super::ledger::{At, Ledger};
use super::register::{Meeting, meet};
use super::{Envelope, LiesIn, Note, Noted, RegisterId, Root, Settle};
use crate::lease::Confirmed;
use crate::media::postgres::{is_superseded, is_unbelievable};

/// How long an agent waits for what others hold before it says that it has no room: they are asked at the same time.
const HEARD_WITHIN: Duration = Duration::from_millis(500);

/// The way to an agent. Every call blocks, with a time limit of its own.
pub trait AgentLink: Send + Sync {
    /// As [`super::Depot::session`].
    fn session(&self, instance: [u8; 16], fence: u64) -> Result<Opened, LinkError>;
    /// As [`super::Depot::put`].
    fn put(&self, stamp: Stamp, envelope: &Envelope, in_force: Option<Root>) -> Result<Vec<Label>, LinkError>;
    /// As [`super::Depot::keep`].
    fn keep(&self, stamp: Stamp, keep: &Keep) -> Result<Kept, LinkError>;
}

/// Why an agent did not do as it was asked, seen from the vault.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It said so.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It did not answer, or not in words that are understood.
    #[error("the agent is out of reach")]
    Away(#[source] io::Error),
    /// It says that a later process was here, and whoever counts the claims says that there is none.
    #[error(
        "it says that a later process of the vault was here, by the claim of number {fence}, and this one still has the claim: what \
         the agent says is not believed, and so it counts as away. If no other process has talked with it, it lies; if one has, see \
         to it that none does, and start this one anew"
    )]
    NotPassedOver {
        /// The number that it named.
        fence: u64,
    },
    /// It remembers a claim to the vault that nobody can have had.
    #[error("what it remembers of earlier processes of the vault is not believed, and so it counts as away")]
    Unbelievable(#[source] io::Error),
    /// Another register answers under its name.
    #[error(
        "another register answers under its name{} than the one that its envelopes lie in ({known}): nothing is put there, and \
         nothing it says of older roots counts. Bring the old register back; if it is destroyed, or cannot be had, let the agent \
         go: `oubliette party drop {agent} --kind agent`. After that it may join anew",
        .told.map_or_else(String::new, |told| format!(" ({told})"))
    )]
    OtherRegister {
        /// The agent.
        agent: String,
        /// Where its envelopes lie.
        known: RegisterId,
        /// What answered; `None` for one that has no number.
        told: Option<RegisterId>,
    },
    /// Its envelopes lie in a register that had no number, and what answers does not show that it is that one.
    #[error(
        "another register may answer under its name than the one that its envelopes lie in: it shows none of epoch {epoch} or \
         later, and nothing that it says of older roots counts. Bring the old register back; if it is destroyed, or cannot be \
         had, let the agent go: `oubliette party drop {agent} --kind agent`. After that it may join anew"
    )]
    Unproven {
        /// The agent.
        agent: String,
        /// What it was known to hold.
        epoch: u64,
    },
    /// Where its envelopes are to lie could not be noted.
    #[error("which register its envelopes lie in cannot be noted")]
    Unnoted(#[source] io::Error),
    /// Where its envelopes are to lie is noted here, and not wherever the key state lies.
    #[error("nothing is put to it before every mirror of the key state has the note of where that lies, and of how")]
    Unsettled(#[source] io::Error),
    /// It holds the root in force in two ways.
    #[error(
        "it holds the root in force in two ways, and either may be needed to bring it back: nothing is put to it before enough of \
         the others are known to hold it in one of them"
    )]
    NoRoom,
}

impl LinkError {
    /// It is, or may be, another register than the one that the vault has put something into.
    pub fn is_another(&self) -> bool {
        matches!(self, Self::OtherRegister { .. } | Self::Unproven { .. })
    }
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was done.
    Done,
    /// Nothing may be put to the agent yet; all else was done.
    Withheld,
    /// It was not done.
    Not,
}

/// What is asked of an agent.
#[derive(Clone)]
pub(super) enum Goal {
    Put {
        envelope: Envelope,
        in_force: Option<Root>,
    },
    Keep(Keep),
    /// It is to hold this, of the root in force, and nothing else.
    Only(Envelope),
}

/// What the vault knows of an agent.
#[derive(Clone, Debug, Default)]
pub struct AgentState {
    /// Why its last answer was none, or a refusal; `None` while all is well.
    pub trouble: Option<String>,
    /// What it last said that it holds.
    pub holds: Vec<Label>,
    /// What it last confirmed to hold and nothing else.
    pub confirmed: Option<Label>,
    /// It held something again that it had confirmed destroyed: its register is an old copy. So often since the start.
    pub went_back: u64,
    /// A later process of the vault has talked with it, and it is not the agent alone who says so where that can be asked.
    pub passed_over: bool,
    /// Nothing is put to it before every mirror of the key state has the note of where that lies.
    pub withheld: bool,
    /// Requests that are under way.
    pub(super) pending: usize,
}

struct Job {
    goal: Goal,
    answer: Sender<Answer>,
}

/// An agent as the vault sees it.
pub(super) struct Agent {
    pub(super) name: String,
    pub(super) at: At,
    state: Arc<Mutex<AgentState>>,
    jobs: Sender<Job>,
}

/// A number of this process's claim to the vault above another, as long as nobody else has the claim.
pub type Raise = Arc<dyn Fn(u64) -> io::Result<u64> + Send + Sync>;

/// Asks who counts the claims to the vault whether this process still has it; a call may take a while.
pub type AskClaim = Arc<dyn Fn() -> io::Result<Confirmed> + Send + Sync>;

/// What an agent is to this vault.
pub(super) struct Dealings {
    pub(super) at: At,
    /// What all of them are known to hold.
    pub(super) ledger: Arc<Ledger>,
    pub(super) instance: [u8; 16],
    pub(super) fence: u64,
    pub(super) raise: Raise,
    /// `None` where nobody counts claims, and an agent's word is all there is.
    pub(super) claim: Option<AskClaim>,
    /// What is known of it from before.
    pub(super) noted: Noted,
    /// Notes in which register its envelopes lie.
    pub(super) note: Note,
    /// Has all that is noted be so everywhere.
    pub(super) settle: Settle,
}

impl Agent {
    pub(super) fn start(name: String, of: Dealings, link: Box<dyn AgentLink>) -> io::Result<Self> {
        let Dealings { at, ledger, instance, fence, raise, claim, noted, note, settle } = of;
        let state = Arc::new(Mutex::new(AgentState { withheld: noted.due, ..AgentState::default() }));
        let (jobs, queue) = channel();
        let mut talk = Talk {
            name: name.clone(),
            at,
            ledger,
            instance,
            fence,
            raise: Some(raise),
            claim,
            link,
            session: None,
            has_put: false,
            noted,
            note,
            settle,
            state: Arc::clone(&state),
        };
        std::thread::Builder::new().name(format!("agent {name}")).spawn(move || talk.run(&queue))?;
        Ok(Self { name, at, state, jobs })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, AgentState> {
        lock(&self.state)
    }

    /// Asks; `answer` is told whether it was done.
    pub(super) fn ask(&self, goal: Goal, answer: Sender<Answer>) {
        self.state().pending += 1;
        if let Err(unsent) = self.jobs.send(Job { goal, answer }) {
            self.state().pending -= 1;
            let _ = unsent.0.answer.send(Answer::Not);
        }
    }
}

/// Tells an agent that was let go to forget whatever it holds. `Ok` only when it has confirmed that, and is the register that its
/// envelopes lie in. For a vault that goes on without it, by the claim of number `fence`, which is raised for an agent that
/// remembers a higher one. A process with a lower claim is not heard after that: nothing that it puts comes later. `goes_on` is
/// asked whether this process still has the vault, before the agent is told: it may be the next one's by then.
pub fn dismiss(
    name: &str,
    noted: Noted,
    link: &dyn AgentLink,
    instance: [u8; 16],
    fence: u64,
    raise: &Raise,
    goes_on: &dyn Fn() -> bool,
) -> Result<(), LinkError> {
    let opened = match link.session(instance, fence) {
        Err(LinkError::Refused(Refused::PassedOver { fence })) => link.session(instance, raised(raise, fence)?),
        opened => opened,
    };
    let Opened { session, register, holds } = opened?;
    meet(name, noted, register, &holds)?;
    if !goes_on() {
        return Err(LinkError::Away(io::Error::other("the vault is closed")));
    }
    let Kept { holds, .. } = link.keep(Stamp { session, number: 1 }, &Keep::NothingUpTo(u64::MAX))?;
    if holds.is_empty() { Ok(()) } else { Err(unexpected("it still holds what it said to have destroyed")) }
}

/// A number of this process's claim above the one that an agent remembers.
fn raised(raise: &Raise, fence: u64) -> Result<u64, LinkError> {
    raise(fence).map_err(|error| match error {
        error if is_superseded(&error) => Refused::PassedOver { fence }.into(),
        error if is_unbelievable(&error) => LinkError::Unbelievable(error),
        error => LinkError::Away(error),
    })
}

/// The thread's side.
struct Talk {
    name: String,
    at: At,
    ledger: Arc<Ledger>,
    instance: [u8; 16],
    fence: u64,
    /// Until the first session: a process that was heard and is passed over then has to end.
    raise: Option<Raise>,
    claim: Option<AskClaim>,
    link: Box<dyn AgentLink>,
    session: Option<(Session, u64)>,
    /// The last that it did was to take what was put to it.
    has_put: bool,
    noted: Noted,
    note: Note,
    settle: Settle,
    state: Arc<Mutex<AgentState>>,
}

impl Talk {
    fn run(&mut self, queue: &Receiver<Job>) {
        let mut next = VecDeque::new();
        while let Some(Job { goal, answer }) = self.next(queue, &mut next) {
            let done = self.perform(&goal).map_err(|error| self.heed(error));
            self.has_put = done.is_ok() && matches!(goal, Goal::Put { .. });
            let mut state = lock(&self.state);
            state.pending -= 1;
            state.withheld = self.noted.due;
            let was = state.trouble.take();
            match &done {
                Ok(()) => {
                    state.passed_over = false;
                    if was.is_some() {
                        tracing::info!(agent = self.name, "the escrow agent is back");
                    }
                }
                Err(error) => {
                    let text = chain(error);
                    if error.is_another() {
                        self.ledger.learn(self.at, &[]);
                    }
                    if was.as_ref() != Some(&text) && error.is_another() {
                        tracing::error!(agent = self.name, error = text, "an escrow agent is not who it was");
                    } else if was.as_ref() != Some(&text) && matches!(error, LinkError::Unsettled(_)) {
                        tracing::info!(agent = self.name, error = text, "an escrow agent is not given anything yet");
                    } else if was.as_ref() != Some(&text) {
                        tracing::warn!(agent = self.name, error = text, "an escrow agent does not do as it was asked");
                    }
                    state.passed_over |= matches!(error, LinkError::Refused(Refused::PassedOver { .. }));
                    state.trouble = Some(text);
                }
            }
            drop(state);
            let _ = answer.send(match done {
                Ok(()) => Answer::Done,
                Err(LinkError::Unsettled(_)) => Answer::Withheld,
                Err(_) => Answer::Not,
            });
        }
    }

    /// What is to be done next. A seal goes on without an agent that is slower than seals are made: what it was told for seals
    /// of which nobody waits for its word any more is passed over. It does the last that puts something to it, and what comes after
    /// that; but if it was just given something, what it was told to keep then comes first, or it would be given one root after the other
    /// and never confirm any. So it is never behind by more than those two.
    fn next(&self, queue: &Receiver<Job>, next: &mut VecDeque<Job>) -> Option<Job> {
        if next.is_empty() {
            next.push_back(queue.recv().ok()?);
        }
        next.extend(queue.try_iter());
        let puts = |job: &Job| !matches!(job.goal, Goal::Keep(_));
        if self.has_put && !next.front().is_some_and(puts) {
            return next.pop_front();
        }
        let from = next.iter().rposition(puts).unwrap_or(next.len() - 1);
        for Job { answer, .. } in next.drain(..from) {
            lock(&self.state).pending -= 1;
            let _ = answer.send(Answer::Not);
        }
        next.pop_front()
    }

    /// An agent that says that a later process was here may lie, and ends this process only if whoever counts the claims says so
    /// too. Where that one says otherwise, or cannot be asked, the agent has not done as it was asked, and that is all.
    fn heed(&self, error: LinkError) -> LinkError {
        let LinkError::Refused(Refused::PassedOver { fence }) = error else { return error };
        match self.claim.as_ref().map(|claim| claim()) {
            None | Some(Ok(Confirmed::Lost)) => Refused::PassedOver { fence }.into(),
            Some(Ok(Confirmed::Still)) => LinkError::NotPassedOver { fence },
            Some(Err(error)) => LinkError::Away(error),
        }
    }

    fn perform(&mut self, goal: &Goal) -> Result<(), LinkError> {
        // An agent that was started anew knows no session: once more, from the beginning.
        match self.attempt(goal) {
            Err(LinkError::Refused(Refused::SessionEnded)) => {
                self.session = None;
                self.attempt(goal)
            }
            other => other,
        }
    }

    fn attempt(&mut self, goal: &Goal) -> Result<(), LinkError> {
        match goal {
            Goal::Put { envelope, in_force } => self.put(envelope, *in_force),
            Goal::Keep(keep) => self.keep(keep),
            Goal::Only(envelope) => {
                let put = self.put(envelope, Some(envelope.label().root));
                // A register whose number is not known yet is known by what it holds: it is not asked to empty itself. Any
                // other one forgets what is older, whether it takes the new one or not.
                if put.is_err() && !matches!(self.noted.lies_in, LiesIn::Register(_)) {
                    return put;
                }
                self.keep(&Keep::Only(envelope.label().clone()))?;
                put
            }
        }
    }

    /// The session and its last request; it is opened where there is none.
    fn in_session(&mut self) -> Result<(Session, u64), LinkError> {
        if let Some(open) = self.session {
            return Ok(open);
        }
        let opened = self.open()?;
        self.meet(&opened)?;
        self.look(&opened.holds);
        Ok(*self.session.insert((opened.session, 0)))
    }

    /// The next request of the session.
    fn stamp(&mut self) -> Result<Stamp, LinkError> {
        let (session, number) = self.in_session()?;
        let stamp = Stamp { session, number: number + 1 };
        self.session = Some((session, stamp.number));
        Ok(stamp)
    }

    fn put(&mut self, envelope: &Envelope, in_force: Option<Root>) -> Result<(), LinkError> {
        self.in_session()?;
        if self.noted.due {
            (self.settle)().map_err(LinkError::Unsettled)?;
        }
        if let Some(root) = in_force {
            self.make_room(envelope.label(), root)?;
        }
        let stamp = self.stamp()?;
        let holds = self.link.put(stamp, envelope, in_force);
        let holds = self.answered(holds)?;
        if !holds.contains(envelope.label()) {
            return Err(unexpected("it does not hold what it said to have put"));
        }
        self.noted.due = false;
        self.holds(holds);
        Ok(())
    }

    /// Where both places hold the root in force, in two ways, what is put would go over one of them: over the one that can be spared.
    fn make_room(&mut self, new: &Label, in_force: Root) -> Result<(), LinkError> {
        let held = lock(&self.state).holds.clone();
        let until = Instant::now() + HEARD_WITHIN;
        let stays = loop {
            match self.ledger.makes_room(self.at, &held, new, in_force) {
                Ok(stays) => break stays,
                Err(()) if Instant::now() >= until => return Err(LinkError::NoRoom),
                Err(()) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        stays.map_or(Ok(()), |stays| self.tell(&Keep::Only(stays)).map(drop))
    }

    fn keep(&mut self, keep: &Keep) -> Result<(), LinkError> {
        self.in_session()?;
        let Keep::Only(only) = keep else { return self.tell(keep).map(drop) };
        let held = lock(&self.state).holds.clone();
        let instead = self.ledger.keeps(self.at, &held, only);
        let holds = self.tell(instead.as_ref().unwrap_or(keep))?;
        self.noted.epoch = self.noted.epoch.max(only.root.epoch);
        self.noted.confirmed = true;
        // What it has of the root in another way as well counts as that.
        lock(&self.state).confirmed = holds.iter().find(|held| *held != only).or(holds.first()).cloned();
        Ok(())
    }

    /// Tells the agent what to keep; what it holds then.
    fn tell(&mut self, keep: &Keep) -> Result<Vec<Label>, LinkError> {
        let stamp = self.stamp()?;
        let kept = self.link.keep(stamp, keep);
        let Kept { holds, register } = self.answered(kept)?;
        let gone = |label: &Label| match keep {
            Keep::Only(only) => label == only,
            Keep::NothingUpTo(epoch) => label.root.epoch > *epoch,
        };
        if !holds.iter().all(gone) {
            return Err(unexpected("it still holds what it said to have destroyed"));
        }
        self.learn(register)?;
        self.holds(holds.clone());
        Ok(holds)
    }

    /// Who was told something and has not said that it was done may have done it all the same: what it holds is not known before
    /// it says so at the start of another session, which nothing that is still under way outlasts. But for a register that is known
    /// by what it holds: it may hold that no more.
    fn answered<T>(&mut self, answer: Result<T, LinkError>) -> Result<T, LinkError> {
        if answer.is_err() && matches!(self.noted.lies_in, LiesIn::Register(_)) {
            self.session = None;
        }
        answer
    }

    /// It has said what it holds.
    fn holds(&self, holds: Vec<Label>) {
        self.ledger.learn(self.at, &holds);
        lock(&self.state).holds = holds;
    }

    /// The number of a register that had none to tell when the session was opened, told within that session: it is the same
    /// register, for no other one knows the session. Noted before anything else is asked, because it may hold nothing by now
    /// that it could be known by later.
    fn learn(&mut self, told: Option<RegisterId>) -> Result<(), LinkError> {
        match (self.noted.lies_in, told) {
            (LiesIn::Unnamed, Some(register)) => self.lies_in(LiesIn::Register(register)),
            (LiesIn::Register(known), Some(told)) if known != told => {
                self.session = None;
                Err(LinkError::OtherRegister { agent: self.name.clone(), known, told: Some(told) })
            }
            _ => Ok(()),
        }
    }

    /// Notes durably where the agent's envelopes lie.
    fn lies_in(&mut self, lies_in: LiesIn) -> Result<(), LinkError> {
        (self.note)(&self.name, lies_in).map_err(LinkError::Unnoted)?;
        if let LiesIn::Register(register) = lies_in {
            tracing::info!(agent = self.name, %register, "the escrow agent's register is known from now on");
        }
        self.noted.due |= self.noted.lies_in == LiesIn::Nowhere;
        self.noted.lies_in = lies_in;
        Ok(())
    }

    /// Opens a session. Where claims are counted by a server that was made anew, an agent may remember more of them than
    /// there were: then the number of the claim is raised, which only who has it can do.
    fn open(&mut self) -> Result<Opened, LinkError> {
        let opened = match (self.link.session(self.instance, self.fence), &self.raise) {
            (Err(LinkError::Refused(Refused::PassedOver { fence })), Some(raise)) => {
                self.fence = raised(raise, fence)?;
                self.link.session(self.instance, self.fence)?
            }
            (opened, _) => opened?,
        };
        self.raise = None;
        Ok(opened)
    }

    /// Whether it is the register that the agent's envelopes lie in. Where there was none it is from now on, which is noted
    /// before anything is asked of it.
    fn meet(&mut self, opened: &Opened) -> Result<(), LinkError> {
        match meet(&self.name, self.noted, opened.register, &opened.holds)? {
            Meeting::Known => Ok(()),
            Meeting::Became(lies_in) => self.lies_in(lies_in),
        }
    }

    /// What an agent shows at the start of a session, against what it has confirmed.
    fn look(&mut self, holds: &[Label]) {
        let mut state = lock(&self.state);
        let highest = if self.noted.confirmed { self.noted.epoch } else { 0 };
        if let Some(old) = holds.iter().map(|label| label.root.epoch).filter(|epoch| *epoch < highest).min() {
            state.went_back += 1;
            tracing::error!(
                agent = self.name,
                epoch = old,
                confirmed = highest,
                "an escrow agent holds a root again that it had destroyed: its register was brought back from a copy; the \
                 copy must be found and destroyed"
            );
        }
        state.confirmed = None;
        drop(state);
        self.holds(holds.to_vec());
    }
}

fn unexpected(text: &'static str) -> LinkError {
    LinkError::Away(io::Error::new(io::ErrorKind::InvalidData, text))
}

fn lock(state: &Mutex<AgentState>) -> MutexGuard<'_, AgentState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
