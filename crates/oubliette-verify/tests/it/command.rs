//! The program `oubliette-verify`, from outside, in a folder with nothing but what a stranger is given.

use std::fs;
use std::path::Path;
use std::process::Command;

use oubliette_proof::certificate::write_page;
use oubliette_proof::entry::Body;
use oubliette_proof::note::{Checkpoint, SignedNote};
use oubliette_proof::tree::{Tile, TileKind, TreeHead};
use oubliette_proof::{Hash, sha256};
use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::*;

/// A folder with certificate, bulk file, keys and a copy of the log.
pub fn stranger() -> (TempDir, Scene) {
    let (folder, scene) = (tempfile::tempdir().unwrap(), scene());
    let at = |name: &str| folder.path().join(name);
    fs::write(at("item.json"), scene.item.to_json()).unwrap();
    fs::write(at("order.json"), scene.order.to_json()).unwrap();
    fs::write(at("item.html"), write_page(&scene.item, &scene.item.verify(&scene.keys).unwrap())).unwrap();
    fs::write(at("bulk.ndjson"), &scene.bulk).unwrap();
    fs::write(at("keys"), key_file()).unwrap();
    for (size, checkpoint) in &scene.checkpoints {
        fs::write(at(&format!("checkpoint-{size}")), checkpoint).unwrap();
    }
    copy(&scene.log, &at("log"));
    (folder, scene)
}

pub fn copy(log: &Log, folder: &Path) {
    for (tile, bytes) in &log.files.0 {
        let path = folder.join(tile.to_string());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fs::write(folder.join("checkpoint"), log.checkpoint(None)).unwrap();
}

pub fn run(folder: &TempDir, args: &str) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oubliette-verify"));
    let output = command.args(args.split_whitespace()).env_clear().current_dir(folder.path()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn a_stranger_can_check_a_certificate_with_the_key_alone() {
    let (folder, scene) = stranger();
    let (code, told) = run(&folder, "item.json --log-key keys");
    assert_eq!(code, 0, "{told}");
    for part in ["VALID", "Proven:", "Not proven:", "The witness witness.example/w1 saw", "gdpr:17-1-b", "LOWERED"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let (code, told) = run(&folder, "order.json --log-key keys --json");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, told["result"].as_str()), (0, Some("valid")));
    assert_eq!(told["facts"]["subject"]["id"].as_str(), Some(scene.order.subject.id.to_string().as_str()));
    assert!(told["proven"].as_array().unwrap().iter().any(|said| said["code"] == "removal-stated"));
}

#[test]
fn exit_codes_tell_what_came_of_it() {
    let (folder, scene) = stranger();
    let own = scene.item.subject.id;
    let mut changed = scene.item.to_json();
    changed[200] ^= 1;
    fs::write(folder.path().join("changed.json"), changed).unwrap();
    // Not in the certificate: in the words around it.
    let page = fs::read_to_string(folder.path().join("item.html")).unwrap();
    fs::write(folder.path().join("changed.html"), page.replace("4 MiB or more", "8 MiB or more")).unwrap();
    fs::write(folder.path().join("log-only"), log_key().verifier().to_string()).unwrap();
    fs::write(folder.path().join("empty"), "").unwrap();
    for (args, expected) in [
        (format!("item.json --log-key keys --id {own}"), 0),
        (format!("item.json --log-key keys --id {}", own.to_string().to_uppercase()), 0),
        (format!("item.json --log-key keys --id {}", id(2)), 3),
        (format!("item.html --log-key keys --id {own}"), 0),
        (format!("item.html --log-key keys --id {}", id(2)), 3),
        ("item.html --log-key keys --log log".to_owned(), 0),
        ("changed.html --log-key keys".to_owned(), 1),
        ("item.html --log-key log-only".to_owned(), 1),
        (format!("bulk.ndjson --log-key keys --id {}", id(2)), 0),
        (format!("bulk.ndjson --log-key keys --id {}", id(4)), 3),
        ("bulk.ndjson --log-key keys".to_owned(), 0),
        ("changed.json --log-key keys".to_owned(), 1),
        ("item.json --log-key log-only".to_owned(), 1),
        ("empty --log-key keys".to_owned(), 1),
        ("absent.json --log-key keys".to_owned(), 4),
        ("item.json --log-key absent".to_owned(), 4),
        ("item.json --log-key item.json".to_owned(), 4),
        ("item.json".to_owned(), 2),
        ("--log-key keys".to_owned(), 2),
        ("item.json order.json --log-key keys".to_owned(), 2),
        ("item.json --log-key keys --id nonsense".to_owned(), 2),
        ("item.json --log-key keys --nonsense".to_owned(), 2),
        ("item.json --log-key".to_owned(), 2),
        ("--audit checkpoint-2 --log log --log-key keys".to_owned(), 2),
        ("--follow --log log --log-key keys".to_owned(), 2),
        ("--follow --state state --log-key keys".to_owned(), 2),
        ("--follow item.json --log log --state state --log-key keys".to_owned(), 2),
        ("--follow --audit --log log --state state --log-key keys".to_owned(), 2),
        ("item.json --state state --log-key keys".to_owned(), 2),
        ("--help".to_owned(), 0),
        ("--version".to_owned(), 0),
    ] {
        let (code, told) = run(&folder, &args);
        assert_eq!(code, expected, "{args}: {told}");
    }
    let (_, told) = run(&folder, "item.json --log-key log-only");
    assert!(told.contains("If witness.example/w1 is a witness you know"), "{told}");
    assert!(told.contains("If it is the name of the log, that may have changed its key"), "{told}");
}

#[test]
fn who_stops_reading_gets_the_verdict_even_so() {
    let (folder, _scene) = stranger();
    let mut changed = fs::read(folder.path().join("item.json")).unwrap();
    changed[200] ^= 1;
    fs::write(folder.path().join("changed.json"), changed).unwrap();
    for (args, code) in [("--help", 0), ("item.json --log-key keys", 0), ("changed.json --log-key keys", 1)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_oubliette-verify"));
        command.args(args.split_whitespace()).env_clear().current_dir(folder.path()).stdout(writer);
        let output = command.output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), told.as_str()), (Some(code), ""), "{args}");
    }
}

#[test]
fn a_bulk_file_with_a_line_missing_or_changed_is_invalid() {
    let (folder, scene) = stranger();
    let lines: Vec<_> = scene.bulk.split_inclusive(|byte| *byte == b'\n').collect();
    fs::write(folder.path().join("short"), lines[..3].concat()).unwrap();
    let (code, told) = run(&folder, "short --log-key keys");
    assert!(code == 1 && told.contains("the file has 2 receipts, the order has 3"), "{told}");
    let mut changed = scene.bulk.clone();
    let place = lines[..2].concat().len() + 20;
    changed[place] ^= 1;
    fs::write(folder.path().join("changed"), changed).unwrap();
    let (code, told) = run(&folder, "changed --log-key keys");
    assert!(code == 1 && told.contains("line 3:"), "{told}");
    // The first line alone is the order's certificate, and says nothing about single items.
    fs::write(folder.path().join("first"), lines[0]).unwrap();
    assert_eq!(run(&folder, "first --log-key keys").0, 0);
    assert_eq!(run(&folder, &format!("first --log-key keys --id {}", id(2))).0, 3);
}

#[test]
fn a_certificate_is_compared_with_the_log_as_it_is_later() {
    let (folder, mut scene) = stranger();
    let (code, told) = run(&folder, "item.json --log-key keys --log log");
    assert!(code == 0 && told.contains("The log given agrees"), "{told}");
    let size = scene.log.head.size;
    assert_eq!(run(&folder, &format!("item.json --log-key keys --log checkpoint-{size}")).0, 0);

    for epoch in 0..300 {
        scene.log.append("2026-04-01T00:00:00Z", Body::Seal(seal(TreeHead { size: 2, root: Hash([3; 32]) }, epoch)));
    }
    let later = folder.path().join("later");
    copy(&scene.log, &later);
    assert_eq!(run(&folder, "item.json --log-key keys --log later").0, 0);
    let (code, told) = run(&folder, "item.json --log-key keys --log later/checkpoint");
    assert!(code == 4 && told.contains("give the log's folder or address"), "{told}");
    // An older copy: it may have shrunk.
    let (code, told) = run(&folder, "item.json --log-key keys --log checkpoint-2");
    assert!(code == 1 && told.contains("SHRANK"), "{told}");

    let mut fork = Log::new();
    for number in 0..400 {
        fork.append("2026-04-01T00:00:00Z", Body::Seal(seal(TreeHead { size: 2, root: Hash([4; 32]) }, number)));
    }
    copy(&fork, &folder.path().join("fork"));
    let (code, told) = run(&folder, "item.json --log-key keys --log fork");
    assert!(code == 1 && told.contains("FORKED"), "{told}");
}

#[test]
fn an_audit_tells_growth_from_forks_losses_and_damage() {
    let (folder, mut scene) = stranger();
    for epoch in 0..300 {
        scene.log.append("2026-04-01T00:00:00Z", Body::Seal(seal(TreeHead { size: 2, root: Hash([3; 32]) }, epoch)));
    }
    let later = folder.path().join("later");
    copy(&scene.log, &later);
    let audit =
        |old: &str, new: &str, log: &str| run(&folder, &format!("--audit {old} {new} --log {log} --log-key keys"));
    let (code, told) = audit("checkpoint-2", "later/checkpoint", "later");
    assert!(code == 0 && told.contains("grew from 2 to 310 entries") && told.contains("307 seal"), "{told}");
    assert_eq!(audit("later/checkpoint", "later/checkpoint", "later").0, 0);
    // Partial tiles of older sizes may be gone.
    assert_eq!(audit("checkpoint-2", "checkpoint-8", "later").0, 0);

    let (code, told) = audit("later/checkpoint", "checkpoint-8", "later");
    assert!(code == 1 && told.contains("SHRANK: it had 310 entries, and has 8"), "{told}");

    // Another log under the same key, of the same size and of another.
    let mut fork = Log::new();
    for number in 0..scene.log.head.size {
        fork.append("2026-04-01T00:00:00Z", Body::Seal(seal(TreeHead { size: 2, root: Hash([4; 32]) }, number)));
    }
    copy(&fork, &folder.path().join("fork"));
    for old in ["checkpoint-2", "later/checkpoint"] {
        let (code, told) = audit(old, "fork/checkpoint", "fork");
        assert!(code == 1 && told.contains("FORKED"), "{told}");
    }
    let (code, told) = audit("checkpoint-2", "fork/checkpoint", "later");
    assert!(code == 1 && told.contains("do not lead to the root"), "{told}");

    // A signed root over nothing that is there.
    let other = Checkpoint::sign(TreeHead { size: 310, root: sha256(&[b"other"]) }, &log_key()).unwrap();
    fs::write(folder.path().join("other"), other.to_string()).unwrap();
    assert_eq!(audit("checkpoint-2", "other", "later").0, 1);
    let mut unsigned =
        SignedNote::new(scene.log.checkpoint(None).rsplit_once("\n\n").unwrap().0.to_owned() + "\n").unwrap();
    unsigned.cosign(&witness(), 1).unwrap();
    fs::write(folder.path().join("unsigned"), unsigned.to_string()).unwrap();
    let (code, told) = audit("checkpoint-2", "unsigned", "later");
    assert!(code == 4 && told.contains("not signed by a key of the log"), "{told}");

    // Damage to any file.
    let size = scene.log.head.size;
    let needed = [
        Tile { kind: TileKind::Hashes(0), index: 0, width: 256 },
        Tile::at(TileKind::Hashes(0), 1, size).unwrap(),
        Tile::at(TileKind::Hashes(1), 0, size).unwrap(),
        Tile { kind: TileKind::Entries, index: 0, width: 256 },
        Tile::at(TileKind::Entries, 1, size).unwrap(),
    ];
    for tile in needed {
        let path = later.join(tile.to_string());
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        fs::write(&path, bad).unwrap();
        let (code, told) = audit("checkpoint-2", "later/checkpoint", "later");
        assert!(code == 1, "{tile}: {told}");
        fs::remove_file(&path).unwrap();
        let (code, told) = audit("checkpoint-2", "later/checkpoint", "later");
        assert!(code == 4 && told.contains("cannot be read"), "{tile}: {told}");
        fs::write(&path, good).unwrap();
    }
    assert_eq!(audit("checkpoint-2", "later/checkpoint", "later").0, 0);
}
