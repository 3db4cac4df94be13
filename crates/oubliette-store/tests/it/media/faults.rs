//! Connections cut before and after a commit, sessions ended, servers stopped: one fault, and in pairs.

use std::sync::Arc;
use std::time::Duration;

use keyforest::media::Medium;
use keyforest::{Change, Forest, ForestError, Leaf, LeafStatus, Pins, SealError};
use oubliette_store::media::postgres::KeyDatabase;
use oubliette_store::media::{Folder, Twin};
use oubliette_store::postgres::Options;
use tempfile::TempDir;

use super::proxy::{Next, Proxy};
use super::setup::{
    config, database, erase, objects_through, options, prefix, register, seal_in_the_end, stores, wait,
};
use crate::postgres::cluster::Cluster;
use crate::postgres::support::{Database, plain};

/// A database behind a proxy.
fn behind(database: &Database) -> (Proxy, String) {
    let url = database.url();
    let (_, rest) = url.split_once('@').unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let proxy = Proxy::before(server);
    let url = format!("postgres://postgres@127.0.0.1:{}/{name}", proxy.port);
    (proxy, url)
}

fn count(database: &Database, what: &str) -> i64 {
    wait(async {
        let client = database.plain().await;
        let rows = client.query(&format!("SELECT count(*) FROM oubliette_keys.{what}"), &[]).await.unwrap();
        rows[0].get(0)
    })
}

/// Ends every session but ours.
fn end_sessions(url: &str) {
    wait(async {
        let client = plain(url).await;
        client
            .batch_execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE pid <> pg_backend_pid() AND datname = current_database()",
            )
            .await
            .unwrap();
    });
}

#[test]
fn a_flush_whose_connection_is_cut_is_found_out_and_made_exactly_once() {
    let database = database();
    let (proxy, url) = behind(&database);
    let pages = KeyDatabase::open(options(&url)).unwrap().pages().unwrap();
    pages.create("file", 0).unwrap();
    pages.write_at("file", 0, b"begin").unwrap();
    pages.flush("file").unwrap();
    let mut expected = b"begin".to_vec();
    for (round, next) in
        [Next::CutBefore, Next::CutAfter, Next::CutDuring, Next::CutAfter, Next::CutBefore].into_iter().enumerate()
    {
        let bytes = vec![round as u8; 1000 + round];
        pages.write_at("file", expected.len() as u64, &bytes).unwrap();
        expected.extend(&bytes);
        proxy.set(next);
        pages.flush("file").unwrap();
        assert!(proxy.has_cut(), "{next:?} was not reached");
        assert_eq!(count(&database, "extents"), round as i64 + 2, "{next:?}");
        assert_eq!(pages.read_back("file", 0, expected.len()).unwrap(), expected, "{next:?}");
    }
}

/// Races the lost statement against the new session's question.
#[test]
fn a_statement_that_may_still_be_on_its_way_never_takes_place_after_it_was_asked_for() {
    let database = database();
    let (proxy, url) = behind(&database);
    let pages = KeyDatabase::open(options(&url)).unwrap().pages().unwrap();
    pages.create("file", 0).unwrap();
    pages.flush("file").unwrap();
    for round in 0..40_u64 {
        pages.write_at("file", round * 10, &[round as u8; 10]).unwrap();
        proxy.set(Next::CutDuring);
        pages.flush("file").unwrap();
        assert_eq!(count(&database, "extents"), round as i64 + 1);
    }
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(count(&database, "extents"), 40);
}

#[test]
fn two_cuts_in_a_row_are_found_out_as_well() {
    let cuts = [Next::CutBefore, Next::CutAfter, Next::CutDuring];
    let database = database();
    let (proxy, url) = behind(&database);
    let pages = KeyDatabase::open(options(&url)).unwrap().pages().unwrap();
    pages.create("file", 0).unwrap();
    let mut written = 0;
    for first in cuts {
        for second in cuts {
            pages.write_at("file", written * 10, &[written as u8; 10]).unwrap();
            written += 1;
            // The second hits the new session: while it connects, or while it asks.
            proxy.set_then(first, second);
            pages.flush("file").unwrap();
            proxy.set(Next::Pass);
            assert_eq!(count(&database, "extents"), written as i64, "{first:?}, {second:?}");
        }
    }
}

#[test]
fn a_session_that_the_server_ended_is_replaced_and_the_seal_is_made() {
    let database = database();
    let home = TempDir::new().unwrap();
    let pages = KeyDatabase::open(options(&database.url())).unwrap().pages().unwrap();
    let forest = Forest::create(stores(Arc::new(pages), home.path()), config(), b"", Pins::default()).unwrap();
    for leaf in 0..10 {
        end_sessions(&database.url());
        seal_in_the_end(&forest, &erase(leaf));
        assert_eq!(forest.status(Leaf(leaf)).unwrap(), LeafStatus::Punctured);
    }
    assert_eq!(forest.epoch(), 11);
}

#[test]
fn with_the_server_gone_seals_wait_reads_of_cached_pages_go_on_and_both_heal() {
    let cluster = Cluster::start("", "");
    let home = TempDir::new().unwrap();
    let mut options = options(&cluster.url());
    options.server = Options { connect_timeout: Duration::from_millis(500), ..options.server };
    let pages = KeyDatabase::open(options).unwrap().pages().unwrap();
    let forest = Forest::create(stores(Arc::new(pages), home.path()), config(), b"", Pins::default()).unwrap();
    let key = *forest.key(Leaf(600)).unwrap().expose();
    forest.seal(&erase(1)).unwrap();
    for mode in ["fast", "immediate"] {
        cluster.stop(mode);
        let epoch = forest.epoch();
        let before = register(home.path());
        for _ in 0..3 {
            assert!(matches!(forest.seal(&erase(2)), Err(SealError::NotDone(ForestError::Io { .. }))));
            assert!(matches!(forest.journal_append(b"record"), Err(SealError::NotDone(_))));
        }
        assert_eq!(register(home.path()), before, "no root was touched");
        assert_eq!(*forest.key(Leaf(600)).unwrap().expose(), key);
        cluster.run();
        seal_in_the_end(&forest, &erase(2 + epoch));
        assert_eq!(forest.epoch(), epoch + 1);
    }
    assert_eq!(forest.journal_append(b"record").unwrap(), 1);
    assert_eq!(forest.journal().unwrap(), [(1, b"record".to_vec())]);
}

#[test]
fn a_server_that_ends_during_a_commit_and_comes_back_is_asked_what_it_did() {
    let cluster = Cluster::start("", "");
    let server = format!("127.0.0.1:{}", cluster.port);
    let proxy = Proxy::before(&server);
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port);
    let pages = KeyDatabase::open(options(&url)).unwrap().pages().unwrap();
    pages.create("file", 0).unwrap();
    pages.write_at("file", 0, b"warm").unwrap();
    pages.flush("file").unwrap();
    for (round, next) in [Next::CutBefore, Next::CutAfter].into_iter().enumerate() {
        let at = 4 + round as u64;
        pages.write_at("file", at, b"x").unwrap();
        std::thread::scope(|scope| {
            proxy.set_then(next, Next::Down);
            let flush = scope.spawn(|| pages.flush("file"));
            while !proxy.has_cut() {
                std::thread::yield_now();
            }
            cluster.stop("immediate");
            std::thread::sleep(Duration::from_secs(1));
            assert!(!flush.is_finished(), "nobody can know yet");
            cluster.run();
            proxy.set(Next::Pass);
            flush.join().unwrap().unwrap();
        });
        assert_eq!(pages.read_back("file", at, 1).unwrap(), b"x");
    }
}

#[test]
fn what_cannot_be_found_out_in_time_is_unknown_and_ends_the_process() {
    let database = database();
    let (proxy, url) = behind(&database);
    let home = TempDir::new().unwrap();
    let mut options = options(&url);
    options.patience = Duration::from_millis(800);
    let pages = KeyDatabase::open(options).unwrap().pages().unwrap();
    let forest = Forest::create(stores(Arc::new(pages), home.path()), config(), b"", Pins::default()).unwrap();
    forest.seal(&erase(1)).unwrap();
    let before = register(home.path());
    proxy.set_then(Next::CutAfter, Next::Down);
    let sealed = forest.seal(&erase(2));
    assert!(matches!(sealed, Err(SealError::Unknown(ForestError::Io { .. }))), "{sealed:?}");
    proxy.set(Next::Pass);
    assert!(matches!(forest.seal(&erase(2)), Err(SealError::Unknown(ForestError::Ended))));
    assert_eq!(register(home.path()), before, "no root was touched");
}

#[test]
fn without_the_second_place_no_root_is_destroyed_and_the_seal_heals() {
    let database = database();
    let home = TempDir::new().unwrap();
    let s3 = std::env::var("OUBLIETTE_TEST_S3").unwrap();
    let proxy = Proxy::before(s3.strip_prefix("http://").unwrap());
    let endpoint = format!("http://127.0.0.1:{}", proxy.port);
    let claim = KeyDatabase::open(options(&database.url())).unwrap();
    let second = objects_through(Some(&endpoint), &prefix(), &claim);
    let (twin, _) = Twin::open(Arc::new(claim.pages().unwrap()), Arc::new(second)).unwrap();
    let forest = Forest::create(stores(Arc::new(twin), home.path()), config(), b"", Pins::default()).unwrap();
    let key = *forest.key(Leaf(700)).unwrap().expose();
    for round in 0..3 {
        proxy.set(Next::Down);
        let before = register(home.path());
        for _ in 0..2 {
            let sealed = forest.seal(&erase(round));
            assert!(matches!(sealed, Err(SealError::NotDone(ForestError::Io { .. }))), "{sealed:?}");
        }
        assert!(matches!(forest.journal_append(b"put off"), Err(SealError::NotDone(_))));
        assert_eq!(register(home.path()), before, "no root was touched");
        assert_eq!(forest.status(Leaf(round)).unwrap(), LeafStatus::Live);
        proxy.set(Next::Pass);
        seal_in_the_end(&forest, &erase(round));
        assert_eq!(forest.journal_append(b"record").unwrap(), round + 1);
    }
    assert_eq!(*forest.key(Leaf(700)).unwrap().expose(), key);
    assert_eq!(forest.journal().unwrap().len(), 3);
}

#[test]
fn both_places_gone_by_turns_and_together_heal() {
    let database = database();
    let (first_proxy, url) = behind(&database);
    let s3 = std::env::var("OUBLIETTE_TEST_S3").unwrap();
    let second_proxy = Proxy::before(s3.strip_prefix("http://").unwrap());
    let endpoint = format!("http://127.0.0.1:{}", second_proxy.port);
    let (home, prefix) = (TempDir::new().unwrap(), prefix());
    let open = |create: bool| {
        let claim = KeyDatabase::open(options(&url)).unwrap();
        let second = objects_through(Some(&endpoint), &prefix, &claim);
        let (twin, _) = Twin::open(Arc::new(claim.pages().unwrap()), Arc::new(second)).unwrap();
        let stores = stores(Arc::new(twin), home.path());
        if create {
            Forest::create(stores, config(), b"", Pins::default()).unwrap()
        } else {
            Forest::open(stores, config()).unwrap().0
        }
    };
    let mut forest = open(true);
    let key = *forest.key(Leaf(700)).unwrap().expose();
    let mut leaf = 0;
    for (one, two) in [(true, false), (false, true), (true, true), (false, true), (true, false)] {
        for (proxy, down) in [(&first_proxy, one), (&second_proxy, two)] {
            proxy.set(if down { Next::Down } else { Next::Pass });
        }
        leaf += 1;
        assert!(matches!(forest.seal(&erase(leaf)), Err(SealError::NotDone(_))));
        assert_eq!(*forest.key(Leaf(700)).unwrap().expose(), key);
        first_proxy.set(Next::Pass);
        second_proxy.set(Next::Pass);
        seal_in_the_end(&forest, &erase(leaf));
        // What one place holds of an attempt that was put off is nothing to the next process.
        drop(forest);
        forest = open(false);
        assert_eq!(forest.status(Leaf(leaf)).unwrap(), LeafStatus::Punctured);
        assert_eq!(*forest.key(Leaf(700)).unwrap().expose(), key);
    }
}

/// A commit that a standby should have confirmed and did not.
#[test]
fn a_commit_with_a_warning_counts_only_when_a_later_one_comes_without() {
    let cluster = Cluster::start("", "");
    let pages = KeyDatabase::open(options(&cluster.url())).unwrap().pages().unwrap();
    pages.create("file", 0).unwrap();
    let command = |text: &str| {
        wait(async {
            let client = plain(&cluster.url()).await;
            for statement in text.split(';') {
                client.batch_execute(statement).await.unwrap();
            }
        });
    };
    command("ALTER SYSTEM SET synchronous_standby_names = 'nobody'; SELECT pg_reload_conf()");
    let waits = |text: &str| {
        wait(async {
            let client = plain(&cluster.url()).await;
            let from = format!("SELECT {text} FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
            !client.query(&from, &[]).await.unwrap().is_empty()
        })
    };
    let heal = || command("ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf()");
    let mut written = 0;
    std::thread::scope(|scope| {
        // The setting takes effect a moment later.
        let flush = loop {
            pages.write_at("file", written, b"bytes").unwrap();
            written += 5;
            let flush = scope.spawn(|| pages.flush("file"));
            while !flush.is_finished() && !waits("pid") {}
            if !flush.is_finished() {
                break flush;
            }
            flush.join().unwrap().unwrap();
        };
        // The waits of the flush and of its confirmation are cancelled: neither may count.
        let mut cancelled = 0;
        while cancelled < 3 && !flush.is_finished() {
            cancelled += u32::from(waits("pg_cancel_backend(pid)"));
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(cancelled > 0);
        if flush.is_finished() {
            // A cancellation that came a moment late met a statement: that is an error, and no commit either.
            assert!(flush.join().unwrap().is_err(), "a cancelled wait was taken for a commit");
            heal();
            pages.flush("file").unwrap();
        } else {
            heal();
            flush.join().unwrap().unwrap();
        }
    });
    assert_eq!(pages.read_back("file", written - 5, 5).unwrap(), b"bytes");
}

#[test]
fn reads_come_from_the_second_place_while_the_first_is_gone() {
    let database = database();
    let (proxy, url) = behind(&database);
    let home = TempDir::new().unwrap();
    let first = KeyDatabase::open(options(&url)).unwrap().pages().unwrap();
    let second = Folder::open_alone(home.path().join("second")).unwrap();
    let (twin, _) = Twin::open(Arc::new(first), Arc::new(second)).unwrap();
    let forest = Forest::create(stores(Arc::new(twin), home.path()), config(), b"", Pins::default()).unwrap();
    // More punctured buckets than the memory for pages holds.
    forest.seal(&Change { provision: 40, ..Change::default() }).unwrap();
    let puncture = (0..40).map(|bucket| Leaf(bucket * 1024 + 5)).collect();
    forest.seal(&Change { puncture, ..Change::default() }).unwrap();
    proxy.set(Next::Down);
    for bucket in 0..40 {
        forest.key(Leaf(bucket * 1024 + 6)).unwrap();
        assert_eq!(forest.status(Leaf(bucket * 1024 + 5)).unwrap(), LeafStatus::Punctured);
    }
}
