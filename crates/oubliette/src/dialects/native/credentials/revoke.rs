//! `DELETE /api/v1/credentials/{id}`.

use axum::extract::State;
use axum::response::IntoResponse as _;
use http::StatusCode;
use oubliette_core::model::Scope;
use uuid::Uuid;

use super::super::auth::Caller;
use super::super::input::InPath;
use super::super::problem::Answer;
use crate::http::App;

/// Revoke a credential for good, with every access token issued for it.
#[utoipa::path(
    delete, path = "/api/v1/credentials/{id}", tag = "credentials", operation_id = "revokeCredential",
    security(("bearer" = ["admin"])),
    params(("id" = String, Path, description = "The credential's id")),
    responses((status = 204, description = "Revoked"), (status = 404, description = "No such credential")),
)]
pub async fn revoke_credential(State(app): State<App>, caller: Caller, InPath(id): InPath<Uuid>) -> Answer {
    caller.require(Scope::Admin)?;
    app.vault.revoke_credential(caller.0.tenant, id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
