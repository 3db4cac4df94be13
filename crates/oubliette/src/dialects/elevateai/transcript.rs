//! `GET /v1/interactions/{id}/transcript` (and `/transcripts`): the phrase-by-phrase transcript.

use axum::Json;
use axum::extract::State;
use oubliette_core::model::{Actor, ContentKind, Scope};
use oubliette_core::transcript::Transcript;

use super::caller::{Caller, Id};
use super::error::Failure;
use super::phrases::by_phrase;
use super::translate::require_processed;
use super::wire::PhraseTranscript;
use crate::http::App;

/// Largest stored transcript that is taken apart, in bytes.
const MAX_TRANSCRIPT: u64 = 64 << 20;

/// 200 with the transcript.
pub async fn transcript(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Json<PhraseTranscript>, Failure> {
    let actor = caller.with(Scope::InteractionRead)?;
    Ok(Json(by_phrase(&stored(&app, actor, &id).await?)))
}

/// The stored transcript of a processed interaction; an empty one when none was ever put in, because two of the vendor's
/// clients read the body without looking.
pub async fn stored(app: &App, actor: &Actor, id: &str) -> Result<Transcript, Failure> {
    let interaction = app.vault.interaction(actor, id).await?;
    require_processed(&interaction)?;
    let contents = app.vault.contents(actor, &interaction).await?;
    let named = contents.iter().find(|content| content.meta.key.matches(ContentKind::Transcript.name()));
    let found = named.or_else(|| contents.iter().find(|content| content.meta.kind == ContentKind::Transcript));
    let Some(content) = found else { return Ok(Transcript::default()) };
    let bytes = app.vault.read_all(actor, content, MAX_TRANSCRIPT).await?;
    // Another system's transcript that happens to lie here cannot be told in this shape; an empty one would be a lie.
    Transcript::parse(&bytes).ok_or_else(|| Failure::not_found("the stored transcript has another form"))
}
