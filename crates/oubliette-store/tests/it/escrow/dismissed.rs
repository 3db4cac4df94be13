//! Agents that are let go: told once and for all, by a claim that no process of before has.

use oubliette_store::escrow::dismiss;

use super::*;

fn noted(keys: &Keys) -> Noted {
    keys.noted.lock().unwrap()[0].1
}

#[test]
fn one_that_was_told_to_forget_takes_nothing_from_a_process_of_before_even_when_it_was_started_anew() {
    let (mut keys, _) = Keys::new(Quorum::plain(1).unwrap());
    keys.fence = 4;
    let (forest, _register) = keys.create();
    seal(&forest).unwrap();
    let (agent, kept) = (keys.agents[0].clone(), keys.envelopes());
    // It remembers a higher claim than this process has: one of a server that was made anew.
    agent.depot().session(INSTANCE, 9).unwrap();
    let passed_over = dismiss(&agent.name, noted(&keys), &agent, INSTANCE, 5, &superseded(), &|| true);
    assert!(passed_over.is_err() && agent.epochs() == [2]);
    let raised: Raise = Arc::new(|floor| Ok(floor + 1));
    dismiss(&agent.name, noted(&keys), &agent, INSTANCE, 5, &raised, &|| true).unwrap();
    for started in ["not", "once", "twice"] {
        assert!(agent.epochs().is_empty());
        for fence in [4, 9] {
            let opened = agent.depot().session(INSTANCE, fence);
            assert!(matches!(opened, Err(Refused::PassedOver { fence: 10 })), "{started}, {fence}: {opened:?}");
        }
        agent.start_anew();
    }
    // Nor by another register, which is told nothing.
    let other = Noted { lies_in: LiesIn::Register(oubliette_store::escrow::RegisterId([7; 16])), ..noted(&keys) };
    assert!(dismiss(&agent.name, other, &agent, INSTANCE, 11, &raised, &|| true).unwrap_err().is_another());
    // Who has the claim by now may have it take part again.
    let Opened { session, .. } = agent.depot().session(INSTANCE, 12).unwrap();
    agent.depot().put(Stamp { session, number: 1 }, kept[0].clone(), None).unwrap();
    assert_eq!(agent.epochs(), [2]);
}

#[test]
fn one_is_not_told_to_forget_by_a_process_that_has_let_go_of_the_vault_meanwhile() {
    let (keys, _) = Keys::new(Quorum::plain(1).unwrap());
    let (forest, _register) = keys.create();
    seal(&forest).unwrap();
    let agent = keys.agents[0].clone();
    let told = dismiss(&agent.name, noted(&keys), &agent, INSTANCE, 0, &superseded(), &|| false);
    assert!(told.is_err() && agent.epochs() == [2]);
}
