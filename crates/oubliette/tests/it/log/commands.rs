//! `oubliette log …`, on a closed vault and beside a running server.

use std::fs;

use oubliette_proof::entry::{Body, Entry};
use oubliette_proof::note::{TrustedKeys, UnknownKeys, read_closing_note};
use oubliette_proof::tree::{Tile, TileKind, entries_of_bundle};

use super::{erase, filled, head, shown, verify};
use crate::program::Place;

const DATA: [&str; 2] = ["--data", "vault"];

fn log(place: &Place, args: &[&str]) -> crate::program::Ran {
    place.run(&[&["log"], args, &DATA].concat())
}

#[test]
fn the_log_is_shown_with_its_keys_and_signed_checkpoint() {
    let place = filled(1);
    erase(&place, "S-0");
    let json = shown(&place);
    let keys = log(&place, &["key"]).with_code(0).out;
    assert_eq!(keys.lines().collect::<Vec<_>>(), [json["keys"][0].as_str().unwrap()]);
    let trusted = TrustedKeys::parse(&keys).unwrap();
    let checkpoint = json["checkpoint"].as_str().unwrap();
    let signed = trusted.checkpoint(checkpoint, UnknownKeys::Refuse).unwrap().checkpoint;
    assert_eq!(signed.origin, json["origin"].as_str().unwrap());
    assert_eq!(
        (signed.head.size, hex::encode(signed.head.root.0)),
        (json["size"].as_u64().unwrap(), json["root"].as_str().unwrap().to_owned())
    );
    assert!(json["earlier"].is_null(), "{json}");
    // A vault that is opened may tell its log more: each answer is looked at by itself.
    let words = log(&place, &["show"]).with_code(0).out;
    let (about, note) = words.split_once("\n\n").unwrap();
    let said = trusted.checkpoint(&format!("{}\n", note.trim_end()), UnknownKeys::Refuse).unwrap().checkpoint;
    let root = hex::encode(said.head.root.0);
    for part in [&signed.origin, &said.head.size.to_string(), &root, keys.trim_end()] {
        assert!(about.lines().any(|line| line.ends_with(&format!("  {part}"))), "{part}: {words}");
    }
    // Beside a server the same, and as it is served.
    let mut server = place.serve(&[]);
    let url = server.wait_for_endpoint();
    let get = |path: &str| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let answer = runtime.block_on(async { reqwest::get(format!("{url}/log/{path}")).await?.text().await });
        answer.unwrap()
    };
    let same = || get("checkpoint") == shown(&place)["checkpoint"].as_str().unwrap();
    assert!((0..20).any(|_| same()), "the log comes to rest");
    assert_eq!((get("key"), log(&place, &["key"]).with_code(0).out), (keys.clone(), keys));
    server.stop();
    // Asking makes no vault.
    place.run(&["log", "show", "--data", "nowhere"]).with_code(4);
    assert!(!place.join("nowhere").exists());
}

#[test]
fn another_key_signs_at_once_and_the_one_before_stays_known() {
    let place = filled(3);
    let old = log(&place, &["key"]).with_code(0).out;
    erase(&place, "S-0");
    let before = shown(&place)["checkpoint"].as_str().unwrap().to_owned();
    let server = place.serve(&[]);
    let ran = log(&place, &["rotate-key"]).with_code(0);
    let new = ran.out.lines().next().unwrap().to_owned();
    assert!(!old.contains(&new) && ran.err.contains("Give it to your witnesses"), "{}", ran.err);
    assert_eq!(log(&place, &["key"]).with_code(0).out, format!("{new}\n{old}"));
    let at_once = shown(&place)["checkpoint"].as_str().unwrap().to_owned();
    assert!(TrustedKeys::parse(&new).unwrap().checkpoint(&at_once, UnknownKeys::Ignore).is_ok(), "{at_once}");
    assert!(head(&before).size < head(&at_once).size, "there is an entry about it");
    erase(&place, "S-1");
    let alone = shown(&place)["checkpoint"].as_str().unwrap().to_owned();
    assert!(TrustedKeys::parse(&new).unwrap().checkpoint(&alone, UnknownKeys::Refuse).is_ok(), "{alone}");
    server.stop();
    // Also on a closed vault; and the keys stay when it is opened again.
    let third = log(&place, &["rotate-key"]).with_code(0).out;
    let keys = format!("{third}{new}\n{old}");
    assert_eq!(log(&place, &["key"]).with_code(0).out, keys);
    erase(&place, "S-2");
    fs::write(place.join("keys"), keys).unwrap();
    let now = shown(&place)["checkpoint"].as_str().unwrap().to_owned();
    fs::write(place.join("now"), &now).unwrap();
    fs::write(place.join("then"), &alone).unwrap();
    assert!(head(&alone).size < head(&now).size);
    let mut server = place.serve(&[]);
    let url = format!("{}/log/", server.wait_for_endpoint());
    let (code, told) = verify(&place, &["--audit", "then", "now", "--log", &url, "--log-key", "keys"], &[]);
    assert!(code == 0 && told.contains("2 key-rotation"), "{told}");
    server.stop();
}

#[test]
fn a_log_whose_files_are_lost_is_ended_by_a_note_and_another_begins() {
    let place = filled(3);
    erase(&place, "S-0");
    let (before, key) = (shown(&place), log(&place, &["key"]).with_code(0).out);
    let origin = before["origin"].as_str().unwrap();
    log(&place, &["reopen"]).with_code(2);
    log(&place, &["reopen", "--reason", "no words"]).with_code(2);
    let server = place.serve(&[]);
    log(&place, &["reopen", "--reason", "disk-lost"]).with_code(6);
    server.stop();
    assert_eq!(shown(&place)["origin"], origin, "a vault that is served keeps its log");

    let mut lost = 0;
    for file in fs::read_dir(place.data().join("packs")).unwrap() {
        let path = file.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("log-") {
            fs::remove_file(path).unwrap();
            lost += 1;
        }
    }
    assert!(lost > 0);
    let refused = place.run(&["serve", "--data", "vault", "--listen", "127.0.0.1:0"]).with_code(1);
    assert!(refused.err.contains("the log is shorter than it was"), "{}", refused.err);
    let reopened = log(&place, &["reopen", "--reason", "disk-lost"]).with_code(0);
    assert!(reopened.err.contains("Publish this note"), "{}", reopened.err);

    // The note says which log ended, where, and which one follows; signed by the key of before.
    let (head_line, note) = reopened.out.split_once("\n\n").unwrap();
    let note = format!("{}\n", note.trim_end());
    let (last, next) = read_closing_note(&note, &TrustedKeys::parse(&key).unwrap()).unwrap();
    assert_eq!((last.origin.as_str(), next.clone()), (origin, format!("{origin}/2")));
    assert!(last.head.size > 0, "what the last seal pinned: {last:?}");
    let after = shown(&place);
    assert_eq!(after["origin"].as_str(), Some(next.as_str()));
    assert_eq!(after["earlier"].as_str(), Some(origin));
    assert!(head_line.contains(&next) && head_line.contains(after["keys"][0].as_str().unwrap()), "{head_line}");
    let keys = log(&place, &["key"]).with_code(0).out;
    assert!(keys.ends_with(&key) && keys.lines().count() == 2, "{keys}");

    // It is served again, tells its first entry, and goes on.
    let mut server = place.serve(&[]);
    let url = format!("{}/log/", server.wait_for_endpoint());
    erase(&place, "S-1");
    fs::write(place.join("keys"), &keys).unwrap();
    let (code, told) = verify(&place, &["--follow", "--log", &url, "--log-key", "keys", "--state", "state"], &[]);
    assert!(code == 0 && told.contains("1 log-opened"), "{told}");
    let size = head(&fs::read_to_string(place.join("state/checkpoint")).unwrap()).size;
    let bundle = fs::read(place.join("state").join(Tile::at(TileKind::Entries, 0, size).unwrap().to_string())).unwrap();
    let first = Entry::decode(entries_of_bundle(&bundle, 1).unwrap()[0]).unwrap();
    let Body::LogOpened(opened) = first.body else { panic!("{first:?}") };
    assert_eq!((opened.origin(), opened.reason.as_str()), (next.as_str(), "disk-lost"));
    assert_eq!(opened.earlier().unwrap().0, origin);
    server.stop();

    // One that is whole ends with an entry, and without a loss.
    let size = shown(&place)["size"].as_u64().unwrap();
    let third = log(&place, &["reopen", "--reason", "tidy-up"]).with_code(0).out;
    assert!(third.contains(&format!("{origin}/3")), "{third}");
    let (_, note) = third.split_once("\n\n").unwrap();
    let (last, _) = read_closing_note(&format!("{}\n", note.trim_end()), &TrustedKeys::parse(&keys).unwrap()).unwrap();
    assert!(last.origin == next && last.head.size > size, "with its last entry: {last:?}");
}
