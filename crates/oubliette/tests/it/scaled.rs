//! The real program on PostgreSQL, a bucket and OpenBao: one process serves, others stand by.
//!
//! `scripts/engines.sh` starts the servers; without them these tests fail.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::program::{Place, Server};

/// For a process that stands by to take over from one that is gone or silent, on a machine that does other things too.
const TAKES_OVER: Duration = Duration::from_secs(60);

fn engine(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run through ./test.sh, or see scripts/engines.sh"))
}

/// A database and a bucket for one vault; the folders of each process are its own.
struct Vault {
    database: String,
    bucket: String,
}

impl Vault {
    fn new() -> Self {
        let name = format!("v{}", Uuid::new_v4().simple());
        let server = engine("OUBLIETTE_TEST_POSTGRES");
        let made =
            Command::new("psql").args([&server, "-q", "-c", &format!("CREATE DATABASE {name}")]).status().unwrap();
        assert!(made.success());
        let user = format!("{}:{}", engine("OUBLIETTE_TEST_S3_KEY"), engine("OUBLIETTE_TEST_S3_SECRET"));
        let url = format!("{}/{name}", engine("OUBLIETTE_TEST_S3"));
        let arguments = ["-sf", "-X", "PUT", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &user, &url];
        assert!(Command::new("curl").args(arguments).stdout(Stdio::null()).status().unwrap().success());
        let (base, _) = server.rsplit_once('/').unwrap();
        Self { database: format!("{base}/{name}"), bucket: name }
    }

    /// A folder whose configuration names the vault.
    fn place(&self, root: &str) -> Place {
        let place = Place::new();
        let (key, secret) = (engine("OUBLIETTE_TEST_S3_KEY"), engine("OUBLIETTE_TEST_S3_SECRET"));
        let keys = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
        std::fs::write(place.join("keys"), keys).unwrap();
        std::fs::write(place.join("token"), engine("OUBLIETTE_TEST_OPENBAO_TOKEN")).unwrap();
        let config = format!(
            "[storage]\ndata = \"vault\"\nmetadata = \"{}\"\nblobs = \"s3://{}/contents\"\n\
             accept_unverified_register = true\n\
             [s3]\nendpoint = \"{}\"\nallow_http = true\ncredentials = \"file\"\ncredentials_file = \"keys\"\n\
             [root]\n{root}\n[openbao]\naddress = \"{}\"\ntoken_file = \"token\"\n",
            self.database,
            self.bucket,
            engine("OUBLIETTE_TEST_S3"),
            engine("OUBLIETTE_TEST_OPENBAO"),
        );
        std::fs::write(place.join("oubliette.toml"), config).unwrap();
        place
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        let name = &self.bucket;
        let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        let _ = Command::new("psql").args([&engine("OUBLIETTE_TEST_POSTGRES"), "-q", "-c", &drop]).status();
    }
}

fn serve(place: &Place) -> Server {
    place.start(&["serve", "--config", "oubliette.toml", "--listen", "127.0.0.1:0"])
}

/// A credential of the native API, made through the running program.
fn token(place: &Place) -> String {
    let arguments = ["token", "create", "--config", "oubliette.toml", "--kind", "native", "--json"];
    let told = place.run(&arguments).with_code(0).json();
    told["secret"].as_str().unwrap().to_owned()
}

/// Asks the native API.
struct Asker {
    client: Client,
    base: String,
    token: String,
}

impl Asker {
    fn new(base: &str, token: &str) -> Self {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        Self { client, base: base.to_owned(), token: token.to_owned() }
    }

    async fn call(&self, session: &str, recording: Vec<u8>) -> String {
        let body = json!({ "kind": "call", "startedAt": "2026-11-20T10:00:00Z", "sessionId": session,
            "participants": [{ "role": "customer", "phone": "+15125550101" }] });
        let url = format!("{}/api/v1/interactions", self.base);
        let made = self.client.post(url).bearer_auth(&self.token).json(&body).send().await.unwrap();
        assert_eq!(made.status(), StatusCode::CREATED);
        let made: Value = made.json().await.unwrap();
        let id = made["id"].as_str().unwrap().to_owned();
        let put = self.client.put(self.recording(&id)).bearer_auth(&self.token);
        let put = put.header("content-type", "audio/wav").body(recording).send().await.unwrap();
        assert!(put.status().is_success(), "{}", put.status());
        id
    }

    fn recording(&self, id: &str) -> String {
        format!("{}/api/v1/interactions/{id}/contents/callRecording", self.base)
    }

    async fn read(&self, id: &str) -> (StatusCode, Vec<u8>) {
        let answer = self.client.get(self.recording(id)).bearer_auth(&self.token).send().await.unwrap();
        (answer.status(), answer.bytes().await.unwrap().to_vec())
    }

    async fn delete(&self, id: &str) -> StatusCode {
        let url = format!("{}/api/v1/interactions/{id}", self.base);
        self.client.delete(url).bearer_auth(&self.token).send().await.unwrap().status()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_on_servers_keeps_what_lives_and_forgets_what_is_erased_over_a_kill() {
    let vault = Vault::new();
    let place = vault.place("class = \"multi-share\"\nshares = [\"file\", \"openbao\"]");
    let mut server = serve(&place);
    let base = server.wait_for_endpoint();
    let token = token(&place);
    let asker = Asker::new(&base, &token);
    let large: Vec<u8> = (0..3_000_000_u32).map(|byte| (byte % 251) as u8).collect();
    let (kept, small) = (asker.call("kept", large.clone()).await, asker.call("small", b"RIFF small".to_vec()).await);
    let gone = asker.call("gone", b"RIFF gone".to_vec()).await;
    assert_eq!(asker.read(&kept).await, (StatusCode::OK, large.clone()));
    assert!(asker.delete(&gone).await.is_success());
    assert_eq!(asker.read(&gone).await.0, StatusCode::GONE);
    let status = place.run(&["status", "--config", "oubliette.toml", "--json"]).with_code(0).json();
    assert_eq!(status["registerClass"], "multi-share(file,openbao)", "{status}");

    server.kill();
    let mut server = serve(&place);
    let asker = Asker::new(&server.wait_for_endpoint(), &token);
    assert_eq!(asker.read(&kept).await, (StatusCode::OK, large));
    assert_eq!(asker.read(&small).await, (StatusCode::OK, b"RIFF small".to_vec()));
    assert_eq!(asker.read(&gone).await.0, StatusCode::GONE);
    assert!(asker.delete(&kept).await.is_success());
    server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stands_by_takes_over_and_one_that_was_paused_serves_nothing_any_more() {
    let vault = Vault::new();
    let (first_place, second_place) = (vault.place("class = \"openbao\""), vault.place("class = \"openbao\""));
    let mut first = serve(&first_place);
    let token = token_of(&first_place, &mut first);
    let before = Asker::new(&token.1, &token.0);
    let (kept, erased) = (before.call("kept", vec![1; 40_000]).await, before.call("erased", vec![2; 40_000]).await);

    let mut second = serve(&second_place);
    std::thread::sleep(Duration::from_secs(3));
    assert!(second.running(), "it stands by");
    assert_eq!(before.read(&kept).await.0, StatusCode::OK);
    first.pause();
    let asker = Asker::new(&second.wait_for_endpoint(), &token.0);
    assert_eq!(asker.read(&kept).await, (StatusCode::OK, vec![1; 40_000]));
    assert!(asker.delete(&erased).await.is_success());
    assert_eq!(asker.read(&erased).await.0, StatusCode::GONE);

    // The one that was passed over wakes up and knows of nothing. Whatever it still answers, it gives no content out.
    first.resume();
    let begun = Instant::now();
    while first.running() {
        assert!(begun.elapsed() < TAKES_OVER, "a process that was passed over ends");
        let answer = before.client.get(before.recording(&erased)).bearer_auth(&before.token).send().await;
        if let Ok(answer) = answer {
            assert_ne!(answer.status(), StatusCode::OK, "erased content came from a process that was passed over");
        }
    }
    assert_eq!(first.wait(), 75);
    assert_eq!(asker.read(&kept).await.0, StatusCode::OK);
    second.kill();
}

fn token_of(place: &Place, server: &mut Server) -> (String, String) {
    let base = server.wait_for_endpoint();
    (token(place), base)
}
