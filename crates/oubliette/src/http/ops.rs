//! What operators and their tools ask: alive, ready, figures.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use oubliette_core::service::Vault;
use oubliette_store::escrow::Escrowed;
use oubliette_store::media::Mirrored;
use serde_json::json;
use zeroize::Zeroizing;

use crate::control::MirrorView;
use crate::telemetry::{self, Serving};

/// What the operators' routes need.
#[derive(Clone)]
pub struct Ops {
    /// The vault.
    pub vault: Vault,
    /// Whether the transparency log is served.
    pub log: bool,
    /// Whether figures are served.
    pub metrics: bool,
    /// The token a reader of the figures must send, if any.
    pub metrics_token: Option<Arc<Zeroizing<String>>>,
    /// What the figures say of the process itself.
    pub serving: Arc<Serving>,
    /// The key state's mirrors.
    pub mirrors: Option<Arc<Mirrored>>,
    /// The agents that hold the root in escrow.
    pub escrow: Option<Arc<Escrowed>>,
}

/// `/healthz`, `/readyz`, `/metrics`.
pub fn routes(ops: Ops) -> Router {
    let mut router = Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz));
    if ops.metrics {
        router = router.route("/metrics", get(vault_figures));
    }
    router.with_state(ops)
}

/// The process runs and answers.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Requests can be served: look-ups are complete, seals are made, no flush failed.
async fn readyz(State(ops): State<Ops>) -> Response {
    let readiness = ops.vault.readiness();
    let ready = readiness.leased && readiness.lookups && readiness.sealing && !readiness.poisoned;
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let behind: Vec<_> = MirrorView::all(ops.mirrors.as_deref()).into_iter().filter(|mirror| !mirror.holds).collect();
    let behind: Vec<_> = behind.iter().map(|mirror| &mirror.name).collect();
    let body = json!({
        "ready": ready,
        "leased": readiness.leased,
        "lookups": readiness.lookups,
        "sealing": readiness.sealing,
        "poisoned": readiness.poisoned,
        "mirrorsBehind": behind,
        "attached": readiness.attached,
    });
    (code, Json(body)).into_response()
}

async fn vault_figures(State(ops): State<Ops>, headers: HeaderMap) -> Response {
    if !may_read(ops.metrics_token.as_deref(), &headers) {
        return figures(ops.metrics_token.as_deref(), &headers);
    }
    let status = ops.vault.status().await;
    if let Err(error) = &status {
        tracing::warn!(%error, "the figures of the vault could not be read");
    }
    telemetry::record_status(status.as_ref().ok());
    metrics::gauge!("oubliette_log_entries").set(ops.vault.log().head().size as f64);
    telemetry::record_readiness(&ops.vault.readiness());
    ops.serving.record();
    telemetry::record_mirrors(&MirrorView::all(ops.mirrors.as_deref()));
    telemetry::record_agents(&ops.escrow.as_deref().map(Escrowed::agents).unwrap_or_default());
    figures(ops.metrics_token.as_deref(), &headers)
}

/// The figures, for whoever sends the token, if there is one.
pub fn figures(token: Option<&Zeroizing<String>>, headers: &HeaderMap) -> Response {
    if !may_read(token, headers) {
        return (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], "unauthorized\n").into_response();
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], telemetry::recorder().render()).into_response()
}

fn may_read(token: Option<&Zeroizing<String>>, headers: &HeaderMap) -> bool {
    let Some(token) = token else { return true };
    let sent = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let sent = sent.strip_prefix("Bearer ").unwrap_or_default();
    aws_lc_rs::constant_time::verify_slices_are_equal(sent.as_bytes(), token.as_bytes()).is_ok()
}
