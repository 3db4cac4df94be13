//! Certificates of the real program, checked by programs that know nothing of it.

mod protocol;
mod rotated;
mod witnessed;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::native::stranger;
use crate::program::{Place, Server, repository};
use crate::scaled::Asker;

const ORIGIN: &str = "vault.example/log";
/// For whatever is done in the background; a witness that was away is asked again after pauses.
const PATIENCE: Duration = Duration::from_secs(90);

/// The program at work.
struct House {
    place: Place,
    server: Server,
    asker: Asker,
}

impl House {
    /// Starts it with these witnesses: none, or one as the setting has it.
    fn start(witness: Option<&str>) -> Self {
        let place = Place::new();
        let text = format!("[transparency]\norigin = \"{ORIGIN}\"\nwitnesses = {:?}\n", witness.as_slice());
        fs::write(place.join("oubliette.toml"), text).unwrap();
        let mut server = place.serve(&["--config", "oubliette.toml"]);
        let base = server.wait_for_endpoint();
        let token =
            place.run(&["token", "create", "--data", "vault", "--kind", "native", "--json"]).with_code(0).json();
        let asker = Asker::new(&base, token["secret"].as_str().unwrap());
        Self { place, server, asker }
    }

    /// Stops it in good order and starts it again.
    fn again(self) -> Self {
        let Self { place, server, asker } = self;
        server.stop();
        let mut server = place.serve(&["--config", "oubliette.toml"]);
        let asker = Asker::new(&server.wait_for_endpoint(), &asker.token);
        Self { place, server, asker }
    }

    /// The log gets another key.
    fn rotate_key(&self) {
        self.place.run(&["log", "rotate-key", "--config", "oubliette.toml", "--data", "vault"]).with_code(0);
    }

    /// Takes a call in and erases it; its id.
    async fn erased(&self, session: &str) -> String {
        let id = self.asker.call(session, format!("audio of {session}").into_bytes()).await;
        assert_eq!(self.asker.delete(&id).await, StatusCode::NO_CONTENT);
        id
    }

    /// The keys as anybody gets them.
    async fn log_keys(&self) -> String {
        let answer = self.asker.client.get(format!("{}/log/key", self.asker.base)).send().await.unwrap();
        answer.error_for_status().unwrap().text().await.unwrap()
    }

    /// A certificate as it is given out now, in this type; `None` while there is none.
    async fn given(&self, id: &str, kind: &str) -> Option<Vec<u8>> {
        let url = format!("{}/api/v1/interactions/{id}/certificate", self.asker.base);
        let request = self.asker.client.get(url).bearer_auth(&self.asker.token).header("accept", kind);
        let answer = request.send().await.unwrap();
        if answer.status() != StatusCode::OK {
            return None;
        }
        Some(answer.bytes().await.unwrap().to_vec())
    }

    /// The item's certificate, as soon as it bears the lines of these, in order.
    async fn certificate(&self, id: &str, signers: &[&str]) -> Vec<u8> {
        let begun = Instant::now();
        loop {
            let given = self.given(id, "application/json").await;
            let lines = given.as_deref().map(lines).unwrap_or_default();
            match given {
                Some(certificate) if lines == signers => return certificate,
                _ => assert!(begun.elapsed() < PATIENCE, "{signers:?} and not {lines:?}: {}", self.server.log()),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Whose lines a certificate bears.
fn lines(certificate: &[u8]) -> Vec<String> {
    let certificate: Value = serde_json::from_slice(certificate).unwrap();
    let (_, lines) = certificate["receipt"]["proof"].as_str().unwrap().rsplit_once("\n\n").unwrap();
    lines.lines().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
}

/// What `oubliette-verify` tells of a certificate that holds with these keys, `Err` with its words when it does not. The
/// verifier in Python comes to the same.
fn checked(certificate: &[u8], keys: &str) -> Result<Value, String> {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("c.json"), certificate).unwrap();
    fs::write(folder.path().join("log.key"), keys).unwrap();
    let (code, words) = stranger::verify(&folder, &["c.json", "--log-key", "log.key"]);
    assert!(code == 0 || code == 1, "{code}: {words}");
    assert_eq!(stranger::python(&folder, &["c.json".to_owned()]), [code == 0], "{words}");
    if code == 1 {
        return Err(words);
    }
    let (_, told) = stranger::verify(&folder, &["c.json", "--log-key", "log.key", "--json"]);
    Ok(serde_json::from_str(&told).unwrap())
}

/// Whether who takes the steps of docs/proof.md finds a certificate good.
fn good_by_hand(certificate: &[u8], keys: &str) -> bool {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("certificate.json"), certificate).unwrap();
    fs::write(folder.path().join("keys.txt"), keys).unwrap();
    let document = fs::read_to_string(repository().join("docs/proof.md")).unwrap();
    let blocks = document.split("```sh\n").skip(1).map(|block| block.split("```\n").next().unwrap());
    let steps = format!("set -eu\n{}", blocks.collect::<String>());
    let output = Command::new("bash").arg("-c").arg(steps).current_dir(folder.path()).output().unwrap();
    output.status.success() && String::from_utf8_lossy(&output.stdout).ends_with("the log itself signed\n")
}
