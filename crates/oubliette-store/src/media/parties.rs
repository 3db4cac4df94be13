//! Who takes part in every seal beside the vault itself: mirrors of the key state, and agents.
//!
//! Remembered in the key state, so that none can be left out by editing a configuration: a vault that knows a party its
//! configuration lacks is not opened before an operator dropped that party, signed, in the log.
//!
//! Any mirror may be what is left of a key state. So nothing is put to an agent by what a list says that not every mirror has
//! ([`Parties::settle`]). Whoever is left with a list takes what is `due` for what it says: something may have been put there.

mod text;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use keyforest::media::{Medium, is_not_done};

use crate::escrow::{LiesIn, Noted};

/// Largest file that is read.
pub(super) const MOST_BYTES: u64 = 1 << 20;
/// One change of the list at a time; what this process knows of each medium's.
static CHANGING: Mutex<Vec<Changed>> = Mutex::new(Vec::new());
/// A flush of a list, or of what else is written here outside of a seal, failed, and what the medium holds is unknown.
static FLUSH_FAILED: AtomicBool = AtomicBool::new(false);

/// What a process knows of the list in a medium beside what can be read there.
struct Changed {
    medium: Weak<dyn Medium>,
    /// There was one.
    seen: bool,
    doubt: Option<Doubt>,
}

/// Why the newest list, as it reads, may not be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// The medium holds it and waits for another place: the next flush tells.
    Flush,
    /// A page cache reads what the disk never got, and flushes it no more: it is written anew.
    Write,
}

impl Doubt {
    /// What is left of an attempt to make a list durable.
    fn after(kept: &io::Result<()>) -> Option<Self> {
        match kept {
            Ok(()) => None,
            Err(error) if is_not_done(error) => Some(Self::Flush),
            Err(_) => Some(Self::Write),
        }
    }
}

impl Changed {
    /// What is known of a medium.
    fn of<'a>(all: &'a mut Vec<Self>, medium: &Arc<dyn Medium>) -> &'a mut Self {
        // A medium that is known keeps its address.
        all.retain(|known| known.medium.strong_count() > 0);
        let same = |known: &Self| known.medium.as_ptr().cast::<()>() == Arc::as_ptr(medium).cast::<()>();
        let at = all.iter().position(same).unwrap_or(all.len());
        if at == all.len() {
            all.push(Self { medium: Arc::downgrade(medium), seen: false, doubt: None });
        }
        &mut all[at]
    }
}

/// What a party does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartyKind {
    /// Holds copies of the key pages.
    Mirror,
    /// Holds an envelope of the root.
    Agent,
}

impl PartyKind {
    /// As it is written and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Agent => "agent",
        }
    }
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// What it does.
    pub kind: PartyKind,
    /// Its name in the configuration.
    pub name: String,
    /// The epoch in force when it joined.
    pub joined: u64,
    /// The last epoch it is known to have confirmed. What it may still hold is at least of that time.
    pub confirmed: u64,
    /// Where an agent's envelopes lie; says nothing of a mirror.
    pub lies_in: LiesIn,
    /// That is not known to be noted wherever the key state lies.
    pub due: bool,
}

impl From<&Party> for Noted {
    fn from(party: &Party) -> Self {
        // Who joins has confirmed nothing yet.
        let Party { lies_in, joined, confirmed, due, .. } = *party;
        Self { lies_in, epoch: confirmed, confirmed: confirmed > joined, due }
    }
}

/// An agent that was let go and has not confirmed that it forgot what it held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Its name.
    pub agent: String,
    /// The decision's number in the log, which tells it from all others.
    pub entry: u64,
    /// The last epoch that it is known to have confirmed: what it holds is of that time at least.
    pub epoch: u64,
    /// Where its envelopes lie.
    pub lies_in: LiesIn,
    /// Where it was asked, if that is known.
    pub url: Option<String>,
}

impl From<&Owed> for Noted {
    fn from(owed: &Owed) -> Self {
        Self { lies_in: owed.lies_in, epoch: owed.epoch, confirmed: true, due: false }
    }
}

/// How a root lies with agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrangement {
    /// How many agents bring it back.
    pub restore: usize,
    /// Their names, in the order of their shares.
    pub agents: Vec<String>,
}

/// What agents may hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Dealt {
    /// No root was ever put to an agent.
    #[default]
    Nothing,
    /// The agents or their number were changed, and not all of them have confirmed a seal since: together they may hold more
    /// of an old root than the quorum of either arrangement reckons with.
    Mixed,
    /// Roots dealt in this way, and in no other.
    As(Arrangement),
}

/// The parties of one key state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parties {
    state: [u8; 16],
    list: Vec<Party>,
    owed: Vec<Owed>,
    dealt: Dealt,
    /// That it is mixed is not known to be noted wherever the key state lies.
    dealt_due: bool,
}

impl Parties {
    /// Nobody, for the key state of this number.
    pub fn new(state: [u8; 16]) -> Self {
        Self { state, list: Vec::new(), owed: Vec::new(), dealt: Dealt::Nothing, dealt_due: false }
    }

    /// What the medium remembers; `None` where no party ever joined.
    ///
    /// # Errors
    /// The medium's, and one when there are such files and none is whole.
    pub fn read(medium: &dyn Medium) -> io::Result<Option<Self>> {
        let files = numbered(medium)?;
        for (number, len) in files.iter().rev().filter(|(_, len)| (1..=MOST_BYTES).contains(len)) {
            let bytes = medium.read_at(&file_name(*number), 0, *len as usize)?;
            if let Some(parties) = Self::parse(&bytes) {
                return Ok(Some(parties));
            }
        }
        // An empty or torn first file: nobody had joined before it was whole.
        if files.len() > 1 { Err(io::Error::other("the list of parties is damaged")) } else { Ok(None) }
    }

    /// As [`Parties::read`], for who takes nobody's having joined for granted then: a list that was there and is damaged is not
    /// taken for none. Only what a mirror has of it is brought before.
    ///
    /// # Errors
    /// As [`Parties::read`], and one when the one file there is, not the first ever written, is not whole.
    pub fn read_whole(medium: &dyn Medium) -> io::Result<Option<Self>> {
        let read = Self::read(medium)?;
        // Before a second file was made the first one was whole.
        if read.is_none() && numbered(medium)?.iter().any(|(number, _)| *number > 1) {
            return Err(io::Error::other("the list of parties is damaged"));
        }
        Ok(read)
    }

    /// Changes what the medium remembers, and whether there was anything to change: `change` says so. Where nobody has joined
    /// yet it starts with nobody, for the key state of number `state`. No other change in this process comes in between. Where
    /// the change before failed, what it may have left is made durable even if there is nothing to change.
    ///
    /// # Errors
    /// As [`Parties::read_whole`] and [`Parties::keep`]; and one when a list that this process knew is gone.
    pub fn change(
        medium: &Arc<dyn Medium>,
        state: impl FnOnce() -> [u8; 16],
        change: impl FnOnce(&mut Self) -> bool,
    ) -> io::Result<bool> {
        let mut all = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        let known = Changed::of(&mut all, medium);
        let found = Self::read_whole(&**medium)?;
        if found.is_none() && known.seen {
            return Err(io::Error::other("the list of parties is gone"));
        }
        known.seen = found.is_some();
        let doubt = known.doubt.filter(|_| known.seen);
        let mut parties = found.unwrap_or_else(|| Self::new(state()));
        let changed = change(&mut parties);
        let kept = match doubt {
            None if !changed => return Ok(false),
            Some(Doubt::Flush) if !changed => Self::flush_newest(medium),
            _ => parties.keep(medium),
        };
        known.doubt = Doubt::after(&kept);
        known.seen |= kept.is_ok();
        kept.map(|()| changed)
    }

    /// Sees to it that what the list says of agents is noted wherever the key state lies; nothing is put to them before.
    /// `everywhere` makes the newest list, which it is given with its file's name, durable in all those places; what it says other
    /// than that it is to be tried again is a failed flush. No other change in this process comes in between.
    ///
    /// # Errors
    /// Those of `everywhere`, of [`Parties::read_whole`] and [`Parties::keep`]; and one when there is no list, or when the medium
    /// may not have what it reads.
    pub fn settle(medium: &Arc<dyn Medium>, everywhere: impl FnOnce(&Self, &str) -> io::Result<()>) -> io::Result<()> {
        let mut all = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        let known = Changed::of(&mut all, medium);
        let found = Self::read_whole(&**medium)?;
        let newest = numbered(&**medium)?.last().map(|(number, _)| file_name(*number));
        let (Some(mut parties), Some(newest)) = (found, newest) else {
            return Err(io::Error::other("the list of parties is gone"));
        };
        if known.doubt == Some(Doubt::Write) {
            return Err(io::Error::other("the list of parties may not be durable"));
        }
        if !parties.is_due() {
            return Ok(());
        }
        everywhere(&parties, &newest).inspect_err(|error| {
            note_failed(error);
            known.doubt = if is_not_done(error) { known.doubt } else { Some(Doubt::Write) };
        })?;
        parties.dealt_due = false;
        parties.list.iter_mut().for_each(|party| party.due = false);
        // Whether this one is durable or the one before: it is only ever written after that was everywhere.
        let kept = parties.keep(medium);
        known.doubt = Doubt::after(&kept);
        kept
    }

    /// Writes the list durably and removes the ones before.
    ///
    /// # Errors
    /// The medium's. The list before counts then, unless the medium holds this one and says that it is to be tried again.
    pub fn keep(&self, medium: &Arc<dyn Medium>) -> io::Result<()> {
        let files = numbered(&**medium)?;
        let next = files.last().map_or(0, |(number, _)| *number).checked_add(1).map(file_name);
        let next = next.ok_or_else(|| io::Error::other("no list of parties has so high a number"))?;
        if let Err(error) = self.write(&**medium, &next) {
            // One that reads well and is not on the disk would count.
            if !is_not_done(&error) {
                let _ = medium.remove(&next);
            }
            return Err(error);
        }
        for (number, _) in files {
            // One that stays counts for less.
            let _ = medium.remove(&file_name(number));
        }
        Ok(())
    }

    fn write(&self, medium: &dyn Medium, name: &str) -> io::Result<()> {
        use io::ErrorKind::{AlreadyExists, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        medium.create(name, 0).inspect_err(|error| match error.kind() {
            // A medium gives these kinds for no failed flush.
            StorageFull | QuotaExceeded | ReadOnlyFilesystem | PermissionDenied | AlreadyExists => {}
            _ => note_failed(error),
        })?;
        medium.write_at(name, 0, self.text().as_bytes())?;
        flush(medium, name)
    }

    /// Makes the newest list durable, where a flush of it is to be tried again.
    fn flush_newest(medium: &Arc<dyn Medium>) -> io::Result<()> {
        numbered(&**medium)?.last().map_or(Ok(()), |(number, _)| flush(&**medium, &file_name(*number)))
    }

    /// Whether a flush of a list, or of entries of the log that were taken back from a mirror, failed in this process, in whichever
    /// medium, other than to be tried again. As after any such flush the process is to end: a start reads what is really there.
    pub fn flush_failed() -> bool {
        FLUSH_FAILED.load(Ordering::Acquire)
    }

    /// The random number of the key state.
    pub fn state(&self) -> [u8; 16] {
        self.state
    }

    /// All of them.
    pub fn known(&self) -> &[Party] {
        &self.list
    }

    /// One of them.
    pub fn get(&self, kind: PartyKind, name: &str) -> Option<&Party> {
        self.list.iter().find(|party| party.kind == kind && party.name == name)
    }

    /// Adds one, unless it is known; whether it was new.
    pub fn join(&mut self, kind: PartyKind, name: &str, epoch: u64) -> bool {
        if self.get(kind, name).is_some() {
            return false;
        }
        let (joined, confirmed, lies_in, due) = (epoch, epoch, LiesIn::Nowhere, false);
        self.list.push(Party { kind, name: name.to_owned(), joined, confirmed, lies_in, due });
        true
    }

    /// Notes where the envelopes of an agent lie; whether that is news. `None` for one that is not known. That they lie anywhere
    /// at all has to be noted in all places before anything is put there ([`Parties::settle`]); that a register which is known has a
    /// number by now need not.
    pub fn lie(&mut self, agent: &str, lies_in: LiesIn) -> Option<bool> {
        let known = |party: &&mut Party| party.kind == PartyKind::Agent && party.name == agent;
        let party = self.list.iter_mut().find(known)?;
        // Whoever was let go and takes part again with the register that it had is asked as all others are.
        if let LiesIn::Register(_) = lies_in {
            self.owed.retain(|owed| owed.lies_in != lies_in);
        }
        party.due |= party.lies_in == LiesIn::Nowhere && lies_in != LiesIn::Nowhere;
        Some(std::mem::replace(&mut party.lies_in, lies_in) != lies_in)
    }

    /// Notes the last epoch that one confirmed; whether that changed anything.
    pub fn confirm(&mut self, kind: PartyKind, name: &str, epoch: u64) -> bool {
        match self.list.iter_mut().find(|party| party.kind == kind && party.name == name) {
            Some(party) if party.confirmed < epoch => {
                party.confirmed = epoch;
                true
            }
            _ => false,
        }
    }

    /// Forgets one. Only after the decision is in the log.
    pub fn drop_party(&mut self, kind: PartyKind, name: &str) -> Option<Party> {
        let at = self.list.iter().position(|party| party.kind == kind && party.name == name)?;
        Some(self.list.remove(at))
    }

    /// As [`Parties::read_whole`], while no change in this process comes in between.
    ///
    /// # Errors
    /// As there.
    pub fn read_settled(medium: &Arc<dyn Medium>) -> io::Result<Option<Self>> {
        let _all = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        Self::read_whole(&**medium)
    }

    /// Agents that were let go and have not confirmed that they forgot what they held.
    pub fn owed(&self) -> &[Owed] {
        &self.owed
    }

    /// Notes one more. With what drops it, so that no crash comes in between.
    pub fn owe(&mut self, owed: Owed) {
        self.owed.push(owed);
    }

    /// Takes the note of the decision `entry` away: it was confirmed, or nobody needs to ask any more.
    pub fn forgive(&mut self, entry: u64) -> Option<Owed> {
        let at = self.owed.iter().position(|owed| owed.entry == entry)?;
        Some(self.owed.remove(at))
    }

    /// What agents may hold.
    pub fn dealt(&self) -> &Dealt {
        &self.dealt
    }

    /// Notes what agents may hold; whether that is news. Before anything is put to them in another way, and that what they hold
    /// is mixed has to be noted in all places before ([`Parties::settle`]).
    pub fn deal(&mut self, dealt: Dealt) -> bool {
        let news = dealt != self.dealt;
        // One that is mixed for another reason now is mixed all the same.
        self.dealt_due = dealt == Dealt::Mixed && (news || self.dealt_due);
        self.dealt = dealt;
        news
    }

    /// Whether something has to be noted in all places before anything is put to agents that it is of: to any of them.
    pub fn is_dealt_due(&self) -> bool {
        self.dealt_due
    }

    fn is_due(&self) -> bool {
        self.dealt_due || self.list.iter().any(|party| party.due)
    }
}

fn flush(medium: &dyn Medium, name: &str) -> io::Result<()> {
    medium.flush(name).inspect_err(note_failed)
}

/// A flush failed that [`Parties::flush_failed`] tells of, unless it is to be tried again.
pub(super) fn note_failed(error: &io::Error) {
    if !is_not_done(error) {
        FLUSH_FAILED.store(true, Ordering::Release);
    }
}

fn file_name(number: u32) -> String {
    format!("parties-{number:08}")
}

/// The number of a list, by its file's name; `None` for any other file.
pub(super) fn number(name: &str) -> Option<u32> {
    name.strip_prefix("parties-")?.parse().ok().filter(|number| file_name(*number) == name)
}

/// Whether these bytes are a list as it was written.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    Parties::parse(bytes).is_some()
}

/// Numbers and lengths, ascending.
fn numbered(medium: &dyn Medium) -> io::Result<Vec<(u32, u64)>> {
    let mut found: Vec<(u32, u64)> =
        medium.list()?.into_iter().filter_map(|(name, len)| Some((number(&name)?, len))).collect();
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests;
