//! `GET /api/v1/interactions/{id}/contents/{key}`.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use oubliette_core::model::Scope;
use oubliette_core::service::ByteRange;

use super::super::auth::Caller;
use super::super::gone;
use super::super::input::InPath;
use super::super::problem::Answer;
use crate::http::range::byte_range;
use crate::http::{App, content as contents};

/// Read a content, whole or one range of it. The stream ends early when the content is erased meanwhile.
#[utoipa::path(
    get, path = "/api/v1/interactions/{id}/contents/{key}", tag = "contents", operation_id = "readContent",
    security(("bearer" = ["interaction:read"])),
    params(
        ("id" = String, Path, description = "The interaction's id"),
        ("key" = String, Path, description = "The content's name, in any case"),
        ("Range" = Option<String>, Header, description = "One range of bytes"),
    ),
    responses(
        (status = 200, description = "The bytes as they were put", body = Vec<u8>),
        (status = 206, description = "The range", body = Vec<u8>),
        (status = 404, description = "No such interaction or content"),
        (status = 410, description = "The interaction was erased, or the content of this id"),
        (status = 416, description = "The range lies outside the content"),
    ),
)]
pub async fn read_content(
    State(app): State<App>,
    caller: Caller,
    InPath((id, key)): InPath<(String, String)>,
    request: Request,
) -> Answer {
    caller.require(Scope::InteractionRead)?;
    let range = byte_range(request.headers());
    gone::explained(&app, &caller, &id, read(&app, &caller, &id, &key, range)).await
}

async fn read(app: &App, caller: &Caller, id: &str, key: &str, range: Option<ByteRange>) -> Answer {
    let (_, content) = super::find(app, caller, &caller.0, id, key).await?;
    let reader = contents::read(&app.vault, &caller.0, &content, range).await?;
    let (given, meta) = (reader.range.clone(), reader.meta);
    let mut response = contents::body(reader.stream);
    let partial = format!("bytes {}-{}/{}", given.start, given.end.saturating_sub(1), meta.length);
    set(&mut response, CONTENT_TYPE, &meta.media_type);
    set(&mut response, CONTENT_LENGTH, &(given.end - given.start).to_string());
    set(&mut response, ACCEPT_RANGES, "bytes");
    set(&mut response, CACHE_CONTROL, "no-store");
    // Whatever was stored is shown by no browser as a page of this host.
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox");
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        set(&mut response, CONTENT_RANGE, &partial);
    }
    Ok(response)
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
