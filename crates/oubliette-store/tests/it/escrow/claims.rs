//! Agents that name claims to the vault which nobody has, or had: whoever counts the claims is believed, not they.

use oubliette_store::lease::Confirmed;
use oubliette_store::media::postgres::{Claiming, KeyDatabase, KeyDatabaseOptions, is_superseded};
use oubliette_store::postgres::Options;

use super::*;
use crate::postgres::support::Database;

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn claim(database: &Database, claiming: Claiming) -> KeyDatabase {
    let server = Options { url: database.url(), connect_timeout: Duration::from_secs(2), ..Options::default() };
    KeyDatabase::open(KeyDatabaseOptions { server, claiming, patience: Duration::from_secs(10) }).unwrap()
}

/// As a vault on a server stands to it.
fn by(claim: &KeyDatabase, keys: &mut Keys) {
    keys.fence = claim.number();
    let (raised, asked) = (claim.clone(), claim.clone());
    keys.raise = Arc::new(move |floor| raised.number_above(floor));
    keys.claim = Some(Arc::new(move || match asked.confirm() {
        Ok(()) => Ok(Confirmed::Still),
        Err(error) if is_superseded(&error) => Ok(Confirmed::Lost),
        Err(error) => Err(error),
    }));
}

fn ended<T>(sealed: &Result<T, SealError>) -> bool {
    matches!(sealed, Err(SealError::Unknown(_)))
}

fn trouble(register: &Escrowed, agent: usize) -> String {
    register.agents()[agent].state.trouble.clone().unwrap_or_default()
}

#[test]
fn an_agent_that_names_a_claim_that_never_was_counts_as_away_and_the_vault_goes_on() {
    let database = wait(Database::fresh());
    let (mut keys, _) = Keys::new(shared());
    let first = claim(&database, Claiming::TakeOver);
    by(&first, &mut keys);
    keys.agents[0].depot().session(INSTANCE, i64::MAX as u64 - 1).unwrap();
    let (forest, register) = keys.create();
    seal(&forest).unwrap();
    soon("it is named", || trouble(&register, 0).contains("never so many claims"));
    assert_eq!(keys.agents[0].epochs(), [0_u64; 0]);
    drop((forest, register, first));
    (keys.raise, keys.claim) = (superseded(), None);
    let later = claim(&database, Claiming::TakeOver);
    assert!(later.number() < 1000);
    by(&later, &mut keys);
    let (forest, _register) = keys.open().unwrap();
    seal(&forest).unwrap();
}

#[test]
fn an_agent_that_says_that_another_process_was_here_ends_this_one_only_if_whoever_counts_the_claims_agrees() {
    let database = wait(Database::fresh());
    let (mut keys, _) = Keys::new(Quorum::plain(2).unwrap());
    let first = claim(&database, Claiming::TakeOver);
    by(&first, &mut keys);
    let (forest, register) = keys.create();
    seal(&forest).unwrap();
    // It lies: nobody has taken the vault over.
    let honest = *keys.agents[0].slots.lock().unwrap();
    keys.agents[0].depot().session(INSTANCE, first.number() + 7).unwrap();
    let stalled = seal(&forest);
    assert!(matches!(stalled, Err(SealError::Stalled(_))), "{stalled:?}");
    assert!(trouble(&register, 0).contains("still has the claim"), "{}", trouble(&register, 0));
    assert!(!register.agents()[0].state.passed_over);
    *keys.agents[0].slots.lock().unwrap() = honest;
    keys.agents[0].start_anew();
    forest.finish_seal().unwrap();
    assert_eq!(trouble(&register, 0), "");
    // Now somebody has.
    let second = claim(&database, Claiming::TakeOver);
    keys.agents[0].depot().session(INSTANCE, second.number()).unwrap();
    assert!(ended(&seal(&forest)));
    assert!(register.agents()[0].state.passed_over);
}

#[test]
fn while_whoever_counts_the_claims_cannot_be_asked_an_agent_that_says_so_ends_nothing() {
    let (mut keys, _) = Keys::new(Quorum::plain(1).unwrap());
    keys.fence = 5;
    keys.claim = Some(Arc::new(|| Err(std::io::Error::other("the server is away"))));
    let (forest, register) = keys.create();
    seal(&forest).unwrap();
    keys.agents[0].depot().session(INSTANCE, 6).unwrap();
    assert!(matches!(seal(&forest), Err(SealError::Stalled(_))));
    assert!(trouble(&register, 0).contains("the server is away"));
    // Nobody to ask: the agent's word is all there is.
    let (mut keys, _) = Keys::new(Quorum::plain(1).unwrap());
    keys.fence = 5;
    let (forest, _register) = keys.create();
    seal(&forest).unwrap();
    keys.agents[0].depot().session(INSTANCE, 6).unwrap();
    assert!(ended(&seal(&forest)));
}
