//! `POST /Token`: client credentials in a form, answered with a bearer token of half an hour. Earlier tokens stay valid.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use oubliette_core::model::CredentialKind;
use percent_encoding::percent_decode;
use serde_json::json;

use super::answer::{json, json_with};
use crate::http::App;
use crate::http::json::{media_type_is, read_body};

/// What the clients are told. The token lives a second longer, so that none expires early on a slow line.
const EXPIRES_IN_SECONDS: u64 = 1799;
const MAX_FORM_BYTES: usize = 16 * 1024;

/// Gives an access token.
pub async fn token(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if !media_type_is(&parts.headers, "application/x-www-form-urlencoded") {
        return refused(StatusCode::BAD_REQUEST, "invalid_request");
    }
    let Ok(form) = read_body(body, MAX_FORM_BYTES).await else {
        return refused(StatusCode::BAD_REQUEST, "invalid_request");
    };
    let Some(grant) = field(&form, "grant_type") else { return refused(StatusCode::BAD_REQUEST, "invalid_request") };
    if grant != "client_credentials" {
        return refused(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let (Some(id), Some(secret)) = (field(&form, "client_id"), field(&form, "client_secret")) else {
        return refused(StatusCode::UNAUTHORIZED, "invalid_client");
    };
    let Ok(credential) = app.vault.authenticate_client(CredentialKind::Creovai, &id, &secret) else {
        return refused(StatusCode::UNAUTHORIZED, "invalid_client");
    };
    let lifetime = Duration::from_secs(EXPIRES_IN_SECONDS + 1);
    let token = app.vault.issue_access_token(&credential, credential.scopes, lifetime);
    json(&json!({ "access_token": token, "token_type": "bearer", "expires_in": EXPIRES_IN_SECONDS }))
}

fn refused(status: StatusCode, error: &str) -> Response {
    json_with(status, &json!({ "error": error }))
}

/// The value of a form field that is given once; `None` when it is missing, repeated or no UTF-8.
fn field(form: &[u8], name: &str) -> Option<String> {
    let mut values = form.split(|byte| *byte == b'&').filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        (decode(&pair[..at])? == name).then(|| decode(&pair[at + 1..]))
    });
    let (value, None) = (values.next()??, values.next()) else { return None };
    Some(value)
}

fn decode(bytes: &[u8]) -> Option<String> {
    let spaced: Vec<u8> = bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Some(percent_decode(&spaced).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_fields_are_found_in_any_order_and_decoded() {
        let form = b"client_secret=a%2Bb+c&grant_type=client_credentials&client_id=user1";
        assert_eq!(field(form, "client_secret").as_deref(), Some("a+b c"));
        assert_eq!(field(form, "client_id").as_deref(), Some("user1"));
        assert_eq!(field(form, "scope"), None);
        assert_eq!(field(b"a=1&a=2", "a"), None);
        assert_eq!(field(b"a=%ff", "a"), None);
    }
}
