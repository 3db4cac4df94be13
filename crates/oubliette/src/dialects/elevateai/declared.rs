//! `GET /v1/interactions/{id}`: the parameters an interaction was declared with.

use axum::Json;
use axum::extract::State;
use oubliette_core::model::Scope;

use super::caller::{Caller, Id};
use super::error::Failure;
use super::translate::Declared;
use super::wire::DeclaredAnswer;
use crate::http::App;
use crate::work::fetch::without_credentials;

/// 200 with the parameters; sources are never given back here, and addresses only without user name and password.
pub async fn declared(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Json<DeclaredAnswer>, Failure> {
    let actor = caller.with(Scope::InteractionRead)?;
    let interaction = app.vault.interaction(actor, &id).await?;
    let declared = Declared::of(&interaction);
    Ok(Json(DeclaredAnswer {
        identifier: interaction.id.to_string(),
        kind: declared.kind,
        language_tag: declared.language_tag,
        vertical: declared.vertical,
        audio_transcription_mode: declared.audio_transcription_mode,
        transcript: None,
        chat: None,
        download_uri: interaction.meta.fetch_from.as_deref().map(without_credentials),
        include_ai_results: declared.include_ai_results,
        original_filename: declared.original_filename,
        external_identifier: declared.external_identifier,
    }))
}
