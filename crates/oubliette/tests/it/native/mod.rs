//! The native API against a real vault behind a real listener.

mod bad_input;
mod certificates;
mod credentials;
mod erasures;
mod gone;
mod interactions;
mod log;
mod openapi;
mod quiet;
pub mod stranger;

use oubliette_core::model::{CredentialKind, Scope};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use crate::support::TestVault;

/// A caller of the native API.
pub struct Caller {
    pub vault: TestVault,
    pub token: String,
}

impl Caller {
    pub async fn start() -> Self {
        let vault = TestVault::start().await;
        let token = vault.first.native.clone();
        Self { vault, token }
    }

    pub async fn limited(&self, scopes: &[Scope]) -> String {
        self.vault.credential(CredentialKind::Native, scopes).await.secret
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.vault.request(method, &format!("/api/v1{path}")).bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.request("GET", path).send().await.unwrap()).await
    }

    pub async fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        answer(self.request(method, path).json(&body).send().await.unwrap()).await
    }

    /// Makes an interaction with a recording; gives its id.
    pub async fn call(&self, session: &str, phone: &str) -> String {
        let body = json!({ "kind": "call", "startedAt": "2026-01-01T00:00:00Z", "sessionId": session,
            "participants": [{ "role": "customer", "phone": phone, "email": format!("{session}@example.com") }] });
        let (status, made) = self.send("POST", "/interactions", body).await;
        assert_eq!(status, 201, "{made}");
        let id = made["id"].as_str().unwrap().to_owned();
        let put = self.request("PUT", &format!("/interactions/{id}/contents/callRecording"));
        let put = put.header("content-type", "audio/wav").body(format!("audio of {session}"));
        assert_eq!(put.send().await.unwrap().status(), 201);
        id
    }

    /// Waits until an erasure is sealed.
    pub async fn until_sealed(&self, id: &str) -> Value {
        for _ in 0..400 {
            let (status, body) = self.get(&format!("/erasures/{id}")).await;
            assert_eq!(status, 200);
            if ["sealed", "removed"].contains(&body["state"].as_str().unwrap()) {
                return body;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("never sealed");
    }
}

/// Status and JSON body; problems have their own media type and our members.
pub async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (kind, request_id) = (header("content-type"), header("x-request-id"));
    let text = response.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {status} {text}"));
    if status >= 400 {
        assert_eq!(kind.as_deref(), Some("application/problem+json"), "{text}");
        assert_eq!(body["status"], status);
        assert!(body["title"].is_string() && body["type"].as_str().unwrap().contains("native.md#"), "{text}");
        assert_eq!(body["requestId"].as_str(), request_id.as_deref(), "{text}");
    } else {
        assert_eq!(kind.as_deref(), Some("application/json"), "{text}");
    }
    (status, body)
}

/// What kind of problem a body is.
pub fn kind(problem: &Value) -> &str {
    problem["type"].as_str().unwrap().rsplit('#').next().unwrap()
}
