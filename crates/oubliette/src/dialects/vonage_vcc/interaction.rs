//! `GET /interactions/{guid}`: one interaction that has content.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use oubliette_core::model::Scope;
use oubliette_core::service::VaultError;

use super::Front;
use super::caller::{Caller, interaction_id};
use super::error::Failure;
use super::wire::InteractionBody;

/// 200 with the interaction; one without content is not shown, as in searches.
pub async fn interaction(
    State(front): State<Front>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<InteractionBody>, Failure> {
    let (vault, actor) = (&front.app.vault, caller.with(Scope::InteractionRead)?);
    let interaction = vault.interaction(actor, &interaction_id(path)?).await?;
    let contents = vault.contents(actor, &interaction).await?;
    if contents.is_empty() {
        return Err(VaultError::NotFound.into());
    }
    Ok(Json(InteractionBody::new(&interaction, &contents, vault.settings())))
}
