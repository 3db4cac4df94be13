//! Seal, mirrors and agents, explored in every order: crashes, unreachable parties, lost answers, torn blocks and messages that
//! arrive late, at every step.
//!
//! Two things are to hold in every state that can be reached. *Survives* (I1): the root in force is complete outside of the
//! machine too, so no older one dies before its successor is. *Forgets* (I2): nothing is called sealed while an older root can
//! be had from the register or from enough agents. And from every state the protocol comes to its end once the parties are
//! back. What an agent does with a message and how many are enough is the program's own code.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod world;

use std::collections::HashSet;

use oubliette_store::escrow::Quorum;
use world::{Phase, Setup, Variant, World};

/// What went wrong first.
#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    Forgets,
    Survives,
}

/// Three agents already make more states than can be waited for with one seal more.
fn setup(variant: Variant, quorum: Quorum, mirrors: usize) -> Setup {
    let last = if quorum.agents() > 2 { 2 } else { 3 };
    Setup { variant, quorum, left: None, mirrors, last, crashes: 2, replaced: false }
}

/// Every state that can be reached, or the first one that is wrong.
fn explore(setup: &Setup) -> Result<HashSet<World>, Wrong> {
    let mut seen = HashSet::from([World::start()]);
    let mut todo = vec![World::start()];
    let mut found = Vec::new();
    while let Some(world) = todo.pop() {
        if !world.forgets(setup) {
            return Err(Wrong::Forgets);
        }
        if !world.survives(setup) {
            return Err(Wrong::Survives);
        }
        world.next(setup, &mut found);
        todo.extend(found.drain(..).filter(|world| seen.insert(*world)));
    }
    Ok(seen)
}

/// Where a vault comes to that can only reach the parties of `reach` and that nothing befalls any more.
fn left_alone(mut world: World, setup: &Setup, reach: u8) -> World {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    loop {
        world.steps(setup, reach, false, &mut found);
        // The last of them is the step ahead where there is one; the others ask one more party.
        let Some(next) = found.drain(..).rev().find(|next| !seen.contains(next)) else { return world };
        if next.is_done(setup) || !seen.insert(next) {
            return next;
        }
        world = next;
    }
}

fn quorums() -> [Quorum; 5] {
    [
        Quorum::plain(1).unwrap(),
        Quorum::plain(2).unwrap(),
        Quorum::shares(2, 2).unwrap(),
        Quorum::shares(2, 3).unwrap(),
        Quorum::shares(3, 3).unwrap(),
    ]
}

#[test]
fn no_order_of_events_loses_a_live_root_or_leaves_a_sealed_one() {
    for quorum in quorums() {
        let setup = setup(Variant::Correct, quorum, 1);
        let seen = explore(&setup).unwrap_or_else(|wrong| panic!("{quorum:?}: {wrong:?}"));
        assert!(seen.len() > 300, "{quorum:?}: {} states are no exploration", seen.len());
        assert!(seen.iter().any(|world| world.is_done(&setup)), "{quorum:?}: it never ends");
    }
}

#[test]
fn two_mirrors_and_four_agents_hold_as_well_with_one_crash_less() {
    for (quorum, mirrors) in [(Quorum::shares(2, 3).unwrap(), 2), (Quorum::shares(2, 4).unwrap(), 1)] {
        let setup = Setup { last: 2, crashes: 1, ..setup(Variant::Correct, quorum, mirrors) };
        assert!(explore(&setup).is_ok(), "{quorum:?}");
    }
}

/// One agent is let go at some time.
fn with_one_let_go(variant: Variant, before: Quorum, left: Quorum) -> Setup {
    Setup { left: Some(left), last: 3, crashes: 1, ..setup(variant, before, 1) }
}

#[test]
fn an_agent_that_is_let_go_at_any_time_adds_nothing_to_what_others_forget_late() {
    let (two, three) = (Quorum::shares(2, 2).unwrap(), Quorum::shares(2, 3).unwrap());
    let plain = |agents| Quorum::plain(agents).unwrap();
    for (before, left) in [(three, two), (plain(2), plain(1))] {
        let setup = with_one_let_go(Variant::Correct, before, left);
        let seen = explore(&setup).unwrap_or_else(|wrong| panic!("{before:?}: {wrong:?}"));
        assert!(seen.iter().any(|world| world.gone && world.is_done(&setup)), "{before:?}: it never ends without it");
    }
    let at_once = with_one_let_go(Variant::QuorumAtOnce, three, two);
    assert_eq!(explore(&at_once).err(), Some(Wrong::Forgets));
}

#[test]
fn a_register_that_answers_under_the_name_of_one_that_is_kept_confirms_nothing_for_it() {
    let (plain, shared) = (Quorum::plain(2).unwrap(), Quorum::shares(2, 3).unwrap());
    for quorum in [plain, shared] {
        let setup = Setup { replaced: true, last: 2, crashes: 1, ..setup(Variant::Correct, quorum, 1) };
        let seen = explore(&setup).unwrap_or_else(|wrong| panic!("{quorum:?}: {wrong:?}"));
        assert!(seen.iter().any(|world| world.shelf.is_none() && world.is_done(&setup)), "{quorum:?}: it never ends");
        // Two of three go on without; of two plain ones none is sealed that the old register lacks.
        let without = |world: &World| world.shelf.is_some_and(|kept| world.sealed > 1 && !kept.contains(&world.sealed));
        assert_eq!(seen.iter().any(without), quorum == shared);
        let by_name = Setup { variant: Variant::NameIsEnough, ..setup };
        assert!(explore(&by_name).is_err(), "{quorum:?}");
    }
}

#[test]
fn from_every_state_the_seals_come_to_their_end_once_everybody_is_back() {
    for quorum in quorums() {
        // As many roots can be drawn as the crashes and the seals use up, so that none is lacking at the end.
        let setup = Setup { last: 2, ..setup(Variant::Correct, quorum, 1) };
        for world in explore(&setup).unwrap() {
            let end = left_alone(world, &setup, u8::MAX);
            assert!(end.is_done(&setup), "{quorum:?}: {world:?} ends in {end:?}");
        }
    }
}

#[test]
fn two_of_three_seal_on_with_any_one_agent_down_from_any_state() {
    let setup = Setup { last: 2, ..setup(Variant::Correct, Quorum::shares(2, 3).unwrap(), 1) };
    for world in explore(&setup).unwrap() {
        for down in 0..3 {
            let end = left_alone(world, &setup, !(1 << down));
            assert!(end.is_done(&setup), "without {down}: {world:?} ends in {end:?}");
        }
    }
}

#[test]
fn two_plain_agents_stall_without_one_of_them_and_go_on_when_it_is_back() {
    let setup = setup(Variant::Correct, Quorum::plain(2).unwrap(), 1);
    let serving = left_alone(World::start(), &Setup { last: 1, ..setup }, u8::MAX);
    assert_eq!((serving.phase, serving.sealed), (Phase::Serving, 1));
    let stalled = left_alone(serving, &setup, !1);
    assert_eq!((stalled.phase, stalled.sealed), (Phase::Put, 1), "the register has not heard of the new root");
    assert!(left_alone(stalled, &setup, u8::MAX).is_done(&setup));
    // The same without the mirror, which comes after the agents in the bits.
    let stalled = left_alone(serving, &setup, !(1 << 2));
    assert_eq!((stalled.phase, stalled.sealed), (Phase::Ship, 1), "no agent has heard of the new root");
    assert!(left_alone(stalled, &setup, u8::MAX).is_done(&setup));
}

#[test]
fn every_protocol_with_one_thing_wrong_is_caught() {
    let (plain, shared) = (Quorum::plain(2).unwrap(), Quorum::shares(2, 3).unwrap());
    let cases = [
        (Variant::PutQuorumOffByOne, shared, Wrong::Survives),
        (Variant::PutQuorumOffByOne, Quorum::plain(1).unwrap(), Wrong::Survives),
        (Variant::DestroyQuorumOffByOne, shared, Wrong::Forgets),
        (Variant::DestroyQuorumOffByOne, plain, Wrong::Forgets),
        (Variant::RegisterBeforeAgents, shared, Wrong::Survives),
        (Variant::RegisterBeforeAgents, plain, Wrong::Survives),
        (Variant::SealedBeforeAgents, shared, Wrong::Forgets),
        (Variant::SealedBeforeAgents, plain, Wrong::Forgets),
        (Variant::PagesAfterRoot, shared, Wrong::Survives),
        (Variant::AgentPutsOver, shared, Wrong::Survives),
        (Variant::AgentPutsOver, plain, Wrong::Survives),
        (Variant::HoldingIsConfirming, shared, Wrong::Forgets),
        (Variant::HoldingIsConfirming, plain, Wrong::Forgets),
        (Variant::RecoveryForgetsAgents, plain, Wrong::Forgets),
    ];
    for (variant, quorum, wrong) in cases {
        assert_eq!(explore(&setup(variant, quorum, 1)).err(), Some(wrong), "{variant:?}, {quorum:?}");
    }
    let two_mirrors = Setup { last: 2, crashes: 1, ..setup(Variant::OneMirrorIsEnough, plain, 2) };
    assert_eq!(explore(&two_mirrors).err(), Some(Wrong::Survives));
    for quorum in [plain, shared] {
        assert!(explore(&setup(Variant::LateMessagesCount, quorum, 1)).is_err(), "{quorum:?}");
    }
}
