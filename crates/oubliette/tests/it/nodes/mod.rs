//! Several real programs side by side on PostgreSQL, a bucket and OpenBao: one holds the vault, the others pass on.

mod certificates;
mod figures;
mod passing;
mod restarts;
mod revoked;

use std::time::{Duration, Instant};

use reqwest::StatusCode;

use crate::program::{Place, Server};
use crate::scaled::{Asker, Vault, serve, token};

/// For anything that takes a lease or a take-over, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// One node: its folder, its program, and how to ask it.
struct Node {
    place: Place,
    server: Server,
    asker: Asker,
}

/// Nodes of one vault; the first of them holds it.
struct Nodes {
    vault: Vault,
    nodes: Vec<Node>,
    token: String,
}

impl Nodes {
    /// So many nodes named `a`, `b`, …, each with these further settings.
    async fn start(count: usize, more: &str) -> Self {
        let vault = Vault::new();
        let mut nodes = Self { vault, nodes: Vec::new(), token: String::new() };
        for number in 0..count {
            let name = char::from(b'a' + u8::try_from(number).unwrap());
            let text = format!("[node]\nlisten = \"127.0.0.1:0\"\nname = \"{name}\"\naccept_plain_http = true\n{more}");
            nodes.add(&text).await;
        }
        nodes
    }

    /// Starts one more with this text in its configuration, and waits until it serves or passes on.
    async fn add(&mut self, text: &str) {
        let place = self.vault.place("class = \"openbao\"");
        let file = place.join("oubliette.toml");
        let before = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, before + text).unwrap();
        let mut server = serve(&place);
        let base = server.wait_for_endpoint();
        if self.token.is_empty() {
            self.token = token(&place);
        }
        let asker = Asker::new(&base, &self.token);
        let node = Node { place, server, asker };
        node.until_ready().await;
        self.nodes.push(node);
    }

    fn ask(&self, number: usize) -> &Asker {
        &self.nodes[number].asker
    }
}

impl Node {
    /// What it says at this path, without a token.
    async fn own(&self, path: &str) -> (StatusCode, String) {
        let answer = self.asker.client.get(format!("{}{path}", self.asker.base)).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn until_ready(&self) {
        let begun = Instant::now();
        loop {
            let (status, text) = self.own("/readyz").await;
            if status == StatusCode::OK {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "not ready: {text}\n{}", self.server.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// One of its figures; 0 when it has none of that name.
    async fn figure(&self, name: &str) -> u64 {
        let (status, text) = self.own("/metrics").await;
        assert_eq!(status, StatusCode::OK);
        let line = text.lines().find(|line| line.split([' ', '{']).next() == Some(name));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64)
    }

    /// Stops it in order and starts it again in its place.
    async fn restart(&mut self) {
        self.server.terminate();
        assert_eq!(self.server.wait(), 0, "{}", self.server.log());
        self.server = serve(&self.place);
        let base = self.server.wait_for_endpoint();
        self.asker = Asker::new(&base, &self.asker.token);
        self.until_ready().await;
    }
}

/// Bytes that tell where they stand.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ (at >> 16) as u8).collect()
}
