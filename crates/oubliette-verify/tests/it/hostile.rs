//! What a server that means ill, or a file that was lost, cannot do to a state folder.

use std::fs;

use oubliette_proof::tree::{Tile, TileKind};

use crate::auditor::{Auditor, fork};
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
