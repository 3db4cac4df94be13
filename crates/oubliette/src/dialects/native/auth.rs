//! Who calls: a static bearer token.

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use oubliette_core::model::{Actor, CredentialKind, Scope, Scopes};

use super::problem::{Kind, Problem};
use crate::http::App;

/// An authenticated caller.
pub struct Caller(pub Actor);

impl Caller {
    /// Refuses unless the token has this scope.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.0.scopes.contains(scope) { Ok(()) } else { Err(Problem::of(Kind::Forbidden)) }
    }

    /// Refuses unless the token has one of these scopes.
    pub fn require_either(&self, one: Scope, other: Scope) -> Result<(), Problem> {
        self.require(one).or_else(|_| self.require(other))
    }

    /// The same caller with the right to read, to find what a write or a delete names. Nothing of it is shown.
    pub fn finding(&self) -> Actor {
        let scopes = self.0.scopes.iter().chain([Scope::InteractionRead]).collect::<Scopes>();
        Actor { scopes, ..self.0.clone() }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let refused = || Problem::of(Kind::Unauthenticated);
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(refused)?;
        let (scheme, token) = header.trim().split_once(' ').ok_or_else(refused)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refused());
        }
        Ok(Self(app.vault.authenticate_token(CredentialKind::Native, token.trim())?))
    }
}
