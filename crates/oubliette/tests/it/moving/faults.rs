//! Servers of the new place that go away and return during a move, and roots that go to other stores than a file.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use reqwest::StatusCode;

use super::client::{Client, Item};
use super::{Rig, client};
use crate::engines::engine;
use crate::program::{Place, Ran, Server};
use crate::scaled::{Cut, Vault};

/// A move that meets a fault ends by then, in one way or the other; and one that goes on afterwards is through.
const LIMIT: Duration = Duration::from_secs(120);
/// How long a server is away.
const AWAY: Duration = Duration::from_secs(4);
const ITEMS: usize = 400;

/// Ways to the servers of the new place.
struct Ways {
    database: Cut,
    bucket: Cut,
    openbao: Cut,
}

impl Rig {
    /// A rig whose new place is reached by ways that can be cut.
    async fn through(root: &str) -> (Self, Ways) {
        let servers = Vault::new();
        let ways = Ways {
            database: Cut::before(&servers.database.url).await,
            bucket: Cut::before(&engine("OUBLIETTE_TEST_S3")).await,
            openbao: Cut::before(&engine("OUBLIETTE_TEST_OPENBAO")).await,
        };
        let new = servers.place_through(&ways.database.url, &ways.bucket.url, &ways.openbao.url, root);
        (Self { old: Place::new(), new, servers }, ways)
    }
}

/// A served vault with this many interactions.
async fn filled(rig: &Rig, items: usize) -> (Server, Client, Vec<Item>) {
    let mut old = rig.serve_old(None);
    let mut before = client(&mut old, "");
    before.token = rig.token();
    let made = stream::iter(0..items).map(|number| {
        let before = before.clone();
        async move { before.make(number, 200 + number * 41 % 20_000).await.unwrap() }
    });
    let items = made.buffer_unordered(16).collect().await;
    (old, before, items)
}

async fn assert_all(after: &Client, items: &[Item], gone: &[Item]) {
    for item in items {
        after.assert_whole(item).await;
    }
    for item in items.iter().step_by(40) {
        after.assert_found(item).await;
    }
    for item in gone {
        after.assert_gone(item).await;
    }
    assert_eq!(after.all().await.len(), items.len(), "nothing is lost and nothing is there twice");
}

/// Cuts a way in the midst of the copying; the old vault answers meanwhile, and in the end everything is at the new place.
async fn goes_on_after_a_cut(choose: impl Fn(&Ways) -> &Cut) {
    let (rig, ways) = Rig::through("class = \"file\"").await;
    let way = choose(&ways);
    let (mut old, before, mut items) = filled(&rig, ITEMS).await;
    let handle = tokio::runtime::Handle::current();
    let mut gone = Vec::new();
    let ran: Ran = std::thread::scope(|scope| {
        let running = scope.spawn(|| rig.migrate(&["--yes"]));
        while rig.rows_there() < ITEMS / 8 && !running.is_finished() {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!running.is_finished(), "it was to be cut before its end");
        way.set_open(false);
        let begun = Instant::now();
        // A change may be held off for a moment, but is not lost; and what is there is read.
        tokio::task::block_in_place(|| {
            handle.block_on(async {
                while begun.elapsed() < AWAY {
                    before.assert_whole(&items[0]).await;
                    let item = items.pop().unwrap();
                    match before.erase(&item.id).await {
                        Some(status) if status.is_success() => gone.push(item),
                        Some(StatusCode::SERVICE_UNAVAILABLE) => items.push(item),
                        other => panic!("{other:?}"),
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            });
        });
        way.set_open(true);
        while !running.is_finished() {
            assert!(begun.elapsed() < LIMIT, "a move neither ends nor goes on");
            std::thread::sleep(Duration::from_millis(50));
        }
        running.join().unwrap()
    });
    assert!(!gone.is_empty(), "the old vault erases as long as it is the one that serves");
    if ran.code != 0 {
        assert!(!ran.err.contains("postgres://") && !ran.err.contains("panicked"), "{}", ran.err);
        assert!(old.running(), "it goes on: {}", old.log());
        rig.assert_new_is_closed();
        assert_all(&before, &items, &gone).await;
        tokio::task::block_in_place(|| rig.migrate_through(LIMIT));
    }
    assert_eq!(old.wait(), 8, "{}", old.log());
    rig.assert_old_is_closed();
    let mut new = rig.serve_new();
    assert_all(&client(&mut new, &before.token), &items, &gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_during_a_move_loses_nothing() {
    goes_on_after_a_cut(|ways| &ways.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_goes_away_during_a_move_loses_nothing() {
    goes_on_after_a_cut(|ways| &ways.bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_store_that_is_away_is_found_out_before_anything_is_handed_over() {
    let (rig, ways) = Rig::through("class = \"openbao\"").await;
    ways.openbao.set_open(false);
    let (mut old, before, items) = filled(&rig, 5).await;
    let root = rig.old_root();
    let ran = tokio::task::block_in_place(|| rig.migrate(&["--yes"]));
    assert_ne!(ran.code, 0, "{}", ran.out);
    assert!(ran.err.to_lowercase().contains("root"), "it says what is away: {}", ran.err);
    assert!(old.running() && rig.register_holds(&root));
    assert_all(&before, &items, &[]).await;
    ways.openbao.set_open(true);
    tokio::task::block_in_place(|| rig.migrate_through(LIMIT));
    assert_eq!(old.wait(), 8);
    assert!(!rig.register_holds(&root));
    let mut new = rig.serve_new();
    assert_all(&client(&mut new, &before.token), &items, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_store_that_goes_away_at_the_hand_over_keeps_both_places_closed_until_it_is_back() {
    let (rig, ways) = Rig::through("class = \"openbao\"").await;
    let mut old = rig.serve_old(Some("move.handed_over"));
    let mut before = client(&mut old, "");
    before.token = rig.token();
    let item = before.make(1, 50_000).await.unwrap();
    let root = rig.old_root();
    tokio::task::block_in_place(|| assert_ne!(rig.migrate(&["--yes"]).code, 0));
    assert!(old.log().contains("crashing at move.handed_over"), "{}", old.log());
    ways.openbao.set_open(false);
    let begun = Instant::now();
    tokio::task::block_in_place(|| {
        // The claim of the process before may still stand for a moment.
        let mut ran = rig.migrate(&["--yes"]);
        while ran.code == 6 {
            assert!(begun.elapsed() < LIMIT, "{}", ran.err);
            std::thread::sleep(Duration::from_millis(500));
            ran = rig.migrate(&["--yes"]);
        }
        assert_ne!(ran.code, 0, "{}", ran.out);
    });
    assert!(rig.register_holds(&root), "nothing is destroyed before the new root is in its place");
    rig.assert_old_is_closed();
    ways.openbao.set_open(true);
    tokio::task::block_in_place(|| rig.migrate_through(LIMIT));
    assert!(!rig.register_holds(&root));
    let mut new = rig.serve_new();
    let after = client(&mut new, &before.token);
    after.assert_whole(&item).await;
    after.assert_found(&item).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_in_shares_takes_the_place_of_the_one_in_the_file() {
    let rig = Rig::with_root("class = \"multi-share\"\nshares = [\"file\", \"openbao\"]");
    let (mut old, before, mut items) = filled(&rig, 12).await;
    let root = rig.old_root();
    let gone = vec![items.pop().unwrap()];
    assert!(before.erase(&gone[0].id).await.unwrap().is_success());
    tokio::task::block_in_place(|| rig.migrate_through(LIMIT));
    assert_eq!(old.wait(), 8);
    assert!(!rig.register_holds(&root));
    let mut new = rig.serve_new();
    let after = client(&mut new, &before.token);
    assert_all(&after, &items, &gone).await;
    let status = rig.new.run(&["status", "--config", "oubliette.toml", "--json"]).with_code(0).json();
    assert_eq!(status["registerClass"], "multi-share(file,openbao)", "{status}");
    let item = items.pop().unwrap();
    assert!(after.erase(&item.id).await.unwrap().is_success());
    after.assert_gone(&item).await;
}
