//! Nothing personal in the log, whatever is asked, and nothing personal in clear in any store.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{self, TestVault};

/// Words that stand for persons; none may be found anywhere.
const MARKERS: [&str; 6] =
    ["Zephyrine", "Quillfeather", "+15125550173", "zq-external-7741", "hush-password", "my cat is called Bartok"];

/// Everything our crates log, down to the last detail.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Listens from now on, if nobody else in this process does.
    pub fn listen() -> Self {
        let log = Self::default();
        // Other crates log nothing in production; ours everything here.
        let filter = EnvFilter::new("off,oubliette=trace,oubliette_core=trace,oubliette_store=trace,keyforest=trace");
        let _ = tracing_subscriber::fmt().with_writer(log.clone()).with_env_filter(filter).with_ansi(false).try_init();
        log
    }

    /// Asserts that no word was logged, nor lies in clear anywhere that the vault writes to.
    pub async fn and_stores_know_nothing_of(&self, words: &[&str], vault: &TestVault) {
        let logged = self.0.lock().unwrap().clone();
        let found = vault.backend.written().await;
        assert!(found.len() > 3);
        for word in words {
            assert!(!contains(&logged, word), "logged: {word}");
            for (path, bytes) in &found {
                assert!(!contains(bytes, word), "{word} lies in {path}");
            }
        }
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The files below a folder.
pub fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap_or_default()));
        }
    }
}

fn contains(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn markers_of_good_and_bad_requests_are_neither_logged_nor_stored_in_clear() {
    let log = Log::default();
    // Other crates log nothing in production; ours everything here.
    let filter = EnvFilter::new("off,oubliette=trace,oubliette_core=trace,oubliette_store=trace,keyforest=trace");
    let ours = tracing_subscriber::fmt().with_writer(log.clone()).with_env_filter(filter).with_ansi(false).try_init();
    let vault = TestVault::start().await;
    let [first, last, phone, external, password, words] = MARKERS;
    let declare = |body: serde_json::Value| {
        vault.request("POST", "/v1/interactions").header("x-api-token", &vault.first.elevateai).json(&body).send()
    };
    let base = json!({"type": "chat", "languageTag": "en-us", "vertical": "default", "externalIdentifier": external,
        "originalFilename": format!("{first} {last}.wav"), "metadata": {"customer": {"phone": phone}},
        "chat": {"participants": [{"participant_id": phone, "name": format!("{first} {last}"), "role": "customer"}],
                 "messages": [{"participant_id": phone, "content": words}]}});
    let mut audio = base.clone();
    audio["type"] = json!("audio");
    audio["downloadUri"] = json!(format!("https://{first}:{password}@127.0.0.1/{last}.wav"));
    let mut bad = base.clone();
    bad["chat"]["messages"][0]["participant_id"] = json!(last);
    for (body, expected) in [(base, 201), (audio, 201), (bad, 400)] {
        let (status, answer) = support::text(declare(body).await.unwrap()).await;
        assert_eq!(status, expected, "{answer}");
        assert!(MARKERS.iter().all(|marker| !contains(answer.as_bytes(), marker)), "{answer}");
    }
    let basic = [("grant_type", "client_credentials"), ("scope", "interaction-content:read")];
    let answer = vault.request("POST", "/Auth/connect/token").basic_auth(first, Some(password)).form(&basic).send();
    assert_eq!(answer.await.unwrap().status(), 400);
    let answer = vault.request("POST", "/Auth/connect/token");
    let answer = answer.basic_auth(&vault.first.vonage.id, Some(&vault.first.vonage.secret)).form(&basic).send();
    let (_, body) = support::json(answer.await.unwrap()).await;
    let token = format!("Bearer {}", body["access_token"].as_str().unwrap());
    for path in [
        format!("/interaction-content/interactions/{last}"),
        format!("/interaction-content/interactions/{}/content/{first}", uuid::Uuid::nil()),
        format!("/interaction-content/interactions?start=2020-05-01&end=2020-05-02&connectFrom=%2B{}", &phone[1..]),
        format!("/interaction-content/{first}?{last}={words}"),
        format!("/v1/interactions/{external}/status?{last}"),
        format!("/v1/{first}/{last}"),
    ] {
        let request = vault.request("GET", &path).header("authorization", &token).header("x-api-token", password);
        let answer = request.header("accept", "application/vnd.newvoicemedia.v3+json").send().await.unwrap();
        assert_ne!(answer.status(), 500, "{path}");
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;

    let logged = log.0.lock().unwrap().clone();
    let text = String::from_utf8_lossy(&logged);
    // In one process with other tests somebody else may own the log.
    assert!(ours.is_err() || !text.is_empty(), "nothing was logged at all");
    for marker in MARKERS {
        assert!(!contains(&logged, marker), "logged: {marker}");
    }
    for secret in [&vault.first.elevateai, &vault.first.vonage.secret] {
        assert!(!contains(&logged, secret), "a secret was logged");
    }
    let found = vault.backend.written().await;
    assert!(found.len() > 3);
    for (path, bytes) in found {
        for marker in MARKERS {
            assert!(!contains(&bytes, marker), "{marker} lies in {path}");
        }
    }
}
