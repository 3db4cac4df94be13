//! Seals with agents beside the register: the store's side, with agents in this process that can be cut off and set back.

mod claims;
mod dismissed;
mod settled;
mod slow;
mod upgrade;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use keyforest::media::{MemorySlots, SLOT_BYTES, SlotDevice, SlotError};
use keyforest::{Change, Forest, ForestConfig, ForestError, Lane, NoProbe, Pins, SealError, Stores};
use oubliette_store::escrow::envelope::{Label, restore};
use oubliette_store::escrow::{
    AgentLink, AskClaim, Before, Depot, Envelope, EnvelopeError, EscrowOptions, Escrowed, Keep, Kept, LiesIn,
    LinkError, Noted, Opened, PublicKey, Quorum, Raise, Refused, Root, SecretKey, Stamp,
};
use oubliette_store::media::Folder;
use tempfile::TempDir;

const INSTANCE: [u8; 16] = *b"vault of the day";

/// An agent that a test can cut off, start anew and set back to an older register.
#[derive(Clone)]
struct TestAgent {
    name: String,
    slots: Arc<Mutex<[[u8; SLOT_BYTES]; 2]>>,
    depot: Arc<Mutex<Arc<Depot>>>,
    away: Arc<AtomicBool>,
    /// Its register takes no envelope just now.
    full: Arc<AtomicBool>,
    /// So many times it was asked to take one then.
    refused: Arc<AtomicUsize>,
    /// So many milliseconds it takes for whatever it is asked.
    takes: Arc<AtomicU64>,
}

/// Slots whose bytes a test can copy and bring back.
struct Bytes(Arc<Mutex<[[u8; SLOT_BYTES]; 2]>>);

impl SlotDevice for Bytes {
    fn class(&self) -> std::borrow::Cow<'static, str> {
        "test".into()
    }

    fn read_slot(&self, slot: usize) -> std::io::Result<Box<[u8; SLOT_BYTES]>> {
        Ok(Box::new(self.0.lock().unwrap()[slot]))
    }

    fn write_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
        self.0.lock().unwrap()[slot] = *block;
        Ok(())
    }
}

impl TestAgent {
    fn new(number: usize) -> Self {
        let name = format!("agent-{number}");
        let slots = Arc::new(Mutex::new([[0; SLOT_BYTES]; 2]));
        let depot = Arc::new(Depot::open(Arc::new(Bytes(Arc::clone(&slots))), None).unwrap());
        let depot = Arc::new(Mutex::new(depot));
        let (away, full, refused, takes) = (Arc::default(), Arc::default(), Arc::default(), Arc::default());
        Self { name, slots, depot, away, full, refused, takes }
    }

    fn depot(&self) -> Arc<Depot> {
        Arc::clone(&self.depot.lock().unwrap())
    }

    fn cut_off(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn start_anew(&self) {
        *self.depot.lock().unwrap() = Arc::new(Depot::open(Arc::new(Bytes(Arc::clone(&self.slots))), None).unwrap());
    }

    fn epochs(&self) -> Vec<u64> {
        let mut epochs: Vec<u64> = self.depot().holds().iter().map(|label| label.root.epoch).collect();
        epochs.sort_unstable();
        epochs
    }

    fn reach(&self) -> Result<Arc<Depot>, LinkError> {
        std::thread::sleep(Duration::from_millis(self.takes.load(Ordering::SeqCst)));
        if self.away.load(Ordering::SeqCst) {
            return Err(LinkError::Away(std::io::ErrorKind::ConnectionRefused.into()));
        }
        Ok(self.depot())
    }
}

impl AgentLink for TestAgent {
    fn session(&self, instance: [u8; 16], fence: u64) -> Result<Opened, LinkError> {
        Ok(self.reach()?.session(instance, fence)?)
    }

    fn put(&self, stamp: Stamp, envelope: &Envelope, in_force: Option<Root>) -> Result<Vec<Label>, LinkError> {
        if self.full.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(Refused::Again(std::io::Error::other("full")).into());
        }
        Ok(self.reach()?.put(stamp, envelope.clone(), in_force)?)
    }

    fn keep(&self, stamp: Stamp, keep: &Keep) -> Result<Kept, LinkError> {
        Ok(self.reach()?.keep(stamp, keep)?)
    }
}

/// A vault's keys with agents.
struct Keys {
    folder: TempDir,
    register: Arc<MemorySlots>,
    agents: Vec<TestAgent>,
    quorum: Quorum,
    key: PublicKey,
    fence: u64,
    raise: Raise,
    claim: Option<AskClaim>,
    before: Before,
    noted: Arc<Mutex<Vec<(String, Noted)>>>,
    /// A mirror of the key state is away: what is noted is so here alone.
    mirror_away: Arc<AtomicBool>,
}

fn config() -> ForestConfig {
    ForestConfig { reserve_bytes: 4096, provision_buckets: 2, ..ForestConfig::default() }
}

/// Another process has the claim.
fn superseded() -> Raise {
    Arc::new(|_| Err(std::io::Error::other("superseded")))
}

impl Keys {
    fn new(quorum: Quorum) -> (Self, SecretKey) {
        let secret = SecretKey::generate().unwrap();
        let agents = (0..quorum.agents()).map(TestAgent::new).collect();
        let key = secret.public().unwrap();
        let (folder, register, before) = (tempfile::tempdir().unwrap(), Arc::default(), Before::Same);
        (
            Self {
                folder,
                register,
                agents,
                quorum,
                key,
                fence: 0,
                raise: superseded(),
                claim: None,
                before,
                noted: Arc::default(),
                mirror_away: Arc::default(),
            },
            secret,
        )
    }

    fn options(&self) -> EscrowOptions {
        let agents = self.agents.iter();
        let agents = agents.map(|agent| (agent.name.clone(), Box::new(agent.clone()) as Box<dyn AgentLink>));
        let notes = Arc::clone(&self.noted);
        let note = move |agent: &str, lies_in: LiesIn| {
            let mut notes = notes.lock().unwrap();
            match notes.iter_mut().find(|(known, _)| known == agent) {
                Some((_, noted)) => noted.lies_in = lies_in,
                None => notes.push((agent.to_owned(), Noted { lies_in, due: true, ..Noted::default() })),
            }
            Ok(())
        };
        let (notes, away) = (Arc::clone(&self.noted), Arc::clone(&self.mirror_away));
        let settle = move || {
            if away.load(Ordering::SeqCst) {
                return Err(std::io::Error::other("the mirror is away"));
            }
            notes.lock().unwrap().iter_mut().for_each(|(_, noted)| noted.due = false);
            Ok(())
        };
        EscrowOptions {
            instance: INSTANCE,
            fence: self.fence,
            raise: Arc::clone(&self.raise),
            claim: self.claim.clone(),
            key: self.key.clone(),
            quorum: self.quorum,
            agents: agents.collect(),
            before: self.before,
            noted: self.noted.lock().unwrap().clone(),
            note: Arc::new(note),
            settle: Arc::new(settle),
            patience: Duration::from_secs(10),
            probe: Arc::new(NoProbe),
        }
    }

    fn escrowed(&self) -> Arc<Escrowed> {
        Arc::new(Escrowed::new(Arc::clone(&self.register) as Arc<dyn SlotDevice>, self.options()).unwrap())
    }

    fn stores(&self, register: &Arc<Escrowed>) -> Stores {
        let packs = Arc::new(Folder::open(self.folder.path()).unwrap());
        Stores { packs, register: Arc::clone(register) as Arc<dyn SlotDevice>, probe: Arc::new(NoProbe) }
    }

    fn create(&self) -> (Forest, Arc<Escrowed>) {
        let register = self.escrowed();
        let pins = Pins { instance: INSTANCE, ..Pins::default() };
        (Forest::create(self.stores(&register), config(), b"", pins).unwrap(), register)
    }

    fn open(&self) -> Result<(Forest, Arc<Escrowed>), ForestError> {
        let register = self.escrowed();
        Ok((Forest::open(self.stores(&register), config())?.0, register))
    }

    fn envelopes(&self) -> Vec<Envelope> {
        self.agents.iter().flat_map(|agent| agent.depot().envelopes()).collect()
    }
}

fn seal(forest: &Forest) -> Result<u64, SealError> {
    let change = Change { pins: forest.pins(), ..Change::default() };
    forest.seal(&change).map(|sealed| sealed.epoch)
}

fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn shared() -> Quorum {
    Quorum::shares(2, 3).unwrap()
}

#[test]
fn every_agent_has_the_root_in_force_and_no_older_one_after_a_seal() {
    for quorum in [Quorum::plain(2).unwrap(), shared()] {
        let (keys, secret) = Keys::new(quorum);
        let (forest, _register) = keys.create();
        for epoch in 2..6 {
            assert_eq!(seal(&forest).unwrap(), epoch);
            soon("one root everywhere", || keys.agents.iter().all(|agent| agent.epochs() == [epoch]));
            let (root, block) = restore(&keys.envelopes(), &secret).unwrap();
            assert_eq!((root.epoch, root.state), (epoch, forest.state_hash()));
            assert_eq!(Root::of(&block), Some(root));
        }
    }
}

#[test]
fn the_register_is_lost_and_the_agents_bring_everything_back() {
    let (mut keys, secret) = Keys::new(shared());
    let (forest, register) = keys.create();
    let leaf = forest.allocate_leaf(Lane(7)).unwrap();
    let value = forest.key(leaf).unwrap();
    seal(&forest).unwrap();
    let bytes = value.expose().to_vec();
    drop((forest, register, value));

    keys.register = Arc::default();
    assert!(matches!(keys.open().err(), Some(ForestError::NoRoot)));
    keys.agents[1].cut_off(true);
    let envelopes: Vec<Envelope> = [0, 2].iter().flat_map(|at: &usize| keys.agents[*at].depot().envelopes()).collect();
    let (_, block) = restore(&envelopes, &secret).unwrap();
    keys.register.write_slot(0, &block).unwrap();
    let (forest, register) = keys.open().unwrap();
    assert_eq!(forest.key(leaf).unwrap().expose(), &bytes[..]);
    assert_eq!(seal(&forest).unwrap(), 3);
    drop((forest, register));
    let few = restore(&keys.agents[0].depot().envelopes(), &secret).err();
    assert_eq!(few, Some(EnvelopeError::TooFew { epoch: 3, needed: 2, given: 1 }));
}

#[test]
fn two_of_three_seal_on_with_one_down_and_tell_it_later() {
    let (keys, _) = Keys::new(shared());
    let (forest, register) = keys.create();
    keys.agents[0].cut_off(true);
    for epoch in 2..5 {
        assert_eq!(seal(&forest).unwrap(), epoch);
        assert_eq!(keys.agents[0].epochs(), [1]);
    }
    let reports = register.agents();
    assert!(!reports[0].current && reports[0].state.trouble.is_some());
    keys.agents[0].cut_off(false);
    soon("the late one told", || keys.agents[0].epochs() == [4]);
    soon("its trouble over", || register.agents()[0].current);
}

#[test]
fn an_agent_that_was_away_is_told_by_the_next_process_too() {
    let (keys, _) = Keys::new(shared());
    let (forest, register) = keys.create();
    keys.agents[2].cut_off(true);
    assert_eq!(seal(&forest).unwrap(), 2);
    drop((forest, register));
    keys.agents[2].cut_off(false);
    let (_forest, _register) = keys.open().unwrap();
    soon("told by the next", || keys.agents[2].epochs() == [2]);
}

#[test]
fn two_plain_agents_stall_with_one_down_and_the_seal_comes_about_when_it_is_back() {
    let (keys, _) = Keys::new(Quorum::plain(2).unwrap());
    let (forest, _register) = keys.create();
    keys.agents[1].cut_off(true);
    assert!(matches!(seal(&forest), Err(SealError::Stalled(_))));
    assert_eq!(Root::of(&keys.register.read_slot(1).unwrap()), None, "the register has not heard of it");
    assert!(matches!(forest.finish_seal(), Err(SealError::Stalled(_))));
    keys.agents[1].cut_off(false);
    assert_eq!(forest.finish_seal().unwrap().epoch, 2);
    soon("one root everywhere", || keys.agents.iter().all(|agent| agent.epochs() == [2]));
}

#[test]
fn a_stall_after_the_commit_point_leaves_the_old_root_with_whoever_is_away_and_heals() {
    let (keys, _) = Keys::new(shared());
    let (forest, register) = keys.create();
    // Two go away between the put and the confirmation: seen from the register, which is written in between.
    for agent in &keys.agents[..2] {
        agent.cut_off(true);
    }
    assert!(matches!(seal(&forest), Err(SealError::Stalled(_))));
    keys.agents[0].cut_off(false);
    assert_eq!(forest.finish_seal().unwrap().epoch, 2);
    drop((forest, register));
    // The next process sees that nobody is in reach, and says so rather than claim anything.
    for agent in &keys.agents {
        agent.cut_off(true);
    }
    assert!(matches!(keys.open().err(), Some(ForestError::Io { .. })));
    for agent in &keys.agents[1..] {
        agent.cut_off(false);
    }
    let (forest, _register) = keys.open().unwrap();
    assert_eq!((forest.epoch(), keys.agents[0].epochs()), (2, vec![2]));
}

#[test]
fn an_agent_that_comes_back_with_an_old_register_is_noticed_and_forgets_again() {
    let (keys, _) = Keys::new(shared());
    let (forest, register) = keys.create();
    soon("all in line", || register.agents().iter().all(|agent| agent.current));
    let copy = *keys.agents[1].slots.lock().unwrap();
    seal(&forest).unwrap();
    soon("one root everywhere", || keys.agents[1].epochs() == [2]);
    *keys.agents[1].slots.lock().unwrap() = copy;
    keys.agents[1].start_anew();
    assert_eq!(keys.agents[1].epochs(), [1]);
    seal(&forest).unwrap();
    soon("noticed", || register.agents()[1].state.went_back == 1);
    soon("forgotten again", || keys.agents[1].epochs() == [3]);
}

#[test]
fn a_register_that_was_set_back_while_no_vault_ran_is_noticed_by_the_next_process() {
    let (keys, _) = Keys::new(shared());
    let (forest, register) = keys.create();
    soon("all in line", || register.agents().iter().all(|agent| agent.current));
    let copy = *keys.agents[1].slots.lock().unwrap();
    seal(&forest).unwrap();
    soon("one root everywhere", || register.agents().iter().all(|agent| agent.current));
    for agent in register.agents() {
        let epoch = agent.state.confirmed.unwrap().root.epoch;
        let mut noted = keys.noted.lock().unwrap();
        let (_, noted) = noted.iter_mut().find(|(name, _)| *name == agent.name).unwrap();
        *noted = Noted { epoch, confirmed: true, ..*noted };
    }
    drop((forest, register));
    *keys.agents[1].slots.lock().unwrap() = copy;
    keys.agents[1].start_anew();
    let (_forest, register) = keys.open().unwrap();
    soon("forgotten again", || keys.agents[1].epochs() == [2]);
    let went_back: Vec<u64> = register.agents().iter().map(|agent| agent.state.went_back).collect();
    assert_eq!(went_back, [0, 1, 0]);
}

#[test]
fn a_fresh_register_under_an_old_name_stalls_two_plain_agents_until_the_old_one_is_back() {
    let (keys, _) = Keys::new(Quorum::plain(2).unwrap());
    let (forest, register) = keys.create();
    seal(&forest).unwrap();
    let old = *keys.agents[1].slots.lock().unwrap();
    *keys.agents[1].slots.lock().unwrap() = [[0; SLOT_BYTES]; 2];
    keys.agents[1].start_anew();
    assert!(matches!(seal(&forest), Err(SealError::Stalled(_))));
    let trouble = register.agents()[1].state.trouble.clone().unwrap();
    assert!(trouble.contains("another register") && trouble.contains("party drop agent-1 --kind agent"), "{trouble}");
    assert_eq!(keys.agents[1].epochs(), [0_u64; 0], "nothing was put there");
    drop((forest, register));
    // The next process has not forgotten.
    let error = keys.open().err().unwrap();
    let ForestError::Io { source, .. } = &error else { panic!("{error}") };
    assert!(source.to_string().contains("agent-1: another register"), "{source}");
    *keys.agents[1].slots.lock().unwrap() = old;
    keys.agents[1].start_anew();
    let (forest, _register) = keys.open().unwrap();
    seal(&forest).unwrap();
    soon("one root everywhere", || keys.agents.iter().all(|agent| agent.epochs() == [forest.epoch()]));
}

#[test]
fn where_it_cannot_be_noted_in_which_register_an_envelope_lies_none_is_put_there() {
    let (keys, _) = Keys::new(Quorum::plain(1).unwrap());
    let mut options = keys.options();
    options.note = Arc::new(|_, _| Err(std::io::Error::other("the mirror is away")));
    let register = Escrowed::new(Arc::clone(&keys.register) as Arc<dyn SlotDevice>, options).unwrap();
    let pins = Pins { instance: INSTANCE, ..Pins::default() };
    assert!(Forest::create(keys.stores(&Arc::new(register)), config(), b"", pins).is_err());
    assert_eq!(keys.agents[0].epochs(), [0_u64; 0]);
}

#[test]
fn another_vault_an_earlier_process_and_an_old_root_are_refused() {
    let (mut keys, _) = Keys::new(Quorum::plain(1).unwrap());
    keys.fence = 5;
    let (forest, _register) = keys.create();
    seal(&forest).unwrap();
    let depot = keys.agents[0].depot();
    assert!(matches!(depot.session([9; 16], 9), Err(Refused::OtherInstance)));
    assert!(matches!(depot.session(INSTANCE, 4), Err(Refused::PassedOver { fence: 5 })));
    let old = keys.envelopes().remove(0);
    seal(&forest).unwrap();
    let Opened { session, holds, .. } = depot.session(INSTANCE, 6).unwrap();
    assert_eq!(holds.len(), 1);
    let put = |number| depot.put(Stamp { session, number }, old.clone(), None);
    assert!(matches!(put(1), Err(Refused::Backwards { epoch: 2, floor: 3 })));
    assert!(matches!(put(1), Err(Refused::Late)), "a number is heard once");
    // Whoever was there before is heard no more, and says so.
    assert!(matches!(seal(&forest), Err(SealError::Unknown(_))));
    keys.agents[0].start_anew();
    assert!(
        matches!(keys.agents[0].depot().session(INSTANCE, 4), Err(Refused::PassedOver { .. })),
        "also after a start"
    );
}

#[test]
fn a_claim_that_is_counted_anew_is_raised_above_what_the_agents_remember() {
    let (mut keys, _) = Keys::new(shared());
    keys.fence = 7;
    let (forest, register) = keys.create();
    seal(&forest).unwrap();
    drop((forest, register));
    // The server that counted is lost; on the new one this is the first claim.
    keys.fence = 1;
    assert!(keys.open().is_err(), "who cannot raise its number does not have the claim");
    keys.raise = Arc::new(|floor| Ok(floor + 1));
    let (forest, _register) = keys.open().unwrap();
    seal(&forest).unwrap();
    // Whoever was heard and is passed over then raises nothing any more.
    keys.agents.iter().for_each(|agent| drop(agent.depot().session(INSTANCE, 100).unwrap()));
    assert!(matches!(seal(&forest), Err(SealError::Unknown(_))));
}

#[test]
fn after_one_was_let_go_all_others_must_confirm_once_before_the_quorum_counts_again() {
    let (mut keys, secret) = Keys::new(Quorum::shares(2, 4).unwrap());
    let (forest, register) = keys.create();
    seal(&forest).unwrap();
    soon("one root everywhere", || keys.agents.iter().all(|agent| agent.epochs() == [2]));
    drop((forest, register));
    // It keeps its share of epoch 2 for ever: whoever else keeps one makes two.
    let gone = keys.agents.remove(0);
    (keys.quorum, keys.before) = (shared(), Before::Other);
    keys.agents[1].cut_off(true);
    assert!(matches!(keys.open().err(), Some(ForestError::Io { .. })), "one has not told that older roots are gone");
    keys.agents[1].cut_off(false);
    let (forest, register) = keys.open().unwrap();
    keys.agents[1].cut_off(true);
    assert!(matches!(seal(&forest), Err(SealError::Stalled(_))), "two of three were enough otherwise");
    assert!(register.is_mixed());
    keys.agents[1].cut_off(false);
    assert_eq!(forest.finish_seal().unwrap().epoch, 3);
    assert!(!register.is_mixed());
    let all: Vec<Envelope> = keys.envelopes().into_iter().chain(gone.depot().envelopes()).collect();
    assert_eq!(all.iter().filter(|envelope| envelope.label().root.epoch < 3).count(), 1);
    assert_eq!(restore(&all, &secret).unwrap().0.epoch, 3);
    keys.agents[1].cut_off(true);
    assert_eq!(seal(&forest).unwrap(), 4);
}

#[test]
fn another_recovery_key_takes_the_place_of_the_first_at_the_next_start() {
    let (mut keys, old) = Keys::new(shared());
    let (forest, register) = keys.create();
    seal(&forest).unwrap();
    drop((forest, register));
    let new = SecretKey::generate().unwrap();
    keys.key = new.public().unwrap();
    let (_forest, register) = keys.open().unwrap();
    soon("all in line", || register.agents().iter().all(|agent| agent.current));
    assert_eq!(restore(&keys.envelopes(), &new).unwrap().0.epoch, 2);
    assert!(restore(&keys.envelopes(), &old).is_err());
}

#[test]
fn with_the_last_root_its_envelopes_go() {
    let (keys, _) = Keys::new(shared());
    let (forest, register) = keys.create();
    seal(&forest).unwrap();
    drop(forest);
    keyforest::destroy_roots(&*register).unwrap();
    assert!(keys.agents.iter().filter(|agent| agent.epochs().is_empty()).count() >= 2);
    assert!(keys.envelopes().len() < 2);
}
