//! A certificate and an audit beside a log at an address.

use std::fs;
use std::time::{Duration, Instant};

use oubliette_proof::Hash;
use oubliette_proof::note::{Checkpoint, KeyKind, SignedNote, SigningKey};
use oubliette_proof::tree::{Tile, TileKind, TreeHead};

use crate::auditor::{grow, signed};
use crate::command::{run, stranger};
use crate::fixture::*;
use crate::server::{Answer, Server, listener};

/// More than the program waits for a byte of an answer, three times over in all.
const PATIENCE: Duration = Duration::from_secs(40);

#[test]
fn a_certificate_is_compared_with_the_log_at_its_address() {
    let ((folder, mut scene), server) = (stranger(), Server::new());
    let compare = || run(&folder, &format!("item.json --log-key keys --log {}", server.url));
    server.show(&scene.log, &scene.log.checkpoint(None));
    let (code, told) = compare();
    assert!(code == 0 && told.contains("The log given agrees"), "{told}");
    assert_eq!(server.asked(), ["/log/checkpoint"], "the same tree needs nothing more");

    grow(&mut scene.log, 70_000, 3);
    server.show(&scene.log, &scene.log.checkpoint(Some(1_800_000_000)));
    let (code, told) = compare();
    assert!(code == 0 && told.contains("The log given agrees"), "{told}");
    // What came after the certificate, which may be a change of the key, and nothing twice.
    let (mut asked, entries) = (server.asked(), 70_000 / 256 + 1);
    assert_eq!(asked.iter().filter(|path| path.contains("entries")).count(), entries, "{asked:?}");
    assert!(asked.len() < entries + 5, "{asked:?}");
    asked.sort();
    asked.dedup();
    assert!(asked.len() > entries);
    // An address without its last slash is the same one.
    let short = server.url.trim_end_matches('/');
    assert_eq!(run(&folder, &format!("item.json --log-key keys --log {short}")).0, 0);

    let mut fork = Log::new();
    grow(&mut fork, 300, 4);
    server.show(&fork, &fork.checkpoint(None));
    let (code, told) = compare();
    assert!(code == 1 && told.contains("FORKED"), "{told}");
    let mut short = Log::new();
    grow(&mut short, 3, 4);
    server.show(&short, &short.checkpoint(None));
    let (code, told) = compare();
    assert!(code == 1 && told.contains("SHRANK"), "{told}");
}

#[test]
fn an_audit_reads_the_log_at_its_address() {
    let ((folder, mut scene), server) = (stranger(), Server::new());
    grow(&mut scene.log, 600, 3);
    server.show(&scene.log, &scene.log.checkpoint(None));
    fs::write(folder.path().join("now"), scene.log.checkpoint(None)).unwrap();
    let audit = || run(&folder, &format!("--audit checkpoint-2 now --log {} --log-key keys", server.url));
    let (code, told) = audit();
    assert!(code == 0 && told.contains("grew from 2 to 610 entries") && told.contains("607 seal"), "{told}");
    let tile = Tile { kind: TileKind::Entries, index: 1, width: 256 };
    let mut changed = scene.log.files.0[&tile].clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    server.set(&tile.to_string(), Answer::File(changed));
    assert_eq!(audit().0, 1);
    server.set(&tile.to_string(), Answer::Status(404));
    let (code, told) = audit();
    assert!(code == 4 && told.contains("cannot be read: the server has no such file"), "{told}");
    // Only the full tile is left of one that was partial.
    fs::write(folder.path().join("now"), &scene.checkpoints[1].1).unwrap();
    let (code, told) = audit();
    assert!(code == 0 && told.contains("grew from 2 to 8"), "{told}");
}

#[test]
fn a_server_is_neither_believed_nor_waited_for() {
    let ((folder, mut scene), server) = (stranger(), Server::new());
    let elsewhere = Server::new();
    elsewhere.show(&scene.log, &scene.log.checkpoint(None));
    let compare = |url: &str| run(&folder, &format!("item.json --log-key keys --log {url}"));
    let long = vec![b'x'; 2 << 20];
    for (answer, words) in [
        (Answer::Status(404), "the server has no such file"),
        (Answer::Status(403), "the server answers 403"),
        (Answer::Status(503), "the server answers 503"),
        (Answer::Redirect(format!("{}checkpoint", elsewhere.url)), "nothing is followed to another address"),
        (Answer::Endless, "longer than the 1048576 bytes"),
        (Answer::File(long), "longer than the 1048576 bytes"),
        (Answer::CutShort(b"vault.example/log\n".to_vec()), "the answer broke off"),
        (Answer::File(b"<html>".to_vec()), "malformed signed note"),
        (Answer::File(vec![0xff; 100]), "it is not text"),
        (Answer::Silence, "did not answer in time"),
    ] {
        server.set("checkpoint", answer);
        let begun = Instant::now();
        let (code, told) = compare(&server.url);
        assert!(code == 4 && told.contains(words), "{words}: {told}");
        assert!(begun.elapsed() < PATIENCE, "{words}: {:?}", begun.elapsed());
        assert!(told.contains(&server.url), "{told}");
    }
    assert_eq!(elsewhere.asked(), [""; 0]);
    // Nor is it at a later file.
    grow(&mut scene.log, 600, 3);
    let bundle = Tile { kind: TileKind::Entries, index: 1, width: 256 }.to_string();
    for (answer, words) in
        [(Answer::Endless, "longer than the 16777472 bytes"), (Answer::Silence, "did not answer in time")]
    {
        server.show(&scene.log, &scene.log.checkpoint(None));
        server.set(&bundle, answer);
        let begun = Instant::now();
        let (code, told) = compare(&server.url);
        assert!(code == 4 && told.contains(words) && told.contains(&bundle), "{words}: {told}");
        assert!(begun.elapsed() < PATIENCE, "{words}: {:?}", begun.elapsed());
    }
    // A tree beyond all measure that nobody signed who might have needs no look at any file.
    let head = TreeHead { size: 1 << 63, root: Hash([9; 32]) };
    let text = Checkpoint { origin: ORIGIN.to_owned(), head, extensions: Vec::new() }.to_text();
    let mut note = SignedNote::new(text).unwrap();
    note.sign(&key("stranger.example", KeyKind::Note, 9)).unwrap();
    server.set("checkpoint", Answer::File(note.to_string().into_bytes()));
    server.asked();
    let (code, told) = compare(&server.url);
    assert!(code == 4 && told.contains("not signed by a key of the log"), "{told}");
    assert_eq!(server.asked(), ["/log/checkpoint"]);
    let away = format!("http://{}/log/", listener().local_addr().unwrap());
    let (code, told) = compare(&away);
    assert!(code == 4 && told.contains("the server cannot be reached"), "{told}");
    for wrong in ["ftp://log.example/", "http://", "https://me:secret@log.example/log/", "https://log.example/?log"] {
        let (code, told) = compare(wrong);
        assert!(code == 2 && !told.contains("secret"), "{told}");
    }
}

#[test]
fn a_file_that_cannot_be_read_ends_a_comparison_at_once() {
    let ((folder, mut scene), server) = (stranger(), Server::new());
    grow(&mut scene.log, 600, 3);
    let bundle = |index| Tile { kind: TileKind::Entries, index, width: 256 }.to_string();
    for (status, attempts) in [(404, 1), (503, 3)] {
        server.show(&scene.log, &scene.log.checkpoint(None));
        server.set(&bundle(1), Answer::Status(status));
        server.asked();
        let (code, told) = run(&folder, &format!("item.json --log-key keys --log {}", server.url));
        assert!(code == 4 && told.contains(&bundle(1)), "{told}");
        let asked = server.asked();
        let times = |index| asked.iter().filter(|path| path.ends_with(&bundle(index))).count();
        assert_eq!((times(0), times(1)), (1, attempts), "nothing is read from the beginning again: {asked:?}");
    }
}

#[test]
fn a_log_beyond_all_measure_is_not_read() {
    let ((folder, mut scene), server) = (stranger(), Server::new());
    grow(&mut scene.log, 600, 3);
    let head = TreeHead { size: 1 << 63, root: Hash([9; 32]) };
    let endless = Checkpoint::sign(head, &log_key()).unwrap().to_string();
    server.show(&scene.log, &endless);
    fs::write(folder.path().join("endless"), &endless).unwrap();
    let bundle = |index| Tile { kind: TileKind::Entries, index, width: 256 };
    for index in 0..300 {
        server.set(&bundle(index).to_string(), Answer::File(scene.log.files.0[&bundle(1)].clone()));
    }
    let url = &server.url;
    for args in [format!("item.json --log {url}"), format!("--audit checkpoint-2 endless --log {url}")] {
        server.asked();
        let (code, told) = run(&folder, &format!("{args} --log-key keys"));
        let asked = server.asked();
        assert!(code == 4 && told.contains("no more than 4294967296"), "{} files, {told}", asked.len());
        assert!(asked.iter().all(|path| !path.contains("entries")), "{asked:?}");
    }
}

#[test]
fn two_signed_heads_of_one_size_tell_a_fork_without_files_but_not_whose_key_is_in_force() {
    let ((folder, scene), server) = (stranger(), Server::new());
    let new = key(ORIGIN, KeyKind::Note, 5);
    fs::write(folder.path().join("keys"), format!("{}{}\n", key_file(), new.verifier())).unwrap();
    let mut other = Log::new();
    grow(&mut other, scene.log.head.size, 4);
    let compare = |signers: &[&SigningKey]| {
        server.show(&Log::new(), &signed(&other, signers));
        run(&folder, &format!("item.json --log-key keys --log {}", server.url))
    };
    let (code, told) = compare(&[&log_key()]);
    assert!(code == 1 && told.contains("FORKED"), "{told}");
    let (code, told) = compare(&[&new]);
    assert!(code == 1 && !told.contains("FORKED") && !told.contains("no entry says"), "{told}");
    assert!(told.contains("the entries do not tell") && told.contains("the server has no such file"), "{told}");
}
