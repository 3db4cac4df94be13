//! A vault that is used while it is moved, killed twice on the way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use reqwest::StatusCode;

use super::client::{Client, Item};
use super::{Rig, client};
use crate::figures::figure;

/// Clients that change things while the vault is moved.
const CLIENTS: usize = 3;
/// Time between two changes of one client.
const BETWEEN: Duration = Duration::from_millis(15);

/// What was acknowledged, and what nobody can know.
#[derive(Default)]
struct Known {
    /// Acknowledged as there.
    live: HashMap<usize, Item>,
    /// Acknowledged as erased.
    gone: Vec<Item>,
    /// Answered in neither way: may be there or not.
    open: Vec<Item>,
    /// Interactions whose making was not acknowledged in whole.
    halves: usize,
    /// Changes that were held off.
    refused: usize,
    changes: usize,
}

/// Clients of whichever server is there now.
struct Load {
    known: Mutex<Known>,
    server: RwLock<Option<Client>>,
    next: AtomicUsize,
    stop: AtomicBool,
}

impl Load {
    async fn run(self: Arc<Self>, seed: usize) {
        let mut turn = seed;
        while !self.stop.load(Ordering::SeqCst) {
            tokio::time::sleep(BETWEEN).await;
            let Some(server) = self.server.read().unwrap().clone() else { continue };
            turn += 1;
            match turn % 4 {
                0 | 1 => self.make(&server).await,
                2 => self.speak(&server, turn).await,
                _ => self.erase(&server).await,
            }
        }
    }

    async fn make(&self, server: &Client) {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let made = server.make(number, 200 + number * 37 % 30_000).await;
        let mut known = self.known.lock().unwrap();
        known.changes += 1;
        match made {
            Some(item) => drop(known.live.insert(number, item)),
            None => known.halves += 1,
        }
    }

    /// Takes an item for itself, so that only one client at a time knows how it stands.
    fn take(&self, turn: usize) -> Option<Item> {
        let mut known = self.known.lock().unwrap();
        known.changes += 1;
        let number = *known.live.keys().nth(turn * 7 % known.live.len().max(1))?;
        known.live.remove(&number)
    }

    async fn speak(&self, server: &Client, turn: usize) {
        let Some(mut item) = self.take(turn) else { return };
        let language = format!("en-{turn}");
        let status = server.speak(&item.id, &language).await;
        let mut known = self.known.lock().unwrap();
        match status {
            Some(StatusCode::OK) => {
                item.language = Some(language);
                drop(known.live.insert(item.number, item));
            }
            Some(StatusCode::SERVICE_UNAVAILABLE) => {
                known.refused += 1;
                known.open.push(item);
            }
            None => known.open.push(item),
            Some(other) => panic!("a correction was answered with {other}"),
        }
    }

    async fn erase(&self, server: &Client) {
        let Some(item) = self.take(1) else { return };
        let status = server.erase(&item.id).await;
        let mut known = self.known.lock().unwrap();
        match status {
            Some(status) if status.is_success() => known.gone.push(item),
            Some(StatusCode::SERVICE_UNAVAILABLE) => {
                known.refused += 1;
                known.open.push(item);
            }
            None => known.open.push(item),
            Some(other) => panic!("a delete was answered with {other}"),
        }
    }
}

/// Fills a vault, moves it under load with two kills on the way, and checks everything.
pub async fn a_move_under_load(interactions: usize, limit: Duration) {
    let rig = Rig::new();
    let mut old = rig.serve_old(None);
    let mut filler = client(&mut old, "");
    filler.token = rig.token();
    let begun = Instant::now();
    let filled: Vec<Option<Item>> = stream::iter(0..interactions)
        .map(|number| {
            let filler = filler.clone();
            // Small ones, as most are, and a few that are not.
            let length = if number % 500 == 0 { 400_000 } else { 300 + number * 31 % 6_000 };
            async move { filler.make(number, length).await }
        })
        .buffer_unordered(32)
        .collect()
        .await;
    let filling = begun.elapsed();
    let live = filled.into_iter().map(|item| item.unwrap()).map(|item| (item.number, item)).collect();
    let load = Arc::new(Load {
        known: Mutex::new(Known { live, ..Known::default() }),
        server: RwLock::new(Some(filler.clone())),
        next: AtomicUsize::new(interactions),
        stop: AtomicBool::new(false),
    });
    let clients: Vec<_> = (0..CLIENTS).map(|seed| tokio::spawn(Arc::clone(&load).run(seed * 5))).collect();

    // Killed at some moment after a quarter, and after half of it is there.
    for there in [interactions / 4, interactions / 2 + 1] {
        let moment = Duration::from_millis(uuid::Uuid::new_v4().as_u128() as u64 % 400);
        let killed = std::thread::scope(|scope| {
            let running = scope.spawn(|| rig.migrate(&["--yes"]));
            while rig.rows_there() < there && !running.is_finished() {
                std::thread::sleep(Duration::from_millis(20));
            }
            std::thread::sleep(moment);
            *load.server.write().unwrap() = None;
            old.kill();
            running.join().unwrap()
        });
        assert_ne!(killed.code, 0, "it was to be killed before its end: {}", killed.out);
        old = rig.serve_old(None);
        *load.server.write().unwrap() = Some(client(&mut old, &filler.token));
    }
    let root = rig.old_root();
    let begun = Instant::now();
    let moved = tokio::task::block_in_place(|| rig.migrate_through(limit));
    let moving = begun.elapsed();
    *load.server.write().unwrap() = None;
    load.stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(old.wait(), 8);
    assert!(!rig.register_holds(&root));
    rig.assert_old_is_closed();

    let mut new = rig.serve_new();
    let after = client(&mut new, &filler.token);
    let known = std::mem::take(&mut *load.known.lock().unwrap());
    let checks = known.live.values().map(|item| {
        let after = after.clone();
        async move {
            after.assert_whole(item).await;
            if item.number % 50 == 0 {
                after.assert_found(item).await;
            }
        }
    });
    stream::iter(checks).buffer_unordered(16).for_each(|()| async {}).await;
    for item in &known.gone {
        after.assert_gone(item).await;
    }
    // Nothing is there twice, and nothing that nobody made: whatever is there was acknowledged or is open.
    let ids = after.all().await;
    let mut once = ids.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), ids.len(), "an interaction is listed twice");
    for item in known.live.values() {
        assert!(once.binary_search(&item.id).is_ok(), "{} is not listed", item.number);
    }
    for item in &known.gone {
        assert!(once.binary_search(&item.id).is_err(), "{} is listed although it was erased", item.number);
    }
    let open = known.open.len() + known.halves;
    assert!(ids.len() <= known.live.len() + open, "{} are there", ids.len());
    assert!(!known.gone.is_empty() && known.changes > 20, "there was hardly any load: {} changes", known.changes);
    let figures = &moved["figures"];
    figure(
        &format!("moved-{interactions}"),
        &format!(
            "{} interactions ({} changed under load, {} held off or open) filled in {:.0} s; third run: {:.1} s in all, {} \
             contents copied, {} compared, changes held off for {} s",
            ids.len(),
            known.changes,
            open,
            filling.as_secs_f64(),
            moving.as_secs_f64(),
            figures["copied"],
            figures["contents"],
            figures["pauseSeconds"],
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_of_two_thousand_moved_under_load_and_killed_twice_loses_nothing_and_doubles_nothing() {
    a_move_under_load(2_000, Duration::from_secs(150)).await;
}

mod slow {
    use super::*;

    #[ignore = "fills a vault with 100,000 interactions: ./test.sh slow"]
    #[tokio::test(flavor = "multi_thread")]
    async fn a_vault_of_a_hundred_thousand_moved_under_load_and_killed_twice_loses_nothing_and_doubles_nothing() {
        a_move_under_load(100_000, Duration::from_secs(1_200)).await;
    }
}
