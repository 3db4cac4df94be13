//! `DELETE /v1/interactions/{id}`: erases everything tied to an interaction.

use axum::extract::State;
use http::StatusCode;
use oubliette_core::model::Scope;

use super::caller::{Caller, StrictId};
use super::error::Failure;
use crate::http::App;

/// 200 with an empty body. The status *is* the statement that everything is gone, so it is sent only after the seal.
pub async fn delete(State(app): State<App>, caller: Caller, StrictId(id): StrictId) -> Result<StatusCode, Failure> {
    let actor = caller.with(Scope::InteractionDelete)?;
    app.vault.erase_interaction(actor, &id).await?;
    Ok(StatusCode::OK)
}
