//! What is kept, what is not believed, and what is due.

use aws_lc_rs::digest::{SHA256, digest};

use super::*;
use crate::escrow::RegisterId;
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

#[test]
fn where_they_are_to_lie_is_due_until_it_is_noted_everywhere_and_counts_wherever_it_is_read() {
    let home = tempfile::tempdir().unwrap();
    let medium: Arc<dyn Medium> = Arc::new(Folder::open(home.path()).unwrap());
    let read = || Parties::read(&*medium).unwrap().unwrap();
    let arrangement = Arrangement { restore: 1, agents: vec!["attic".to_owned()] };
    assert!(Parties::settle(&medium, |_, _| Ok(())).is_err(), "there is no list");
    for (agent, lies_in) in [("attic", LiesIn::Register(RegisterId([9; 16]))), ("cellar", LiesIn::Unnamed)] {
        let join = |parties: &mut Parties| {
            parties.join(PartyKind::Agent, agent, 3) && parties.lie(agent, lies_in) == Some(true)
        };
        Parties::change(&medium, || [7; 16], join).unwrap();
    }
    let change = |change: &dyn Fn(&mut Parties) -> bool| Parties::change(&medium, || [7; 16], change).unwrap();
    change(&|parties| parties.deal(Dealt::As(arrangement.clone())));
    assert!(!read().is_dealt_due());
    change(&|parties| parties.deal(Dealt::Mixed));
    let due = |agent: &str| {
        let party = read().get(PartyKind::Agent, agent).unwrap().clone();
        (party.lies_in, party.due)
    };
    let numbered = LiesIn::Register(RegisterId([9; 16]));
    // Of one that answers anew, and of one that is there no more.
    for everywhere in [Some("away"), None] {
        assert_eq!([due("attic"), due("cellar")], [(numbered, true), (LiesIn::Unnamed, true)]);
        assert!(read().is_dealt_due());
        let mut given = String::new();
        let settled = Parties::settle(&medium, |parties, name| {
            assert_eq!(*parties, read());
            name.clone_into(&mut given);
            everywhere.map_or(Ok(()), |why| Err(keyforest::media::not_done(why)))
        });
        assert_eq!(settled.is_ok(), everywhere.is_none());
        assert!(!given.is_empty());
    }
    assert_eq!([due("attic"), due("cellar")], [(numbered, false), (LiesIn::Unnamed, false)]);
    assert!(!read().is_dealt_due());
    Parties::settle(&medium, |_, _| unreachable!("nothing is due")).unwrap();
    // It is the same register that has a number now; and what is mixed stays mixed.
    change(&|parties| parties.lie("cellar", LiesIn::Register(RegisterId([8; 16]))) == Some(true));
    assert!(!due("cellar").1 && !change(&|parties| parties.deal(Dealt::Mixed)) && !read().is_dealt_due());
    // Let go, and anew under its name.
    change(&|parties| {
        parties.drop_party(PartyKind::Agent, "attic").is_some() && parties.join(PartyKind::Agent, "attic", 4)
    });
    assert_eq!(due("attic"), (LiesIn::Nowhere, false));
    change(&|parties| parties.lie("attic", LiesIn::Register(RegisterId([1; 16]))) == Some(true));
    assert!(due("attic").1);
}

#[test]
fn who_was_let_go_is_remembered_until_it_confirmed_or_takes_part_again_with_the_register_that_it_had() {
    let mut parties = Parties::new([7; 16]);
    let register = LiesIn::Register(RegisterId([9; 16]));
    let owed = |entry, lies_in, url: Option<&str>| {
        let url = url.map(str::to_owned);
        Owed { agent: "attic".to_owned(), entry, epoch: 8, lies_in, url }
    };
    parties.owe(owed(3, register, Some("https://attic:1/")));
    parties.owe(owed(4, LiesIn::Unnamed, None));
    parties.owe(owed(5, LiesIn::Register(RegisterId([1; 16])), None));
    parties.deal(Dealt::Mixed);
    assert_eq!(Parties::parse(parties.text().as_bytes()), Some(parties.clone()));
    assert_eq!(parties.known(), [], "it takes no part");
    assert!(parties.forgive(5).is_some() && parties.forgive(5).is_none());
    parties.join(PartyKind::Agent, "attic", 9);
    parties.lie("attic", LiesIn::Register(RegisterId([2; 16])));
    assert_eq!(parties.owed().len(), 2, "it is another register");
    parties.drop_party(PartyKind::Agent, "attic");
    parties.join(PartyKind::Agent, "attic", 9);
    parties.lie("attic", register);
    assert_eq!(parties.owed(), [owed(4, LiesIn::Unnamed, None)]);
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
