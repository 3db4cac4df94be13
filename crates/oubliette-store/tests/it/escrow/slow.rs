//! An agent that does as it is asked, and takes longer for it than seals take.

use super::*;

#[test]
fn an_agent_that_is_slower_than_seals_are_made_is_never_more_than_one_behind() {
    let (keys, _) = Keys::new(shared());
    let (forest, register) = keys.create();
    keys.agents[2].takes.store(100, Ordering::SeqCst);
    let mut epoch = 1;
    // Of the jobs that this gives it, it does a quarter meanwhile; the rest takes longer than a seal waits for it.
    for _ in 0..120 {
        epoch = seal(&forest).unwrap();
    }
    assert!(!keys.agents[2].epochs().is_empty(), "it was told to forget what it had, and given nothing");
    keys.agents[0].cut_off(true);
    let begun = Instant::now();
    epoch = seal(&forest).unwrap().max(epoch);
    assert!(begun.elapsed() < keys.options().patience, "it worked off what nobody waits for");
    soon("it is up with the seals", || keys.agents[2].epochs() == [epoch]);
    keys.agents[0].cut_off(false);
    soon("all are", || register.agents().iter().all(|agent| agent.current));
}

#[test]
fn an_agent_that_is_slower_than_seals_are_made_confirms_what_it_was_told() {
    let (keys, _) = Keys::new(shared());
    let (forest, register) = keys.create();
    keys.agents[2].takes.store(100, Ordering::SeqCst);
    for _ in 0..120 {
        seal(&forest).unwrap();
    }
    let confirmed = register.agents()[2].state.confirmed.clone().unwrap().root.epoch;
    assert!(confirmed > 60, "{confirmed}");
}
