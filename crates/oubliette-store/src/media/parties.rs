//! Who takes part in every seal beside the vault itself: mirrors of the key state, and agents.
//!
//! Remembered in the key state, so that none can be left out by editing a configuration: a vault that knows a party its
//! configuration lacks is not opened before an operator dropped that party, signed, in the log.
//!
//! ```text
//! file parties-NNNNNNNN; the highest number that is whole counts. Text:
//! oubliette parties 1
//! state HEX16                          random number of this key state; its mirrors carry it too
//! mirror NAME JOINED CONFIRMED         epochs: when it joined, and the last it is known to have confirmed
//! agent NAME JOINED CONFIRMED [IN]     the same, and where its envelopes lie: HEX16 is the number of its register, `-` is
//!                                      nowhere yet; without it, in a register that had no number
//! escrow RESTORE NAME…                 how the root lies with the agents; the line is missing where it never did
//! escrow mixed                         the agents were changed, and not all of them have confirmed a seal since
//! sum HEX32                            SHA-256 of everything before
//! ```

use std::fmt::Write as _;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use aws_lc_rs::digest::{SHA256, digest};
use keyforest::media::{Medium, is_not_done};

use crate::escrow::{LiesIn, Noted, RegisterId};

const HEAD: &str = "oubliette parties 1\n";
/// Largest file that is read.
pub(super) const MOST_BYTES: u64 = 1 << 20;
/// One change of the list at a time; what this process knows of each medium's.
static CHANGING: Mutex<Vec<Changed>> = Mutex::new(Vec::new());
/// A flush of a list failed, and what the medium holds is unknown.
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
}

impl From<&Party> for Noted {
    fn from(party: &Party) -> Self {
        // Who joins has confirmed nothing yet.
        Self { lies_in: party.lies_in, epoch: party.confirmed, confirmed: party.confirmed > party.joined }
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
    dealt: Dealt,
}

impl Parties {
    /// Nobody, for the key state of this number.
    pub fn new(state: [u8; 16]) -> Self {
        Self { state, list: Vec::new(), dealt: Dealt::Nothing }
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
        known.doubt = match &kept {
            Ok(()) => None,
            Err(error) if is_not_done(error) => Some(Doubt::Flush),
            Err(_) => Some(Doubt::Write),
        };
        known.seen |= kept.is_ok();
        kept.map(|()| changed)
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

    /// Whether a flush of a list failed in this process, in whichever medium, other than to be tried again. As after any such
    /// flush the process is to end: a start reads what is really there.
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
        let (joined, confirmed, lies_in) = (epoch, epoch, LiesIn::Nowhere);
        self.list.push(Party { kind, name: name.to_owned(), joined, confirmed, lies_in });
        true
    }

    /// Notes where the envelopes of an agent lie; whether that is news. `None` for one that is not known.
    pub fn lie(&mut self, agent: &str, lies_in: LiesIn) -> Option<bool> {
        let known = |party: &&mut Party| party.kind == PartyKind::Agent && party.name == agent;
        let party = self.list.iter_mut().find(known)?;
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

    /// What agents may hold.
    pub fn dealt(&self) -> &Dealt {
        &self.dealt
    }

    /// Notes what agents may hold; whether that is news. Before anything is put to them in another way.
    pub fn deal(&mut self, dealt: Dealt) -> bool {
        std::mem::replace(&mut self.dealt, dealt) != self.dealt
    }

    fn text(&self) -> String {
        let mut out = format!("{HEAD}state {}\n", hex::encode(self.state));
        for Party { kind, name, joined, confirmed, lies_in } in &self.list {
            let lies_in = match (kind, lies_in) {
                (PartyKind::Mirror, _) | (_, LiesIn::Unnamed) => String::new(),
                (_, LiesIn::Nowhere) => " -".to_owned(),
                (_, LiesIn::Register(register)) => format!(" {register}"),
            };
            let _ = writeln!(out, "{} {name} {joined} {confirmed}{lies_in}", kind.name());
        }
        let _ = match &self.dealt {
            Dealt::Nothing => Ok(()),
            Dealt::Mixed => writeln!(out, "escrow mixed"),
            Dealt::As(Arrangement { restore, agents }) => writeln!(out, "escrow {restore} {}", agents.join(" ")),
        };
        let sum = hex::encode(digest(&SHA256, out.as_bytes()));
        let _ = writeln!(out, "sum {sum}");
        out
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (before, sum) = text.strip_suffix('\n')?.rsplit_once("\nsum ")?;
        let before = format!("{before}\n");
        if hex::encode(digest(&SHA256, before.as_bytes())) != sum {
            return None;
        }
        let mut lines = before.strip_prefix(HEAD)?.lines();
        let mut state = [0; 16];
        hex::decode_to_slice(lines.next()?.strip_prefix("state ")?, &mut state).ok()?;
        let mut parties = Self::new(state);
        for line in lines {
            let mut words = line.split(' ');
            let kind = match words.next()? {
                "mirror" => PartyKind::Mirror,
                "agent" => PartyKind::Agent,
                "escrow" => {
                    parties.dealt = match words.next()? {
                        "mixed" => Dealt::Mixed,
                        restore => {
                            let agents = words.map(str::to_owned).collect();
                            Dealt::As(Arrangement { restore: restore.parse().ok()?, agents })
                        }
                    };
                    continue;
                }
                _ => return None,
            };
            let name = words.next()?.to_owned();
            let (joined, confirmed) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            let lies_in = match (kind, words.next()) {
                (PartyKind::Mirror, _) | (_, Some("-")) => LiesIn::Nowhere,
                (_, None) => LiesIn::Unnamed,
                (_, Some(register)) => LiesIn::Register(RegisterId::parse(register)?),
            };
            parties.list.push(Party { kind, name, joined, confirmed, lies_in });
        }
        Some(parties)
    }
}

fn flush(medium: &dyn Medium, name: &str) -> io::Result<()> {
    medium.flush(name).inspect_err(note_failed)
}

fn note_failed(error: &io::Error) {
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
mod tests {
    use super::*;
    use crate::media::Folder;

    #[test]
    fn what_was_kept_is_read_and_a_torn_newer_list_does_not_count() {
        let home = tempfile::tempdir().unwrap();
        let medium: Arc<dyn Medium> = Arc::new(Folder::open(home.path()).unwrap());
        assert_eq!(Parties::read(&*medium).unwrap(), None);
        let mut parties = Parties::new([7; 16]);
        assert!(parties.join(PartyKind::Mirror, "cellar", 3) && !parties.join(PartyKind::Mirror, "cellar", 4));
        assert!(parties.join(PartyKind::Agent, "cellar", 5));
        parties.keep(&medium).unwrap();
        assert!(parties.confirm(PartyKind::Mirror, "cellar", 9) && !parties.confirm(PartyKind::Mirror, "cellar", 8));
        parties.keep(&medium).unwrap();
        assert_eq!(Parties::read(&*medium).unwrap().unwrap(), parties);
        assert_eq!(medium.list().unwrap().len(), 1, "the list before was removed");

        let next = file_name(3);
        medium.create(&next, 0).unwrap();
        medium.write_at(&next, 0, &parties.text().as_bytes()[..60]).unwrap();
        assert_eq!(Parties::read(&*medium).unwrap().unwrap(), parties);

        assert_eq!(parties.drop_party(PartyKind::Mirror, "cellar").unwrap().confirmed, 9);
        assert_eq!(parties.known().len(), 1);
    }

    #[test]
    fn a_list_that_was_there_and_is_damaged_is_not_taken_for_none() {
        let home = tempfile::tempdir().unwrap();
        let medium: Arc<dyn Medium> = Arc::new(Folder::open(home.path()).unwrap());
        let join = |name: &'static str| move |parties: &mut Parties| parties.join(PartyKind::Agent, name, 3);
        let change = |name| Parties::change(&medium, || [7; 16], join(name));
        // Torn before anybody had joined.
        medium.create(&file_name(1), 0).unwrap();
        medium.write_at(&file_name(1), 0, b"oubliette par").unwrap();
        assert_eq!(Parties::read_whole(&*medium).unwrap(), None);
        assert!(change("attic").unwrap());
        let (name, len) = medium.list().unwrap().pop().unwrap();
        medium.truncate(&name, len - 1).unwrap();
        assert!(Parties::read_whole(&*medium).is_err());
        assert!(change("cellar").is_err(), "nothing is written over it");
        assert_eq!(medium.list().unwrap(), [(name, len - 1)]);
    }

    /// A folder whose next flush fails, and keeps what it was to flush readable.
    struct Failing {
        inner: Folder,
        fails: Mutex<Option<io::Error>>,
        flushed: Mutex<Vec<String>>,
    }

    impl Medium for Failing {
        fn create(&self, name: &str, reserve: u64) -> io::Result<()> {
            self.inner.create(name, reserve)
        }
        fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.inner.write_at(name, offset, bytes)
        }
        fn flush(&self, name: &str) -> io::Result<()> {
            if let Some(error) = self.fails.lock().unwrap().take() {
                return Err(error);
            }
            self.flushed.lock().unwrap().push(name.to_owned());
            self.inner.flush(name)
        }
        fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
            self.inner.read_at(name, offset, len)
        }
        fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
            self.inner.read_back(name, offset, len)
        }
        fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
            self.inner.truncate(name, len)
        }
        fn list(&self) -> io::Result<Vec<(String, u64)>> {
            self.inner.list()
        }
        fn remove(&self, name: &str) -> io::Result<()> {
            self.inner.remove(name)
        }
    }

    #[test]
    fn a_note_whose_flush_failed_does_not_count_before_a_flush_of_it_went_well() {
        let again = || keyforest::media::not_done("a mirror is behind");
        for fails in [io::Error::other("input or output"), again()] {
            let waits = is_not_done(&fails);
            let home = tempfile::tempdir().unwrap();
            let failing = Arc::new(Failing {
                inner: Folder::open(home.path()).unwrap(),
                fails: Mutex::default(),
                flushed: Mutex::default(),
            });
            let medium: Arc<dyn Medium> = failing.clone();
            let join = |name: &'static str| move |parties: &mut Parties| parties.join(PartyKind::Agent, name, 3);
            let change = |name| Parties::change(&medium, || [7; 16], join(name));
            assert!(change("attic").unwrap());
            *failing.fails.lock().unwrap() = Some(fails);
            change("cellar").unwrap_err();
            assert!(Parties::flush_failed(), "the process is to end");
            let read = Parties::read(&*medium).unwrap().unwrap();
            assert_eq!(read.get(PartyKind::Agent, "cellar").is_some(), waits);
            // As it is tried again; and then once more, with no news.
            for fails in [Some(again()), None] {
                let well = fails.is_none();
                *failing.fails.lock().unwrap() = fails;
                failing.flushed.lock().unwrap().clear();
                assert_eq!(change("cellar").is_ok(), well, "a flush that failed is believed");
            }
            let newest = numbered(&*medium).unwrap().last().map(|(number, _)| file_name(*number)).unwrap();
            assert_eq!(*failing.flushed.lock().unwrap(), [newest]);
            assert!(!change("cellar").unwrap());
            assert_eq!(failing.flushed.lock().unwrap().len(), 1, "there is no doubt any more");
        }
        assert!(Parties::flush_failed());
    }

    #[test]
    fn a_list_that_goes_while_a_process_works_with_it_is_not_begun_anew() {
        let home = tempfile::tempdir().unwrap();
        let medium: Arc<dyn Medium> = Arc::new(Folder::open(home.path()).unwrap());
        let join = |name: &'static str| move |parties: &mut Parties| parties.join(PartyKind::Agent, name, 3);
        let change = |name| Parties::change(&medium, || [7; 16], join(name));
        assert!(change("attic").unwrap());
        medium.remove(&file_name(1)).unwrap();
        assert!(change("cellar").is_err() && medium.list().unwrap().is_empty());
    }

    #[test]
    fn how_the_root_lies_with_agents_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let medium: Arc<dyn Medium> = Arc::new(Folder::open(home.path()).unwrap());
        let agents = vec!["cellar".to_owned(), "attic".to_owned()];
        for dealt in [Dealt::As(Arrangement { restore: 2, agents }), Dealt::Mixed] {
            let change = |parties: &mut Parties| parties.deal(dealt.clone());
            assert!(Parties::change(&medium, || [7; 16], change).unwrap());
            assert!(!Parties::change(&medium, || [7; 16], change).unwrap(), "the same again is no change");
            assert_eq!(*Parties::read(&*medium).unwrap().unwrap().dealt(), dealt);
        }
    }

    #[test]
    fn where_an_agents_envelopes_lie_is_kept() {
        let mut parties = Parties::new([7; 16]);
        parties.join(PartyKind::Agent, "attic", 3);
        assert_eq!(parties.lie("cellar", LiesIn::Unnamed), None, "nobody of that name");
        for lies_in in [LiesIn::Nowhere, LiesIn::Register(RegisterId([9; 16])), LiesIn::Unnamed] {
            assert_eq!(parties.lie("attic", lies_in), Some(lies_in != LiesIn::Nowhere));
            assert_eq!(parties.lie("attic", lies_in), Some(false), "the same again is no news");
            assert_eq!(Parties::parse(parties.text().as_bytes()), Some(parties.clone()));
        }
    }

    /// As the versions wrote it that knew agents by their names alone.
    #[test]
    fn a_list_without_numbers_of_registers_is_read() {
        let text = "oubliette parties 1\nstate 07070707070707070707070707070707\nmirror cellar 3 9\nagent attic 4 8\n\
                    escrow 1 attic\n";
        let text = format!("{text}sum {}\n", hex::encode(digest(&SHA256, text.as_bytes())));
        let parties = Parties::parse(text.as_bytes()).unwrap();
        let agent = parties.get(PartyKind::Agent, "attic").unwrap();
        assert_eq!((agent.joined, agent.confirmed, agent.lies_in), (4, 8, LiesIn::Unnamed));
        assert_eq!(parties.text(), text);
    }

    #[test]
    fn no_changed_byte_is_taken_for_a_list() {
        let mut parties = Parties::new([7; 16]);
        parties.join(PartyKind::Mirror, "cellar", 3);
        parties.join(PartyKind::Agent, "attic", 3);
        parties.lie("attic", LiesIn::Register(RegisterId([9; 16])));
        parties.deal(Dealt::As(Arrangement { restore: 1, agents: vec!["attic".to_owned()] }));
        let text = parties.text().into_bytes();
        assert_eq!(Parties::parse(&text).unwrap(), parties);
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert_ne!(Parties::parse(&changed), Some(parties.clone()), "byte {at}");
        }
    }
}
