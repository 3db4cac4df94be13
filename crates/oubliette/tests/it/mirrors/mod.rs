//! Mirrors of the key state, seen from outside: what a start without one serves, how it heals, what is refused.

mod host;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use oubliette_proof::entry::{Body, Entry, Party};
use oubliette_proof::note::{KeyKind, SigningKey};
use oubliette_proof::tree::entries_of_bundle;
use serde_json::{Value, json};

use crate::engines::{self, engine};
use crate::program::{Place, Server};

const PATIENCE: Duration = Duration::from_secs(60);

/// A configuration with mirrors in folders.
pub fn configure(place: &Place, mirrors: &[&str]) {
    let places: Vec<String> =
        mirrors.iter().map(|name| format!("\"{name}=folder:{}\"", place.join(name).display())).collect();
    let text = format!(
        "[storage]\ndata = \"vault\"\naccept_unverified_register = true\n[erasure]\nseal_timeout_seconds = 1\n\
         [mirrors]\ntimeout_seconds = 2\nplaces = [{}]\n",
        places.join(", ")
    );
    fs::write(place.join("oubliette.toml"), text).unwrap();
}

pub struct Client {
    pub url: String,
    pub token: String,
    pub http: reqwest::Client,
}

impl Client {
    pub fn new(place: &Place, server: &mut Server) -> Self {
        let url = server.wait_for_endpoint();
        let arguments = ["token", "create", "--config", "oubliette.toml", "--kind", "native", "--json"];
        let token = place.run(&arguments).with_code(0).json()["secret"].as_str().unwrap().to_owned();
        Self { url, token, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    pub async fn made(&self) -> String {
        let body = json!({ "kind": "call", "startedAt": "2026-11-20T10:00:00Z" });
        let sent = self.http.post(format!("{}/api/v1/interactions", self.url)).bearer_auth(&self.token).json(&body);
        let made: Value = sent.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
        made["id"].as_str().unwrap().to_owned()
    }

    pub async fn get(&self, id: &str) -> u16 {
        let item = format!("{}/api/v1/interactions/{id}", self.url);
        self.http.get(item).bearer_auth(&self.token).send().await.unwrap().status().as_u16()
    }

    fn recording(&self, id: &str) -> String {
        format!("{}/api/v1/interactions/{id}/contents/callRecording", self.url)
    }

    pub async fn put(&self, id: &str, recording: &[u8]) -> reqwest::StatusCode {
        let sent = self.http.put(self.recording(id)).bearer_auth(&self.token).body(recording.to_vec());
        sent.send().await.unwrap().status()
    }

    /// The recording of an interaction, when it is served.
    pub async fn content(&self, id: &str) -> Option<Vec<u8>> {
        let answer = self.http.get(self.recording(id)).bearer_auth(&self.token).send().await.unwrap();
        if answer.status() == 200 { Some(answer.bytes().await.unwrap().to_vec()) } else { None }
    }

    pub async fn delete(&self, id: &str) -> reqwest::Response {
        let item = format!("{}/api/v1/interactions/{id}", self.url);
        self.http.delete(item).bearer_auth(&self.token).send().await.unwrap()
    }

    pub async fn ready(&self) -> Value {
        let answer = self.http.get(format!("{}/readyz", self.url)).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// What anybody can read of the log: its origin, and its entries.
    pub async fn log(&self) -> (String, Vec<Entry>) {
        let get = async |path: &str| {
            let answer = self.http.get(format!("{}/log/{path}", self.url)).send().await.unwrap();
            answer.error_for_status().unwrap().bytes().await.unwrap()
        };
        let checkpoint = String::from_utf8(get("checkpoint").await.to_vec()).unwrap();
        let mut lines = checkpoint.lines();
        let (origin, size) = (lines.next().unwrap(), lines.next().unwrap().parse::<u16>().unwrap());
        let bundle = get(&format!("tile/entries/000.p/{size}")).await;
        let entries = entries_of_bundle(&bundle, size).unwrap();
        (origin.to_owned(), entries.into_iter().map(|entry| Entry::decode(entry).unwrap()).collect())
    }

    async fn certificate(&self, id: &str) -> Value {
        let place = format!("{}/api/v1/interactions/{id}/certificate", self.url);
        let begun = Instant::now();
        loop {
            let answer = self.http.get(&place).bearer_auth(&self.token).send().await.unwrap();
            if answer.status() == 200 {
                return answer.json().await.unwrap();
            }
            assert!(begun.elapsed() < PATIENCE, "{}", answer.text().await.unwrap());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn until_ready(&self) {
        let begun = Instant::now();
        while self.ready().await["ready"] != true {
            assert!(begun.elapsed() < PATIENCE, "{}", self.ready().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn packs(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| name != "mirror" && name != "reserve")
        .collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_a_mirror_serves_reads_stalls_loudly_and_heals_by_itself() {
    let place = Place::new();
    configure(&place, &["cellar", "attic"]);
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let client = Client::new(&place, &mut server);
    let (one, two) = (client.made().await, client.made().await);
    client.until_ready().await;
    assert!(client.delete(&one).await.status().is_success());
    server.stop();
    assert_eq!(packs(&place.join("vault/packs")), packs(&place.join("cellar")));

    fs::rename(place.join("attic"), place.join("attic-away")).unwrap();
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let client = Client { url: server.wait_for_endpoint(), ..client };
    assert_eq!((client.get(&one).await, client.get(&two).await), (410, 200));
    let answer = client.delete(&two).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
    let ready = client.ready().await;
    assert_eq!(
        (&ready["ready"], &ready["sealing"], &ready["mirrorsBehind"]),
        (&json!(false), &json!(false), &json!(["attic"]))
    );
    let status = place.run(&["status", "--config", "oubliette.toml", "--json"]).with_code(7).json();
    let attic = status["mirrors"].as_array().unwrap().iter().find(|mirror| mirror["name"] == "attic").unwrap();
    assert_eq!(attic["holds"], false, "{status}");
    let figures = client.http.get(format!("{}/metrics", client.url)).send().await.unwrap().text().await.unwrap();
    assert!(figures.contains("oubliette_mirror_holds{mirror=\"attic\"} 0"), "{figures}");
    assert!(figures.contains("oubliette_mirror_holds{mirror=\"cellar\"} 1"), "{figures}");
    assert!(server.log().contains("ERROR") && server.log().contains("attic"), "{}", server.log());

    fs::rename(place.join("attic-away"), place.join("attic")).unwrap();
    client.until_ready().await;
    assert!(client.delete(&two).await.status().is_success());
    let three = client.made().await;
    assert_eq!(client.get(&three).await, 200);
    server.stop();
    assert_eq!(packs(&place.join("vault/packs")), packs(&place.join("attic")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_of_the_command_line_says_that_it_cannot_be_recorded_while_a_mirror_is_away() {
    let place = Place::new();
    configure(&place, &["cellar"]);
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let client = Client::new(&place, &mut server);
    let one = client.made().await;
    client.until_ready().await;
    fs::rename(place.join("cellar"), place.join("cellar-away")).unwrap();
    let erase = || place.run(&["erase", "--config", "oubliette.toml", "--id", &one, "--yes"]);
    let refused = erase().with_code(6);
    assert!(refused.err.contains("ask again") && refused.err.contains("oubliette status"), "{}", refused.err);
    fs::rename(place.join("cellar-away"), place.join("cellar")).unwrap();
    client.until_ready().await;
    let again = erase();
    assert!(matches!(again.code, 0 | 4), "{}", again.err);
    assert_eq!(client.certificate(&one).await["seal"]["mirrors"], 1);
}

#[test]
fn a_fresh_vault_whose_mirror_is_away_says_what_it_waits_for_and_stops_when_told() {
    let place = Place::new();
    configure(&place, &["cellar"]);
    // Not a folder: whatever is tried with it fails.
    fs::write(place.join("cellar"), b"").unwrap();
    let server = place.start(&["serve", "--config", "oubliette.toml", "--listen", "127.0.0.1:0"]);
    let begun = Instant::now();
    while !server.log().contains("first seal is made") {
        assert!(begun.elapsed() < PATIENCE, "{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    server.stop();
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn a_lost_key_state_is_taken_over_from_a_mirror_and_a_register_set_back_is_refused() {
    let place = Place::new();
    configure(&place, &["cellar"]);
    let status = || place.run(&["status", "--config", "oubliette.toml", "--json"]);
    place.serve(&["--config", "oubliette.toml"]).stop();
    status().with_code(0);
    fs::remove_dir_all(place.join("vault/packs")).unwrap();
    status().with_code(0);
    // The whole machine is set back to an image; the mirror is not.
    let image = place.join("image");
    fs::create_dir(&image).unwrap();
    let copy = |from: &str, to: &str| {
        let copied = std::process::Command::new("cp").arg("-a").arg(place.join(from)).arg(place.join(to)).status();
        assert!(copied.unwrap().success());
    };
    copy("vault", "image/vault");
    copy("vault.register", "image/vault.register");
    place.serve(&["--config", "oubliette.toml"]).stop();
    for folder in ["vault", "vault.register"] {
        fs::remove_dir_all(place.join(folder)).unwrap();
        copy(&format!("image/{folder}"), folder);
    }
    let before = packs(&place.join("cellar"));
    let ran = status().with_code(1);
    assert!(ran.err.contains("old keys came back") && ran.err.contains("cellar"), "{}", ran.err);
    assert_eq!(packs(&place.join("cellar")), before, "nothing was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_does_not_leave_by_being_left_out_of_the_configuration() {
    let place = Place::new();
    configure(&place, &["cellar", "attic"]);
    place.serve(&["--config", "oubliette.toml"]).stop();
    configure(&place, &["cellar"]);
    let ran = place.run(&["status", "--config", "oubliette.toml"]).with_code(3);
    assert!(ran.err.contains("attic") && ran.err.contains("party drop"), "{}", ran.err);
    configure(&place, &["attic", "cellar"]);
    place.run(&["status", "--config", "oubliette.toml"]).with_code(0);
    let listed = place.run(&["party", "list", "--config", "oubliette.toml"]).with_code(0).out;
    assert!(listed.contains("attic") && listed.contains("cellar"), "{listed}");

    // It goes by a decision, also while it is not there.
    fs::remove_dir_all(place.join("attic")).unwrap();
    let operator = SigningKey::generate("example.org/operator", KeyKind::Note).unwrap();
    fs::write(place.join("operator.key"), operator.to_skey().as_bytes()).unwrap();
    let drop = |name| {
        let mut arguments = vec!["party", "drop", name, "--config", "oubliette.toml", "--reason", "retired", "--json"];
        arguments.extend(["--key", "operator.key"]);
        place.run(&arguments)
    };
    drop("garage").with_code(4);
    let told = drop("attic").with_code(0).json();
    assert_eq!(told["key"], operator.verifier().to_string());
    let dropped = &told["dropped"][0];
    configure(&place, &["cellar"]);
    drop("attic").with_code(4);

    // Anybody who reads the log sees it, and by whose decision.
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let url = server.wait_for_endpoint();
    let client = Client { url, token: String::new(), http: reqwest::Client::builder().no_proxy().build().unwrap() };
    let (origin, mut entries) = client.log().await;
    let number = usize::try_from(dropped["entry"].as_u64().unwrap()).unwrap();
    let Body::PartyDropped(decision) = entries.swap_remove(number).body else { panic!("entry {number}") };
    let decided = &decision.decision;
    assert_eq!((decided.party, decided.name.as_str(), decided.reason.as_str()), (Party::Mirror, "attic", "retired"));
    decision.verify(&origin, operator.verifier()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_for_mirrors_that_were_let_go_is_sealed_after_the_decision_and_certified_without_them() {
    let place = Place::new();
    configure(&place, &["cellar", "attic", "garage"]);
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let client = Client::new(&place, &mut server);
    let (one, two) = (client.made().await, client.made().await);
    client.until_ready().await;
    assert!(client.delete(&one).await.status().is_success());
    server.stop();
    for name in ["attic", "garage"] {
        fs::remove_dir_all(place.join(name)).unwrap();
    }
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let client = Client { url: server.wait_for_endpoint(), ..client };
    assert_eq!(client.delete(&two).await.status(), 503);
    server.kill();

    // The decision is recorded but the command fails; named with one that is not known; done but not told.
    let drop = |crash: &str, names: &[&str]| {
        let mut arguments = vec!["party", "drop", "--config", "oubliette.toml", "--reason", "burnt", "--json"];
        arguments.extend(names);
        place.run_with(&arguments, &[("OUBLIETTE_CRASH_AT", crash)])
    };
    assert!(drop("party.drop.recorded", &["attic"]).err.contains("crashing at"));
    drop("", &["attic", "shed"]).with_code(4);
    assert!(drop("party.drop.forgotten", &["attic", "garage"]).err.contains("crashing at"));
    drop("", &["attic", "garage"]).with_code(4);
    configure(&place, &["cellar"]);

    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let client = Client { url: server.wait_for_endpoint(), ..client };
    client.until_ready().await;
    assert!(client.delete(&two).await.status().is_success());
    let (before, after) = (client.certificate(&one).await, client.certificate(&two).await);
    assert_eq!((&before["seal"]["mirrors"], &after["seal"]["mirrors"]), (&json!(3), &json!(1)));
    // Whoever reads the log finds the decision before the first seal that went without them.
    let (_, entries) = client.log().await;
    let decided = entries.iter().filter(|entry| matches!(entry.body, Body::PartyDropped(_))).count();
    let first_decision = entries.iter().position(|entry| matches!(entry.body, Body::PartyDropped(_))).unwrap();
    let first_without = entries.iter().position(|entry| matches!(&entry.body, Body::Seal(seal) if seal.mirrors < 3));
    assert_eq!(decided, 3, "two decisions, one of them told twice");
    assert!(first_decision < first_without.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_in_a_bucket_holds_every_seal_and_gives_a_lost_key_state_back() {
    let place = Place::new();
    let bucket = format!("m{}", uuid::Uuid::new_v4().simple());
    engines::bucket(&engine("OUBLIETTE_TEST_S3"), &bucket);
    let (key, secret) = engines::s3_keys();
    let keys = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
    fs::write(place.join("keys"), keys).unwrap();
    let config = format!(
        "[storage]\ndata = \"vault\"\naccept_unverified_register = true\n[s3]\nendpoint = \"{}\"\nallow_http = true\n\
         credentials = \"file\"\ncredentials_file = \"keys\"\n[mirrors]\nplaces = [\"far=s3://{bucket}/keys\"]\n",
        engine("OUBLIETTE_TEST_S3")
    );
    fs::write(place.join("oubliette.toml"), config).unwrap();
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let client = Client::new(&place, &mut server);
    let (one, two) = (client.made().await, client.made().await);
    client.until_ready().await;
    assert!(client.delete(&one).await.status().is_success());
    assert_eq!(client.certificate(&one).await["seal"]["mirrors"], 1);
    server.stop();

    fs::remove_dir_all(place.join("vault/packs")).unwrap();
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let client = Client { url: server.wait_for_endpoint(), ..client };
    assert_eq!((client.get(&one).await, client.get(&two).await), (410, 200));
    client.until_ready().await;
    assert!(client.delete(&two).await.status().is_success());
}

#[test]
fn doctor_and_every_start_say_what_would_be_lost_with_the_disk() {
    let place = Place::new();
    configure(&place, &[]);
    for _ in 0..2 {
        let mut server = place.serve(&["--config", "oubliette.toml"]);
        server.wait_for_endpoint();
        let log = server.log();
        let told = log.lines().find(|line| line.contains("only copies of key pages and root"));
        assert!(told.is_some_and(|line| line.contains("WARN") && line.contains("rows and contents")), "{log}");
        server.stop();
    }
    let told = place.run(&["doctor", "--config", "oubliette.toml"]).out;
    assert!(told.contains("only copies of key pages and root"), "{told}");
    configure(&place, &["cellar"]);
    let told = place.run(&["doctor", "--config", "oubliette.toml"]).with_code(7).out;
    assert!(told.contains("MEND") && told.contains("same filesystem"), "{told}");
}
