//! `DELETE /interactions/{guid}/content/{contentKey}`: erases exactly one content.

use std::time::Instant;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::StatusCode;
use oubliette_core::model::Scope;

use super::Front;
use super::caller::{Caller, content_id};
use super::error::Failure;
use super::key::{Purpose, resolve};

/// 204, only after the seal. The interaction and its other contents stay.
pub async fn delete_content(
    State(front): State<Front>,
    caller: Caller,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<StatusCode, Failure> {
    let (vault, actor) = (&front.app.vault, caller.with(Scope::InteractionDelete)?);
    let (id, key) = content_id(path)?;
    // What a deletion needs to know of names, and no more: nothing that is read here is answered.
    let interaction = vault.interaction_to_erase(actor, &id).await?;
    let contents = vault.contents(actor, &interaction).await?;
    let (recent, now) = (&front.shared.recent, Instant::now());
    match resolve(&contents, &key, Purpose::Delete) {
        Some(content) => {
            let before = |leaf| recent.remember(actor.credential, &id, &key, leaf, now);
            vault.erase_named(actor, &id, content, before).await?;
        }
        // Not listed: never there, or a repeat of a delete whose answer was lost.
        None => {
            let grace = vault.settings().retry_grace + vault.settings().seal_timeout;
            let leaf = recent.recall(actor.credential, &id, &key, grace, now).ok_or_else(Failure::no_content)?;
            vault.erase_content(actor, &id, leaf).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}
