//! `GET /api/v1/interactions/{id}/certificate`.

use axum::extract::State;
use http::HeaderMap;
use oubliette_core::model::Scope;
use oubliette_core::service::VaultError;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::super::auth::Caller;
use super::super::input::{InPath, InQuery};
use super::super::problem::{Answer, Kind, Problem};
use super::described::{Headers, Shown};
use crate::http::App;

/// Which content, if not the whole interaction.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ItemParams {
    /// Id of a content that was erased by itself, as it was shown with the content.
    content: Option<Uuid>,
}

/// Show the certificate of one erased interaction, or of one erased content of it: JSON, or its page with
/// `Accept: text/html`.
#[utoipa::path(
    get, path = "/api/v1/interactions/{id}/certificate", tag = "certificates", operation_id = "readItemCertificate",
    security(("bearer" = ["interaction:purge"]), ("bearer" = ["interaction:delete"])),
    params(
        ("id" = String, Path, description = "The interaction's id"),
        ItemParams,
        Headers,
    ),
    responses(
        Shown,
        (status = 404, description = "It never existed here"),
        (status = 409, description = "It was not erased: it is there"),
    ),
)]
pub async fn read_item_certificate(
    State(app): State<App>,
    caller: Caller,
    InPath(id): InPath<String>,
    InQuery(query): InQuery<ItemParams>,
    headers: HeaderMap,
) -> Answer {
    caller.require_either(Scope::InteractionPurge, Scope::InteractionDelete)?;
    let content = query.content.map(|content| content.to_string());
    match app.vault.item_certificate(&caller.0, &id, content.as_deref()).await {
        Ok(certificate) => super::shown(&app, &certificate, &headers),
        Err(VaultError::NotFound) if lives(&app, &caller, &id, query.content).await? => {
            Err(Problem::with(Kind::Conflict, "it was not erased"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether it is there.
async fn lives(app: &App, caller: &Caller, id: &str, content: Option<Uuid>) -> Result<bool, VaultError> {
    let actor = caller.finding();
    let interaction = match app.vault.interaction(&actor, id).await {
        Err(VaultError::NotFound | VaultError::Gone) => return Ok(false),
        interaction => interaction?,
    };
    let Some(content) = content else { return Ok(true) };
    for live in app.vault.contents(&actor, &interaction).await? {
        if app.vault.content_id(actor.tenant, &live)? == content {
            return Ok(true);
        }
    }
    Ok(false)
}
