//! Who calls: the bearer token of an API user.

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use oubliette_core::model::{Actor, CredentialKind, Scope, Scopes};

use super::error::Failure;
use crate::http::App;

/// An authenticated API user.
pub struct Caller(pub Actor);

impl Caller {
    /// Refuses unless the API user has this right.
    pub fn require(&self, scope: Scope) -> Result<(), Failure> {
        if self.0.scopes.contains(scope) { Ok(()) } else { Err(Failure::Denied) }
    }

    /// The same API user with the right to read, for questions the dialect itself must ask before it does what the user
    /// may do (is this session known, is this call still processing). What is read goes no further than the answer needs.
    pub fn asking(&self) -> Actor {
        let scopes = self.0.scopes.iter().chain([Scope::InteractionRead]).collect::<Scopes>();
        Actor { scopes, ..self.0.clone() }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let token = bearer(&parts.headers).ok_or(Failure::Unauthenticated)?;
        Ok(Self(app.vault.authenticate_access_token(CredentialKind::Creovai, token)?))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
