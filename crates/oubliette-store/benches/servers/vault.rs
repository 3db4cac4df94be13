//! A database, a bucket and processes for one vault.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

/// For a process to serve.
const PATIENCE: Duration = Duration::from_secs(60);

/// A setting of `scripts/engines.sh`.
pub fn engine(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: see scripts/engines.sh"))
}

/// The places of a vault.
pub struct Vault {
    /// Its database, and beside it the plain one.
    pub database: String,
    /// Its bucket.
    pub bucket: String,
    folder: TempDir,
}

/// A serving process; killed when dropped.
pub struct Node {
    /// Its listener.
    pub url: String,
    /// A credential of the native API; of the first node.
    pub token: String,
    child: Child,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Vault {
    /// Makes database and bucket.
    pub fn make() -> Self {
        let name = format!("b{}", Uuid::new_v4().simple());
        let server = engine("OUBLIETTE_TEST_POSTGRES");
        psql(&server, &format!("CREATE DATABASE {name}"));
        let user = format!("{}:{}", engine("OUBLIETTE_TEST_S3_KEY"), engine("OUBLIETTE_TEST_S3_SECRET"));
        let url = format!("{}/{name}", engine("OUBLIETTE_TEST_S3"));
        let arguments = ["-sf", "-X", "PUT", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &user, &url];
        assert!(Command::new("curl").args(arguments).stdout(Stdio::null()).status().unwrap().success());
        let (base, _) = server.rsplit_once('/').unwrap();
        Self { database: format!("{base}/{name}"), bucket: name, folder: TempDir::new().unwrap() }
    }

    /// Starts a process of the vault. The first one holds it, and makes a credential.
    pub async fn serve(&self, number: usize) -> Node {
        let program = engine("OUBLIETTE_BINARY");
        let home = self.folder.path().join(format!("node{number}"));
        std::fs::create_dir_all(&home).unwrap();
        let write = |name: &str, text: String| std::fs::write(home.join(name), text).unwrap();
        write(
            "keys",
            format!(
                "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
                engine("OUBLIETTE_TEST_S3_KEY"),
                engine("OUBLIETTE_TEST_S3_SECRET")
            ),
        );
        write("token", engine("OUBLIETTE_TEST_OPENBAO_TOKEN"));
        write(
            "oubliette.toml",
            format!(
                "[storage]\ndata = \"vault\"\nmetadata = \"{}\"\nblobs = \"s3://{}/contents\"\n\
                 accept_unverified_register = true\n\
                 [s3]\nendpoint = \"{}\"\nallow_http = true\ncredentials = \"file\"\ncredentials_file = \"keys\"\n\
                 [root]\nclass = \"multi-share\"\nshares = [\"file\", \"openbao\"]\n\
                 [openbao]\naddress = \"{}\"\ntoken_file = \"token\"\n[log]\nlevel = \"warn\"\n\
                 [node]\nlisten = \"127.0.0.1:0\"\nname = \"n{number}\"\naccept_plain_http = true\n",
                self.database,
                self.bucket,
                engine("OUBLIETTE_TEST_S3"),
                engine("OUBLIETTE_TEST_OPENBAO"),
            ),
        );
        let log = std::fs::File::create(home.join("stderr")).unwrap();
        let command = |arguments: &[&str]| {
            let mut command = Command::new(&program);
            command.args(arguments).args(["--config", "oubliette.toml"]).current_dir(&home).stdin(Stdio::null());
            command
        };
        let mut child = command(&["serve", "--listen", "127.0.0.1:0"]);
        let child = child.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let url = self.endpoint(&home.join("vault/run/endpoint.json"), child.id());
        let begun = Instant::now();
        while !reqwest::get(format!("{url}/readyz")).await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(begun.elapsed() < PATIENCE, "node {number} does not become ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if number > 0 {
            return Node { url, token: String::new(), child };
        }
        let made = command(&["token", "create", "--kind", "native", "--json"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        Node { url, token: made["secret"].as_str().unwrap().to_owned(), child }
    }

    fn endpoint(&self, file: &PathBuf, pid: u32) -> String {
        let begun = Instant::now();
        loop {
            let endpoint = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            match endpoint.filter(|endpoint| endpoint["pid"].as_u64() == Some(u64::from(pid))) {
                Some(endpoint) => return endpoint["url"].as_str().unwrap().to_owned(),
                None => assert!(begun.elapsed() < PATIENCE, "{} does not serve", self.bucket),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Removes the database. The bucket goes with its server.
    pub fn end(self) {
        let name = &self.bucket;
        psql(&engine("OUBLIETTE_TEST_POSTGRES"), &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
    }
}

/// Runs SQL; its output.
pub fn psql(database: &str, sql: &str) -> String {
    let ran = Command::new("psql").args([database, "-qAt", "-v", "ON_ERROR_STOP=1", "-c", sql]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}
