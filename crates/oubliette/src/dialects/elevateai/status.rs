//! `GET /v1/interactions/{id}/status`: where an interaction stands.

use axum::Json;
use axum::extract::State;
use oubliette_core::model::Scope;

use super::caller::{Caller, Id};
use super::error::Failure;
use super::translate::{status_text, status_word, time};
use super::wire::StatusAnswer;
use crate::http::App;

/// 200 with the status.
pub async fn status(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Json<StatusAnswer>, Failure> {
    let actor = caller.with(Scope::InteractionRead)?;
    let interaction = app.vault.interaction(actor, &id).await?;
    let (meta, times) = (&interaction.meta, &interaction.meta.times);
    let fallback = status_text(interaction.state);
    Ok(Json(StatusAnswer {
        identifier: interaction.id.to_string(),
        status: status_word(interaction.state),
        declared: time(times.declared_at.unwrap_or(meta.started_at)),
        uploaded: times.uploaded_at.map(time),
        downloaded: times.downloaded_at.map(time),
        processed: times.processed_at.map(time),
        // A text left from an earlier attempt is not told once the attempt after it went well.
        error_message: fallback.map(|text| meta.error.clone().unwrap_or_else(|| text.to_owned())),
    }))
}
