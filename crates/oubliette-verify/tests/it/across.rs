//! Evidence where the log changes its key: it has to show what was agreed to as well.

use std::fs;
use std::path::PathBuf;

use oubliette_proof::entry::{Body, Entry};
use oubliette_proof::note::{KeyKind, SigningKey};
use oubliette_proof::tree::{Tile, TileKind};
use serde_json::Value;

use crate::auditor::{Auditor, fork, grow, signed};
use crate::command::run;
use crate::fixture::*;
use crate::handed::hand;
use crate::server::Answer;

/// An auditor with the first key alone who followed the log, 300 entries; and two keys.
fn followed() -> (Auditor, [SigningKey; 2]) {
    let (mut auditor, keys) = (Auditor::new(), [1, 5].map(|seed| key(ORIGIN, KeyKind::Note, seed)));
    fs::write(auditor.at("keys"), format!("{}\n", keys[0].verifier())).unwrap();
    auditor.serve(300);
    auditor.found(0, "begun");
    (auditor, keys)
}

/// The folder of evidence that was told.
fn evidence(auditor: &Auditor, told: &Value) -> PathBuf {
    auditor.at(told["facts"]["evidence"].as_str().unwrap_or_else(|| panic!("{told}")))
}

/// Whether a folder has a bundle in which the log is handed over.
fn shows_the_change(folder: &std::path::Path, size: u64) -> bool {
    let bundles = (0..size.div_ceil(256)).filter_map(|index| {
        let tile = Tile::at(TileKind::Entries, index, size)?;
        Some((fs::read(folder.join(tile.to_string())).ok()?, tile.width))
    });
    let changes = |(bytes, width): (Vec<u8>, u16)| {
        let entries = oubliette_proof::tree::entries_of_bundle(&bytes, width).unwrap();
        entries.iter().any(|entry| matches!(Entry::decode(entry).unwrap().body, Body::KeyRotation(_)))
    };
    bundles.into_iter().any(changes)
}

#[test]
fn a_story_of_another_key_whose_files_are_withheld_is_found_out_later() {
    let (mut auditor, [old, new]) = followed();
    let mut other = fork(&auditor.log, 300, 300);
    hand(&mut other, &old, &new);
    grow(&mut other, 99, 4);
    let text = signed(&other, &[&new]);
    let hide = |auditor: &Auditor, bundles: bool| {
        auditor.server.show(&Log::new(), &text);
        let shown = other.files.0.iter().filter(|(tile, _)| bundles && tile.kind == TileKind::Entries);
        shown.for_each(|(tile, bytes)| auditor.server.set(&tile.to_string(), Answer::File(bytes.clone())));
        auditor.found(4, "unreadable")
    };
    hide(&auditor, true);
    let told = hide(&auditor, true);
    assert!(told["summary"].as_str().unwrap().contains("state/unchecked/400-"), "{told}");
    assert_eq!(fs::read_dir(auditor.at("state/unchecked")).unwrap().count(), 1, "once");
    // The story of the first key is shown again. It has too few entries to tell yet.
    auditor.serve(50);
    let told = auditor.found(0, "grown");
    assert!(told["summary"].as_str().unwrap().contains("1 signed checkpoints that were served earlier"), "{told}");
    auditor.serve(100);
    let told = auditor.found(1, "forked");
    assert!(told["summary"].as_str().unwrap().contains("FORKED: a checkpoint of 400 entries"), "{told}");
    let kept = evidence(&auditor, &told);
    assert_eq!(fs::read_to_string(kept.join("earlier")).unwrap(), text);
    assert!(shows_the_change(&kept, 400));
    auditor.found(0, "grown");
    assert_eq!(fs::read_dir(auditor.at("state/unchecked")).unwrap().count(), 0);
}

#[test]
fn a_checkpoint_that_cannot_be_verified_any_more_is_counted() {
    let (mut auditor, [old, new]) = followed();
    let other = fork(&auditor.log, 20, 400);
    auditor.server.show(&Log::new(), &signed(&other, &[&old]));
    auditor.found(4, "unreadable");
    // Somebody changes what was kept.
    let kept = fs::read_dir(auditor.at("state/unchecked")).unwrap().next().unwrap().unwrap().path();
    let file = if kept.is_dir() { kept.join("checkpoint") } else { kept };
    fs::write(file, signed(&other, &[&new])).unwrap();
    auditor.serve(200);
    let told = auditor.found(0, "grown");
    assert!(told["summary"].as_str().unwrap().contains("1 signed checkpoints that were served earlier"), "{told}");
}

#[test]
fn evidence_against_a_key_that_was_learned_shows_who_agreed_to_it() {
    let (mut auditor, [old, new]) = followed();
    auditor.serve(100);
    auditor.found(0, "grown");
    // Another story from the twentieth entry on, in which the log is handed over after all that was seen.
    let mut other = fork(&auditor.log, 20, 410);
    hand(&mut other, &old, &new);
    grow(&mut other, 300, 4);
    auditor.server.show(&other, &signed(&other, &[&new]));
    let told = auditor.found(1, "forked");
    let kept = evidence(&auditor, &told);
    assert!(shows_the_change(&kept, 711));
    let shown = format!("--follow --log {} --log-key keys --state state --json", kept.display());
    let (code, told) = run(&auditor.folder, &shown);
    assert!(code == 1 && told.contains("\"state\":\"forked\""), "{told}");
    // Who is shown the honest story later, signed with the old key after the log was handed over, has the same.
    hand(&mut auditor.log, &old, &new);
    grow(&mut auditor.log, 300, 3);
    auditor.server.show(&auditor.log, &signed(&auditor.log, &[&old]));
    let told = auditor.found(1, "retired-key");
    assert!(shows_the_change(&evidence(&auditor, &told), auditor.log.head.size));
}

#[test]
fn a_key_of_before_the_first_look_makes_no_fork_when_it_is_given_later() {
    let [old, new] = [1, 5].map(|seed| key(ORIGIN, KeyKind::Note, seed));
    let mut auditor = Auditor::new();
    fs::write(auditor.at("keys"), format!("{}\n", new.verifier())).unwrap();
    grow(&mut auditor.log, 300, 3);
    hand(&mut auditor.log, &old, &new);
    grow(&mut auditor.log, 50, 3);
    auditor.server.show(&auditor.log, &signed(&auditor.log, &[&new]));
    auditor.found(0, "begun");
    let remembered = auditor.remembered();
    // As the vault serves its keys.
    fs::write(auditor.at("keys"), format!("{}\n{}\n", new.verifier(), old.verifier())).unwrap();
    let cut = |size: u64| fork(&auditor.log, size as usize, size);
    for other in [fork(&auditor.log, 20, 900), fork(&auditor.log, 20, 351), fork(&auditor.log, 20, 200), cut(340)] {
        auditor.server.show(&other, &signed(&other, &[&old]));
        let told = auditor.found(1, "retired-key");
        let words = told["summary"].as_str().unwrap();
        assert!(words.contains("a key that it has given up") && !words.contains("FORKED"), "{words}");
    }
    auditor.server.show(&cut(200), &signed(&cut(200), &[&old]));
    auditor.found(1, "shrunk");
    // Where the copy does not tell whose the key was, nothing is said and nothing forgotten.
    let bundle = auditor.at("state").join(Tile { kind: TileKind::Entries, index: 0, width: 256 }.to_string());
    let good = fs::read(&bundle).unwrap();
    fs::write(&bundle, "x").unwrap();
    let other = fork(&auditor.log, 20, 900);
    auditor.server.show(&other, &signed(&other, &[&old]));
    let told = auditor.found(4, "unreadable");
    assert!(told["summary"].as_str().unwrap().contains("state/unchecked/900-"), "{told}");
    // The key in force still tells another story without it.
    auditor.server.show(&other, &signed(&other, &[&new]));
    auditor.found(1, "forked");
    fs::write(&bundle, good).unwrap();
    assert_eq!(auditor.remembered(), remembered);
}

#[test]
fn a_line_of_a_key_that_is_learned_is_kept_when_it_does_not_hold() {
    let (mut auditor, [old, new]) = followed();
    let folder = auditor.at("state/tile/entries");
    let tiles = || fs::read_dir(&folder).unwrap().count();
    let (remembered, before) = (auditor.remembered(), tiles());
    hand(&mut auditor.log, &old, &new);
    let good = signed(&auditor.log, &[&old, &new]);
    // Another signature of the new key, over another tree, in the place of its line.
    let line = |text: &str| text.lines().last().unwrap().to_owned();
    let broken = good.replace(&line(&good), &line(&signed(&fork(&auditor.log, 300, 301), &[&old, &new])));
    assert_ne!(broken, good);
    auditor.server.show(&auditor.log, &broken);
    let told = auditor.found(1, "damaged");
    assert!(told["summary"].as_str().unwrap().contains("does not hold"), "{told}");
    let kept = evidence(&auditor, &told);
    assert_eq!(fs::read_to_string(kept.join("checkpoint")).unwrap(), broken);
    assert_eq!(fs::read_to_string(kept.join("remembered")).unwrap(), remembered);
    assert!(shows_the_change(&kept, 301));
    assert_eq!((auditor.remembered(), tiles()), (remembered, before));
    auditor.server.show(&auditor.log, &good);
    auditor.found(0, "grown");
}

#[test]
fn evidence_shows_a_change_of_the_key_also_far_behind_what_was_seen() {
    let (auditor, [old, new]) = followed();
    let mut other = fork(&auditor.log, 20, 2_000);
    hand(&mut other, &old, &new);
    grow(&mut other, 300, 4);
    auditor.server.show(&other, &signed(&other, &[&new]));
    let kept = evidence(&auditor, &auditor.found(1, "forked"));
    // The bundles between are not in it.
    assert!(shows_the_change(&kept, 2_301) && fs::read_dir(kept.join("tile/entries")).unwrap().count() == 1);
    let shown = format!("--follow --log {} --log-key keys --state state --json", kept.display());
    let (code, told) = run(&auditor.folder, &shown);
    assert!(code == 1 && told.contains("\"state\":\"forked\""), "{told}");
}
