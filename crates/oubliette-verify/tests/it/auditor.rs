//! Somebody who follows a log with `oubliette-verify`, and the log.

use std::fs;

use oubliette_proof::Hash;
use oubliette_proof::entry::Body;
use oubliette_proof::note::{Checkpoint, SigningKey};
use oubliette_proof::tree::TreeHead;
use serde_json::Value;
use tempfile::TempDir;

use crate::command::run;
use crate::fixture::*;
use crate::server::Server;

/// An auditor's folder with the keys, a log, and a server of it.
pub struct Auditor {
    pub folder: TempDir,
    pub log: Log,
    pub server: Server,
}

impl Auditor {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("keys"), key_file()).unwrap();
        Self { folder, log: Log::new(), server: Server::new() }
    }

    pub fn at(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Serves the log with so many entries more.
    pub fn serve(&mut self, more: u64) {
        grow(&mut self.log, more, 3);
        self.server.show(&self.log, &self.log.checkpoint(None));
    }

    /// One look, for programs: the exit code, the state found, and everything told.
    pub fn look(&self) -> (i32, String, Value) {
        let (code, told) = run(&self.folder, &format!("{} --json", self.args(&self.server.url)));
        let told: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
        (code, told["facts"]["state"].as_str().unwrap().to_owned(), told)
    }

    pub fn args(&self, log: &str) -> String {
        format!("--follow --log {log} --log-key keys --state state")
    }

    /// A look that must come to this.
    #[track_caller]
    pub fn found(&self, code: i32, state: &str) -> Value {
        let (is, found, told) = self.look();
        assert_eq!((is, found.as_str()), (code, state), "{told}");
        told
    }

    pub fn remembered(&self) -> String {
        fs::read_to_string(self.at("state/checkpoint")).unwrap_or_default()
    }
}

pub fn grow(log: &mut Log, count: u64, mark: u8) {
    let seals = (0..count).map(|epoch| Body::Seal(seal(TreeHead { size: 2, root: Hash([mark; 32]) }, epoch)));
    log.append_all("2026-04-01T00:00:00Z", seals);
}

/// A log of the same key with the first `same` entries of this one, and others after them.
pub fn fork(log: &Log, same: usize, size: u64) -> Log {
    let mut other = Log::new();
    let (time, at) = ("2026-04-01T00:00:00Z", |entry: &Vec<u8>| oubliette_proof::entry::Entry::decode(entry).unwrap());
    other.append_all(time, log.entries[..same].iter().map(|entry| at(entry).body));
    grow(&mut other, size - same as u64, 4);
    other
}

pub fn signed(log: &Log, keys: &[&SigningKey]) -> String {
    let mut note = Checkpoint::sign(log.head, keys[0]).unwrap();
    keys[1..].iter().for_each(|key| note.sign(key).unwrap());
    note.to_string()
}
