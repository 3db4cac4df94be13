//! `GET /v1/interactions/{id}/transcripts/punctuated`: the transcript in sentences.

use axum::Json;
use axum::extract::State;
use oubliette_core::model::Scope;

use super::caller::{Caller, Id};
use super::error::Failure;
use super::phrases::by_sentence;
use super::transcript::stored;
use super::wire::PunctuatedTranscript;
use crate::http::App;

/// 200 with the sentences, never 204: clients read the body unconditionally.
pub async fn punctuated(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<PunctuatedTranscript>, Failure> {
    let actor = caller.with(Scope::InteractionRead)?;
    Ok(Json(by_sentence(&stored(&app, actor, &id).await?)))
}
