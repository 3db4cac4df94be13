//! Agents whose register got its number later: what they hold is all that they are known by until they have told it.

use keyforest::Probe;
use oubliette_store::escrow::RegisterId;

use super::*;

/// A register as a version wrote it that knew no numbers, with this envelope alone.
fn nameless(envelope: &Envelope) -> [[u8; SLOT_BYTES]; 2] {
    let mut block = [0; SLOT_BYTES];
    block[..8].copy_from_slice(b"OUBAGT01");
    let end = 24 + envelope.bytes().len();
    block[24..end].copy_from_slice(envelope.bytes());
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &block[..end]);
    block[end..end + 32].copy_from_slice(sum.as_ref());
    [block, [0; SLOT_BYTES]]
}

impl Keys {
    fn noted(&self, agent: usize) -> Noted {
        let noted = self.noted.lock().unwrap();
        noted.iter().find(|(name, _)| *name == self.agents[agent].name).unwrap().1
    }
}

/// A vault with three agents, the first of which has just come to this version, as has the vault.
fn upgraded(probe: impl FnOnce(&Keys) -> Arc<dyn Probe>) -> (Keys, Forest, Arc<Escrowed>) {
    let (keys, _) = Keys::new(shared());
    let (forest, register) = keys.create();
    seal(&forest).unwrap();
    soon("one root everywhere", || keys.agents.iter().all(|agent| agent.epochs() == [2]));
    drop((forest, register));
    let first = &keys.agents[0];
    *first.slots.lock().unwrap() = nameless(&first.depot().envelopes()[0]);
    first.start_anew();
    let mut noted = keys.noted.lock().unwrap();
    let (_, of_first) = noted.iter_mut().find(|(name, _)| *name == first.name).unwrap();
    *of_first = Noted { lies_in: LiesIn::Unnamed, epoch: 2, confirmed: true, due: false };
    drop(noted);
    let options = EscrowOptions { probe: probe(&keys), ..keys.options() };
    let register = Arc::new(Escrowed::new(Arc::clone(&keys.register) as Arc<dyn SlotDevice>, options).unwrap());
    let forest = Forest::open(keys.stores(&register), config()).unwrap().0;
    soon("all in line", || register.agents().iter().all(|agent| agent.current));
    assert_eq!((keys.noted(0).lies_in, keys.agents[0].epochs()), (LiesIn::Unnamed, vec![2]));
    (keys, forest, register)
}

fn number(keys: &Keys) -> RegisterId {
    keys.agents[0].depot().register().unwrap()
}

#[test]
fn a_register_is_known_by_its_number_as_soon_as_it_has_one_to_tell() {
    let (keys, forest, _register) = upgraded(|_| Arc::new(NoProbe));
    seal(&forest).unwrap();
    // Nobody asks it for anything before the next seal, and it may lose what it holds by then.
    soon("its old root is gone", || keys.agents[0].epochs() == [3]);
    soon("its number is noted", || keys.noted(0).lies_in == LiesIn::Register(number(&keys)));
}

#[test]
fn an_agent_that_cannot_take_the_new_root_yet_is_not_asked_to_empty_a_register_without_a_number() {
    let (keys, forest, register) = upgraded(|_| Arc::new(NoProbe));
    let first = &keys.agents[0];
    first.cut_off(true);
    seal(&forest).unwrap();
    first.full.store(true, Ordering::SeqCst);
    first.cut_off(false);
    soon("tended again and again", || first.refused.load(Ordering::SeqCst) > 2);
    assert_eq!(first.epochs(), [2], "all that it is known by");
    first.full.store(false, Ordering::SeqCst);
    soon("all in line", || register.agents().iter().all(|agent| agent.current));
    assert_eq!((first.epochs(), keys.noted(0).lies_in), (vec![3], LiesIn::Register(number(&keys))));
}

/// Cuts an agent off when the others have the new root.
struct CutsOff(TestAgent);

impl Probe for CutsOff {
    fn reached(&self, point: &'static str) {
        if point == "escrow.root_put" {
            self.0.cut_off(true);
        }
    }
}

#[test]
fn an_agent_that_emptied_its_register_for_a_seal_without_the_new_root_is_still_known() {
    let (keys, forest, register) = upgraded(|keys| Arc::new(CutsOff(keys.agents[2].clone())));
    let first = &keys.agents[0];
    first.full.store(true, Ordering::SeqCst);
    // The third has the new root and cannot confirm: the first does, and holds nothing then.
    assert_eq!(seal(&forest).unwrap(), 3);
    assert_eq!((first.epochs(), keys.noted(0).lies_in), (vec![], LiesIn::Register(number(&keys))));
    // A new session finds nothing that it could be known by.
    first.start_anew();
    first.full.store(false, Ordering::SeqCst);
    keys.agents[2].cut_off(false);
    soon("all in line", || register.agents().iter().all(|agent| agent.current));
    assert_eq!(first.epochs(), [3]);
}
