//! `POST /v1/interactions/{id}/upload`: the recording of a declared audio interaction.
//!
//! Every client names the part differently or not at all, so what counts is the first part with a file name, else the only
//! part. The bytes stream through; only a part without a file name is held back, up to a bound, until it is clear whether
//! it is the only one.

use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, StatusCode};
use oubliette_core::model::{Actor, ContentKind, InteractionKind, Scope, State as Waiting};
use oubliette_core::service::{BodyStream, NewContent, VaultError};

use super::caller::{Caller, Id};
use super::error::Failure;
use crate::http::App;
use crate::http::media::{last_component, media_type_of};
use crate::http::multipart::{Part, Parts};

/// Longer than this, a part without a file name is the recording and not a form field.
const MAX_FIELD: usize = 1 << 20;
/// What the framing around a recording may add to its length.
const FRAMING: u64 = 4 << 20;

/// 201 with an empty body once the recording is stored.
pub async fn upload(
    State(app): State<App>,
    caller: Result<Caller, Failure>,
    id: Result<Id, Failure>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Failure> {
    let (caller, Id(id)) = (caller?, id?);
    take(&app, caller.with(Scope::InteractionWrite)?, &id, &headers, body).await?;
    Ok(StatusCode::CREATED)
}

async fn take(app: &App, actor: &Actor, id: &str, headers: &HeaderMap, body: Body) -> Result<(), Failure> {
    // Asked before a byte is read; the vault checks again when the bytes are there.
    let interaction = app.vault.interaction(actor, id).await?;
    if interaction.kind != InteractionKind::Call {
        return Err(Failure::bad_request("only audio interactions take an upload"));
    }
    if !matches!(interaction.state, Waiting::AwaitingUpload | Waiting::UploadFailed) {
        return Err(VaultError::Conflict("the interaction does not wait for an upload").into());
    }
    let limit = app.vault.settings().max_content_bytes;
    let mut parts = Parts::new(headers, body, limit.saturating_add(FRAMING))?;
    let file = recording(&mut parts).await?;
    let file_name = file.file_name.as_deref().and_then(last_component);
    let media_type = media_type_of(file.media_type.as_deref(), file_name.as_deref());
    let mut content = NewContent::fixed(ContentKind::CallRecording, &media_type);
    content.file_name = file_name;

    // A task of its own: when the client goes away this handler is dropped, and the vault must still be told.
    let (vault, actor, id) = (app.vault.clone(), actor.clone(), id.to_owned());
    let work = tokio::spawn(async move { vault.upload(&actor, &id, content, whole(file.stream, parts)).await });
    match work.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.into()),
        Err(error) => Err(VaultError::Internal(Some(Box::new(error))).into()),
    }
}

/// The part that is the recording.
struct Recording {
    file_name: Option<String>,
    media_type: Option<String>,
    stream: BodyStream,
}

impl Recording {
    fn new(part: Part) -> Self {
        Self {
            file_name: part.file_name().map(str::to_owned),
            media_type: part.media_type().map(str::to_owned),
            stream: part.into_stream(),
        }
    }
}

async fn recording(parts: &mut Parts) -> Result<Recording, Failure> {
    let no_file = || Failure::bad_request("the body has no file part");
    let part = parts.next().await?.ok_or_else(no_file)?;
    if part.file_name().is_some() {
        return Ok(Recording::new(part));
    }
    let mut nameless = Recording::new(part);
    // Copied together, for a client may send single bytes, and each piece by itself costs far more than that; into room that
    // never moves, so that no copy stays behind.
    let mut held: Vec<u8> = Vec::with_capacity(2 * MAX_FIELD);
    while let Some(chunk) = nameless.stream.next().await {
        let chunk = chunk.map_err(|_| Failure::bad_request("the multipart body is malformed or incomplete"))?;
        held.extend_from_slice(&chunk);
        if held.len() > MAX_FIELD {
            nameless.stream = Box::pin(stream::iter([Ok(Bytes::from(held))]).chain(nameless.stream));
            return Ok(nameless);
        }
    }
    // It ended (and is let go, so that the next can be read): the next part with a file name is the recording; without any
    // other part it is this one.
    nameless.stream = Box::pin(stream::empty());
    let mut alone = true;
    while let Some(part) = parts.next().await? {
        alone = false;
        if part.file_name().is_some() {
            return Ok(Recording::new(part));
        }
        part.skip().await?;
    }
    if alone {
        nameless.stream = Box::pin(stream::iter([Ok(Bytes::from(held))]));
        Ok(nameless)
    } else {
        Err(no_file())
    }
}

/// The recording's bytes; the stream ends well only when everything after them is well-formed too, so that a body that was
/// cut short in its last line is not taken for a whole one.
fn whole(file: BodyStream, parts: Parts) -> BodyStream {
    let rest = stream::once(async move {
        let mut parts = parts;
        while let Some(part) = parts.next().await.map_err(std::io::Error::other)? {
            part.skip().await.map_err(std::io::Error::other)?;
        }
        Ok(Bytes::new())
    });
    Box::pin(file.chain(rest).try_filter(|chunk| std::future::ready(!chunk.is_empty())))
}
