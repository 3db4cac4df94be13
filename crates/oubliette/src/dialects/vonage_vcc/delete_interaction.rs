//! `DELETE /interactions/{guid}`: erases an interaction with all of its content.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use oubliette_core::model::Scope;
use serde_json::{Map, Value};

use super::Front;
use super::caller::{Caller, interaction_id};
use super::error::Failure;

/// 200 with an empty object, only after the seal.
pub async fn delete_interaction(
    State(front): State<Front>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Map<String, Value>>, Failure> {
    let actor = caller.with(Scope::InteractionDelete)?;
    front.app.vault.erase_interaction(actor, &interaction_id(path)?).await?;
    Ok(Json(Map::new()))
}
