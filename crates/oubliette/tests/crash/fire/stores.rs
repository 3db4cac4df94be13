//! SeaweedFS and OpenBao with storage that outlives them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::engine;
use crate::rig::{Process, Workspace, run};

const START_LIMIT: Duration = Duration::from_secs(60);

/// How long OpenBao may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !ready().await {
        assert!(begun.elapsed() < START_LIMIT, "{what} does not start");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A port of SeaweedFS. It makes sockets in the temporary folder that are named by port alone, so the ports have to differ from
/// those of another one on this machine, whatever the address.
fn port(server: u32) -> u32 {
    10_000 + std::process::id() % 2_000 + 2_000 * server
}

const S3: u32 = 0;
const FILER: u32 = 1;
const MASTER: u32 = 2;
const VOLUME: u32 = 3;

/// SeaweedFS with its S3 gateway.
pub struct Weed<'w> {
    workspace: &'w Workspace,
    address: String,
    process: Option<Process>,
}

impl<'w> Weed<'w> {
    /// Access key.
    pub const KEY: &'static str = "vaultkey";
    /// Its secret.
    pub const SECRET: &'static str = "vaultsecret1234";

    /// Starts it and makes the bucket.
    pub async fn start(workspace: &'w Workspace, address: String, bucket: &str) -> Self {
        std::fs::create_dir_all(workspace.path("weed")).unwrap();
        let identities = json!({ "identities": [{ "name": "vault", "credentials": [{ "accessKey": Self::KEY,
            "secretKey": Self::SECRET }], "actions": ["Admin", "Read", "Write", "List", "Tagging"] }] });
        std::fs::write(workspace.path("s3.json"), identities.to_string()).unwrap();
        let mut weed = Self { workspace, address, process: None };
        weed.run().await;
        let (user, url) = (format!("{}:{}", Self::KEY, Self::SECRET), format!("{}/{bucket}", weed.url()));
        let make = ["-sf", "-X", "PUT", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &user, &url];
        until("the bucket", async || Command::new("curl").args(make).stdout(Stdio::null()).status().unwrap().success())
            .await;
        weed
    }

    /// Where it is asked.
    pub fn url(&self) -> String {
        format!("http://{}:{}", self.address, port(S3))
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// It dies and comes back.
    pub async fn restart(&mut self, pause: Duration) {
        self.process = None;
        tokio::time::sleep(pause).await;
        self.run().await;
    }

    async fn run(&mut self) {
        let (folder, identities) = (self.workspace.path("weed"), self.workspace.path("s3.json"));
        let (folder, identities) = (folder.to_str().unwrap(), identities.to_str().unwrap());
        let address = &self.address;
        let arguments = [
            &format!("-logdir={folder}"),
            "server",
            &format!("-dir={folder}"),
            &format!("-ip={address}"),
            &format!("-ip.bind={address}"),
            "-filer",
            "-s3",
            &format!("-s3.port={}", port(S3)),
            &format!("-filer.port={}", port(FILER)),
            &format!("-master.port={}", port(MASTER)),
            &format!("-volume.port={}", port(VOLUME)),
            &format!("-s3.config={identities}"),
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-volume.max=1000",
            "-volume.preStopSeconds=1",
            "-master.volumeSizeLimitMB=64",
            "-master.electionTimeout=1s",
            "-master.telemetry=false",
        ];
        let program = PathBuf::from(engine("OUBLIETTE_TEST_WEED"));
        let log = self.workspace.path("weed.log");
        self.process = Some(Process::start(self.workspace, &program, &arguments, &[], &log));
        let (assign, health) =
            (format!("http://{address}:{}/dir/assign", port(MASTER)), format!("{}/healthz", self.url()));
        until("SeaweedFS", async || {
            run("curl", ["-sf", "-m", "2", &assign]).is_ok_and(|told| told.contains("\"fid\""))
                && run("curl", ["-sf", "-m", "2", &health]).is_ok()
        })
        .await;
    }
}

/// OpenBao with the transit engine.
pub struct Bao<'w> {
    workspace: &'w Workspace,
    address: String,
    process: Option<Process>,
    client: reqwest::Client,
    unseal: String,
    /// A token that may do everything.
    pub token: String,
}

impl<'w> Bao<'w> {
    /// Starts and initialises it, with a certificate of its own in `ca.pem` of the workspace.
    pub async fn start(workspace: &'w Workspace, address: String) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec![address.clone()]).unwrap().self_signed(&key).unwrap();
        std::fs::write(workspace.path("ca.pem"), certificate.pem()).unwrap();
        std::fs::write(workspace.path("bao.key"), key.serialize_pem()).unwrap();
        let path = |name: &str| workspace.path(name).to_str().unwrap().to_owned();
        std::fs::create_dir_all(path("bao")).unwrap();
        let config = format!(
            "storage \"raft\" {{\n  path = \"{}\"\n  node_id = \"only\"\n}}\nlistener \"tcp\" {{\n  \
             address = \"{address}:8200\"\n  cluster_address = \"{address}:8201\"\n  tls_cert_file = \"{}\"\n  \
             tls_key_file = \"{}\"\n}}\napi_addr = \"https://{address}:8200\"\ncluster_addr = \"https://{address}:8201\"\n",
            path("bao"),
            path("ca.pem"),
            path("bao.key"),
        );
        std::fs::write(path("bao.hcl"), config).unwrap();
        let trusted = reqwest::Certificate::from_pem(certificate.pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]);
        let client = client.timeout(PATIENCE).build().unwrap();
        let (unseal, token) = Default::default();
        let mut bao = Self { workspace, address, process: None, client, unseal, token };
        bao.run().await;
        // Not to be asked twice: the keys are told once. It flushes much, on a disk that other tests hold busy.
        let shares = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let made = bao.put("/v1/sys/init", shares, START_LIMIT).await.unwrap();
        bao.unseal = made["keys"][0].as_str().unwrap().to_owned();
        bao.token = made["root_token"].as_str().unwrap().to_owned();
        bao.open().await;
        until("transit", async || {
            bao.put("/v1/sys/mounts/transit", json!({ "type": "transit" }), PATIENCE).await.is_ok()
        })
        .await;
        bao
    }

    /// Where it is asked.
    pub fn url(&self) -> String {
        format!("https://{}:8200", self.address)
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// It dies, comes back sealed and is unsealed.
    pub async fn restart(&mut self, pause: Duration) {
        self.process = None;
        tokio::time::sleep(pause).await;
        self.run().await;
        self.open().await;
    }

    async fn run(&mut self) {
        let config = self.workspace.path("bao.hcl");
        let program = PathBuf::from(engine("OUBLIETTE_TEST_OPENBAO_PROGRAM"));
        let arguments = ["server", "-config", config.to_str().unwrap()];
        let log = self.workspace.path("bao.log");
        self.process = Some(Process::start(self.workspace, Path::new(&program), &arguments, &[], &log));
        let url = format!("{}/v1/sys/seal-status", self.url());
        until("OpenBao", async || self.client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()))
            .await;
    }

    async fn open(&self) {
        let key = json!({ "key": self.unseal });
        until("OpenBao unsealed", async || {
            let told = self.put("/v1/sys/unseal", key.clone(), PATIENCE).await;
            told.is_ok_and(|told| told["sealed"] == false)
        })
        .await;
        let url = format!("{}/v1/sys/health", self.url());
        until("OpenBao", async || self.client.get(&url).send().await.is_ok_and(|answer| answer.status() == 200)).await;
    }

    async fn put(&self, path: &str, body: Value, patience: Duration) -> Result<Value, String> {
        let request = self.client.put(format!("{}{path}", self.url())).header("x-vault-token", &self.token);
        let answer = request.timeout(patience).json(&body).send().await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| error.to_string())?;
        if !status.is_success() {
            return Err(format!("{status} {text}"));
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}
