//! Copies of the data: what is in one, what a later one brings, what is never in one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::engines::{self, engine};
use crate::mirrors::Client;
use crate::program::Place;

/// A vault with small and large contents in it.
fn filled(place: &Place, calls: u32) {
    let folder = place.join("calls");
    fs::create_dir_all(&folder).unwrap();
    let mut manifest = "file,session_id,customer_phone,started_at\n".to_owned();
    let sample = fs::read(crate::program::repository().join("samples").join("survey.wav")).unwrap();
    for number in 0..calls {
        // Every fifth is too large for a segment.
        let mut bytes = sample.clone();
        bytes.resize(if number % 5 == 0 { 300_000 } else { 20_000 }, number as u8);
        fs::write(folder.join(format!("{number}.wav")), bytes).unwrap();
        manifest += &format!("{number}.wav,S-{number},+1512555{:04},2026-11-20T09:30:00Z\n", number % 100);
    }
    fs::write(folder.join("manifest.csv"), manifest).unwrap();
    place.run(&["import", "calls", "--data", "vault"]).with_code(0);
}

fn backup(place: &Place) -> Value {
    place.run(&["backup", "--data", "vault", "--to", "copies", "--json"]).with_code(0).json()
}

fn verified(place: &Place, id: &str) -> Value {
    place.run(&["backup", "verify", "--data", "vault", "copies", id, "--json"]).with_code(0).json()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut due = vec![folder.to_owned()];
    while let Some(folder) = due.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { due.push(path) } else { found.push(path) }
        }
    }
    found
}

#[test]
fn a_copy_is_whole_and_a_later_one_brings_only_what_is_new() {
    let place = Place::new();
    filled(&place, 20);
    let first = backup(&place);
    assert_eq!(first["manifest"]["contents"], 20, "{first}");
    assert!(first["newFiles"].as_u64().unwrap() >= 5, "{first}");
    assert_eq!(first["damaged"], 0, "{first}");
    let id = first["manifest"]["id"].as_str().unwrap();
    assert_eq!(verified(&place, id)["whole"], true);

    let again = backup(&place);
    assert_eq!((again["newFiles"].as_u64(), again["manifest"]["contents"].as_u64()), (Some(0), Some(20)), "{again}");

    filled(&place, 25);
    let more = backup(&place);
    let new = more["newBytes"].as_u64().unwrap();
    assert!(new > 0 && new < 2_000_000, "{more}");
    let list = place.run(&["backup", "list", "--data", "vault", "copies", "--json"]).with_code(0).json();
    assert_eq!(list.as_array().unwrap().len(), 3);
    for copy in list.as_array().unwrap() {
        assert_eq!(verified(&place, copy["id"].as_str().unwrap())["whole"], true, "{copy}");
    }
}

/// Configures a vault with access to a fresh bucket; where copies go.
fn in_a_bucket(place: &Place) -> String {
    let bucket = format!("b{}", uuid::Uuid::new_v4().simple());
    engines::bucket(&engine("OUBLIETTE_TEST_S3"), &bucket);
    let (key, secret) = engines::s3_keys();
    let keys = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
    fs::write(place.join("keys"), keys).unwrap();
    let config = format!(
        "[storage]\ndata = \"vault\"\n[s3]\nendpoint = \"{}\"\nallow_http = true\ncredentials = \"file\"\n\
         credentials_file = \"keys\"\n",
        engine("OUBLIETTE_TEST_S3")
    );
    fs::write(place.join("oubliette.toml"), config).unwrap();
    format!("s3://{bucket}/copies")
}

#[test]
fn copies_in_a_bucket_are_made_checked_fetched_and_removed_as_in_a_folder() {
    let place = Place::new();
    filled(&place, 10);
    let to = in_a_bucket(&place);
    let run = |arguments: &[&str]| {
        let mut all = vec!["backup"];
        all.extend(arguments);
        all.extend(["--config", "oubliette.toml", "--json"]);
        place.run(&all).with_code(0).json()
    };
    let first = run(&["--to", &to]);
    assert_eq!(first["manifest"]["contents"], 10, "{first}");
    let again = run(&["--to", &to]);
    assert_eq!(again["newFiles"], 0, "{again}");
    let id = first["manifest"]["id"].as_str().unwrap();
    assert_eq!(run(&["verify", &to, id])["whole"], true);
    let fetch = ["backup", "fetch", &to, id, "--into", "fetched", "--config", "oubliette.toml"];
    place.run(&fetch).with_code(0);
    let length = |folder: &str| {
        let of = |path: PathBuf| fs::metadata(path).unwrap().len();
        files(&place.join(folder)).into_iter().map(of).sum::<u64>()
    };
    assert_eq!(length("fetched/blobs"), length("vault/blobs"));
    assert!(place.join("fetched/db").is_dir());
    run(&["prune", &to, "--keep", "1"]);
    let list = run(&["list", &to]);
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list[0]["id"], again["manifest"]["id"]);
    assert_eq!(run(&["verify", &to])["whole"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_went_to_a_bucket_while_recordings_came_in_is_restored() {
    let place = Place::new();
    let to = in_a_bucket(&place);
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let client = Client::new(&place, &mut server);
    client.until_ready().await;
    let recording = |number: u32| -> Vec<u8> {
        // Every fourth is too large for a segment.
        let length = if number.is_multiple_of(4) { 2_000_000 } else { 2_000 };
        (0..length).map(|byte: u32| u8::try_from((byte + number) % 251).unwrap()).collect()
    };
    let mut items: Vec<(String, Vec<u8>)> = Vec::new();
    let backup = ["backup", "--to", &to, "--config", "oubliette.toml", "--json"];
    let (mut made, mut before) = (None, 0);
    for number in 0..24 {
        if number == 12 {
            made = Some(place.command(&backup).stdout(Stdio::piped()).spawn().unwrap());
            before = items.len();
        }
        let (id, bytes) = (client.made().await, recording(number));
        assert!(client.put(&id, &bytes).await.is_success());
        items.push((id, bytes));
    }
    let done = made.unwrap().wait_with_output().unwrap();
    assert!(done.status.success());
    let made: Value = serde_json::from_slice(&done.stdout).unwrap();
    let copy = made["manifest"]["id"].as_str().unwrap();
    let doomed = &items[5].0;
    assert!(client.delete(doomed).await.status().is_success());
    server.stop();

    for part in ["db", "blobs"] {
        fs::remove_dir_all(place.data().join(part)).unwrap();
    }
    let run = |arguments: &[&str]| place.run(&[arguments, &["--config", "oubliette.toml"]].concat());
    run(&["backup", "fetch", &to, copy, "--into", "vault"]).with_code(0);
    let attached = run(&["restore", "attach", "--json"]).with_code(0).json();
    assert_eq!((&attached["missingContents"], &attached["erasedInteractions"]), (&0.into(), &1.into()), "{attached}");
    run(&["restore", "commit", "--confirm", attached["restore"].as_str().unwrap()]).with_code(0);
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let client = Client { url: server.wait_for_endpoint(), ..client };
    client.until_ready().await;
    for (number, (id, bytes)) in items.iter().enumerate() {
        let found = client.content(id).await;
        if id == doomed {
            assert_eq!((found, client.get(id).await), (None, 410));
        } else if number < before || found.is_some() {
            assert_eq!(found.as_ref(), Some(bytes), "{number}");
        }
    }
    server.stop();
}

#[test]
fn a_changed_or_missing_byte_of_a_copy_is_found() {
    let place = Place::new();
    filled(&place, 10);
    let id = backup(&place)["manifest"]["id"].as_str().unwrap().to_owned();
    let verify = |code| place.run(&["backup", "verify", "--data", "vault", "copies", &id]).with_code(code);
    let pieces = files(&place.join("copies/blobs"));
    assert!(pieces.len() >= 3, "{pieces:?}");
    for path in &pieces {
        let sound = fs::read(path).unwrap();
        let mut bytes = sound.clone();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(path, &bytes).unwrap();
        verify(7);
        fs::remove_file(path).unwrap();
        verify(7);
        fs::write(path, &sound).unwrap();
    }
    verify(0);
    let database = place.join("copies/copies").join(&id).join("database.sqlite");
    let mut bytes = fs::read(&database).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&database, &bytes).unwrap();
    verify(1);
}

#[test]
fn no_key_and_no_page_of_keys_is_ever_in_a_copy() {
    let place = Place::new();
    filled(&place, 10);
    backup(&place);
    let register = files(&place.join("vault.register"));
    let slots = register.iter().map(|path| fs::read(path).unwrap()).find(|bytes| bytes.len() >= 8192).unwrap();
    // The roots, whichever slot is in force.
    let roots: Vec<&[u8]> = slots.chunks(4096).map(|slot| &slot[16..48]).collect();
    let pages = files(&place.join("vault/packs")).into_iter().map(|path| fs::read(path).unwrap());
    let pages: Vec<Vec<u8>> = pages.filter(|bytes| bytes.len() > 200).collect();
    assert!(!pages.is_empty());
    for path in files(&place.join("copies")) {
        let bytes = fs::read(&path).unwrap();
        let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(!roots.iter().any(|root| holds(root)), "{} holds a root", path.display());
        assert!(!pages.iter().any(|page| holds(&page[page.len() - 64..])), "{} holds key pages", path.display());
    }
}

#[test]
fn old_copies_go_with_what_only_they_needed() {
    let place = Place::new();
    filled(&place, 10);
    backup(&place);
    place.run(&["erase", "--data", "vault", "--phone", "+15125550005", "--yes"]).with_code(0);
    // Until its row was swept.
    let server = place.serve(&[]);
    let mut second = backup(&place);
    while second["manifest"]["contents"] != 9 {
        std::thread::sleep(std::time::Duration::from_millis(200));
        second = backup(&place);
    }
    server.stop();
    let before = files(&place.join("copies")).len();
    let pruned =
        place.run(&["backup", "prune", "--data", "vault", "copies", "--keep", "1", "--json"]).with_code(0).json();
    assert!(!pruned["copies"].as_array().unwrap().is_empty(), "{pruned}");
    // The large content that was erased is in no copy any more.
    assert!(pruned["files"].as_u64().unwrap() >= 1, "{pruned}");
    assert!(files(&place.join("copies")).len() < before);
    assert_eq!(verified(&place, second["manifest"]["id"].as_str().unwrap())["whole"], true);
}

#[test]
fn a_copy_is_brought_back_and_opens_with_the_current_key_state() {
    let place = Place::new();
    filled(&place, 10);
    let id = backup(&place)["manifest"]["id"].as_str().unwrap().to_owned();
    place.run(&["backup", "fetch", "--data", "vault", "copies", &id, "--into", "back"]).with_code(0);
    place.run(&["backup", "fetch", "--data", "vault", "copies", &id, "--into", "back"]).with_code(1);
    // Without key state it opens nothing.
    place.run_with(&["status", "--data", "back"], &[("OUBLIETTE__STORAGE__REGISTER", "none.register")]).with_code(1);
    let _ = fs::remove_dir_all(place.join("back/packs"));
    fs::rename(place.join("vault/packs"), place.join("back/packs")).unwrap();
    let json = place
        .run_with(&["status", "--data", "back", "--json"], &[("OUBLIETTE__STORAGE__REGISTER", "vault.register")])
        .with_code(0)
        .json();
    assert_eq!(json["interactions"], 10, "{json}");
}

#[test]
fn copies_taken_while_a_server_erases_and_sweeps_are_whole() {
    let place = Place::new();
    filled(&place, 60);
    let server = place.serve(&[]);
    let ids: Vec<String> = std::thread::scope(|scope| {
        let eraser = scope.spawn(|| {
            for number in 0..40 {
                let phone = format!("+1512555{number:04}");
                place.run(&["erase", "--data", "vault", "--phone", &phone, "--yes"]).with_code(0);
            }
        });
        let mut ids = Vec::new();
        while !eraser.is_finished() || ids.is_empty() {
            ids.push(backup(&place)["manifest"]["id"].as_str().unwrap().to_owned());
            std::thread::sleep(std::time::Duration::from_millis(400));
        }
        eraser.join().unwrap();
        ids
    });
    server.stop();
    for id in &ids {
        let found = verified(&place, id);
        assert_eq!(found["whole"], true, "{found}");
    }
    // Rows that were not swept yet are still counted; their contents may be gone.
    let last = &backup(&place)["manifest"];
    let there = last["contents"].as_u64().unwrap() - last["missing"].as_u64().unwrap();
    assert!((20..60).contains(&there), "{last}");
}

#[test]
fn a_place_is_for_one_vault_and_lies_outside_of_it() {
    let (one, two) = (Place::new(), Place::new());
    filled(&one, 3);
    filled(&two, 3);
    let to = one.join("copies");
    let to = to.to_str().unwrap();
    one.run(&["backup", "--data", "vault", "--to", to]).with_code(0);
    let ran = two.run(&["backup", "--data", "vault", "--to", to]).with_code(1);
    assert!(ran.err.contains("another vault") || ran.err.contains("one vault"), "{}", ran.err);
    let ran = one.run(&["backup", "--data", "vault", "--to", "vault/copies"]).with_code(1);
    assert!(ran.err.contains("own folders"), "{}", ran.err);
    let servers =
        [("OUBLIETTE__STORAGE__METADATA", "postgres://v@127.0.0.1:1/v"), ("OUBLIETTE__KEY_STATE__SECOND", "folder:/x")];
    let ran = one.run_with(&["backup", "--data", "vault", "--to", to], &servers).with_code(1);
    assert!(ran.err.contains("pg_basebackup"), "{}", ran.err);
}
