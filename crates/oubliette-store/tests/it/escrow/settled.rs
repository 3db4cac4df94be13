//! Agents of which not every place of the key state has the note: they destroy as they are told, and are given nothing.

use super::*;

fn away(keys: &Keys, away: bool) {
    keys.mirror_away.store(away, Ordering::SeqCst);
}

fn withheld(register: &Escrowed) -> Vec<bool> {
    register.agents().iter().map(|agent| agent.state.withheld).collect()
}

#[test]
fn an_agent_that_comes_while_a_mirror_is_away_holds_up_the_next_seal_and_not_the_start() {
    let (mut keys, _) = Keys::new(Quorum::plain(2).unwrap());
    let second = keys.agents.pop().unwrap();
    keys.quorum = Quorum::plain(1).unwrap();
    let (forest, register) = keys.create();
    assert_eq!(seal(&forest).unwrap(), 2);
    drop((forest, register));
    keys.agents.push(second);
    (keys.quorum, keys.before) = (Quorum::plain(2).unwrap(), Before::Other);
    away(&keys, true);
    // As often as it is started, also where the process before had noted the register and got no further.
    for _ in 0..2 {
        let (forest, register) = keys.open().unwrap();
        assert_eq!((keys.agents[0].epochs(), keys.agents[1].epochs()), (vec![2], vec![]));
        assert_eq!(withheld(&register), [false, true]);
        let stalled = seal(&forest);
        assert!(matches!(stalled, Err(SealError::Stalled(_))), "{stalled:?}");
        assert!(keys.agents[1].epochs().is_empty());
        let trouble = register.agents()[1].state.trouble.clone().unwrap();
        assert!(trouble.contains("before every mirror") && trouble.contains("the mirror is away"), "{trouble}");
    }
    let (forest, register) = keys.open().unwrap();
    away(&keys, false);
    register.give();
    assert_eq!(withheld(&register), [false, false]);
    assert_eq!(keys.agents[1].epochs(), [forest.epoch()]);
    let next = forest.epoch() + 1;
    assert_eq!(seal(&forest).unwrap(), next);
}

#[test]
fn what_agents_hold_in_the_old_dealing_stays_until_they_may_be_given_it_in_the_new_one() {
    let (mut keys, secret) = Keys::new(shared());
    let (forest, register) = keys.create();
    seal(&forest).unwrap();
    soon("one root everywhere", || keys.agents.iter().all(|agent| agent.epochs() == [2]));
    drop((forest, register));
    // The same agents in another order and another number of shares, and that is noted here alone.
    keys.agents.swap(0, 2);
    (keys.quorum, keys.before) = (Quorum::shares(3, 3).unwrap(), Before::Other);
    keys.noted.lock().unwrap().iter_mut().for_each(|(_, noted)| noted.due = true);
    away(&keys, true);
    let (forest, register) = keys.open().unwrap();
    // Also of what is done in the background.
    std::thread::sleep(Duration::from_millis(1500));
    let held: Vec<Label> = keys.envelopes().iter().map(|envelope| envelope.label().clone()).collect();
    assert!(held.len() == 3 && held.iter().all(|label| (label.root.epoch, label.needed) == (2, 2)), "{held:?}");
    assert!(restore(&keys.envelopes(), &secret).is_ok());
    away(&keys, false);
    soon("they have it in the new one", || register.agents().iter().all(|agent| agent.current));
    assert!(keys.envelopes().iter().all(|envelope| envelope.label().needed == 3));
    assert_eq!(seal(&forest).unwrap(), 3);
    assert!(restore(&keys.envelopes(), &secret).is_ok());
}

#[test]
fn an_agent_that_is_given_nothing_yet_destroys_an_old_root_all_the_same() {
    let (mut keys, _) = Keys::new(Quorum::plain(2).unwrap());
    let (forest, register) = keys.create();
    seal(&forest).unwrap();
    soon("one root everywhere", || keys.agents.iter().all(|agent| agent.epochs() == [2]));
    let before = *keys.agents[1].slots.lock().unwrap();
    assert_eq!(seal(&forest).unwrap(), 3);
    drop((forest, register));
    // What a list from a mirror says that is behind: something may be there already, and it is of before the last seal.
    *keys.agents[1].slots.lock().unwrap() = before;
    keys.agents[1].start_anew();
    keys.noted.lock().unwrap().iter_mut().for_each(|(_, noted)| noted.due = true);
    keys.before = Before::Other;
    away(&keys, true);
    let (_forest, _register) = keys.open().unwrap();
    assert_eq!((keys.agents[0].epochs(), keys.agents[1].epochs()), (vec![3], vec![]));
}

/// Three agents of two shares who are to hold three, and two of two in another order.
fn dealt_anew() -> [(Quorum, Quorum); 2] {
    let two = Quorum::shares(2, 2).unwrap();
    [(shared(), Quorum::shares(3, 3).unwrap()), (two, two)]
}

#[test]
fn what_agents_hold_in_the_old_dealing_stays_until_enough_hold_it_in_the_new_one() {
    for (before, after) in dealt_anew() {
        let (mut keys, secret) = Keys::new(before);
        let (forest, register) = keys.create();
        seal(&forest).unwrap();
        soon("one root everywhere", || keys.agents.iter().all(|agent| agent.epochs() == [2]));
        drop((forest, register));
        keys.agents.swap(0, 1);
        (keys.quorum, keys.before) = (after, Before::Other);
        keys.noted.lock().unwrap().iter_mut().for_each(|(_, noted)| noted.due = true);
        away(&keys, true);
        let (forest, register) = keys.open().unwrap();
        keys.agents[1].cut_off(true);
        away(&keys, false);
        std::thread::sleep(Duration::from_millis(2500));
        assert_eq!(restore(&keys.envelopes(), &secret).map(|(root, _)| root.epoch), Ok(2), "{after:?}");
        assert!(!register.has_root());
        // Nor does the next root, which those get that are there, take the place of what it takes to bring this one back.
        let stalled = seal(&forest);
        assert!(matches!(stalled, Err(SealError::Stalled(_))), "{stalled:?}");
        assert!(keys.agents[0].epochs().contains(&3));
        assert_eq!(restore(&keys.envelopes(), &secret).map(|(root, _)| root.epoch), Ok(2), "{after:?}");
        keys.agents[1].cut_off(false);
        assert_eq!(forest.finish_seal().unwrap().epoch, 3);
        soon("they have it in the new one", || register.agents().iter().all(|agent| agent.current));
        assert_eq!(restore(&keys.envelopes(), &secret).map(|(root, _)| root.epoch), Ok(3), "{after:?}");
        assert!(register.has_root());
    }
}

#[test]
fn agents_are_known_to_hold_the_root_when_they_were_given_it_and_not_when_they_may_be() {
    let (mut keys, _) = Keys::new(Quorum::plain(1).unwrap());
    let (forest, register) = keys.create();
    seal(&forest).unwrap();
    assert!(register.has_root());
    drop((forest, register));
    // Another one in its place.
    keys.agents = vec![TestAgent::new(7)];
    keys.before = Before::Other;
    away(&keys, true);
    let (_forest, register) = keys.open().unwrap();
    assert!(register.withholds() && !register.has_root());
    keys.agents[0].cut_off(true);
    away(&keys, false);
    std::thread::sleep(Duration::from_millis(1500));
    register.give();
    assert!(keys.agents[0].epochs().is_empty());
    assert!(register.withholds() && !register.has_root(), "it was out of reach");
    keys.agents[0].cut_off(false);
    soon("it has the root", || register.has_root());
    assert!(!register.withholds() && keys.agents[0].epochs() == [2]);
}

#[test]
fn what_agents_were_known_to_hold_is_not_taken_for_what_they_hold_when_it_matters() {
    let (keys, _) = Keys::new(Quorum::plain(2).unwrap());
    let (forest, register) = keys.create();
    seal(&forest).unwrap();
    soon("one root everywhere", || keys.agents.iter().all(|agent| agent.epochs() == [2]));
    assert!(register.has_root() && register.shows_root(&|| true));
    // No seal is made, so nobody asks it.
    keys.agents[1].cut_off(true);
    assert!(register.has_root() && !register.shows_root(&|| true), "it is out of reach");
    keys.agents[1].cut_off(false);
    assert!(register.shows_root(&|| true));
    // Its disk was lost, and it is set up anew.
    *keys.agents[1].slots.lock().unwrap() = [[0; SLOT_BYTES]; 2];
    keys.agents[1].start_anew();
    assert!(!register.shows_root(&|| true) && !register.has_root());
    assert!(keys.agents[1].epochs().is_empty(), "another register is given nothing");
    assert_eq!(keys.agents[0].epochs(), [2]);
}
