//! What a front answers itself: alive, ready, figures; and the line in the log for what it passes on.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use zeroize::Zeroizing;

use super::front::Front;
use crate::http::{Answerer, figures};
use crate::telemetry::Serving;

/// Paths that every node answers itself.
pub fn is_own(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics")
}

#[derive(Clone)]
struct Ops {
    front: Arc<Front>,
    token: Option<Arc<Zeroizing<String>>>,
    serving: Arc<Serving>,
}

/// `/healthz`, `/readyz`, and `/metrics` where figures are served.
pub fn own(front: Arc<Front>, metrics: bool, token: Option<Arc<Zeroizing<String>>>, serving: Serving) -> Answerer {
    let mut router = Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(readyz));
    if metrics {
        router = router.route("/metrics", get(own_figures));
    }
    Answerer::from(router.with_state(Ops { front, token, serving: Arc::new(serving) }))
}

/// Requests can be passed on: there is a holder, and a lease with it.
async fn readyz(State(ops): State<Ops>) -> Response {
    let upstream = ops.front.current().filter(|upstream| upstream.is_usable());
    let code = if upstream.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = json!({ "ready": upstream.is_some(), "role": "front", "node": ops.front.parts.name });
    match upstream {
        Some(upstream) => body["holder"] = upstream.holder.name.clone().into(),
        None => body["reason"] = "no lease with a holder".into(),
    }
    (code, Json(body)).into_response()
}

async fn own_figures(State(ops): State<Ops>, headers: HeaderMap) -> Response {
    let current = ops.front.current();
    metrics::gauge!("oubliette_ready", "part" => "lease").set(if current.is_some() { 1.0 } else { 0.0 });
    metrics::gauge!("oubliette_node_keys").set(current.map_or(0, |upstream| upstream.lease.lent()) as f64);
    ops.serving.record();
    figures(ops.token.as_deref(), &headers)
}

/// Passes a request on, with a line in the log. No path: it could name somebody.
pub async fn passed_on(front: Arc<Front>, request: Request) -> Response {
    let begun = Instant::now();
    let response = front.forward(request).await;
    let (status, elapsed) = (response.status(), begun.elapsed());
    tracing::info!(status = status.as_u16(), ms = elapsed.as_millis() as u64, "passed on");
    metrics::histogram!("oubliette_request_seconds", "method" => "any", "route" => "passed on")
        .record(elapsed.as_secs_f64());
    metrics::counter!("oubliette_requests_total", "method" => "any", "route" => "passed on",
        "status" => status.as_str().to_owned())
    .increment(1);
    response
}
