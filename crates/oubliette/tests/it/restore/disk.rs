//! The disk of the data folder is lost: rows and contents come from a copy, key pages and log from a mirror.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use oubliette_proof::note::{Checkpoint, SignedNote};
use oubliette_proof::tree::{Tile, TileKind};
use serde_json::json;

use crate::escrow::Rig;
use crate::mirrors::{Client, configure};
use crate::program::Place;

/// A file of the log, as anybody gets it.
async fn served(client: &Client, path: &str) -> Vec<u8> {
    let answer = client.http.get(format!("{}/log/{path}", client.url)).send().await.unwrap();
    answer.error_for_status().unwrap().bytes().await.unwrap().to_vec()
}

fn write(path: &Path, bytes: &[u8]) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    path.to_owned()
}

/// An auditor who kept an old checkpoint follows the log as it is served now.
async fn audited(client: &Client, place: &Place, old: &[u8]) -> String {
    let folder = place.join("log");
    let new = served(client, "checkpoint").await;
    let text = str::from_utf8(&new).unwrap();
    let size = Checkpoint::parse(SignedNote::parse(text).unwrap().text()).unwrap().head.size;
    let kinds = (0..4).map(TileKind::Hashes).chain([TileKind::Entries]);
    for tile in kinds.flat_map(|kind| (0..).map_while(move |index| Tile::at(kind, index, size))) {
        write(&folder.join(tile.to_string()), &served(client, &tile.to_string()).await);
    }
    let (old, new) = (write(&folder.join("old"), old), write(&folder.join("new"), &new));
    let key = write(&folder.join("key"), &served(client, "key").await);
    let verifier = Path::new(env!("CARGO_BIN_EXE_oubliette")).with_file_name("oubliette-verify");
    let mut command = Command::new(verifier);
    command.arg("--audit").args([old, new]).arg("--log").arg(&folder).arg("--log-key").arg(key);
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_copy_and_a_mirror_nothing_that_the_copy_held_is_lost_with_the_disk() {
    let place = Place::new();
    configure(&place, &["cellar"]);
    let run = |arguments: &[&str]| place.run(&[arguments, &["--config", "oubliette.toml"]].concat());
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let client = Client::new(&place, &mut server);
    client.until_ready().await;
    let (kept, doomed) = (client.made().await, client.made().await);
    let copy = run(&["backup", "--to", "copies", "--json"]).with_code(0).json();
    let copy = copy["manifest"]["id"].as_str().unwrap().to_owned();
    assert!(client.delete(&doomed).await.status().is_success());
    let late = client.made().await;
    let known = served(&client, "checkpoint").await;
    server.stop();

    let lose = || {
        fs::remove_dir_all(place.data()).unwrap();
        run(&["backup", "fetch", "copies", &copy, "--into", "vault"]).with_code(0);
    };
    lose();
    run(&["serve", "--listen", "127.0.0.1:0"]).with_code(9);
    let attached = run(&["restore", "attach", "--json"]).with_code(0).json();
    assert_eq!((&attached["interactions"], &attached["erasedInteractions"]), (&json!(1), &json!(1)), "{attached}");
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let client = Client { url: server.wait_for_endpoint(), ..client };
    client.until_ready().await;
    let checkpoint = served(&client, "checkpoint").await;
    assert_eq!((client.get(&kept).await, client.get(&doomed).await, client.get(&late).await), (200, 410, 404));
    assert_eq!(client.delete(&kept).await.status(), 503);
    audited(&client, &place, &known).await;
    assert_eq!(served(&client, "checkpoint").await, checkpoint, "something was appended");
    server.stop();

    run(&["restore", "commit", "--confirm", attached["restore"].as_str().unwrap()]).with_code(0);
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let client = Client { url: server.wait_for_endpoint(), ..client };
    client.until_ready().await;
    assert_eq!((client.get(&kept).await, client.get(&doomed).await, client.get(&late).await), (200, 410, 410));
    let new = client.made().await;
    assert!(client.delete(&kept).await.status().is_success());
    assert_eq!((client.get(&kept).await, client.get(&new).await), (410, 200));
    let told = audited(&client, &place, &checkpoint).await;
    assert!(told.contains("restore"), "{told}");
    server.stop();

    // And with less than that nothing is served.
    lose();
    let refused = |words: &str| {
        let refused = run(&["restore", "attach"]);
        assert!(refused.code != 0 && refused.err.contains(words), "{} {}", refused.code, refused.err);
    };
    fs::rename(place.join("vault.register"), place.join("lost")).unwrap();
    refused("its register holds no root");
    fs::remove_dir_all(place.join("vault.register")).unwrap();
    fs::rename(place.join("lost"), place.join("vault.register")).unwrap();
    fs::rename(place.join("cellar"), place.join("cellar-lost")).unwrap();
    fs::remove_dir_all(place.data()).unwrap();
    run(&["backup", "fetch", "copies", &copy, "--into", "vault"]).with_code(0);
    refused("key state");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_rows_and_contents_outlive_the_keys_disk_a_mirror_and_two_agents_bring_every_item_back() {
    let mut rig = Rig::with_mirrors(3, Some("2/3"), vec!["cellar"]);
    let mut server = rig.place.serve(&["--config", "oubliette.toml"]);
    let client = Client::new(&rig.place, &mut server);
    client.until_ready().await;
    let mut items = Vec::new();
    for number in 0_u8..24 {
        let id = client.made().await;
        // Small ones share a segment, large ones are files of their own.
        let content: Vec<u8> = (0..if number % 6 == 0 { 1_500_000_u32 } else { 900 })
            .map(|place| u8::try_from((place * 7 + u32::from(number)) % 251).unwrap())
            .collect();
        assert!(client.put(&id, &content).await.is_success());
        items.push((id, content));
        if number % 4 == 3 {
            assert!(client.delete(&items[usize::from(number) - 2].0).await.status().is_success());
        }
    }
    server.kill();
    rig.kill(1);
    fs::remove_dir_all(rig.place.data().join("packs")).unwrap();
    fs::remove_dir_all(rig.place.join("vault.register")).unwrap();
    rig.run(&["serve", "--listen", "127.0.0.1:0"]).with_code(1);
    for agent in ["agent-0.toml", "agent-2.toml"] {
        rig.run(&["agent", "release", "--config", agent]).with_code(0);
    }
    rig.run(&["recovery-key", "restore", "--key-file", "secret"]).with_code(0);

    let mut server = rig.place.serve(&["--config", "oubliette.toml"]);
    let client = Client { url: server.wait_for_endpoint(), ..client };
    client.until_ready().await;
    for (number, (id, content)) in items.iter().enumerate() {
        if number % 4 == 1 {
            assert_eq!(client.get(id).await, 410, "{number}");
        } else {
            assert_eq!(client.content(id).await.as_deref(), Some(&content[..]), "{number}");
        }
    }
    assert!(client.delete(&items[0].0).await.status().is_success());
    assert_eq!((client.get(&items[0].0).await, client.get(&items[2].0).await), (410, 200));
    server.stop();
}

#[test]
fn a_start_without_key_pages_while_the_mirror_is_away_writes_nothing_and_the_next_one_takes_them_over() {
    let rig = Rig::with_mirrors(1, None, vec!["cellar"]);
    rig.fill(2);
    let (cellar, away, packs) = (rig.place.join("cellar"), rig.place.join("away"), rig.place.data().join("packs"));
    fs::rename(&cellar, &away).unwrap();
    fs::remove_dir_all(&packs).unwrap();
    let refused = rig.run(&["serve", "--listen", "127.0.0.1:0"]).with_code(1);
    assert!(refused.err.contains("the key state has no page, neither in its own place"), "{}", refused.err);
    let left = |folder: &Path| -> Vec<_> {
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().file_name()).collect()
    };
    assert_eq!((left(&packs), left(&cellar)), (Vec::new(), Vec::new()));
    fs::rename(&away, &cellar).unwrap();
    assert_eq!((rig.found("oubliette.toml", "S-0"), rig.found("oubliette.toml", "S-1")), (1, 1));
    rig.run(&["erase", "--session", "S-0", "--yes"]).with_code(0);
}

#[test]
fn all_is_lost_but_a_copy_a_mirror_two_agents_and_the_recovery_key() {
    let mut rig = Rig::with_mirrors(3, Some("2/3"), vec!["cellar"]);
    rig.fill(3);
    let copy = rig.run(&["backup", "--to", "copies", "--json"]).with_code(0).json();
    let copy = copy["manifest"]["id"].as_str().unwrap().to_owned();
    rig.run(&["erase", "--session", "S-0", "--yes"]).with_code(0);
    rig.fill(4);
    fs::remove_dir_all(rig.place.join("vault")).unwrap();
    fs::remove_dir_all(rig.place.join("vault.register")).unwrap();
    rig.kill(1);
    rig.configure("new.toml", "new", &rig.public(), Some("2/3"));
    let run = |arguments: &[&str]| rig.run(&[arguments, &["--config", "new.toml"]].concat());
    run(&["backup", "fetch", "copies", &copy, "--into", "new"]).with_code(0);

    // Without the root nothing is restored; without envelopes or the key there is no root.
    let refused = run(&["restore", "attach"]).with_code(1);
    assert!(refused.err.contains("its register holds no root"), "{}", refused.err);
    let root = ["recovery-key", "restore", "--key-file", "secret"];
    let refused = run(&root).with_code(1);
    assert!(refused.err.contains("no agent gave an envelope"), "{}", refused.err);
    for agent in ["agent-0.toml", "agent-2.toml"] {
        rig.run(&["agent", "release", "--config", agent]).with_code(0);
    }
    rig.run(&["recovery-key", "create", "--secret-file", "wrong"]).with_code(0);
    let refused = run(&["recovery-key", "restore", "--key-file", "wrong"]).with_code(1);
    assert!(refused.err.contains("another recovery key"), "{}", refused.err);
    run(&root).with_code(0);

    run(&["serve", "--listen", "127.0.0.1:0"]).with_code(9);
    let attached = run(&["restore", "attach", "--json"]).with_code(0).json();
    assert_eq!((&attached["interactions"], &attached["erasedInteractions"]), (&json!(2), &json!(1)), "{attached}");
    assert_eq!((&attached["missingContents"], &attached["due"]), (&json!(0), &json!(0)), "{attached}");
    run(&["restore", "commit", "--confirm", attached["restore"].as_str().unwrap()]).with_code(0);
    let found = |session| rig.found("new.toml", session);
    assert_eq!([found("S-0"), found("S-1"), found("S-2"), found("S-3")], [0, 1, 1, 0]);
    run(&["erase", "--session", "S-1", "--yes"]).with_code(0);
    assert_eq!((found("S-1"), found("S-2")), (0, 1));
}
