//! The real program on PostgreSQL, a bucket and OpenBao: one process serves, others stand by.
//!
//! `scripts/engines.sh` starts the servers; without them these tests fail.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::engines::{self, Database, engine};
use crate::program::{Place, Server};

/// What a process says that has to wait for the end of another one's lease.
const WAITED: &str = "not let go of in order";

/// For a process that stands by to take over from one that is gone or silent, on a machine that does other things too.
const TAKES_OVER: Duration = Duration::from_secs(60);

/// A database and a bucket for one vault; the folders of each process are its own.
pub struct Vault {
    /// The database.
    pub database: Database,
    /// Name of the bucket.
    pub bucket: String,
}

impl Vault {
    /// Makes both.
    pub fn new() -> Self {
        let (database, bucket) = (Database::fresh(), format!("v{}", Uuid::new_v4().simple()));
        engines::bucket(&engine("OUBLIETTE_TEST_S3"), &bucket);
        Self { database, bucket }
    }

    /// A folder whose configuration names the vault.
    pub fn place(&self, root: &str) -> Place {
        self.place_by(&self.database.url, root)
    }

    /// The same, with another way to the database.
    fn place_by(&self, database: &str, root: &str) -> Place {
        self.place_through(database, &engine("OUBLIETTE_TEST_S3"), &engine("OUBLIETTE_TEST_OPENBAO"), root)
    }

    /// The same, with other ways to database, bucket and OpenBao.
    pub fn place_through(&self, database: &str, s3: &str, openbao: &str, root: &str) -> Place {
        let place = Place::new();
        let (key, secret) = engines::s3_keys();
        let keys = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
        std::fs::write(place.join("keys"), keys).unwrap();
        std::fs::write(place.join("token"), engine("OUBLIETTE_TEST_OPENBAO_TOKEN")).unwrap();
        let config = format!(
            "[storage]\ndata = \"vault\"\nmetadata = \"{database}\"\nblobs = \"s3://{}/contents\"\n\
             accept_unverified_register = true\n\
             [s3]\nendpoint = \"{s3}\"\nallow_http = true\ncredentials = \"file\"\ncredentials_file = \"keys\"\n\
             [root]\n{root}\n[openbao]\naddress = \"{openbao}\"\ntoken_file = \"token\"\n",
            self.bucket,
        );
        std::fs::write(place.join("oubliette.toml"), config).unwrap();
        place
    }
}

/// Starts the program in that folder.
pub fn serve(place: &Place) -> Server {
    place.start(&["serve", "--config", "oubliette.toml", "--listen", "127.0.0.1:0"])
}

/// A credential of the native API, made through the running program.
pub fn token(place: &Place) -> String {
    let arguments = ["token", "create", "--config", "oubliette.toml", "--kind", "native", "--json"];
    let told = place.run(&arguments).with_code(0).json();
    told["secret"].as_str().unwrap().to_owned()
}

/// Asks the native API.
pub struct Asker {
    pub client: Client,
    pub base: String,
    pub token: String,
}

impl Asker {
    pub fn new(base: &str, token: &str) -> Self {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        Self { client, base: base.to_owned(), token: token.to_owned() }
    }

    /// Stores a call with a recording; gives its id.
    pub async fn call(&self, session: &str, recording: Vec<u8>) -> String {
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

    /// The address of its recording.
    pub fn recording(&self, id: &str) -> String {
        format!("{}/api/v1/interactions/{id}/contents/callRecording", self.base)
    }

    /// Reads it.
    pub async fn read(&self, id: &str) -> (StatusCode, Vec<u8>) {
        let answer = self.client.get(self.recording(id)).bearer_auth(&self.token).send().await.unwrap();
        (answer.status(), answer.bytes().await.unwrap().to_vec())
    }

    /// Erases the call.
    pub async fn delete(&self, id: &str) -> StatusCode {
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
    let told = place.run(&["doctor", "--config", "oubliette.toml"]);
    // OpenBao's root token may do everything, which is what doctor is there to say.
    for said in ["class multi-share(file,openbao)", "note  vault          bucket:", "note  vault          register:"] {
        assert!(told.out.contains(said), "{said} is missing in {}", told.out);
    }
    assert!(!told.out.contains("filesystem that overwrites in place"), "{}", told.out);

    server.kill();
    let mut server = serve(&place);
    let asker = Asker::new(&server.wait_for_endpoint(), &token);
    assert!(server.log().contains(WAITED), "{}", server.log());
    assert_eq!(asker.read(&kept).await, (StatusCode::OK, large));
    assert_eq!(asker.read(&small).await, (StatusCode::OK, b"RIFF small".to_vec()));
    assert_eq!(asker.read(&gone).await.0, StatusCode::GONE);
    server.stop();
    let mut server = serve(&place);
    let asker = Asker::new(&server.wait_for_endpoint(), &token);
    assert!(!server.log().contains(WAITED), "it was let go of in order: {}", server.log());
    assert!(asker.delete(&kept).await.is_success());
    server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_cut_off_from_its_database_answers_503_and_serves_again_by_itself() {
    let vault = Vault::new();
    let cut = Cut::before(&vault.database.url).await;
    let place = vault.place_by(&cut.url, "class = \"openbao\"");
    let mut server = serve(&place);
    let (token, base) = token_of(&place, &mut server);
    let asker = Asker::new(&base, &token);
    let kept = asker.call("kept", vec![1; 40_000]).await;

    cut.set_open(false);
    let begun = Instant::now();
    while asker.read(&kept).await.0 != StatusCode::SERVICE_UNAVAILABLE {
        assert!(begun.elapsed() < TAKES_OVER, "nothing is served on a claim that cannot be confirmed");
    }
    // Not by chance either.
    assert_eq!(asker.read(&kept).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(asker.delete(&kept).await, StatusCode::SERVICE_UNAVAILABLE);

    cut.set_open(true);
    let begun = Instant::now();
    while asker.read(&kept).await != (StatusCode::OK, vec![1; 40_000]) {
        assert!(begun.elapsed() < TAKES_OVER, "it serves again: {}", server.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(asker.delete(&kept).await.is_success());
    assert_eq!(asker.read(&kept).await.0, StatusCode::GONE);
    server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stands_by_waits_for_its_database_and_takes_over_after_it() {
    let vault = Vault::new();
    let cut = Cut::before(&vault.database.url).await;
    let first_place = vault.place("class = \"openbao\"");
    let mut first = serve(&first_place);
    first.wait_for_endpoint();
    let place = vault.place_by(&cut.url, "class = \"openbao\"");
    let mut second = serve(&place);
    until_it_says(&second, "standing by: another process").await;

    cut.set_open(false);
    until_it_says(&second, "standing by: the key state's database is out of reach").await;
    assert!(second.running(), "it waits: {}", second.log());
    cut.set_open(true);
    first.stop();
    second.wait_for_endpoint();
    second.kill();
}

async fn until_it_says(server: &Server, what: &str) {
    let begun = Instant::now();
    while !server.log().contains(what) {
        assert!(begun.elapsed() < TAKES_OVER, "{what}: {}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The way to a server, which can be cut.
pub struct Cut {
    /// The server's address by this way.
    pub url: String,
    open: Arc<AtomicBool>,
}

impl Cut {
    /// A way to the server of this address; open.
    pub async fn before(address: &str) -> Self {
        let (scheme, rest) = address.split_once("://").unwrap();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, server) = authority.rsplit_once('@').map_or(("", authority), |(user, server)| (user, server));
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let at = if user.is_empty() { "" } else { "@" };
        let slash = if path.is_empty() { "" } else { "/" };
        let url = format!("{scheme}://{user}{at}{here}{slash}{path}");
        let open = Arc::new(AtomicBool::new(true));
        let way = Arc::clone(&open);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (way, server) = (Arc::clone(&way), server.clone());
                tokio::spawn(async move {
                    let passed = async {
                        let mut far = TcpStream::connect(server).await?;
                        tokio::io::copy_bidirectional(&mut near, &mut far).await
                    };
                    let closed = async {
                        while way.load(Ordering::SeqCst) {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    };
                    tokio::select! { _ = passed => {}, () = closed => {} }
                });
            }
        });
        Self { url, open }
    }

    /// Opens or cuts it.
    pub fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }
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
    let third_place = vault.place("class = \"openbao\"");
    let asked = third_place.run(&["status", "--config", "oubliette.toml"]).with_code(6);
    assert!(asked.err.contains("another process has the vault open"), "{}", asked.err);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_rows_are_migrated_for_long_is_not_passed_over() {
    let vault = Vault::new();
    // What it waits for here is another migration, for longer than a holder may say nothing.
    let migrating = "SELECT pg_advisory_lock(1869963884, 1), pg_sleep(18)";
    let mut migrating =
        Command::new("psql").args([vault.database.url.as_str(), "-qAt", "-c", migrating]).spawn().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (first_place, second_place) = (vault.place("class = \"openbao\""), vault.place("class = \"openbao\""));
    let mut first = serve(&first_place);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut second = serve(&second_place);
    until_it_says(&second, "standing by: another process").await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(migrating.try_wait().unwrap().is_none(), "it was long enough");
    assert!(migrating.wait().unwrap().success());
    first.wait_for_endpoint();
    assert!(!second.log().contains("passed over"), "{}", second.log());
    assert!(second.running());
    first.stop();
    second.wait_for_endpoint();
    second.kill();
}

fn token_of(place: &Place, server: &mut Server) -> (String, String) {
    let base = server.wait_for_endpoint();
    (token(place), base)
}
