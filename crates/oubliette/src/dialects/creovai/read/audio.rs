//! `GET /interactions/v2/{id}/audio.mp3`. The vault gives back what it was given and converts nothing, so this serves
//! recordings that came as MP3.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue};
use oubliette_core::model::{Actor, Scope};
use oubliette_core::service::{ByteRange, Content};

use super::super::answer::Answer;
use super::super::auth::Caller;
use super::super::error::Failure;
use super::{id, recording};
use crate::http::range::byte_range;
use crate::http::{App, content as contents};

/// The recording, if it is MP3.
pub async fn audio(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    caller.require(Scope::InteractionRead)?;
    let interaction = app.vault.interaction(&caller.0, &id(&request)?).await?;
    let contents = app.vault.contents(&caller.0, &interaction).await?;
    let recording = recording(&contents).ok_or(Failure::NotFound("the interaction has no recording"))?;
    if !matches!(recording.meta.media_type.as_str(), "audio/mpeg" | "audio/mp3") {
        return Err(Failure::NotFound(
            "the recording is not stored as MP3, and this vault does not convert recordings",
        ));
    }
    stream(&app, &caller.0, recording, "audio/mpeg", byte_range(request.headers())).await
}

/// A content's bytes as an answer.
pub async fn stream(
    app: &App,
    actor: &Actor,
    content: &Content,
    media_type: &str,
    range: Option<ByteRange>,
) -> Result<Response, Failure> {
    let reader = contents::read(&app.vault, actor, content, range).await?;
    let (given, length) = (reader.range.clone(), reader.meta.length);
    let mut response = contents::body(reader.stream);
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_str(media_type);
    headers.insert(CONTENT_TYPE, media_type.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(given.end - given.start));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("content-security-policy", HeaderValue::from_static("default-src 'none'; sandbox"));
    if range.is_some() {
        let text = format!("bytes {}-{}/{length}", given.start, given.end.saturating_sub(1));
        if let Ok(text) = HeaderValue::from_str(&text) {
            headers.insert(CONTENT_RANGE, text);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}
