//! Real OpenBao servers: the one that the test command started, and own ones that are stopped, sealed and started again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use oubliette_store::roots::{Login, OpenBaoOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::proxy::free_listener;

/// How an operator talks to a server.
pub struct Operator {
    pub url: String,
    pub token: String,
}

impl Operator {
    /// Of the server that the test command started.
    pub fn shared() -> Self {
        let variable = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| panic!("{name}: run `./test.sh test`, or start scripts/engines.sh"))
        };
        Self { url: variable("OUBLIETTE_TEST_OPENBAO"), token: variable("OUBLIETTE_TEST_OPENBAO_TOKEN") }
    }

    /// `host:port`.
    pub fn host(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    /// Any request; status and JSON.
    pub fn ask(&self, method: &str, path: &str, body: Option<Value>) -> std::io::Result<(u16, Value)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        runtime.block_on(async {
            let client = reqwest::Client::builder().no_proxy().build().map_err(std::io::Error::other)?;
            let mut request =
                client.request(method, format!("{}/v1/{path}", self.url)).header("X-Vault-Token", &self.token);
            if let Some(body) = body {
                request = request.json(&body);
            }
            let response = request.send().await.map_err(std::io::Error::other)?;
            let status = response.status().as_u16();
            let text = response.text().await.map_err(std::io::Error::other)?;
            Ok((status, serde_json::from_str(&text).unwrap_or_default()))
        })
    }

    /// A request that must be done.
    pub fn order(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.ask(method, path, body).unwrap();
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// A transit engine of its own for one test; its path.
    pub fn mount(&self) -> String {
        let mount = format!("t-{}", random());
        self.order("POST", &format!("sys/mounts/{mount}"), Some(json!({ "type": "transit" })));
        mount
    }

    pub fn keys(&self, mount: &str) -> Vec<String> {
        let (_, answer) = self.ask("GET", &format!("{mount}/keys?list=true"), None).unwrap();
        let names = answer["data"]["keys"].as_array().cloned().unwrap_or_default();
        names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    /// What an attacker who has the token gets of a wrapped root.
    pub fn open(&self, mount: &str, record: &[u8], contexts: &[String]) -> Option<Vec<u8>> {
        use base64::Engine as _;
        let base64 = base64::engine::general_purpose::STANDARD;
        let record: Value = serde_json::from_slice(record).ok()?;
        let path = format!("{mount}/decrypt/{}", record["key"].as_str()?);
        contexts.iter().find_map(|context| {
            let body = json!({ "ciphertext": record["wrapped"], "associated_data": base64.encode(context) });
            let (_, answer) = self.ask("POST", &path, Some(body)).unwrap();
            Some(base64.decode(answer["data"]["plaintext"].as_str()?).unwrap())
        })
    }

    /// Options that log in with a token in a file.
    pub fn options(&self, home: &Path, mount: &str) -> OpenBaoOptions {
        let file = home.join("token");
        std::fs::write(&file, format!("{}\n", self.token)).unwrap();
        OpenBaoOptions {
            mount: mount.to_owned(),
            timeout: Duration::from_secs(5),
            ..OpenBaoOptions::new(&self.url, Login::TokenFile(file))
        }
    }
}

pub fn random() -> String {
    let mut bytes = [0; 6];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    hex::encode(bytes)
}

/// The program, as the test command has installed it.
fn program() -> PathBuf {
    let name = "OUBLIETTE_TEST_OPENBAO_PROGRAM";
    PathBuf::from(
        std::env::var(name).unwrap_or_else(|_| panic!("{name}: run `./test.sh test`, or start scripts/engines.sh")),
    )
}

/// A server of its own with a durable store.
pub struct Server {
    child: Option<Child>,
    home: TempDir,
    pub operator: Operator,
    unseal: String,
}

impl Server {
    /// Starts, initialises and unseals a single node on raft storage.
    pub fn start() -> Self {
        let mut server = Self::configure("");
        server.run();
        let body = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let made = server.operator.order("POST", "sys/init", Some(body));
        server.unseal = made["keys"][0].as_str().unwrap().to_owned();
        server.operator.token = made["root_token"].as_str().unwrap().to_owned();
        server.unseal();
        server
    }

    /// A second node, standing by.
    pub fn join(first: &Self) -> Self {
        let mut server = Self::configure(&format!("retry_join {{ leader_api_addr = \"{}\" }}", first.operator.url));
        server.operator.token.clone_from(&first.operator.token);
        server.unseal.clone_from(&first.unseal);
        server.run();
        let unseal = || server.operator.ask("POST", "sys/unseal", Some(json!({ "key": server.unseal }))).unwrap().1;
        let until = Instant::now() + Duration::from_secs(30);
        while unseal()["sealed"] != false {
            assert!(Instant::now() < until, "the second node does not join");
            std::thread::sleep(Duration::from_millis(200));
        }
        // 429 is how a standby that is in order says so.
        server.wait("sys/health", |status, _| status == 429);
        server.wait("sys/leader", |_, leader| leader["leader_address"] == first.operator.url.as_str());
        server
    }

    fn configure(join: &str) -> Self {
        let home = TempDir::new().unwrap();
        let port = || free_listener().local_addr().unwrap().port();
        let (api, cluster) = (port(), port());
        std::fs::create_dir(home.path().join("raft")).unwrap();
        let config = format!(
            "storage \"raft\" {{\npath = \"{}\"\nnode_id = \"node-{api}\"\n{join}\n}}\n\
             listener \"tcp\" {{\naddress = \"127.0.0.1:{api}\"\ncluster_address = \"127.0.0.1:{cluster}\"\n\
             tls_disable = true\n}}\n\
             api_addr = \"http://127.0.0.1:{api}\"\ncluster_addr = \"https://127.0.0.1:{cluster}\"\n",
            home.path().join("raft").display()
        );
        std::fs::write(home.path().join("config.hcl"), config).unwrap();
        let operator = Operator { url: format!("http://127.0.0.1:{api}"), token: String::new() };
        Self { child: None, home, operator, unseal: String::new() }
    }

    /// The process, sealed as every OpenBao is when it starts.
    pub fn run(&mut self) {
        let log = std::fs::File::create(self.home.path().join("log")).unwrap();
        let child = Command::new(program())
            .args(["server", "-config"])
            .arg(self.home.path().join("config.hcl"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        self.wait("sys/seal-status", |status, _| status == 200);
    }

    pub fn unseal(&self) {
        self.operator.order("POST", "sys/unseal", Some(json!({ "key": self.unseal })));
        self.wait("sys/leader", |status, leader| status == 200 && leader["is_self"] == true);
        self.wait("sys/health", |status, _| status == 200);
    }

    pub fn seal(&self) {
        self.operator.order("POST", "sys/seal", None);
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn wait(&self, path: &str, ready: impl Fn(u16, &Value) -> bool) {
        let until = Instant::now() + Duration::from_secs(30);
        while !self.operator.ask("GET", path, None).is_ok_and(|(status, answer)| ready(status, &answer)) {
            if Instant::now() > until {
                let log = std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
                panic!("OpenBao is not ready for {path}:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A server with a certificate of an authority of its own. Nothing of it outlives this.
pub struct TlsServer {
    child: Child,
    home: TempDir,
    pub url: String,
}

impl TlsServer {
    /// Starts it; the certificate authority's file appears when it is ready. The token is `root`.
    pub fn start() -> Self {
        let home = TempDir::new().unwrap();
        let port = free_listener().local_addr().unwrap().port();
        let child = Command::new(program())
            .args(["server", "-dev", "-dev-tls", "-dev-no-store-token", "-dev-root-token-id=root"])
            .arg(format!("-dev-tls-cert-dir={}", home.path().display()))
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, home, url: format!("https://127.0.0.1:{port}") }
    }

    pub fn authority(&self) -> PathBuf {
        self.home.path().join("vault-ca.pem")
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
