//! What a state folder keeps: of looks that did not end well, and over runs that were cut short.

use std::fs;
use std::path::{Path, PathBuf};

use oubliette_proof::Hash;
use oubliette_proof::entry::{Body, KeyRotation};
use oubliette_proof::note::{Checkpoint, KeyKind, SignedNote};
use oubliette_proof::tree::{Tile, TileKind, TreeHead};
use serde_json::Value;

use crate::auditor::{Auditor, fork, grow, signed};
use crate::fixture::*;
use crate::server::Answer;

const EDGE: Tile = Tile { kind: TileKind::Hashes(0), index: 1, width: 256 };

fn words(told: &Value) -> &str {
    told["summary"].as_str().unwrap()
}

/// The folder of evidence that was told.
fn evidence(auditor: &Auditor, told: &Value) -> PathBuf {
    auditor.at(told["facts"]["evidence"].as_str().unwrap_or_else(|| panic!("{told}")))
}

/// Every file below a folder, but for evidence.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if !path.is_dir() {
                found.push(path);
            } else if path.file_name().unwrap() != "evidence" {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_folder_that_has_lost_its_checkpoint_does_not_begin_anew() {
    let mut auditor = Auditor::new();
    auditor.serve(300);
    auditor.found(0, "begun");
    let other = fork(&auditor.log, 20, 400);
    let (checkpoint, keys) = (auditor.remembered(), fs::read_to_string(auditor.at("state/keys")).unwrap());
    auditor.server.show(&other, &other.checkpoint(None));
    for lost in ["gone", "a link to nowhere", "a folder"] {
        fs::remove_file(auditor.at("state/checkpoint")).unwrap();
        match lost {
            "a link to nowhere" => std::os::unix::fs::symlink("nowhere", auditor.at("state/checkpoint")).unwrap(),
            "a folder" => fs::create_dir(auditor.at("state/checkpoint")).unwrap(),
            _ => {}
        }
        let told = auditor.found(4, "unreadable");
        assert!(words(&told).contains("state/checkpoint"), "{lost}: {told}");
        let _ = fs::remove_file(auditor.at("state/checkpoint"));
        let _ = fs::remove_dir(auditor.at("state/checkpoint"));
        fs::write(auditor.at("state/checkpoint"), &checkpoint).unwrap();
    }
    // Evidence against a state tells as well that there was one.
    auditor.found(1, "forked");
    for name in ["checkpoint", "keys"] {
        fs::remove_file(auditor.at("state").join(name)).unwrap();
    }
    auditor.found(4, "unreadable");
    fs::write(auditor.at("state/checkpoint"), &checkpoint).unwrap();
    // Without its keys, as after a first run that was cut short, the copy of the log tells them.
    auditor.found(1, "forked");
    auditor.serve(50);
    auditor.found(0, "grown");
    assert_eq!(fs::read_to_string(auditor.at("state/keys")).unwrap(), keys);
}

#[test]
fn keys_that_do_not_fit_the_checkpoint_are_found_anew_in_the_copy() {
    let mut auditor = Auditor::new();
    let [old, new] = [1, 5].map(|seed| key(ORIGIN, KeyKind::Note, seed));
    fs::write(auditor.at("keys"), format!("{}\n", old.verifier())).unwrap();
    auditor.serve(300);
    auditor.found(0, "begun");
    let (early, first) = (auditor.remembered(), format!("{}\n", old.verifier()));
    auditor.log.append("2026-04-01T00:00:00Z", Body::KeyRotation(KeyRotation::sign(&old, &new).unwrap()));
    grow(&mut auditor.log, 50, 3);
    auditor.server.show(&auditor.log, &signed(&auditor.log, &[&new]));
    auditor.found(0, "grown");
    let (late, both) = (auditor.remembered(), format!("{}\n{}\n", new.verifier(), old.verifier()));
    // A run that was cut short between its two last steps leaves keys that are newer than the checkpoint.
    for (checkpoint, keys, expected) in
        [(&early, Some(&both), "grown"), (&late, Some(&first), "unchanged"), (&late, None, "unchanged")]
    {
        fs::write(auditor.at("state/checkpoint"), checkpoint).unwrap();
        match keys {
            Some(keys) => fs::write(auditor.at("state/keys"), keys).unwrap(),
            None => fs::remove_file(auditor.at("state/keys")).unwrap(),
        }
        auditor.found(0, expected);
    }
    auditor.server.show(&auditor.log, &signed(&auditor.log, &[&old]));
    auditor.found(1, "retired-key");
    // A copy that is damaged tells nothing.
    fs::write(auditor.at("state/keys"), &first).unwrap();
    fs::write(auditor.at("state").join(Tile { kind: TileKind::Entries, index: 0, width: 256 }.to_string()), "x")
        .unwrap();
    let told = auditor.found(4, "unreadable");
    assert!(words(&told).contains("its keys are not known any more"), "{told}");
}

#[test]
fn evidence_is_kept_of_everything_that_is_wrong() {
    let mut auditor = Auditor::new();
    auditor.serve(300);
    let good = auditor.log.checkpoint(None);
    let changed = |text: &str| {
        let note = SignedNote::parse(text).unwrap();
        let line = note.lines()[0].to_string();
        text.replace(
            &line,
            &line.replace(' ', "\n").lines().last().map_or(String::new(), |end| {
                let mut bytes = end.to_owned().into_bytes();
                let place = bytes.len() - 6;
                bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
                line.replace(end, &String::from_utf8(bytes).unwrap())
            }),
        )
    };
    let broken = changed(&good);
    let twice = format!("{good}{}", SignedNote::parse(&good).unwrap().lines()[0]);
    // At the first look there is nothing to contradict; later there is.
    for first in [true, false] {
        for (text, said) in [(&broken, "does not hold"), (&twice, "signed twice")] {
            auditor.server.set("checkpoint", Answer::File(text.clone().into_bytes()));
            let told = auditor.found(1, "damaged");
            assert!(words(&told).contains(said), "{told}");
            let kept = evidence(&auditor, &told);
            assert_eq!(&fs::read_to_string(kept.join("checkpoint")).unwrap(), text);
            assert_eq!(kept.join("remembered").exists(), !first);
        }
        auditor.serve(0);
        if first {
            let bundle = Tile { kind: TileKind::Entries, index: 0, width: 256 }.to_string();
            auditor.server.set(&bundle, Answer::File(vec![7; 9_000]));
            let told = auditor.found(1, "damaged");
            assert_eq!(fs::read(evidence(&auditor, &told).join(&bundle)).unwrap(), [7; 9_000]);
            auditor.serve(0);
            auditor.found(0, "begun");
        }
    }
    // Another log that a key given signed.
    let next = key("vault.example/log/2", KeyKind::Note, 7);
    fs::write(auditor.at("keys"), format!("{}{}\n", key_file(), next.verifier())).unwrap();
    auditor.server.show(&auditor.log, &signed(&auditor.log, &[&next]));
    let told = auditor.found(1, "another-log");
    assert_eq!(fs::read_to_string(evidence(&auditor, &told).join("remembered")).unwrap(), good);
    // A shorter one that is not the same: what it should be is shown by files of the copy.
    auditor.serve(0);
    let short = fork(&auditor.log, 20, 260);
    auditor.server.show(&short, &short.checkpoint(None));
    let told = auditor.found(1, "forked");
    let kept = evidence(&auditor, &told).join("tile");
    assert!(!files(&kept).is_empty());
}

#[test]
fn who_withholds_the_files_of_another_story_is_found_out_later() {
    let mut auditor = Auditor::new();
    auditor.serve(300);
    auditor.found(0, "begun");
    let honest = auditor.remembered();
    let other = fork(&auditor.log, 20, 400);
    let hide = |auditor: &Auditor| {
        auditor.server.show(&Log::new(), &other.checkpoint(None));
        let told = auditor.found(4, "unreadable");
        assert!(words(&told).contains("kept in") && words(&told).contains("state/unchecked/400-"), "{told}");
    };
    hide(&auditor);
    hide(&auditor);
    assert_eq!(files(&auditor.at("state/unchecked")).len(), 1, "once");
    // An honest log with fewer entries says nothing about it yet.
    auditor.serve(50);
    let told = auditor.found(0, "grown");
    assert!(words(&told).contains("1 signed checkpoints that were served earlier could not be compared"), "{told}");
    let remembered = auditor.remembered();
    auditor.serve(100);
    let told = auditor.found(1, "forked");
    assert!(words(&told).contains("FORKED: a checkpoint of 400 entries"), "{told}");
    let kept = evidence(&auditor, &told);
    assert_eq!(fs::read_to_string(kept.join("earlier")).unwrap(), other.checkpoint(None));
    assert_eq!(fs::read_to_string(kept.join("checkpoint")).unwrap(), auditor.log.checkpoint(None));
    assert!(!files(&kept.join("tile")).is_empty());
    assert_eq!(auditor.remembered(), remembered);
    assert_ne!(honest, remembered);
    let told = auditor.found(0, "grown");
    assert_eq!(told["facts"]["earlier_evidence"], 1);
    // One of the log itself is forgotten.
    auditor.log.append("2026-04-01T00:00:00Z", Body::Seal(seal(TreeHead { size: 2, root: Hash([3; 32]) }, 9)));
    auditor.server.show(&Log::new(), &auditor.log.checkpoint(None));
    auditor.found(4, "unreadable");
    auditor.serve(1);
    auditor.found(0, "grown");
    assert!(files(&auditor.at("state/unchecked")).is_empty());
}

#[test]
fn a_damaged_copy_makes_no_fork_of_a_log_that_was_set_back() {
    let mut auditor = Auditor::new();
    auditor.serve(600);
    auditor.found(0, "begun");
    let early = fork(&auditor.log, 200, 200);
    for tile in [Tile { index: 0, ..EDGE }, Tile { index: 1, ..EDGE }] {
        let path = auditor.at("state").join(tile.to_string());
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[40] ^= 1;
        fs::write(&path, bad).unwrap();
        auditor.server.show(&early, &early.checkpoint(None));
        let told = auditor.found(1, "shrunk");
        assert!(!words(&told).contains("FORKED"), "{told}");
        fs::write(&path, good).unwrap();
    }
}

#[test]
fn a_look_that_goes_wrong_leaves_no_file_that_is_of_no_use() {
    let mut auditor = Auditor::new();
    auditor.serve(300);
    let (old, evil) = (log_key(), key(ORIGIN, KeyKind::Note, 6));
    auditor.found(0, "begun");
    let before = files(&auditor.at("state"));
    // The log is handed to another key, and then shown with the first one's signature.
    auditor.log.append("2026-04-01T00:00:00Z", Body::KeyRotation(KeyRotation::sign(&old, &evil).unwrap()));
    auditor.serve(700);
    auditor.found(1, "retired-key");
    assert_eq!(files(&auditor.at("state")), before);
    // A bundle is missing: what was read stays for the next look, but for files that will be fuller then.
    let alone = signed(&auditor.log, &[&evil]);
    auditor.server.show(&auditor.log, &alone);
    auditor.server.set(&Tile { kind: TileKind::Entries, index: 2, width: 256 }.to_string(), Answer::Status(404));
    auditor.found(4, "unreadable");
    let partial = |path: &PathBuf| path.to_str().unwrap().contains(".p/");
    let left = files(&auditor.at("state"));
    assert_eq!(left.iter().filter(|path| partial(path)).count(), before.iter().filter(|path| partial(path)).count());
    assert!(left.len() > before.len() + 3, "{left:?}");
    grow(&mut auditor.log, 300, 3);
    auditor.server.show(&auditor.log, &signed(&auditor.log, &[&evil]));
    auditor.found(0, "grown");
    let whole: Vec<_> = auditor
        .log
        .files
        .0
        .keys()
        .filter(|tile| Tile::at(tile.kind, tile.index, auditor.log.head.size) == Some(**tile))
        .map(|tile| auditor.at("state").join(tile.to_string()))
        .collect();
    let copied: Vec<_> = files(&auditor.at("state/tile"));
    assert!(whole.iter().all(|path| copied.contains(path)));
    assert_eq!(copied.len(), whole.len(), "{copied:?}");
}

#[test]
fn a_server_without_a_key_sends_nobody_on_a_long_walk() {
    let mut auditor = Auditor::new();
    auditor.serve(300);
    let stranger = key("stranger.example", KeyKind::Note, 9);
    let head = TreeHead { size: 1 << 63, root: Hash([9; 32]) };
    let text = Checkpoint { origin: ORIGIN.to_owned(), head, extensions: Vec::new() }.to_text();
    let mut note = SignedNote::new(text).unwrap();
    note.sign(&stranger).unwrap();
    auditor.server.set("checkpoint", Answer::File(note.to_string().into_bytes()));
    auditor.server.asked();
    let told = auditor.found(4, "unreadable");
    assert!(words(&told).contains("not signed by a key of the log"), "{told}");
    assert_eq!(auditor.server.asked(), ["/log/checkpoint"], "nobody who might have signed is unknown");
    // A log that grew beyond all measure is not copied.
    auditor.serve(0);
    auditor.found(0, "begun");
    auditor
        .server
        .set("checkpoint", Answer::File(Checkpoint::sign(head, &log_key()).unwrap().to_string().into_bytes()));
    auditor.server.asked();
    let told = auditor.found(4, "unreadable");
    assert!(words(&told).contains("one look goes on by 67108864"), "{told}");
    assert_eq!(auditor.server.asked(), ["/log/checkpoint"]);
}

#[test]
fn what_a_stranger_wrote_steers_no_terminal() {
    let mut auditor = Auditor::new();
    auditor.serve(30);
    auditor.found(0, "begun");
    let hostile = format!("log\u{9b}31m\u{202e}{}", "x".repeat(100_000));
    let text = Checkpoint { origin: hostile, head: auditor.log.head, extensions: Vec::new() }.to_text();
    let mut note = SignedNote::new(text).unwrap();
    note.sign(&key("stranger.example", KeyKind::Note, 9)).unwrap();
    auditor.server.set("checkpoint", Answer::File(note.to_string().into_bytes()));
    let begun = Auditor::new();
    begun.server.set("checkpoint", Answer::File(note.to_string().into_bytes()));
    for (auditor, json) in [(&auditor, ""), (&auditor, " --json"), (&begun, ""), (&begun, " --json")] {
        let (code, told) =
            crate::command::run(&auditor.folder, &format!("{}{json}", auditor.args(&auditor.server.url)));
        assert!(code == 4 && told.len() < 3_000, "{code}: {} bytes", told.len());
        assert!(!told.contains(['\u{9b}', '\u{202e}']) && told.contains("9b"), "{told}");
    }
}
