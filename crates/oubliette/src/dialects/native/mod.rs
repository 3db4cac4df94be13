//! The native API under `/api/v1`: interactions, contents, erasures, certificates, credentials, status.
//!
//! One action per file; the OpenAPI description is made from the handlers. Problems and decisions:
//! `docs/dialects/native.md`.

mod auth;
mod certificates;
mod contents;
mod credentials;
mod cursor;
mod erasures;
mod gone;
mod input;
mod interactions;
mod openapi;
mod problem;
mod status;
mod wire;

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::App;
use problem::{Kind, Problem};

/// Its routes.
pub fn routes(_app: &App) -> Router<App> {
    let (router, description) = described();
    let text = description.to_json().unwrap_or_default();
    router
        .method_not_allowed_fallback(async || Problem::of(Kind::Method))
        .layer(Extension(openapi::Served(text.into())))
        .layer(Extension(Arc::new(erasures::replay::Replays::default())))
}

/// The OpenAPI description.
pub fn description() -> utoipa::openapi::OpenApi {
    described().1
}

fn described() -> (Router<App>, utoipa::openapi::OpenApi) {
    let (router, mut description) = OpenApiRouter::with_openapi(openapi::Description::openapi())
        .routes(routes!(interactions::create::create_interaction, interactions::list::list_interactions))
        .routes(routes!(
            interactions::read::read_interaction,
            interactions::patch::amend_interaction,
            interactions::delete::erase_interaction
        ))
        .routes(routes!(contents::list::list_contents))
        .routes(routes!(contents::put::put_content, contents::read::read_content, contents::delete::erase_content))
        .routes(routes!(erasures::create::create_erasure, erasures::list::list_erasures))
        .routes(routes!(erasures::read::read_erasure))
        .routes(routes!(erasures::events::watch_erasure))
        .routes(routes!(certificates::erasure::read_erasure_certificate))
        .routes(routes!(certificates::receipts::read_receipts))
        .routes(routes!(certificates::interaction::read_item_certificate))
        .routes(routes!(credentials::create::create_credential, credentials::list::list_credentials))
        .routes(routes!(credentials::revoke::revoke_credential))
        .routes(routes!(status::read_status))
        .routes(routes!(openapi::describe))
        .split_for_parts();
    openapi::describe_problems(&mut description);
    (router, description)
}

/// Whether a path belongs to this dialect.
pub fn owns(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

/// The answer to a path of this dialect that does not exist.
pub fn unknown_path() -> Response {
    Problem::of(Kind::NoSuchPath).into_response()
}

/// Writes the request's id into a problem; other answers stay as they are.
pub fn identify(response: Response, request_id: &str) -> Response {
    problem::identify(response, request_id)
}

/// The answer to a request whose handler panicked.
pub fn internal_error() -> Response {
    Problem::of(Kind::Internal).into_response()
}

/// The answer when the request cannot be served now, or its outcome is unknown.
pub fn unavailable() -> Response {
    Problem::of(Kind::Unavailable).into_response()
}
