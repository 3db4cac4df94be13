//! `POST /Auth/connect/token`: access tokens by client credentials, given by HTTP Basic or in the form.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use oubliette_core::model::{CredentialKind, Scope, Scopes};
use serde::Serialize;

use super::Front;
use crate::http::form;
use crate::http::json::{media_type_is, read_body};

/// How long a token opens doors: always this long, as documented.
pub const LIFETIME: Duration = Duration::from_secs(7_200);
/// Longest form taken, in bytes.
const MAX_FORM: usize = 16 << 10;
/// Characters of a wrong scope that are said back.
const MAX_ECHO: usize = 100;

/// The scopes of this API and the vault's.
const SCOPES: [(&str, Scope); 2] =
    [("interaction-content:read", Scope::InteractionRead), ("interaction-content:delete", Scope::InteractionDelete)];

/// This API's name of a scope.
pub fn scope_name(scope: Scope) -> Option<&'static str> {
    SCOPES.into_iter().find(|known| known.1 == scope).map(|known| known.0)
}

#[derive(Serialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: u64,
    token_type: &'static str,
}

/// A refusal: 400 with an error code and a text.
pub struct Refusal {
    error: &'static str,
    description: String,
}

#[derive(Serialize)]
struct RefusalBody<'a> {
    error: &'static str,
    error_description: &'a str,
}

impl Refusal {
    fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self { error, description: description.into() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(RefusalBody { error: self.error, error_description: &self.description });
        (StatusCode::BAD_REQUEST, [(CACHE_CONTROL, "no-store")], body).into_response()
    }
}

/// 200 with a token. Earlier tokens stay valid.
pub async fn token(State(front): State<Front>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    if !media_type_is(&headers, "application/x-www-form-urlencoded") {
        return Err(Refusal::new("invalid_request", "The body must be application/x-www-form-urlencoded"));
    }
    let body = read_body(body, MAX_FORM).await;
    let body = body.map_err(|error| Refusal::new("invalid_request", error.to_string()))?;
    let form = form::pairs(&String::from_utf8_lossy(&body));
    let field = |name| form::value(&form, name).unwrap_or_default();

    if field("grant_type") != "client_credentials" {
        return Err(Refusal::new("unsupported_grant_type", "Invalid grant_type"));
    }
    if field("scope").trim().is_empty() {
        return Err(Refusal::new("invalid_scope", "You must specify a scope"));
    }
    let vault = &front.app.vault;
    let bad_client = || Refusal::new("invalid_client", "The client id or the client secret is not valid");
    let (id, secret) = match headers.get(AUTHORIZATION) {
        Some(line) => basic(line.to_str().unwrap_or_default()).ok_or_else(bad_client)?,
        None => (field("client_id").to_owned(), field("client_secret").to_owned()),
    };
    let credential = vault.authenticate_client(CredentialKind::Vonage, &id, &secret).map_err(|_| bad_client())?;
    let scopes = granted(field("scope"), credential.scopes)?;

    let access_token = vault.issue_access_token(&credential, scopes, LIFETIME);
    let answer = TokenAnswer { access_token, expires_in: LIFETIME.as_secs(), token_type: "Bearer" };
    let headers = [(CACHE_CONTROL, "no-store"), (CONTENT_TYPE, "application/json; charset=utf-8")];
    Ok((headers, Json(answer)).into_response())
}

/// The scopes asked for, separated by spaces, if all of them exist and are granted to the client.
fn granted(text: &str, client: Scopes) -> Result<Scopes, Refusal> {
    text.split_whitespace()
        .map(|name| {
            let known = SCOPES.into_iter().find(|known| known.0 == name && client.contains(known.1));
            known.map(|known| known.1).ok_or_else(|| {
                let shown: String = name.chars().take(MAX_ECHO).collect();
                Refusal::new("invalid_scope", format!("\"{shown}\" is an invalid scope"))
            })
        })
        .collect()
}

fn basic(line: &str) -> Option<(String, String)> {
    let (scheme, encoded) = line.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_separated_by_spaces_and_must_be_granted() {
        let both: Scopes = SCOPES.into_iter().map(|known| known.1).collect();
        let read: Scopes = [Scope::InteractionRead].into_iter().collect();
        let ask = |text, client| granted(text, client).map_err(|refusal| (refusal.error, refusal.description));
        assert_eq!(ask("interaction-content:read interaction-content:delete", both), Ok(both));
        assert_eq!(ask(" interaction-content:read  ", both), Ok(read));
        let refused = |name: &str| Err(("invalid_scope", format!("\"{name}\" is an invalid scope")));
        assert_eq!(ask("interaction-content:delete", read), refused("interaction-content:delete"));
        let commas = "interaction-content:read,interaction-content:delete";
        assert_eq!(ask(commas, both), refused(commas));
        assert_eq!(ask("interaction:read", both), refused("interaction:read"));
    }

    #[test]
    fn basic_credentials_are_taken_apart() {
        let line = |text: &str| format!("basic {}", STANDARD.encode(text));
        assert_eq!(basic(&line("id:se:cret")), Some(("id".into(), "se:cret".into())));
        assert_eq!(basic(&line("no colon")), None);
        assert_eq!(basic("Basic ???"), None);
        assert_eq!(basic("Bearer abc"), None);
    }
}
