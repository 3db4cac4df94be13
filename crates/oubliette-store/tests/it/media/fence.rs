//! Two processes that both want to seal.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keyforest::media::{Medium, SlotDevice};
use keyforest::{Forest, ForestError, Leaf, LeafStatus, Pins, SealError, Stores};
use oubliette_store::media::postgres::{
    Claiming, FencedRegister, KeyDatabase, KeyDatabaseOptions, is_in_use, is_superseded, is_unbelievable,
};
use tempfile::TempDir;

use super::proxy::{Next, Proxy};
use super::setup::{config, database, erase, options, register, stores, wait};
use crate::postgres::support::Database;

fn taking_over(url: &str) -> KeyDatabaseOptions {
    KeyDatabaseOptions { claiming: Claiming::TakeOver, ..options(url) }
}

fn contents(database: &Database) -> Vec<String> {
    wait(async {
        let client = database.plain().await;
        let rows = client
            .query("SELECT format('%s %s %s', file, at, sha256(bytes)) FROM oubliette_keys.extents ORDER BY 1", &[])
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    })
}

fn superseded<T: std::fmt::Debug>(result: Result<T, SealError>) {
    match result {
        Err(SealError::Unknown(ForestError::Io { source, .. })) if is_superseded(&source) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn while_one_holds_the_key_state_another_waits_and_then_follows() {
    let database = database();
    let first = KeyDatabase::open(options(&database.url())).unwrap();
    let impatient =
        KeyDatabaseOptions { claiming: Claiming::Wait(Duration::from_millis(300)), ..options(&database.url()) };
    assert!(KeyDatabase::open(impatient.clone()).is_err_and(|error| is_in_use(&error)));
    first.confirm().unwrap();
    let number = first.number();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| KeyDatabase::open(options(&database.url())).unwrap());
        std::thread::sleep(Duration::from_millis(300));
        assert!(!waiting.is_finished());
        drop(first);
        assert!(waiting.join().unwrap().number() > number);
    });
}

#[test]
fn a_second_claim_fences_the_first_whose_seal_fails_and_whose_old_root_stays() {
    let database = database();
    let (home, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let first = KeyDatabase::open(options(&database.url())).unwrap();
    let forest =
        Forest::create(stores(Arc::new(first.pages().unwrap()), home.path()), config(), b"", Pins::default()).unwrap();
    forest.seal(&erase(1)).unwrap();
    let (root, rows) = (register(home.path()), contents(&database));

    let second = KeyDatabase::open(taking_over(&database.url())).unwrap();
    assert!(second.number() > first.number());
    let told = first.superseded();
    assert!(!told.load(Ordering::Acquire));
    superseded(forest.seal(&erase(2)));
    assert!(told.load(Ordering::Acquire), "a seal that failed for this tells why");
    assert!(matches!(forest.seal(&erase(2)), Err(SealError::Unknown(ForestError::Ended))));
    assert!(matches!(forest.journal_append(b"x"), Err(SealError::Unknown(ForestError::Ended))));
    assert!(first.confirm().is_err_and(|error| is_superseded(&error)));
    assert!(first.values().put("name", b"bytes").is_err_and(|error| is_superseded(&error)));
    assert_eq!((register(home.path()), contents(&database)), (root, rows));
    assert_eq!(second.values().get("name").unwrap(), None);

    // The second goes on with the register's copy: what the first had sealed holds, what it tried does not.
    drop(forest);
    copy_register(home.path(), other.path());
    let (forest, report) = Forest::open(stores(Arc::new(second.pages().unwrap()), other.path()), config()).unwrap();
    assert_eq!(report.epoch, 2);
    assert_eq!(forest.status(Leaf(2)).unwrap(), LeafStatus::Live);
    forest.seal(&erase(2)).unwrap();
}

fn copy_register(from: &std::path::Path, to: &std::path::Path) {
    let folder = |home| oubliette_store::media::Folder::open(home).unwrap();
    let (from, to) = (stores(Arc::new(folder(from.join("x"))), from), stores(Arc::new(folder(to.join("x"))), to));
    for slot in 0..2 {
        to.register.write_slot(slot, &from.register.read_slot(slot).unwrap()).unwrap();
    }
}

/// The pause is in the network: what the first process sent arrives after the take-over.
#[test]
fn a_paused_process_that_was_passed_over_writes_nothing_when_it_wakes() {
    for session_lives in [false, true] {
        let database = database();
        let home = TempDir::new().unwrap();
        let url = database.url();
        let (_, rest) = url.split_once('@').unwrap();
        let (server, name) = rest.split_once('/').unwrap();
        let proxy = Proxy::before(server);
        let first =
            KeyDatabase::open(options(&format!("postgres://postgres@127.0.0.1:{}/{name}", proxy.port))).unwrap();
        let forest =
            Forest::create(stores(Arc::new(first.pages().unwrap()), home.path()), config(), b"", Pins::default())
                .unwrap();
        forest.seal(&erase(1)).unwrap();
        let root = register(home.path());
        std::thread::scope(|scope| {
            proxy.set(Next::Hold);
            let seal = scope.spawn(|| forest.seal(&erase(2)));
            std::thread::sleep(Duration::from_millis(300));
            assert!(!seal.is_finished());
            if session_lives {
                // The row alone must hold it off: lock and session are as they were.
                wait(async {
                    let take = "UPDATE oubliette_keys.fence SET owner = gen_random_uuid(), number = number + 1";
                    database.plain().await.batch_execute(take).await.unwrap();
                });
            } else {
                let second = KeyDatabase::open(taking_over(&database.url())).unwrap();
                second.pages().unwrap().create("by-the-second", 0).unwrap();
            }
            let rows = contents(&database);
            proxy.set(Next::Pass);
            superseded(seal.join().unwrap());
            assert_eq!(contents(&database), rows);
        });
        assert_eq!(register(home.path()), root, "no root was touched");
    }
}

#[test]
fn a_process_passed_over_after_its_flush_writes_no_root() {
    let database = database();
    let home = TempDir::new().unwrap();
    let first = KeyDatabase::open(options(&database.url())).unwrap();
    let plain = stores(Arc::new(first.pages().unwrap()), home.path());
    // Passed over exactly when the written state has been checked.
    let taken = Arc::new(std::sync::Mutex::new(None));
    let (url, held) = (database.url(), Arc::clone(&taken));
    let probe = AtPoint(
        "keyforest.seal.verified",
        Box::new(move || {
            let claim = KeyDatabase::open(taking_over(&url)).unwrap();
            *held.lock().unwrap() = Some(claim);
        }),
    );
    let fenced: Arc<dyn SlotDevice> = Arc::new(FencedRegister::new(plain.register, first.clone()));
    let stores = Stores { packs: plain.packs, register: fenced, probe: Arc::new(probe) };
    let forest = Forest::create(stores, config(), b"", Pins::default()).unwrap();
    let root = register(home.path());
    superseded(forest.seal(&erase(1)));
    assert!(taken.lock().unwrap().is_some());
    assert_eq!(register(home.path()), root);
}

struct AtPoint(&'static str, Box<dyn Fn() + Send + Sync>);

impl keyforest::Probe for AtPoint {
    fn reached(&self, point: &'static str) {
        if point == self.0 {
            self.1();
        }
    }
}

#[test]
fn of_many_that_take_over_only_the_last_writes() {
    let database = database();
    let claims: Vec<KeyDatabase> = (0..5).map(|_| KeyDatabase::open(taking_over(&database.url())).unwrap()).collect();
    let numbers: Vec<u64> = claims.iter().map(KeyDatabase::number).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let (last, before) = claims.split_last().unwrap();
    for claim in before {
        assert!(claim.values().put("name", b"old").is_err_and(|error| is_superseded(&error)));
    }
    last.values().put("name", b"new").unwrap();
    assert_eq!(before[0].values().get("name").unwrap().unwrap(), b"new");
}

#[test]
fn tables_of_a_newer_program_are_refused() {
    let database = database();
    drop(KeyDatabase::open(options(&database.url())).unwrap());
    wait(async {
        let insert = "INSERT INTO oubliette_keys.migrations (number, sha256) VALUES (999, '\\x00')";
        database.plain().await.batch_execute(insert).await.unwrap();
    });
    let error = KeyDatabase::open(options(&database.url())).map(drop).unwrap_err();
    assert!(error.to_string().contains("newer"), "{error}");
}

#[test]
fn many_make_the_tables_at_once() {
    let database = database();
    std::thread::scope(|scope| {
        let open = || scope.spawn(|| KeyDatabase::open(options(&database.url())).map(drop));
        let all: Vec<_> = (0..4).map(|_| open()).collect();
        all.into_iter().for_each(|one| one.join().unwrap().unwrap());
    });
}

/// Agents, mirrors and buckets say which claims they remember, and any of them may lie.
#[test]
fn no_number_that_another_place_names_leaves_none_for_later_claims() {
    const FORGOTTEN: u64 = 1 << 32;
    let database = database();
    let claim = KeyDatabase::open(options(&database.url())).unwrap();
    let taken = claim.number();
    for floor in [taken + FORGOTTEN + 1, 1 << 62, (1 << 62) + 1, i64::MAX as u64 - 1, i64::MAX as u64, u64::MAX] {
        let refused = claim.number_above(floor).unwrap_err();
        assert!(is_unbelievable(&refused) && !is_superseded(&refused), "{floor}: {refused}");
        assert_eq!(claim.number_above(0).unwrap(), taken);
    }
    // What claims to a server that is lost can have come to is believed, but not again and again.
    let raised = claim.number_above(taken + FORGOTTEN).unwrap();
    assert_eq!(raised, taken + FORGOTTEN + 1);
    assert_eq!(claim.number_above(raised).unwrap(), raised + 1, "its own number is no news");
    assert!(claim.number_above(raised + FORGOTTEN).is_err_and(|error| is_unbelievable(&error)));
    claim.values().put("name", b"the claim stands").unwrap();
    drop(claim);
    let later = KeyDatabase::open(options(&database.url())).unwrap();
    assert_eq!(later.number(), raised + 2);
    later.values().put("name", b"and later ones too").unwrap();
}
