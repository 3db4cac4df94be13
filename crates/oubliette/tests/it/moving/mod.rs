//! `oubliette migrate`: the real program moves a vault to real servers, is killed on the way, and everything is there.
//!
//! `scripts/engines.sh` starts the servers; without them these tests fail.

mod client;
mod faults;
mod killed;
mod late;
mod load;
mod moved;
mod watched;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Place, Ran, Server};
use crate::scaled::Vault;
use client::Client;

/// Bytes of a register slot's record, and where it has the root's key.
const SLOT: usize = 4096;
const KEY: std::ops::Range<usize> = 16..48;

/// A vault in its data folder, and the empty place it is to go to.
pub struct Rig {
    pub old: Place,
    pub new: Place,
    servers: Vault,
}

impl Rig {
    pub fn new() -> Self {
        Self::with_root("class = \"file\"")
    }

    /// The new place's root in another store.
    pub fn with_root(root: &str) -> Self {
        let servers = Vault::new();
        let new = servers.place(root);
        Self { old: Place::new(), new, servers }
    }

    fn data(&self) -> String {
        self.old.data().to_str().unwrap().to_owned()
    }

    /// Serves the old vault, to be killed at a named moment.
    pub fn serve_old(&self, crash_at: Option<&str>) -> Server {
        let data = self.data();
        let set: Vec<(&str, &str)> = crash_at.map(|at| ("OUBLIETTE_CRASH_AT", at)).into_iter().collect();
        self.old.start_with(&["serve", "--data", &data, "--listen", "127.0.0.1:0"], &set)
    }

    /// Serves the new one.
    pub fn serve_new(&self) -> Server {
        self.new.start(&["serve", "--config", "oubliette.toml", "--listen", "127.0.0.1:0"])
    }

    /// A credential of the native API, made through the running old server.
    pub fn token(&self) -> String {
        let data = self.data();
        let told =
            self.old.run(&["token", "create", "--data", &data, "--kind", "native", "--json"]).with_code(0).json();
        told["secret"].as_str().unwrap().to_owned()
    }

    /// Runs the move to its end, whatever that is.
    pub fn migrate(&self, more: &[&str]) -> Ran {
        self.migrate_killed_at(None, more)
    }

    /// The same, where the command itself does the work and is killed at a named moment.
    pub fn migrate_killed_at(&self, crash_at: Option<&str>, more: &[&str]) -> Ran {
        let (data, to) = (self.data(), self.new.join("oubliette.toml"));
        let mut arguments = vec!["migrate", "--data", &data, "--to", to.to_str().unwrap()];
        arguments.extend(more);
        let set: Vec<(&str, &str)> = crash_at.map(|at| ("OUBLIETTE_CRASH_AT", at)).into_iter().collect();
        self.old.run_with(&arguments, &set)
    }

    /// Interactions that have a row at the new place; none while there is no table.
    pub fn rows_there(&self) -> usize {
        let ask = ["-tA", "-c", "SELECT count(*) FROM oubliette.interactions"];
        let told = Command::new("psql").arg(&self.servers.database.url).args(ask).output().unwrap();
        String::from_utf8_lossy(&told.stdout).trim().parse().unwrap_or(0)
    }

    fn register(&self) -> PathBuf {
        self.old.join("vault.register").join("register")
    }

    /// The key of the root in force in the old register, as its bytes lie on the disk.
    pub fn old_root(&self) -> Vec<u8> {
        self.old_root_if_any().unwrap()
    }

    /// The same; `None` when it is destroyed.
    pub fn old_root_if_any(&self) -> Option<Vec<u8>> {
        let bytes = std::fs::read(self.register()).unwrap();
        let slots = bytes.chunks(SLOT).filter(|slot| slot.starts_with(b"KFSLOT01"));
        let newest = slots.max_by_key(|slot| u64::from_le_bytes(slot[8..16].try_into().unwrap()));
        newest.map(|slot| slot[KEY].to_vec())
    }

    /// Whether the old register holds this key or any root at all.
    pub fn register_holds(&self, key: &[u8]) -> bool {
        let bytes = std::fs::read(self.register()).unwrap();
        assert_eq!(bytes.len(), 2 * SLOT);
        bytes.windows(key.len()).any(|window| window == key) || bytes.windows(8).any(|window| window == b"KFSLOT01")
    }

    /// The old vault never serves again, and says so.
    pub fn assert_old_is_closed(&self) {
        let data = self.data();
        let refused = self.old.run(&["serve", "--data", &data, "--listen", "127.0.0.1:0"]).with_code(8);
        assert!(refused.err.contains("has moved to PostgreSQL and the bucket"), "{}", refused.err);
        assert!(!refused.err.contains("postgres://"), "{}", refused.err);
    }

    /// The new place does not serve yet, and says so.
    pub fn assert_new_is_closed(&self) {
        let refused = self.new.run(&["serve", "--config", "oubliette.toml", "--listen", "127.0.0.1:0"]).with_code(6);
        assert!(refused.err.contains("a move brings a vault here"), "{}", refused.err);
    }

    /// Runs the move until it is through; fails when that takes longer than `limit`. For after a kill, whose claim to the new
    /// place the database may still hold for a moment.
    pub fn migrate_through(&self, limit: Duration) -> Value {
        let begun = Instant::now();
        loop {
            let ran = self.migrate(&["--yes", "--json"]);
            if ran.code == 0 {
                return ran.json();
            }
            assert!(ran.code == 6 && begun.elapsed() < limit, "code {}: {}{}", ran.code, ran.out, ran.err);
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// A client of a running server.
pub fn client(server: &mut Server, token: &str) -> Client {
    Client::new(&server.wait_for_endpoint(), token)
}
