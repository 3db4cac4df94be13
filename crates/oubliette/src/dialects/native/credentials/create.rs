//! `POST /api/v1/credentials`.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::IntoResponse as _;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use jiff::Timestamp;
use oubliette_core::model::{CredentialKind, Scope, Scopes};
use oubliette_core::service::NewCredential;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::auth::Caller;
use super::super::input;
use super::super::problem::{Answer, Problem};
use super::CredentialView;
use crate::http::App;

const MAX_LABEL_CHARS: usize = 200;

/// A credential to be made.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewCredentialBody {
    /// The protocol it is for, by the name the listing shows.
    kind: String,
    /// What it may do.
    scopes: Vec<String>,
    /// A label for people; not a person's name.
    #[serde(default)]
    label: String,
    /// When it stops working.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A new credential with its secret.
#[derive(Serialize, ToSchema)]
pub struct CreatedCredential {
    /// What is known of it from now on.
    #[serde(flatten)]
    credential: CredentialView,
    /// The token or client secret, shown this once.
    secret: String,
}

/// Make a credential. Its secret is in this answer and nowhere else.
#[utoipa::path(
    post, path = "/api/v1/credentials", tag = "credentials", operation_id = "createCredential",
    security(("bearer" = ["admin"])),
    request_body = NewCredentialBody,
    responses((status = 201, description = "Made", body = CreatedCredential)),
)]
pub async fn create_credential(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    caller.require(Scope::Admin)?;
    let body: NewCredentialBody = input::body(&app, request).await?;
    let kind = CredentialKind::parse(&body.kind).ok_or(Problem::invalid("'kind' is no known protocol"))?;
    let scopes: Option<Scopes> = body.scopes.iter().map(|name| Scope::parse(name)).collect();
    let scopes = scopes.ok_or(Problem::invalid("'scopes' holds an unknown scope"))?;
    if body.label.chars().count() > MAX_LABEL_CHARS {
        return Err(Problem::invalid("'label' must not be longer than 200 characters"));
    }
    if body.expires_at.is_some_and(|at| at <= app.vault.now()) {
        return Err(Problem::invalid("'expiresAt' lies in the past"));
    }
    let new = NewCredential { tenant: caller.0.tenant, kind, scopes, label: body.label, expires_at: body.expires_at };
    let (credential, secret) = app.vault.create_credential(new).await?;
    let body = CreatedCredential { credential: (&credential).into(), secret: secret.expose().to_owned() };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}
