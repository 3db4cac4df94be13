//! Clients of every dialect, as vendors' own behave: they know the wire and nothing of the vault.

mod creovai;
mod elevateai;
mod native;
mod token;
mod vonage;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{RequestBuilder, StatusCode};

pub use creovai::Generation;
pub use native::Erasure;
use token::AccessToken;

/// Credentials of one tenant in every dialect.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    pub native: String,
    pub elevateai: String,
    pub vonage: (String, String),
    pub creovai: (String, String),
}

impl Keys {
    /// Made by `token`, which is given further arguments of `oubliette token create` and gives what that prints.
    pub fn make(token: impl Fn(&[&str]) -> String) -> Self {
        let made = |kind: &str| {
            let value: serde_json::Value =
                serde_json::from_str(&token(&["--kind", kind, "--json"])).expect("--json gives one JSON object");
            let word = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
            (word("id"), word("secret"))
        };
        Self {
            native: made("native").1,
            elevateai: made("elevateai").1,
            vonage: made("vonage"),
            creovai: made("creovai"),
        }
    }
}

/// What became of a request.
#[derive(Debug)]
pub enum Outcome<T> {
    /// Answered as done.
    Done(T),
    /// Answered as refused: certainly nothing happened, and this is the status.
    Refused(StatusCode),
    /// No answer, half an answer, or one that leaves it open (5xx).
    Doubt(Option<StatusCode>),
}

impl<T> Outcome<T> {
    /// Changes what was answered.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Done(value) => Outcome::Done(change(value)),
            Self::Refused(status) => Outcome::Refused(status),
            Self::Doubt(status) => Outcome::Doubt(status),
        }
    }

    /// Whether there was no answer at all: the program is gone.
    pub fn silent(&self) -> bool {
        matches!(self, Self::Doubt(None))
    }
}

/// An answer read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub body: Bytes,
}

impl Reply {
    /// Its body as JSON; null for anything else.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or(serde_json::Value::Null)
    }
}

/// Clients of one running program.
#[derive(Clone)]
pub struct Clients {
    http: reqwest::Client,
    base: String,
    keys: Keys,
    vonage: Arc<AccessToken>,
    creovai: Arc<AccessToken>,
}

impl Clients {
    /// Clients of the program at `base` (no trailing slash).
    pub fn new(base: &str, keys: &Keys) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .connect_timeout(Duration::from_secs(5))
            .build()
            .expect("a client without TLS settings can be built");
        Self { http, base: base.to_owned(), keys: keys.clone(), vonage: Arc::default(), creovai: Arc::default() }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Sends a request and reads the answer; `None` when there is none or it breaks off.
    async fn send(&self, request: RequestBuilder) -> Option<Reply> {
        let response = request.send().await.ok()?;
        let status = response.status();
        let body = response.bytes().await.ok()?;
        Some(Reply { status, body })
    }

    /// Sends a request that changes something. `done` says which statuses mean that it is done.
    async fn change(&self, request: RequestBuilder, done: &[u16]) -> Outcome<Reply> {
        match self.send(request).await {
            None => Outcome::Doubt(None),
            Some(reply) if done.contains(&reply.status.as_u16()) => Outcome::Done(reply),
            Some(reply) if reply.status.is_server_error() => Outcome::Doubt(Some(reply.status)),
            Some(reply) => Outcome::Refused(reply.status),
        }
    }

    /// A plain GET, for the operators' routes.
    pub async fn get(&self, path: &str) -> Option<Reply> {
        self.send(self.http.get(self.url(path)).timeout(Duration::from_secs(10))).await
    }
}

/// Makes a multipart body by hand: parts are (headers after the boundary, bytes).
fn multipart(parts: &[(&str, &[u8])]) -> (String, Vec<u8>) {
    const BOUNDARY: &str = "----crash-harness-boundary";
    let mut body = Vec::new();
    for (headers, bytes) in parts {
        body.extend_from_slice(format!("--{BOUNDARY}\r\n{headers}\r\n\r\n").as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={BOUNDARY}"), body)
}
