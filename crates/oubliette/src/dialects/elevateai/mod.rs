//! Dialect.

use axum::Router;
use axum::response::Response;

use crate::http::App;

/// Its routes.
pub fn routes(_app: &App) -> Router<App> {
    Router::new()
}

/// Whether a path belongs to this dialect.
pub fn owns(_path: &str) -> bool {
    false
}

/// The answer to a path of this dialect that does not exist.
pub fn unknown_path() -> Response {
    todo!()
}

/// The answer to a request whose handler panicked.
pub fn internal_error() -> Response {
    todo!()
}
