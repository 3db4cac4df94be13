//! `oubliette-verify --follow`, from outside.

use std::fs;
use std::path::Path;

use oubliette_proof::Hash;
use oubliette_proof::note::{Checkpoint, KeyKind};
use oubliette_proof::tree::{Tile, TileKind, TreeHead};
use serde_json::json;

use crate::auditor::{Auditor, fork, grow, signed};
use crate::command::{copy, run};
use crate::fixture::*;
use crate::server::{Answer, listener};

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
    assert!(told["summary"].as_str().unwrap().contains("Evidence of 3 earlier findings"), "{told}");
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
    // Tiles of the proof, at the edge and full, and a bundle; all with a bit changed.
    let full = Tile { kind: TileKind::Hashes(0), index: 1, width: 256 };
    let edges = [(TileKind::Hashes(0), 3), (TileKind::Hashes(1), 0)].map(|(kind, at)| Tile::at(kind, at, 1_000));
    for tile in [full, Tile { kind: TileKind::Entries, ..full }].into_iter().chain(edges.into_iter().flatten()) {
        let mut changed = auditor.log.files.0[&tile].clone();
        changed[40] ^= 1;
        auditor.server.set(&tile.to_string(), Answer::File(changed.clone()));
        let told = auditor.found(1, "damaged");
        assert!(!told["summary"].as_str().unwrap().contains("FORKED"), "{told}");
        let evidence = auditor.at(told["facts"]["evidence"].as_str().unwrap());
        assert_eq!(fs::read(evidence.join(tile.to_string())).unwrap(), changed, "the file that was served is kept");
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
