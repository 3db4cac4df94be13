//! Holders that go, in order and not, while others are asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;

/// What clients were told.
#[derive(Default)]
struct Ledger {
    stop: AtomicBool,
    /// Calls whose recording was stored, and with which byte.
    stored: Mutex<HashMap<String, u8>>,
    /// Calls whose erasure was answered as done.
    erased: Mutex<Vec<String>>,
    /// Erasures that were answered 503: either is true.
    open: Mutex<Vec<String>>,
    refused: AtomicUsize,
    asked: AtomicUsize,
}

/// Where the load goes: nodes that are not being restarted.
type Targets = Arc<Mutex<Vec<String>>>;

impl Ledger {
    /// One client: stores, reads back, erases every other one; only full success or 503 is ever seen.
    async fn client(self: Arc<Self>, number: usize, token: String, targets: Targets) {
        let mut round = 0_usize;
        while !self.stop.load(Ordering::SeqCst) {
            round += 1;
            let asker = {
                let targets = targets.lock().unwrap();
                Asker::new(&targets[(number + round) % targets.len()], &token)
            };
            self.round(&asker, (number * 50 + round % 50) as u8, round.is_multiple_of(2)).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Notes an answer; `true` when it is a success.
    fn heard(&self, status: StatusCode) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return false;
        }
        assert!(status.is_success(), "{status}");
        true
    }

    async fn round(&self, asker: &Asker, byte: u8, erase: bool) {
        let body = json!({ "kind": "call", "startedAt": "2026-11-20T10:00:00Z" });
        let url = format!("{}/api/v1/interactions", asker.base);
        let made = asker.client.post(url).bearer_auth(&asker.token).json(&body).send().await.unwrap();
        if !self.heard(made.status()) {
            return;
        }
        let made: Value = made.json().await.unwrap();
        let id = made["id"].as_str().unwrap().to_owned();
        let put = asker.client.put(asker.recording(&id)).bearer_auth(&asker.token);
        let put = put.header("content-type", "audio/wav").body(vec![byte; 30_000]).send().await.unwrap();
        if !self.heard(put.status()) {
            return;
        }
        self.stored.lock().unwrap().insert(id.clone(), byte);
        let (status, bytes) = asker.read(&id).await;
        if self.heard(status) {
            assert_eq!(bytes, vec![byte; 30_000]);
        }
        if erase {
            if self.heard(asker.delete(&id).await) {
                self.erased.lock().unwrap().push(id);
            } else {
                self.open.lock().unwrap().push(id);
            }
        }
    }

    /// Everything answered as done is done, at this node.
    async fn settle(&self, asker: &Asker) {
        let (erased, open) = (self.erased.lock().unwrap().clone(), self.open.lock().unwrap().clone());
        let stored = self.stored.lock().unwrap().clone();
        assert!(stored.len() > 5 && !erased.is_empty());
        for (id, byte) in stored {
            let (status, bytes) = asker.read(&id).await;
            if erased.contains(&id) {
                assert_eq!(status, StatusCode::GONE, "{id} was erased");
            } else if !open.contains(&id) || status == StatusCode::OK {
                assert_eq!((status, bytes), (StatusCode::OK, vec![byte; 30_000]), "{id} was stored");
            } else {
                assert_eq!(status, StatusCode::GONE, "{id}");
            }
        }
    }
}

fn bases(nodes: &Nodes, but: usize) -> Vec<String> {
    let others = nodes.nodes.iter().enumerate().filter(|(number, _)| *number != but);
    others.map(|(_, node)| node.asker.base.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_is_restarted_in_turn_under_load_and_no_request_is_refused() {
    let mut nodes = Nodes::start(3, "").await;
    let targets: Targets = Arc::new(Mutex::new(bases(&nodes, 0)));
    let ledger = Arc::new(Ledger::default());
    let clients: Vec<_> = (0..3)
        .map(|number| tokio::spawn(Arc::clone(&ledger).client(number, nodes.token.clone(), Arc::clone(&targets))))
        .collect();
    for number in 0..3 {
        *targets.lock().unwrap() = bases(&nodes, number);
        // What was begun at this node ends first, as behind a balancer that drains it.
        tokio::time::sleep(Duration::from_secs(2)).await;
        nodes.nodes[number].restart().await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    ledger.stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    let (asked, refused) = (ledger.asked.load(Ordering::SeqCst), ledger.refused.load(Ordering::SeqCst));
    println!("{asked} requests over three restarts, {refused} refused");
    assert_eq!(refused, 0, "of {asked}");
    ledger.settle(nodes.ask(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_killed_is_followed_by_a_front_and_nothing_that_was_answered_is_lost() {
    let mut nodes = Nodes::start(3, "").await;
    let targets: Targets = Arc::new(Mutex::new(bases(&nodes, 0)));
    let ledger = Arc::new(Ledger::default());
    let clients: Vec<_> = (0..4)
        .map(|number| tokio::spawn(Arc::clone(&ledger).client(number, nodes.token.clone(), Arc::clone(&targets))))
        .collect();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let begun = Instant::now();
    nodes.nodes[0].server.kill();
    let before = ledger.stored.lock().unwrap().len();
    while ledger.stored.lock().unwrap().len() < before + 6 {
        assert!(begun.elapsed() < PATIENCE, "nobody took over: {}", nodes.nodes[1].server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("stored again {:?} after the kill", begun.elapsed());
    ledger.stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    for number in [1, 2] {
        nodes.nodes[number].until_ready().await;
        ledger.settle(nodes.ask(number)).await;
    }
    let holders = [nodes.nodes[1].own("/metrics").await.1, nodes.nodes[2].own("/metrics").await.1];
    assert_eq!(holders.iter().filter(|text| text.contains("role=\"holder\"} 1")).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_was_paused_is_passed_over_and_a_request_that_it_had_is_never_guessed_at() {
    let mut nodes = Nodes::start(2, "").await;
    let kept = nodes.ask(1).call("kept", pattern(30_000)).await;
    let erased = nodes.ask(1).call("erased", pattern(30_000)).await;
    nodes.nodes[0].server.pause();
    // Heard by nobody who could answer: the front does not know what became of it, and says so.
    assert_eq!(nodes.ask(1).delete(&erased).await, StatusCode::SERVICE_UNAVAILABLE);
    let begun = Instant::now();
    while nodes.ask(1).read(&kept).await != (StatusCode::OK, pattern(30_000)) {
        assert!(begun.elapsed() < PATIENCE, "nobody took over: {}", nodes.nodes[1].server.log());
    }
    assert!(nodes.ask(1).delete(&erased).await.is_success());
    nodes.nodes[0].server.resume();
    let begun = Instant::now();
    while nodes.nodes[0].server.running() {
        assert!(begun.elapsed() < PATIENCE, "a process that was passed over ends");
        let asker = nodes.ask(0);
        let answer = asker.client.get(asker.recording(&erased)).bearer_auth(&asker.token).send().await;
        if let Ok(answer) = answer {
            assert_ne!(answer.status(), StatusCode::OK);
        }
    }
    // Also when a write of it was refused before its lease learned why.
    assert_eq!(nodes.nodes[0].server.wait(), 75, "{}", nodes.nodes[0].server.log());
}
