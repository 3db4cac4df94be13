//! One request after the other over a thread of its own, so that callers may block wherever they are: also on a thread
//! that belongs to a runtime.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};
use zeroize::Zeroizing;

use super::{Login, OpenBaoError, OpenBaoOptions};

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// OpenBao wants it against requests that a browser was talked into.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
/// How far the storage was after our last write. Nodes that are not so far yet must not answer from what they have.
const INDEX: HeaderName = HeaderName::from_static("x-vault-index");
const INCONSISTENT: HeaderName = HeaderName::from_static("x-vault-inconsistent");
/// The largest answer that is read. A list of keys is the longest.
const MAX_ANSWER: usize = 16 << 20;
/// Time between attempts to renew a token that could not be renewed.
const RENEW_AGAIN: Duration = Duration::from_secs(30);
const MAX_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// A request. Paths are relative to `/v1/`.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
}

/// An answer, whatever its status.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Zeroizing<Vec<u8>>,
    /// The server counts its writes and was told of our last one, so it does not answer from before that.
    pub(super) indexed: bool,
}

struct Job {
    call: Call,
    answer: SyncSender<io::Result<Reply>>,
}

/// The way to one OpenBao. Ends its thread when dropped.
pub(super) struct Wire {
    jobs: UnboundedSender<Job>,
}

impl Wire {
    /// Starts the thread. Asks nothing yet.
    pub(super) fn start(options: &OpenBaoOptions) -> Result<Self, OpenBaoError> {
        let base = options.base()?;
        let mut builder = Client::builder()
            .no_proxy()
            // A redirect would carry the token to wherever it points.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(options.timeout.min(Duration::from_secs(5)))
            .timeout(options.timeout);
        if let Some(path) = &options.ca_file {
            let pem =
                std::fs::read(path).map_err(|source| OpenBaoError::Io { operation: "reading the CA file", source })?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .ok()
                .filter(|certificates| !certificates.is_empty())
                .ok_or(OpenBaoError::Options { reason: "the CA file holds no certificate" })?;
            builder = builder.tls_certs_only(certificates);
        }
        let client = builder.build().map_err(|_| OpenBaoError::Options { reason: "TLS cannot be set up" })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| OpenBaoError::Io { operation: "starting a runtime", source })?;
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST, HeaderValue::from_static("true"));
        if let Some(namespace) = &options.namespace {
            let value = HeaderValue::from_str(namespace);
            headers.insert(NAMESPACE, value.map_err(|_| OpenBaoError::Options { reason: "the namespace is no name" })?);
        }
        let (jobs, queue) = unbounded_channel();
        let session = Session { client, base, headers, login: options.login.clone(), token: None, index: None };
        std::thread::Builder::new()
            .name("openbao".to_owned())
            .spawn(move || runtime.block_on(session.run(queue)))
            .map_err(|source| OpenBaoError::Io { operation: "starting a thread", source })?;
        Ok(Self { jobs })
    }

    /// Makes a request and waits for its answer.
    pub(super) fn call(&self, call: Call) -> io::Result<Reply> {
        let (answer, reply) = sync_channel(1);
        let ended = |_| io::Error::other("the thread that talks to OpenBao has ended");
        self.jobs
            .send(Job { call, answer })
            .map_err(|_| io::Error::other("the thread that talks to OpenBao has ended"))?;
        reply.recv().map_err(ended)?
    }
}

struct Token {
    value: HeaderValue,
    renewable: bool,
    /// `None` for a token without an end.
    renew_at: Option<Instant>,
}

struct Session {
    client: Client,
    base: Url,
    headers: HeaderMap,
    login: Login,
    token: Option<Token>,
    index: Option<HeaderValue>,
}

impl Session {
    async fn run(mut self, mut queue: UnboundedReceiver<Job>) {
        loop {
            let renew_at = self.token.as_ref().and_then(|token| token.renew_at);
            let renewal = async {
                match renew_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                job = queue.recv() => {
                    let Some(Job { call, answer }) = job else { return };
                    let reply = self.call(&call).await;
                    let _ = answer.send(reply);
                }
                () = renewal => self.renew().await,
            }
        }
    }

    /// Asks with a valid token: one that was refused is fetched once more, for it may have been replaced or have ended.
    async fn call(&mut self, call: &Call) -> io::Result<Reply> {
        if self.token.is_some() {
            let reply = self.send(call).await?;
            if reply.status != 403 {
                return Ok(reply);
            }
            self.token = None;
        }
        self.log_in().await?;
        self.send(call).await
    }

    async fn send(&mut self, call: &Call) -> io::Result<Reply> {
        let url = self.base.join(&call.path).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut request = self.client.request(call.method.clone(), url).headers(self.headers.clone());
        if let Some(token) = &self.token {
            request = request.header(TOKEN, token.value.clone());
        }
        if let Some(index) = &self.index {
            request = request.header(INDEX, index.clone()).header(INCONSISTENT, "forward-active-node");
        }
        if let Some(body) = &call.body {
            // Wiped when the last part of it was sent; what TLS and the kernel copy is beyond us.
            let bytes = bytes::Bytes::from_owner(body.clone());
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(bytes);
        }
        let mut response = request.send().await.map_err(network)?;
        let status = response.status().as_u16();
        if let Some(index) = response.headers().get(INDEX) {
            self.index = Some(index.clone());
        }
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(network)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(io::Error::other("OpenBao's answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, body, indexed: self.index.is_some() })
    }

    async fn log_in(&mut self) -> io::Result<()> {
        match self.login.clone() {
            Login::TokenFile(path) => {
                let text = std::fs::read_to_string(&path).map(Zeroizing::new);
                let text = text.map_err(|error| describe(&error, "the token file cannot be read"))?;
                self.adopt(text.trim()).await
            }
            Login::TokenVariable(name) => {
                let text = std::env::var(name).map(Zeroizing::new).map_err(|_| {
                    io::Error::new(io::ErrorKind::PermissionDenied, "the token's environment variable is not set")
                })?;
                self.adopt(text.trim()).await
            }
            Login::AppRole { role_id, secret_id_file, mount } => {
                let secret = std::fs::read_to_string(&secret_id_file).map(Zeroizing::new);
                let secret = secret.map_err(|error| describe(&error, "the secret id's file cannot be read"))?;
                let body =
                    serde_json::json!({ "role_id": role_id, "secret_id": secret.trim() }).to_string().into_bytes();
                self.token = None;
                let path = format!("auth/{mount}/login");
                let call = Call { method: Method::POST, path, body: Some(Zeroizing::new(body)) };
                let reply = self.send(&call).await?;
                let answer = super::expect(&reply, "logging in")?;
                self.take(&answer["auth"])
            }
        }
    }

    /// Takes a token that somebody else made, and finds out how long it lives.
    async fn adopt(&mut self, token: &str) -> io::Result<()> {
        let mut value = HeaderValue::from_str(token)
            .map_err(|_| io::Error::new(io::ErrorKind::PermissionDenied, "the token is not a token"))?;
        value.set_sensitive(true);
        self.token = Some(Token { value, renewable: false, renew_at: None });
        let call = Call { method: Method::GET, path: "auth/token/lookup-self".to_owned(), body: None };
        let found = match self.send(&call).await {
            Ok(reply) => super::expect(&reply, "looking up the token"),
            Err(error) => Err(error),
        };
        match (found, &mut self.token) {
            (Ok(found), Some(token)) => {
                token.renewable = found["data"]["renewable"].as_bool().unwrap_or(false);
                token.renew_at = token.renewable.then(|| half(&found["data"]["ttl"])).flatten();
                Ok(())
            }
            (Err(error), _) => {
                self.token = None;
                Err(error)
            }
            (Ok(_), None) => Ok(()),
        }
    }

    /// Takes the token of a login's or renewal's answer.
    fn take(&mut self, auth: &Value) -> io::Result<()> {
        let text = auth["client_token"].as_str().ok_or_else(|| io::Error::other("OpenBao gave no token"))?;
        let mut value = HeaderValue::from_str(text).map_err(|_| io::Error::other("OpenBao gave no token"))?;
        value.set_sensitive(true);
        let renewable = auth["renewable"].as_bool().unwrap_or(false);
        self.token = Some(Token { value, renewable, renew_at: half(&auth["lease_duration"]) });
        Ok(())
    }

    /// Lengthens the token's life, or fetches another one. Failing that is told, and tried again.
    async fn renew(&mut self) {
        let renewable = self.token.as_ref().is_some_and(|token| token.renewable);
        let renewed = if renewable {
            let path = "auth/token/renew-self".to_owned();
            let call = Call { method: Method::POST, path, body: Some(Zeroizing::new(b"{}".to_vec())) };
            match self.send(&call).await {
                Ok(reply) => super::expect(&reply, "renewing the token").and_then(|answer| self.take(&answer["auth"])),
                Err(error) => Err(error),
            }
        } else {
            self.log_in().await
        };
        if let Err(error) = renewed {
            let logged_in = matches!(self.login, Login::AppRole { .. }) && self.log_in().await.is_ok();
            if !logged_in {
                tracing::warn!(error = &error as &dyn std::error::Error, "the OpenBao token could not be renewed");
                if let Some(token) = &mut self.token {
                    token.renew_at = Some(Instant::now() + RENEW_AGAIN);
                }
            }
        }
    }
}

/// Half of a life in seconds from now; `None` when it has no end.
fn half(seconds: &Value) -> Option<Instant> {
    let seconds = seconds.as_u64().filter(|seconds| *seconds > 0)?;
    Some(Instant::now() + (Duration::from_secs(seconds) / 2).clamp(Duration::from_secs(1), MAX_PAUSE))
}

fn describe(error: &io::Error, text: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{text} ({})", error.kind()))
}

/// Without the address and the path: an error is written into logs.
fn network(error: reqwest::Error) -> io::Error {
    let kind = if error.is_timeout() {
        io::ErrorKind::TimedOut
    } else if error.is_connect() {
        io::ErrorKind::ConnectionRefused
    } else {
        io::ErrorKind::ConnectionAborted
    };
    io::Error::new(kind, error.without_url())
}
