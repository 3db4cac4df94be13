//! The Creovai dialect against a real vault behind a real listener, sentence by sentence of its wire contract.

mod bad_input;
mod capture;
mod captured;
mod outofband;
mod permissions;
mod purge;
mod quiet;
mod read;
mod status;
mod token;

use oubliette_core::model::{CredentialKind, Scope};
use oubliette_core::service::{IngestMode, VaultSettings};
use reqwest::Response;
use serde_json::{Value, json};

use crate::support::{ClientSecret, TestVault};

/// An API user of the vault under test.
pub struct User {
    pub vault: TestVault,
    pub token: String,
}

impl User {
    /// With all rights, on a vault with default settings.
    pub async fn start() -> Self {
        Self::on(TestVault::start().await).await
    }

    /// Phone numbers without `+` are American.
    pub async fn in_region() -> Self {
        let settings = VaultSettings { default_region: Some("US".to_owned()), ..VaultSettings::default() };
        Self::on(TestVault::with(settings, Default::default()).await).await
    }

    /// What is captured waits for an external processor.
    pub async fn with_processor() -> Self {
        let settings = VaultSettings { ingest: IngestMode::External, ..VaultSettings::default() };
        Self::on(TestVault::with(settings, Default::default()).await).await
    }

    async fn on(vault: TestVault) -> Self {
        let token = token(&vault, &vault.first.creovai).await;
        Self { vault, token }
    }

    /// Another API user of the same tenant with these rights only; gives the token.
    pub async fn limited(&self, scopes: &[Scope]) -> String {
        let credential = self.vault.credential(CredentialKind::Creovai, scopes).await;
        token(&self.vault, &credential).await
    }

    pub async fn get(&self, path: &str) -> Response {
        self.vault.request("GET", path).bearer_auth(&self.token).send().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: Value) -> Response {
        self.post_as(&self.token, path, body).await
    }

    pub async fn post_as(&self, token: &str, path: &str, body: Value) -> Response {
        let request = self.vault.request("POST", path).bearer_auth(token);
        request.header("content-type", "application/json; charset=utf-8").body(body.to_string()).send().await.unwrap()
    }

    /// Captures an archived call (first generation); gives its id.
    pub async fn call(&self, session: &str, phone: &str) -> String {
        let info = json!({
            "sessionId": session,
            "startTime": "2026-01-01T00:00:00Z",
            "direction": "Inbound",
            "contacts": [
                { "type": "agent", "channel": 0, "phoneNumber": "1007", "referenceId": "a1" },
                { "type": "customer", "channel": 1, "phoneNumber": phone },
            ],
        });
        let (status, body) = answer(self.archive(&info, &wav(1_000, 2), "audio/wav").await).await;
        assert_eq!(status, 200, "{body}");
        body["callId"].as_str().unwrap().to_owned()
    }

    pub async fn archive(&self, info: &Value, audio: &[u8], media_type: &str) -> Response {
        self.upload("/callCapture/v1/archive", info, audio, media_type).await
    }

    pub async fn upload(&self, path: &str, info: &Value, audio: &[u8], media_type: &str) -> Response {
        let body = two_parts(&info.to_string(), audio, media_type);
        let request = self.vault.request("POST", path).bearer_auth(&self.token);
        request.header("content-type", "multipart/form-data; boundary=\"b0\"").body(body).send().await.unwrap()
    }

    /// The status entry of a session (first generation).
    pub async fn status(&self, session: &str) -> Value {
        let body = self.post("/callCapture/v1/status", json!({ "callSessionIds": [session] })).await;
        let (status, body) = answer(body).await;
        assert_eq!(status, 200, "{body}");
        body["callSessions"][0].clone()
    }

    /// Waits until a purge of the session is complete, as a client would.
    pub async fn until_not_found(&self, session: &str) {
        for _ in 0..400 {
            let status = self.status(session).await["status"].as_str().unwrap().to_owned();
            if status == "NotFound" {
                return;
            }
            assert!(["Complete", "Concluded"].contains(&status.as_str()), "{status}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the purge was never complete");
    }
}

/// An access token by the token end point.
pub async fn token(vault: &TestVault, client: &ClientSecret) -> String {
    let form = format!("grant_type=client_credentials&client_id={}&client_secret={}", client.id, client.secret);
    let request = vault.request("POST", "/Token").header("content-type", "application/x-www-form-urlencoded");
    let (status, body) = answer(request.body(form).send().await.unwrap()).await;
    assert_eq!(status, 200, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

/// Status and JSON body; every answer with a body has exactly the content type the strictest client compares.
pub async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    let body = response.text().await.unwrap();
    assert_eq!(kind.as_deref(), Some("application/json; charset=utf-8"), "{status} {body}");
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("no JSON: {status} {body}")))
}

/// Asserts a 200 without a body.
pub async fn nothing(response: Response) {
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "");
}

/// A multipart body with boundary `b0`, the names unquoted as the .NET client writes them.
pub fn two_parts(info: &str, audio: &[u8], media_type: &str) -> Vec<u8> {
    let head = format!(
        "--b0\r\nContent-Type: application/json; charset=utf-8\r\nContent-Disposition: form-data; name=info\r\n\r\n\
         {info}\r\n--b0\r\nContent-Type: {media_type}\r\nContent-Disposition: form-data; name=data\r\n\r\n"
    );
    [head.as_bytes(), audio, b"\r\n--b0--\r\n"].concat()
}

/// PCM audio, 8 kHz, 16 bits.
pub fn wav(milliseconds: u32, channels: u16) -> Vec<u8> {
    let block = u32::from(channels) * 2;
    let length = milliseconds * 8 * block;
    let mut out = Vec::new();
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(36 + length).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&16_u32.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&channels.to_le_bytes());
    out.extend_from_slice(&8_000_u32.to_le_bytes());
    out.extend_from_slice(&(8_000 * block).to_le_bytes());
    out.extend_from_slice(&(block as u16).to_le_bytes());
    out.extend_from_slice(&16_u16.to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend((0..length).map(|n| (n % 251) as u8));
    out
}

/// Silent MPEG audio, layer III, 128 kbit/s at 44.1 kHz.
pub fn mp3(frames: usize) -> Vec<u8> {
    let mut frame = vec![0; 417];
    frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x64]);
    frame.repeat(frames)
}
