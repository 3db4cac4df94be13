//! A standby as the second place.

use std::sync::Arc;
use std::time::Duration;

use keyforest::media::Medium;
use keyforest::{Forest, Leaf, LeafStatus, Pins, SealError};
use oubliette_store::media::postgres::{KeyDatabase, StandbyPages};
use oubliette_store::postgres::Options;
use tempfile::TempDir;

use super::setup::{config, erase, options, register, seal_in_the_end, stores, wait};
use crate::postgres::cluster::Cluster;
use crate::postgres::support::plain;

fn command(url: &str, text: &str) {
    wait(async {
        let client = plain(url).await;
        for statement in text.split(';') {
            client.batch_execute(statement).await.unwrap();
        }
    });
}

fn pages(primary: &Cluster, standby: &Cluster) -> StandbyPages {
    let pages = KeyDatabase::open(options(&primary.url())).unwrap().pages().unwrap();
    let options = Options { url: standby.url(), connect_timeout: Duration::from_secs(1), ..Options::default() };
    StandbyPages::new(pages, &options, Duration::from_secs(2)).unwrap()
}

const SYNCHRONOUS: &str = "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'; SELECT pg_reload_conf()";

#[test]
fn pages_are_read_back_from_the_standby_before_a_root_is_destroyed() {
    let primary = Cluster::start("", "");
    let standby = primary.standby("");
    command(&primary.url(), SYNCHRONOUS);
    let home = TempDir::new().unwrap();
    let pages = pages(&primary, &standby);
    let forest = Forest::create(stores(Arc::new(pages), home.path()), config(), b"", Pins::default()).unwrap();
    for leaf in 0..20 {
        forest.seal(&erase(leaf)).unwrap();
    }
    // It receives and flushes, and does not replay: commits go through, and still no root is destroyed.
    command(&standby.url(), "SELECT pg_wal_replay_pause()");
    let before = register(home.path());
    let sealed = forest.seal(&erase(20));
    assert!(matches!(sealed, Err(SealError::NotDone(_))), "{sealed:?}");
    assert_eq!((register(home.path()), forest.epoch()), (before, 21));
    command(&standby.url(), "SELECT pg_wal_replay_resume()");
    seal_in_the_end(&forest, &erase(20));
    assert_eq!(forest.status(Leaf(20)).unwrap(), LeafStatus::Punctured);

    // Commits that wait for nobody are no second place.
    command(&primary.url(), "ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf()");
    let before = register(home.path());
    let refused = (0..50).any(|leaf| {
        std::thread::sleep(Duration::from_millis(50));
        matches!(forest.seal(&erase(100 + leaf)), Err(SealError::NotDone(_)))
    });
    assert!(refused);
    command(&primary.url(), SYNCHRONOUS);
    seal_in_the_end(&forest, &erase(30));
    assert_ne!(register(home.path()), before);
}

#[test]
fn a_standby_that_is_none_any_more_is_refused() {
    let primary = Cluster::start("", "");
    let standby = primary.standby("");
    let pages = pages(&primary, &standby);
    command(&primary.url(), SYNCHRONOUS);
    pages.create("file", 0).unwrap();
    pages.write_at("file", 0, b"bytes").unwrap();
    pages.flush("file").unwrap();
    assert_eq!(pages.read_back("file", 0, 5).unwrap(), b"bytes");
    standby.promote();
    assert!(pages.read_back("file", 0, 5).is_err());
    assert_eq!(pages.read_at("file", 0, 5).unwrap(), b"bytes");
}
