//! The Creovai dialect (formerly Tethr): capture, status, purge and reads of both API generations, on the vendor's paths.
//!
//! Wire contract and decisions: `docs/dialects/creovai.md`. One action per file. Members are read in any case, paths are
//! matched in any case ([`normalise`]), answers are camelCase and exactly `application/json; charset=utf-8`.

mod answer;
mod auth;
mod capture;
mod error;
mod exclude;
mod fields;
mod merge;
mod monitor;
mod outofband;
mod paths;
mod processing;
mod purge;
mod read;
mod recording_settings;
mod routes;
mod share;
mod status;
mod token;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use oubliette_core::service::VaultError;

pub use paths::owns;
pub use routes::{Access, ROUTES, Route, routes};

/// The answer to a path of this dialect that does not exist.
pub fn unknown_path() -> Response {
    error::Failure::NoSuchPath.into_response()
}

/// Spells the fixed parts of this dialect's paths as its routes do; ids keep their case. Other paths are left alone.
pub fn normalise(request: Request) -> Request {
    paths::normalise(request)
}

/// The answer when the request cannot be served now, or its outcome is unknown.
pub fn unavailable() -> Response {
    error::Failure::Vault(VaultError::Unavailable(None)).into_response()
}

/// The answer to a request whose handler panicked.
pub fn internal_error() -> Response {
    error::Failure::Vault(VaultError::Internal(None)).into_response()
}
