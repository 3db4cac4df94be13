//! The transparency log, for anybody: static files as C2SP tlog-tiles has them, and the keys that sign it.
//!
//! ```text
//! /log/checkpoint     the newest signed tree head; changes
//! /log/tile/…         tiles and entry bundles; a full one never changes
//! /log/key            the log's public keys in signed-note form, one a line, the newest first
//! ```
//! Nothing here says anything of a person, or of an item without its receipt; so it asks for no credential.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use oubliette_core::service::{LogError, Vault};
use oubliette_proof::tree::Tile;

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";
/// A checkpoint is replaced when the log grows; who follows the log asks more seldom than this.
const SHORT: &str = "public, max-age=5";
/// A tile's hashes never change. A partial tile is no longer asked for once there is a fuller one.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const FOR_A_WHILE: &str = "public, max-age=3600";

/// The routes below `/log/`.
pub fn routes(vault: Vault) -> Router {
    // `get` answers HEAD as well, with the same headers and no body.
    Router::new()
        .route("/log/checkpoint", get(checkpoint))
        .route("/log/key", get(key))
        .route("/log/tile/{*path}", get(tile))
        .with_state(vault)
}

async fn checkpoint(State(vault): State<Vault>) -> Response {
    file(TEXT, SHORT, vault.log().checkpoint().into_bytes())
}

async fn key(State(vault): State<Vault>) -> Response {
    let keys: String = vault.log().keys().iter().map(|key| format!("{key}\n")).collect();
    file(TEXT, SHORT, keys.into_bytes())
}

async fn tile(State(vault): State<Vault>, Path(path): Path<String>) -> Response {
    let Some(tile) = Tile::parse(&format!("tile/{path}")) else { return absent() };
    let log = vault.log();
    let read = tokio::task::spawn_blocking(move || log.read(tile)).await;
    match read {
        Ok(Ok(bytes)) => file(BYTES, if tile.is_partial() { FOR_A_WHILE } else { FOR_EVER }, bytes),
        Ok(Err(LogError::Absent)) => absent(),
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a tile of the log cannot be read");
            failed()
        }
        Err(error) => {
            tracing::error!(%error, "reading a tile of the log was cut short");
            failed()
        }
    }
}

fn file(kind: &'static str, cache: &'static str, bytes: Vec<u8>) -> Response {
    let headers = [(CONTENT_TYPE, HeaderValue::from_static(kind)), (CACHE_CONTROL, HeaderValue::from_static(cache))];
    (headers, bytes).into_response()
}

/// What is beyond the head may be there a moment later.
fn absent() -> Response {
    let headers = [(CONTENT_TYPE, TEXT), (CACHE_CONTROL, "no-store")];
    (StatusCode::NOT_FOUND, headers, "the log has no such file\n").into_response()
}

fn failed() -> Response {
    let headers = [(CONTENT_TYPE, TEXT), (CACHE_CONTROL, "no-store")];
    (StatusCode::INTERNAL_SERVER_ERROR, headers, "internal error\n").into_response()
}
