//! The wire protocols the vault speaks: siblings that know the core's services and never each other.
//!
//! All live on one listener at the paths the vendors use; they do not collide.

pub mod creovai;
pub mod elevateai;
pub mod native;
pub mod vonage_vcc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;

use crate::http::App;

/// All dialects as one router. Callers wrap it with [`normalise`] outside of routing.
pub fn router(app: App) -> Router {
    Router::new()
        .merge(elevateai::routes(&app))
        .merge(vonage_vcc::routes(&app))
        .merge(creovai::routes(&app))
        .merge(native::routes(&app))
        .fallback(fallback)
        .with_state(app)
}

/// Rewrites paths before routing where a dialect matches them without case.
pub fn normalise(request: Request) -> Request {
    creovai::normalise(request)
}

/// An unknown path answers in the shape of the dialect whose prefix it has.
async fn fallback(request: Request) -> Response {
    let path = request.uri().path();
    if elevateai::owns(path) {
        elevateai::unknown_path()
    } else if vonage_vcc::owns(path) {
        vonage_vcc::unknown_path()
    } else if creovai::owns(path) {
        creovai::unknown_path()
    } else {
        native::unknown_path()
    }
}

/// Writes the request's id into answers whose shape has a place for it.
pub fn identify(response: Response, request_id: &str) -> Response {
    native::identify(response, request_id)
}

/// The answer to a request whose handler panicked: constant, in the shape of the dialect that owns the path.
pub fn internal_error(path: &str) -> Response {
    if elevateai::owns(path) {
        elevateai::internal_error()
    } else if vonage_vcc::owns(path) {
        vonage_vcc::internal_error()
    } else if creovai::owns(path) {
        creovai::internal_error()
    } else {
        native::internal_error()
    }
}

/// The answer to a request that cannot be served now, or whose outcome is unknown: 503 with `Retry-After`, in the shape of the
/// dialect that owns the path.
pub fn unavailable(path: &str) -> Response {
    if elevateai::owns(path) {
        elevateai::unavailable()
    } else if vonage_vcc::owns(path) {
        vonage_vcc::unavailable()
    } else if creovai::owns(path) {
        creovai::unavailable()
    } else {
        native::unavailable()
    }
}
