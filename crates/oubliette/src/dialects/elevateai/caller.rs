//! Who calls, and which interaction is meant.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use http::StatusCode;
use http::request::Parts;
use oubliette_core::model::{Actor, CredentialKind, Scope};
use oubliette_core::service::{AuthError, VaultError};
use uuid::Uuid;

use super::error::Failure;
use crate::http::App;

/// An authenticated caller: the first thing every handler asks for.
pub struct Caller {
    actor: Actor,
}

impl Caller {
    /// The caller, if the token has the scope.
    pub fn with(&self, scope: Scope) -> Result<&Actor, Failure> {
        if self.actor.scopes.contains(scope) { Ok(&self.actor) } else { Err(VaultError::Denied(scope).into()) }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let mut tokens = parts.headers.get_all("x-api-token").iter();
        // Two tokens are none: nobody should have to guess which one counts.
        let (Some(token), None) = (tokens.next(), tokens.next()) else { return Err(AuthError::Unauthenticated.into()) };
        let token = token.to_str().map_err(|_| AuthError::Unauthenticated)?;
        Ok(Self { actor: app.vault.authenticate_token(CredentialKind::ElevateAi, token.trim())? })
    }
}

/// The id of the path if it is a GUID in its hyphenated form, in either case.
fn guid(path: Result<Path<String>, PathRejection>) -> Option<String> {
    let Path(text) = path.ok()?;
    let guid = (text.len() == 36).then(|| Uuid::try_parse(&text).ok()).flatten()?;
    Some(guid.as_hyphenated().to_string())
}

/// An id as every call but the delete takes it: what is no GUID names nothing.
pub struct Id(pub String);

/// An id as the delete takes it: what is no GUID is a mistake.
pub struct StrictId(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let text = guid(Path::from_request_parts(parts, state).await);
        text.map(Self).ok_or_else(|| Failure::not_found("the interaction does not exist"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for StrictId {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let text = guid(Path::from_request_parts(parts, state).await);
        text.map(Self)
            .ok_or_else(|| Failure::plain(StatusCode::BAD_REQUEST, "the interactionIdentifier must be a GUID"))
    }
}
