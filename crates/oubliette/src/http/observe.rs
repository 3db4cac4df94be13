//! Around every request: an id, a span with the route's template (never the path), figures, and a net for panics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt as _;
use oubliette_core::service::Vault;
use tracing::Instrument as _;

use crate::dialects;

/// What the net around requests needs.
#[derive(Clone)]
pub struct Observer {
    vault: Vault,
    on_poisoned: Arc<dyn Fn() + Send + Sync>,
    prefix: u64,
    count: Arc<AtomicU64>,
}

impl Observer {
    /// `on_poisoned` is called when the vault reports that a flush failed; the program ends itself there.
    pub fn new(vault: Vault, on_poisoned: Arc<dyn Fn() + Send + Sync>) -> Self {
        let prefix = uuid::Uuid::new_v4().as_u64_pair().0;
        Self { vault, on_poisoned, prefix, count: Arc::new(AtomicU64::new(0)) }
    }

    fn request_id(&self) -> String {
        format!("{:08x}-{:06x}", self.prefix >> 32, self.count.fetch_add(1, Ordering::Relaxed))
    }
}

/// The middleware.
pub async fn observe(State(observer): State<Observer>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = observer.request_id();
    let route: Arc<str> = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).into();
    let method = method_name(request.method());
    let path = request.uri().clone();
    let span = tracing::info_span!("request", id, method, route = &*route);

    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let mut response = answered.unwrap_or_else(|_| {
        span.in_scope(|| tracing::error!("a handler panicked"));
        metrics::counter!("oubliette_panics_total").increment(1);
        dialects::internal_error(path.path())
    });
    response = dialects::identify(response, &id);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }

    let (status, elapsed) = (response.status(), begun.elapsed());
    span.in_scope(|| tracing::info!(status = status.as_u16(), ms = elapsed.as_millis() as u64, "answered"));
    let labels = [("method", method.to_owned()), ("route", route.to_string())];
    metrics::histogram!("oubliette_request_seconds", &labels).record(elapsed.as_secs_f64());
    metrics::counter!("oubliette_requests_total", "method" => method, "route" => route.to_string(),
        "status" => status.as_str().to_owned())
    .increment(1);
    if status.is_server_error() && observer.vault.readiness().poisoned {
        (observer.on_poisoned)();
    }
    response
}

/// Known methods only, so that a client cannot fill the figures with names of its own.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
