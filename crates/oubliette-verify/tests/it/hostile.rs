//! What a server that means ill, or a file that was lost, cannot do to a state folder.

use std::fs;

use oubliette_proof::entry::{Body, KeyRotation};
use oubliette_proof::note::{KeyKind, SigningKey};
use oubliette_proof::tree::{Tile, TileKind};
use zeroize::Zeroizing;

use crate::auditor::{Auditor, fork, grow, signed};
use crate::fixture::*;
use crate::server::Answer;

#[test]
fn evidence_of_a_first_look_locks_no_folder() {
    let mut auditor = Auditor::new();
    auditor.serve(450);
    let other = fork(&auditor.log, 20, 400);
    // The files of the first checkpoint are withheld, and the second contradicts it.
    auditor.server.show(&Log::new(), &other.checkpoint(None));
    auditor.found(4, "unreadable");
    auditor.serve(0);
    let told = auditor.found(1, "forked");
    let kept = auditor.at(told["facts"]["evidence"].as_str().unwrap());
    // Nothing was followed before, so nothing was lost.
    let told = auditor.found(0, "begun");
    assert_eq!(told["facts"]["earlier_evidence"], 1);
    assert_eq!(fs::read_to_string(kept.join("earlier")).unwrap(), other.checkpoint(None));
    assert_eq!(fs::read_to_string(kept.join("checkpoint")).unwrap(), auditor.log.checkpoint(None));
    assert!(!kept.join("remembered").exists());
}

#[test]
fn what_is_kept_is_named_by_its_whole_hash() {
    let mut auditor = Auditor::new();
    auditor.serve(300);
    auditor.found(0, "begun");
    let other = fork(&auditor.log, 20, 400);
    auditor.server.show(&Log::new(), &other.checkpoint(None));
    auditor.found(4, "unreadable");
    auditor.server.show(&other, &other.checkpoint(None));
    auditor.found(1, "forked");
    for folder in ["state/unchecked", "state/evidence"] {
        let kept: Vec<_> = fs::read_dir(auditor.at(folder)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let hash = kept[0].to_str().unwrap().rsplit('-').next().unwrap();
        assert!(kept.len() == 1 && hash.len() == 64 && hash.bytes().all(|c| c.is_ascii_hexdigit()), "{kept:?}");
    }
}

#[test]
fn the_same_bytes_in_the_place_of_two_files_are_two_findings() {
    let mut auditor = Auditor::new();
    auditor.serve(300);
    auditor.found(0, "begun");
    auditor.serve(700);
    for index in [1, 2] {
        let tile = Tile { kind: TileKind::Entries, index, width: 256 }.to_string();
        auditor.server.set(&tile, Answer::File(vec![7; 9_000]));
        let told = auditor.found(1, "damaged");
        let kept = auditor.at(told["facts"]["evidence"].as_str().unwrap());
        assert_eq!(fs::read(kept.join(&tile)).unwrap_or_default(), [7; 9_000], "{told}");
        auditor.serve(0);
    }
}

#[test]
fn a_server_that_damages_its_files_fills_no_disk() {
    let mut auditor = Auditor::new();
    auditor.serve(300);
    auditor.found(0, "begun");
    auditor.serve(300);
    for number in 0..99 {
        fs::create_dir_all(auditor.at(&format!("state/evidence/damaged-600-{number}"))).unwrap();
    }
    let count = || fs::read_dir(auditor.at("state/evidence")).unwrap().count();
    let bundle = Tile { kind: TileKind::Entries, index: 1, width: 256 }.to_string();
    for (byte, kept) in [(7, true), (8, false), (7, true)] {
        auditor.server.set(&bundle, Answer::File(vec![byte; 9_000]));
        let told = auditor.found(1, "damaged");
        assert_eq!((told["facts"]["evidence"].is_string(), count()), (kept, 100), "{told}");
        let words = told["summary"].as_str().unwrap();
        assert_eq!(words.contains("could not be kept"), !kept, "{words}");
    }
    // Of what the log's key signed there is room all the same.
    let other = fork(&auditor.log, 20, 400);
    auditor.server.show(&other, &other.checkpoint(None));
    let told = auditor.found(1, "forked");
    assert!(told["facts"]["evidence"].is_string() && count() == 101, "{told}");
}

#[test]
fn one_fork_is_one_finding_whatever_its_files_end_with() {
    let mut auditor = Auditor::new();
    auditor.serve(300);
    auditor.found(0, "begun");
    let other = fork(&auditor.log, 20, 400);
    auditor.server.show(&other, &other.checkpoint(None));
    let edge = Tile::at(TileKind::Hashes(0), 1, 400).unwrap();
    for more in 0..3 {
        let longer = [&other.files.0[&edge][..], &vec![9; more]].concat();
        auditor.server.set(&edge.to_string(), Answer::File(longer));
        auditor.found(1, "forked");
        assert_eq!(fs::read_dir(auditor.at("state/evidence")).unwrap().count(), 1);
    }
}

#[test]
fn a_file_that_is_too_long_is_refused_and_not_cut() {
    let mut auditor = Auditor::new();
    auditor.serve(30);
    fs::write(auditor.at("keys"), format!("{}{}{}\n", key_file(), "\n".repeat(1 << 20), log_key().verifier())).unwrap();
    let told = auditor.found(4, "unreadable");
    assert!(told["summary"].as_str().unwrap().contains("longer than 1048576 bytes"), "{told}");
}

#[test]
fn a_log_with_more_keys_than_can_be_kept_is_not_followed_into_a_dead_end() {
    for (name, changes) in [(format!("{ORIGIN}/{}", "x".repeat(200)), 4_000), (ORIGIN.to_owned(), 1_001)] {
        let auditor = Auditor::new();
        let seed = |number: u32| oubliette_proof::sha256(&[&number.to_be_bytes()]).0;
        let mut keys = (0..=changes)
            .map(|number| SigningKey::from_seed(&name, KeyKind::Note, Zeroizing::new(seed(number))).unwrap());
        let mut log = Log::new();
        let mut before = keys.next().unwrap();
        fs::write(auditor.at("keys"), format!("{}\n", before.verifier())).unwrap();
        grow(&mut log, 3, 3);
        auditor.server.show(&log, &signed(&log, &[&before]));
        auditor.found(0, "begun");
        let remembered = auditor.remembered();
        let rotations = keys.map(|key| {
            let rotation = KeyRotation::sign(&before, &key).unwrap();
            before = key;
            Body::KeyRotation(rotation)
        });
        log.append_all("2026-04-01T00:00:00Z", rotations.collect::<Vec<_>>().into_iter());
        // With a key that is yet to be found, and also with one that is known.
        let first = SigningKey::from_seed(&name, KeyKind::Note, Zeroizing::new(seed(0))).unwrap();
        for signers in [&[&before][..], &[&before], &[&first, &before], &[&first, &before]] {
            auditor.server.show(&log, &signed(&log, signers));
            let told = auditor.found(4, "unreadable");
            assert!(told["summary"].as_str().unwrap().contains("more keys than"), "{told}");
            assert_eq!(auditor.remembered(), remembered);
        }
    }
}

#[test]
fn keys_that_were_lost_are_written_again_by_the_next_look() {
    let mut auditor = Auditor::new();
    auditor.serve(300);
    auditor.found(0, "begun");
    let (keys, remembered) = (fs::read_to_string(auditor.at("state/keys")).unwrap(), auditor.remembered());
    fs::remove_file(auditor.at("state/keys")).unwrap();
    auditor.found(0, "unchanged");
    assert_eq!(fs::read_to_string(auditor.at("state/keys")).unwrap_or_default(), keys);
    assert_eq!(auditor.remembered(), remembered);
}
