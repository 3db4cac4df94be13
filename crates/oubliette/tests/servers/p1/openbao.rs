//! OpenBao with a durable store, and what the attacker does with one: he starts it on an archived folder and asks it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::process::{Process, free_ports};
use crate::engines::engine;

const NODE: &str = "one";

/// A running server.
pub struct OpenBao {
    process: Process,
    /// Where it listens.
    pub url: String,
    /// Its root token.
    pub token: String,
    /// The key that unseals it.
    pub unseal: String,
    client: Client,
}

/// A root, wrapped, as the vault's carrier holds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wrapped {
    /// The key that wrapped it.
    pub key: String,
    /// The text.
    pub text: String,
}

impl Wrapped {
    /// Reads what a carrier held.
    pub fn read(record: &[u8]) -> Option<Self> {
        let record: Value = serde_json::from_slice(record).ok()?;
        Some(Self { key: record["key"].as_str()?.to_owned(), text: record["wrapped"].as_str()?.to_owned() })
    }

    /// In what it may have been wrapped: either slot of the register that the key's name speaks of.
    fn contexts(&self) -> [String; 2] {
        let prefix = &self.key[..self.key.rfind('-').unwrap() + 1];
        [0, 1].map(|slot| format!("oubliette root slot {slot} of {prefix}"))
    }
}

impl OpenBao {
    /// A new one with a transit engine, unsealed.
    pub async fn create(folder: &Path) -> Self {
        std::fs::create_dir(folder).unwrap();
        let mut server = Self::start(folder, free_ports(), "", "").await;
        let made = server.order("POST", "sys/init", json!({ "secret_shares": 1, "secret_threshold": 1 })).await;
        server.unseal = made["keys"][0].as_str().unwrap().to_owned();
        server.token = made["root_token"].as_str().unwrap().to_owned();
        server.open().await;
        server.order("POST", "sys/mounts/transit", json!({ "type": "transit" })).await;
        server
    }

    /// On an archived folder, sealed as every OpenBao is when it starts.
    pub async fn archived(folder: &Path, token: &str, unseal: &str) -> Self {
        let [api, cluster] = free_ports();
        // What its operator would do to have it at another address: it is alone, and listens here.
        let peers = json!([{ "id": NODE, "address": format!("127.0.0.1:{cluster}"), "non_voter": false }]);
        std::fs::write(folder.join("raft/peers.json"), peers.to_string()).unwrap();
        Self::start(folder, [api, cluster], token, unseal).await
    }

    async fn start(folder: &Path, [api, cluster]: [u16; 2], token: &str, unseal: &str) -> Self {
        let config = format!(
            "storage \"raft\" {{\npath = \"{}\"\nnode_id = \"{NODE}\"\nperformance_multiplier = \"1\"\n}}\n\
             listener \"tcp\" {{\naddress = \"127.0.0.1:{api}\"\ncluster_address = \"127.0.0.1:{cluster}\"\n\
             tls_disable = true\n}}\n\
             api_addr = \"http://127.0.0.1:{api}\"\ncluster_addr = \"https://127.0.0.1:{cluster}\"\n",
            folder.display()
        );
        let file: PathBuf = folder.with_extension("hcl");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(folder.with_extension("log")).unwrap();
        let mut command = Command::new(engine("OUBLIETTE_TEST_OPENBAO_PROGRAM"));
        command.args(["server", "-config"]).arg(file).stdout(log.try_clone().unwrap()).stderr(log);
        let client = Client::builder().no_proxy().build().unwrap();
        let url = format!("http://127.0.0.1:{api}");
        let process = Process::start(&mut command, Signal::KILL);
        let mut server = Self { process, url, token: token.to_owned(), unseal: unseal.to_owned(), client };
        server.wait("sys/seal-status", |status, _| status == 200).await;
        server
    }

    /// Unseals it.
    pub async fn open(&mut self) {
        let key = json!({ "key": self.unseal });
        self.order("POST", "sys/unseal", key).await;
        self.wait("sys/health", |status, _| status == 200).await;
    }

    /// What it gives for a wrapped root.
    pub async fn unwrap(&self, wrapped: &Wrapped) -> Option<Vec<u8>> {
        for context in wrapped.contexts() {
            let body = json!({ "ciphertext": wrapped.text, "associated_data": STANDARD.encode(context) });
            let (_, answer) = self.ask("POST", &format!("transit/decrypt/{}", wrapped.key), Some(&body)).await?;
            if let Some(plain) = answer["data"]["plaintext"].as_str() {
                return Some(STANDARD.decode(plain).unwrap());
            }
        }
        None
    }

    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    async fn order(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, path, Some(&body)).await.unwrap();
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    async fn wait(&mut self, path: &str, ready: impl Fn(u16, &Value) -> bool) {
        let begun = Instant::now();
        while !self.ask("GET", path, None).await.is_some_and(|(status, answer)| ready(status, &answer)) {
            self.process.must_run();
            assert!(begun.elapsed() < Duration::from_secs(60), "OpenBao is not ready for {path}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.client.request(method, format!("{}/v1/{path}", self.url));
        let mut request = request.header("X-Vault-Token", &self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, serde_json::from_str(&response.text().await.ok()?).unwrap_or_default()))
    }
}

/// Whether this process may become another user.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
