//! The NICE ElevateAI dialect under `/v1/interactions`: declare, upload, status, results, delete.
//!
//! One static token in `X-API-Token`; every answer that has a body is JSON, every error `{"errorMessage":…}`. What is served
//! and how open points of the vendor's documentation were decided is told in `docs/dialects/elevateai.md`.

mod ai;
mod caller;
mod chat;
mod declare;
mod declared;
mod delete;
mod error;
mod phrases;
mod punctuated;
mod status;
mod transcript;
mod translate;
mod upload;
mod wire;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use oubliette_core::model::Scope;
use tower_http::cors::{AllowOrigin, CorsLayer};

use self::error::Failure;
use crate::http::App;
use crate::http::route::{Access, Route, build};

/// Every route with the scope it needs.
pub const ROUTES: &[Route<App>] = &[
    Route {
        method: "POST",
        path: "/v1/interactions",
        access: Access::Scope(Scope::InteractionWrite),
        handler: || post(declare::declare),
    },
    // One client always sends the slash, and none follows a redirect.
    Route {
        method: "POST",
        path: "/v1/interactions/",
        access: Access::Scope(Scope::InteractionWrite),
        handler: || post(declare::declare),
    },
    Route {
        method: "GET",
        path: "/v1/interactions/{id}",
        access: Access::Scope(Scope::InteractionRead),
        handler: || get(declared::declared),
    },
    Route {
        method: "DELETE",
        path: "/v1/interactions/{id}",
        access: Access::Scope(Scope::InteractionDelete),
        handler: || delete(delete::delete),
    },
    Route {
        method: "POST",
        path: "/v1/interactions/{id}/upload",
        access: Access::Scope(Scope::InteractionWrite),
        handler: || post(upload::upload),
    },
    Route {
        method: "GET",
        path: "/v1/interactions/{id}/status",
        access: Access::Scope(Scope::InteractionRead),
        handler: || get(status::status),
    },
    Route {
        method: "GET",
        path: "/v1/interactions/{id}/transcript",
        access: Access::Scope(Scope::InteractionRead),
        handler: || get(transcript::transcript),
    },
    // Two of the vendor's own clients ask for the plural.
    Route {
        method: "GET",
        path: "/v1/interactions/{id}/transcripts",
        access: Access::Scope(Scope::InteractionRead),
        handler: || get(transcript::transcript),
    },
    Route {
        method: "GET",
        path: "/v1/interactions/{id}/transcripts/punctuated",
        access: Access::Scope(Scope::InteractionRead),
        handler: || get(punctuated::punctuated),
    },
    Route {
        method: "GET",
        path: "/v1/interactions/{id}/ai",
        access: Access::Scope(Scope::InteractionRead),
        handler: || get(ai::ai),
    },
];

/// Its routes.
pub fn routes(app: &App) -> Router<App> {
    let router = build(ROUTES).method_not_allowed_fallback(wrong_method);
    match cors(&app.settings.cors_origins) {
        Some(layer) => router.layer(layer),
        None => router,
    }
}

/// Whether a path belongs to this dialect.
pub fn owns(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/")
}

/// The answer to a path of this dialect that does not exist.
pub fn unknown_path() -> Response {
    Failure::plain(StatusCode::NOT_FOUND, "no such resource").into_response()
}

/// The answer to a request whose handler panicked.
pub fn internal_error() -> Response {
    Failure::plain(StatusCode::INTERNAL_SERVER_ERROR, "an internal error occurred").into_response()
}

/// The answer when the request cannot be served now, or its outcome is unknown.
pub fn unavailable() -> Response {
    Failure::plain(StatusCode::SERVICE_UNAVAILABLE, "the service is unavailable, try again").into_response()
}

async fn wrong_method() -> Failure {
    Failure::plain(StatusCode::METHOD_NOT_ALLOWED, "this method is not supported here")
}

/// Browsers may call when the configuration names their origin; the preflight carries no token.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<_> = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            .allow_headers([HeaderName::from_static("x-api-token"), header::CONTENT_TYPE])
    })
}
