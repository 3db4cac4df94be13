//! `GET /api/v1/credentials`.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse as _;
use oubliette_core::model::Scope;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::auth::Caller;
use super::super::problem::Answer;
use super::CredentialView;
use crate::http::App;

/// All credentials of the tenant.
#[derive(Serialize, ToSchema)]
pub struct CredentialList {
    /// Revoked ones included.
    items: Vec<CredentialView>,
}

/// List the tenant's credentials, revoked ones included.
#[utoipa::path(
    get, path = "/api/v1/credentials", tag = "credentials", operation_id = "listCredentials",
    security(("bearer" = ["admin"])),
    responses((status = 200, description = "The credentials", body = CredentialList)),
)]
pub async fn list_credentials(State(app): State<App>, caller: Caller) -> Answer {
    caller.require(Scope::Admin)?;
    let credentials = app.vault.credentials(caller.0.tenant).await?;
    Ok(Json(CredentialList { items: credentials.iter().map(CredentialView::from).collect() }).into_response())
}
