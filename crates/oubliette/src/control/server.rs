//! The control port of a program that has a vault open.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::rand;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;
use zeroize::Zeroizing;

use super::endpoint::Endpoint;
use super::handle::{Surroundings, handle};
use super::{AsNode, Ask, Told, receipts};
use oubliette_core::service::Vault;

use crate::config::Limits;
use crate::http::{ServerOptions, serve};
use crate::opening::OpenVault;

/// Selectors of a million ids fit.
const MAX_BODY_BYTES: usize = 64 << 20;

/// Listens until it is dropped; the endpoint file goes with it.
pub struct ControlServer {
    data: PathBuf,
    _stop: DropGuard,
}

#[derive(Clone)]
struct Shared {
    answer: Answer,
    /// Where there is one to read many lines from.
    vault: Option<Vault>,
    token: Arc<Zeroizing<String>>,
}

/// Answers a command.
pub type Answer = Arc<dyn Fn(Ask) -> BoxFuture<'static, Told> + Send + Sync>;

impl ControlServer {
    /// Opens the port and writes the endpoint file.
    pub async fn start(open: &OpenVault, url: String, node: Option<AsNode>) -> std::io::Result<Self> {
        let (vault, data) = (open.vault.clone(), open.data.as_path());
        let (report, mover, mirrors) = (open.report.clone(), open.mover.clone(), open.mirrors.clone());
        let (backups, escrow) = (Some(open.backups.clone()), open.escrow.clone());
        let (url_told, dismissals) = (Some(url.clone()), Arc::clone(&open.dismissals));
        let around = Surroundings { url: url_told, report, node, mover, mirrors, backups, escrow, dismissals };
        let around = Arc::new(around);
        let own = vault.clone();
        let answer = move |ask| {
            let (vault, around) = (vault.clone(), Arc::clone(&around));
            async move { handle(&vault, &around, ask).await }.boxed()
        };
        Self::listen(data, url, Arc::new(answer), Some(own)).await
    }

    /// The same for a program that answers otherwise.
    pub async fn answering(data: &Path, url: String, answer: Answer) -> std::io::Result<Self> {
        Self::listen(data, url, answer, None).await
    }

    async fn listen(data: &Path, url: String, answer: Answer, vault: Option<Vault>) -> std::io::Result<Self> {
        let mut secret = Zeroizing::new([0; 32]);
        rand::fill(&mut *secret).map_err(|_| std::io::Error::other("no randomness"))?;
        let token = Zeroizing::new(hex::encode(*secret));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let endpoint = Endpoint {
            control: format!("http://{}/", listener.local_addr()?),
            token: token.to_string(),
            url,
            pid: std::process::id(),
        };
        endpoint.write(data)?;
        let router = Router::new()
            .route("/", post(ask))
            .route(&format!("/{}", receipts::PATH), post(read_receipts))
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(Shared { answer, vault, token: Arc::new(token) });
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let limits = Limits { drain_timeout_seconds: 1, max_connections: 16, ..Limits::default() };
        tokio::spawn(serve(listener, router, ServerOptions::plain(limits), stopped));
        Ok(Self { data: data.to_owned(), _stop: stop.drop_guard() })
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        Endpoint::remove(&self.data);
    }
}

impl Shared {
    /// Whether the asker has the token.
    fn knows(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let sent = sent.strip_prefix("Bearer ").unwrap_or_default();
        aws_lc_rs::constant_time::verify_slices_are_equal(sent.as_bytes(), self.token.as_bytes()).is_ok()
    }
}

async fn read_receipts(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Json(asked): Json<receipts::Asked>,
) -> Response {
    match &shared.vault {
        _ if !shared.knows(&headers) => StatusCode::UNAUTHORIZED.into_response(),
        Some(vault) => receipts::answer(vault, asked).await,
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn ask(State(shared): State<Shared>, headers: HeaderMap, Json(ask): Json<Ask>) -> Response {
    if !shared.knows(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    // The answer must not depend on the asker's patience: what was begun is finished.
    let told = tokio::spawn((shared.answer)(ask)).await;
    match told {
        Ok(told) => Json::<Told>(told).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
