//! `GET /interactions/{guid}/content/{contentKey}`: the bytes of one content, whole or a stretch.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, StatusCode};
use oubliette_core::model::Scope;

use super::Front;
use super::caller::{Caller, content_id};
use super::error::Failure;
use super::key::{Purpose, resolve};
use super::wire::media_type;
use crate::http::content as stored;
use crate::http::range::byte_range;

/// 200, or 206 for a stretch; 416 when it lies outside.
pub async fn content(
    State(front): State<Front>,
    caller: Caller,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (vault, actor) = (&front.app.vault, caller.with(Scope::InteractionRead)?);
    let (id, key) = content_id(path)?;
    let interaction = vault.interaction(actor, &id).await?;
    let contents = vault.contents(actor, &interaction).await?;
    let content = resolve(&contents, &key, Purpose::Read).ok_or_else(Failure::no_content)?;
    let range = byte_range(&headers);
    let reader = stored::read(vault, actor, content, range).await?;

    let mut answer = HeaderMap::new();
    let given = HeaderValue::from_str(media_type(&reader.meta));
    answer.insert(CONTENT_TYPE, given.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    answer.insert(CONTENT_LENGTH, (reader.range.end - reader.range.start).into());
    answer.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    answer.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The type was given by whoever stored it; no browser shall guess another one.
    answer.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let mut status = StatusCode::OK;
    if range.is_some() {
        let (first, last) = (reader.range.start, reader.range.end.saturating_sub(1));
        if let Ok(value) = HeaderValue::from_str(&format!("bytes {first}-{last}/{}", reader.meta.length)) {
            answer.insert(CONTENT_RANGE, value);
        }
        status = StatusCode::PARTIAL_CONTENT;
    }
    Ok((status, answer, stored::body(reader.stream)).into_response())
}
