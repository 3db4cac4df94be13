//! The Vonage Contact Center dialect: the Interaction Content API under `/interaction-content` and its token end point.
//!
//! Bearer tokens with scopes, a version in `Accept` on every call, every error `{"message":…}`. What is served and how open
//! points of the vendor's documentation were decided is told in `docs/dialects/vonage-vcc.md`.

mod caller;
mod content;
mod continuation;
mod delete_batch;
mod delete_content;
mod delete_interaction;
mod error;
mod fair_use;
mod interaction;
mod key;
mod recent;
mod search;
mod token;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use http::StatusCode;
use oubliette_core::model::Scope;

use self::delete_batch::Batches;
use self::error::Failure;
use self::fair_use::FairUse;
use self::recent::RecentDeletes;
use crate::http::App;
use crate::http::route::{Access, Route, build};

/// What this dialect's handlers see.
#[derive(Clone)]
pub struct Front {
    app: App,
    shared: Arc<Shared>,
}

struct Shared {
    fair_use: FairUse,
    batches: Batches,
    recent: RecentDeletes,
}

/// Every route with the scope it needs.
pub const ROUTES: &[Route<Front>] = &[
    Route { method: "POST", path: "/Auth/connect/token", access: Access::Open, handler: || post(token::token) },
    Route {
        method: "GET",
        path: "/interaction-content/interactions",
        access: Access::Scope(Scope::InteractionRead),
        handler: || get(search::search),
    },
    Route {
        method: "POST",
        path: "/interaction-content/interactions/delete-batch",
        access: Access::Scope(Scope::InteractionDelete),
        handler: || post(delete_batch::delete_batch),
    },
    Route {
        method: "GET",
        path: "/interaction-content/interactions/{guid}",
        access: Access::Scope(Scope::InteractionRead),
        handler: || get(interaction::interaction),
    },
    Route {
        method: "DELETE",
        path: "/interaction-content/interactions/{guid}",
        access: Access::Scope(Scope::InteractionDelete),
        handler: || delete(delete_interaction::delete_interaction),
    },
    Route {
        method: "GET",
        path: "/interaction-content/interactions/{guid}/content/{contentKey}",
        access: Access::Scope(Scope::InteractionRead),
        handler: || get(content::content),
    },
    Route {
        method: "DELETE",
        path: "/interaction-content/interactions/{guid}/content/{contentKey}",
        access: Access::Scope(Scope::InteractionDelete),
        handler: || delete(delete_content::delete_content),
    },
];

/// Its routes.
pub fn routes(app: &App) -> Router<App> {
    let shared =
        Shared { fair_use: FairUse::new(&app.settings), batches: Batches::default(), recent: RecentDeletes::default() };
    let front = Front { app: app.clone(), shared: Arc::new(shared) };
    build(ROUTES).method_not_allowed_fallback(wrong_method).with_state(front)
}

/// Whether a path belongs to this dialect.
pub fn owns(path: &str) -> bool {
    path == "/interaction-content" || path.starts_with("/interaction-content/") || path.starts_with("/Auth/")
}

/// The answer to a path of this dialect that does not exist.
pub fn unknown_path() -> Response {
    Failure::plain(StatusCode::NOT_FOUND, "Resource not found").into_response()
}

/// The answer to a request whose handler panicked.
pub fn internal_error() -> Response {
    Failure::plain(StatusCode::INTERNAL_SERVER_ERROR, "An internal server error occurred").into_response()
}

/// The answer when the request cannot be served now, or its outcome is unknown.
pub fn unavailable() -> Response {
    Failure::later("The service is unavailable, please try again").into_response()
}

async fn wrong_method() -> Failure {
    Failure::plain(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
}
