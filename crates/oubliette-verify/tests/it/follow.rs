//! `oubliette-verify --follow`, from outside.

use std::fs;
use std::path::Path;

use oubliette_proof::Hash;
use oubliette_proof::entry::{Body, KeyRotation};
use oubliette_proof::note::{Checkpoint, KeyKind, SigningKey};
use oubliette_proof::tree::{Tile, TileKind, TreeHead};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{copy, run};
use crate::fixture::*;
use crate::server::{Answer, Server, listener};

/// An auditor's folder with the keys, a log, and a server of it.
struct Auditor {
    folder: TempDir,
    log: Log,
    server: Server,
}

impl Auditor {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("keys"), key_file()).unwrap();
        Self { folder, log: Log::new(), server: Server::new() }
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Serves the log with so many entries more.
    fn serve(&mut self, more: u64) {
        grow(&mut self.log, more, 3);
        self.server.show(&self.log, &self.log.checkpoint(None));
    }

    /// One look, for programs: the exit code, the state found, and everything told.
    fn look(&self) -> (i32, String, Value) {
        let (code, told) = run(&self.folder, &format!("{} --json", self.args(&self.server.url)));
        let told: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
        (code, told["facts"]["state"].as_str().unwrap().to_owned(), told)
    }

    fn args(&self, log: &str) -> String {
        format!("--follow --log {log} --log-key keys --state state")
    }

    /// A look that must come to this.
    #[track_caller]
    fn found(&self, code: i32, state: &str) -> Value {
        let (is, found, told) = self.look();
        assert_eq!((is, found.as_str()), (code, state), "{told}");
        told
    }

    fn remembered(&self) -> String {
        fs::read_to_string(self.at("state/checkpoint")).unwrap_or_default()
    }
}

fn grow(log: &mut Log, count: u64, mark: u8) {
    let seals = (0..count).map(|epoch| Body::Seal(seal(TreeHead { size: 2, root: Hash([mark; 32]) }, epoch)));
    log.append_all("2026-04-01T00:00:00Z", seals);
}

/// A log of the same key with the first `same` entries of this one, and others after them.
fn fork(log: &Log, same: usize, size: u64) -> Log {
    let mut other = Log::new();
    let (time, at) = ("2026-04-01T00:00:00Z", |entry: &Vec<u8>| oubliette_proof::entry::Entry::decode(entry).unwrap());
    other.append_all(time, log.entries[..same].iter().map(|entry| at(entry).body));
    grow(&mut other, size - same as u64, 4);
    other
}

fn signed(log: &Log, keys: &[&SigningKey]) -> String {
    let mut note = Checkpoint::sign(log.head, keys[0]).unwrap();
    keys[1..].iter().for_each(|key| note.sign(key).unwrap());
    note.to_string()
}

#[test]
fn a_log_that_grows_is_followed_and_the_state_is_a_copy_of_it() {
    let mut auditor = Auditor::new();
    auditor.serve(10);
    let (code, told) = run(&auditor.folder, &auditor.args(&auditor.server.url));
    assert!(code == 0 && told.contains("is followed from now on. Its 10 entries lead to the signed root"), "{told}");
    assert_eq!(auditor.remembered(), auditor.log.checkpoint(None));
    auditor.server.asked();
    auditor.found(0, "unchanged");
    assert_eq!(auditor.server.asked(), ["/log/checkpoint"]);

    let early = auditor.remembered();
    fs::write(auditor.at("early"), early).unwrap();
    for (more, most) in [(1, 6), (245, 6), (1, 6), (600, 20), (65_000, 520), (3, 15)] {
        let before = auditor.log.head.size;
        auditor.serve(more);
        let told = auditor.found(0, "grown");
        assert_eq!(told["facts"]["old"]["size"], before);
        assert_eq!(told["facts"]["kinds"], json!({"seal": more}), "{told}");
        let asked = auditor.server.asked();
        assert!(asked.len() <= most, "{more}: {asked:?}");
        assert_eq!(auditor.remembered(), auditor.log.checkpoint(None));
        // Everything that the log has lies in the state, offline.
        let audit = "--audit early state/checkpoint --log state --log-key state/keys";
        let (code, told) = run(&auditor.folder, audit);
        assert!(code == 0 && told.contains(&format!("to {} entries", before + more)), "{told}");
    }
    let tiles = |folder: &Path| fs::read_dir(folder).unwrap().count();
    assert_eq!(tiles(&auditor.at("state/tile/entries/257.p")), 1, "partial files of before are gone");

    // The same from a folder, with witnesses, and in words.
    copy(&auditor.log, &auditor.at("copied"));
    fs::write(auditor.at("copied/checkpoint"), auditor.log.checkpoint(Some(1_800_000_000))).unwrap();
    let (code, told) = run(&auditor.folder, &auditor.args("copied"));
    assert!(code == 0 && told.contains("is UNCHANGED") && told.contains("saw it: witness.example/w1"), "{told}");
    assert_eq!(auditor.remembered(), auditor.log.checkpoint(Some(1_800_000_000)), "more witnesses signed it");
    let (code, told) = run(&auditor.folder, &auditor.args("state"));
    assert!(code == 4 && told.contains("one folder"), "{told}");
}

#[test]
fn a_fork_is_told_and_its_evidence_kept() {
    let mut auditor = Auditor::new();
    auditor.serve(300);
    auditor.found(0, "begun");
    let honest = auditor.remembered();
    // Another tree of the same size; a longer one from the twentieth entry on; one that ends in another entry.
    for (same, size, count) in [(0, 300, 1), (20, 900, 2), (299, 301, 3)] {
        let other = fork(&auditor.log, same, size);
        auditor.server.show(&other, &other.checkpoint(None));
        let told = auditor.found(1, "forked");
        assert!(told["summary"].as_str().unwrap().contains("FORKED"), "{told}");
        let evidence = auditor.at(told["facts"]["evidence"].as_str().unwrap());
        assert_eq!(fs::read_to_string(evidence.join("remembered")).unwrap(), honest);
        assert_eq!(fs::read_to_string(evidence.join("checkpoint")).unwrap(), other.checkpoint(None));
        assert_eq!(auditor.remembered(), honest, "the state stays where it was");
        // The same evidence is not kept twice, also when a witness has signed meanwhile.
        auditor.server.show(&other, &other.checkpoint(Some(1_800_000_000)));
        auditor.found(1, "forked");
        assert_eq!(fs::read_dir(auditor.at("state/evidence")).unwrap().count(), count);
        // What was kept shows the fork to whoever has the state of before.
        let shown = format!("--follow --log {} --log-key keys --state state --json", evidence.display());
        let (code, told) = run(&auditor.folder, &shown);
        assert!(code == 1 && told.contains("\"state\":\"forked\""), "{told}");
    }
    // The honest story goes on, and what was seen is not forgotten.
    auditor.serve(50);
    let told = auditor.found(0, "grown");
    assert_eq!(told["facts"]["earlier_evidence"], 3);
    assert!(told["summary"].as_str().unwrap().contains("Evidence of 3 earlier contradictions"), "{told}");
}

#[test]
fn a_log_that_shrank_is_told_and_whether_it_is_another_one_too() {
    let mut auditor = Auditor::new();
    auditor.serve(200);
    let early = fork(&auditor.log, 200, 200);
    auditor.serve(400);
    auditor.found(0, "begun");
    let remembered = auditor.remembered();
    auditor.server.show(&early, &early.checkpoint(None));
    let told = auditor.found(1, "shrunk");
    let words = told["summary"].as_str().unwrap();
    assert!(words.contains("SHRANK: it had 600 entries") && words.contains("an older copy of it is served"), "{words}");
    let other = fork(&auditor.log, 100, 200);
    auditor.server.show(&other, &other.checkpoint(None));
    let told = auditor.found(1, "forked");
    let words = told["summary"].as_str().unwrap();
    assert!(words.contains("SHRANK") && words.contains("FORKED as well"), "{words}");
    assert_eq!(auditor.remembered(), remembered);
}

#[test]
fn files_that_do_not_lead_to_the_signed_root_are_told_and_not_taken_over() {
    let mut auditor = Auditor::new();
    auditor.serve(300);
    auditor.found(0, "begun");
    let remembered = auditor.remembered();
    auditor.serve(700);
    // A tile of the proof, a bundle; both with a bit changed.
    for tile in [Tile::at(TileKind::Hashes(0), 3, 1_000), Tile::at(TileKind::Entries, 1, 1_000)] {
        let tile = tile.unwrap();
        let mut changed = auditor.log.files.0[&tile].clone();
        changed[40] ^= 1;
        auditor.server.set(&tile.to_string(), Answer::File(changed));
        auditor.found(1, "damaged");
        assert_eq!(auditor.remembered(), remembered);
        auditor.serve(0);
    }
    // A root that was signed over nothing there is.
    let head = TreeHead { root: Hash([9; 32]), ..auditor.log.head };
    let note = Checkpoint::sign(head, &log_key()).unwrap().to_string();
    auditor.server.show(&auditor.log, &note);
    let told = auditor.found(1, "damaged");
    assert!(told["facts"]["evidence"].is_string(), "{told}");
    auditor.serve(0);
    auditor.found(0, "grown");
}

#[test]
fn a_log_that_cannot_be_read_changes_nothing() {
    let mut auditor = Auditor::new();
    auditor.serve(300);
    auditor.found(0, "begun");
    let remembered = auditor.remembered();
    auditor.serve(300);
    let tile = Tile { kind: TileKind::Entries, index: 1, width: 256 }.to_string();
    let unsigned = auditor.log.checkpoint(None).replace("— vault.example/log ", "— other.example/log ");
    for (path, answer) in [
        ("checkpoint", Answer::Status(404)),
        ("checkpoint", Answer::Endless),
        ("checkpoint", Answer::File(b"sign in first".to_vec())),
        ("checkpoint", Answer::File(unsigned.into_bytes())),
        (&tile, Answer::Status(404)),
        (&tile, Answer::Status(500)),
        (&tile, Answer::Endless),
        (&tile, Answer::CutShort(b"half".to_vec())),
    ] {
        auditor.server.set(path, answer);
        let told = auditor.found(4, "unreadable");
        assert!(told["summary"].as_str().unwrap().starts_with("nothing new is known of the log"), "{told}");
        assert_eq!(auditor.remembered(), remembered);
        auditor.serve(0);
    }
    let away = format!("http://{}/log/", listener().local_addr().unwrap());
    let (code, told) = run(&auditor.folder, &auditor.args(&away));
    assert!(code == 4 && told.contains("cannot be reached"), "{told}");
    // A state that was damaged is not taken for a fork.
    fs::write(auditor.at("state/checkpoint"), remembered.replace("300", "299")).unwrap();
    auditor.found(4, "unreadable");
    fs::write(auditor.at("state/checkpoint"), remembered).unwrap();
    // One run at a time.
    let lock = fs::File::open(auditor.at("state/lock")).unwrap();
    lock.lock().unwrap();
    let told = auditor.found(4, "unreadable");
    assert!(told["summary"].as_str().unwrap().contains("another run"), "{told}");
    drop(lock);
    auditor.found(0, "grown");
}

#[test]
fn a_first_look_that_was_cut_short_goes_on_where_it_was() {
    let mut auditor = Auditor::new();
    auditor.serve(20_000);
    auditor.server.tire_after(100);
    auditor.found(4, "unreadable");
    assert_eq!(auditor.remembered(), "", "nothing is known before all of it is");
    auditor.server.tire_after(usize::MAX);
    let first = auditor.server.asked().len();
    auditor.found(0, "begun");
    let second = auditor.server.asked().len();
    assert!(first > 90 && first + second < 2 * 20_000 / 256 + 20, "{first} and {second} files");
}

#[test]
fn a_key_that_the_log_announced_is_followed_and_no_other() {
    let mut auditor = Auditor::new();
    let (old, new) = (log_key(), key(ORIGIN, KeyKind::Note, 5));
    fs::write(auditor.at("keys"), format!("{}\n", old.verifier())).unwrap();
    auditor.serve(300);
    auditor.found(0, "begun");
    let remembered = auditor.remembered();

    // A key that nobody agreed to; one that another key agreed to.
    auditor.serve(1);
    auditor.server.show(&auditor.log, &signed(&auditor.log, &[&new]));
    let told = auditor.found(4, "unreadable");
    assert!(told["summary"].as_str().unwrap().contains("not signed by a key of the log"), "{told}");
    let mut stolen = fork(&auditor.log, 301, 301);
    let stranger = key(ORIGIN, KeyKind::Note, 6);
    stolen.append("2026-04-02T00:00:00Z", Body::KeyRotation(KeyRotation::sign(&stranger, &new).unwrap()));
    auditor.server.show(&stolen, &signed(&stolen, &[&new]));
    auditor.found(4, "unreadable");
    assert_eq!(auditor.remembered(), remembered);

    // The old key hands over; the new one signs alone from the next entry on.
    let handed = KeyRotation::sign(&old, &new).unwrap();
    auditor.log.append("2026-04-02T00:00:00Z", Body::KeyRotation(handed));
    let both = signed(&auditor.log, &[&new, &old]);
    let first = Auditor::new();
    first.server.show(&auditor.log, &both);
    fs::write(first.at("keys"), format!("{}\n", old.verifier())).unwrap();
    first.found(0, "begun");
    grow(&mut auditor.log, 300, 3);
    let alone = signed(&auditor.log, &[&new]);
    for follower in [&auditor, &first] {
        follower.server.show(&auditor.log, &alone);
        follower.found(0, "grown");
        let keys = fs::read_to_string(follower.at("state/keys")).unwrap();
        assert_eq!(keys, format!("{}\n{}\n", new.verifier(), old.verifier()));
        follower.found(0, "unchanged");
    }

    // From then on the old key is nobody's: also a tree that continues is refused.
    grow(&mut auditor.log, 1, 3);
    auditor.server.show(&auditor.log, &signed(&auditor.log, &[&old]));
    let told = auditor.found(1, "retired-key");
    assert!(told["summary"].as_str().unwrap().contains("a key that it has given up"), "{told}");
    assert_eq!(auditor.remembered(), alone);
    auditor.server.show(&auditor.log, &signed(&auditor.log, &[&new]));
    auditor.found(0, "grown");

    // Who begins later, with either key or with all as the vault serves them, comes to the same.
    for (keys, again) in
        [(&[&old][..], (0, "unchanged")), (&[&new], (4, "unreadable")), (&[&new, &old], (0, "unchanged"))]
    {
        let late = Auditor::new();
        let lines: String = keys.iter().map(|key| format!("{}\n", key.verifier())).collect();
        fs::write(late.at("keys"), lines).unwrap();
        late.server.show(&auditor.log, &signed(&auditor.log, &[&new]));
        late.found(0, "begun");
        let known = fs::read_to_string(late.at("state/keys")).unwrap();
        assert!(known.starts_with(&new.verifier().to_string()), "{known}");
        late.server.show(&auditor.log, &signed(&auditor.log, &[&old]));
        late.found(again.0, again.1);
    }
}

#[test]
fn another_log_at_the_same_address_is_told() {
    let mut auditor = Auditor::new();
    auditor.serve(30);
    auditor.found(0, "begun");
    let next = key("vault.example/log/2", KeyKind::Note, 7);
    let mut other = Log::new();
    grow(&mut other, 40, 3);
    auditor.server.show(&other, &signed(&other, &[&next]));
    let told = auditor.found(4, "another-log");
    assert!(told["summary"].as_str().unwrap().contains("ANOTHER LOG: vault.example/log/2"), "{told}");
    fs::write(auditor.at("keys"), format!("{}{}\n", key_file(), next.verifier())).unwrap();
    auditor.found(1, "another-log");
}
