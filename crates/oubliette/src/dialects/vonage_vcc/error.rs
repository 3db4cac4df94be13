//! Errors in this dialect's shape: a status and `{"message":"…"}`.

use std::borrow::Cow;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use oubliette_core::model::Scope;
use oubliette_core::service::{AuthError, VaultError};
use serde::Serialize;

use super::token::scope_name;
use crate::http::json::{BodyError, MemberError};

/// Seconds after which a client should ask again when the vault could not do it now.
const RETRY_SECONDS: u64 = 5;

/// An answer that says no.
pub struct Failure {
    status: StatusCode,
    message: Cow<'static, str>,
    retry_seconds: Option<u64>,
    length: Option<u64>,
}

#[derive(Serialize)]
struct Body<'a> {
    message: &'a str,
}

impl Failure {
    /// A status with a text that holds nothing personal.
    pub fn plain(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), retry_seconds: None, length: None }
    }

    /// The request makes no sense.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::plain(StatusCode::BAD_REQUEST, message)
    }

    /// Too much at once; ask again after so many seconds.
    pub fn too_many(message: &'static str, retry_seconds: u64) -> Self {
        Self { retry_seconds: Some(retry_seconds), ..Self::plain(StatusCode::TOO_MANY_REQUESTS, message) }
    }

    /// The token lacks a scope.
    pub fn forbidden(scope: Scope) -> Self {
        let message: Cow<'static, str> = match scope_name(scope) {
            Some(name) => format!("Forbidden: the token lacks the scope '{name}'").into(),
            None => "Forbidden".into(),
        };
        Self::plain(StatusCode::FORBIDDEN, message)
    }

    /// No such content on the interaction.
    pub fn no_content() -> Self {
        Self::plain(StatusCode::NOT_FOUND, "Content not found")
    }

    /// Not now.
    pub fn later(message: &'static str) -> Self {
        Self { retry_seconds: Some(RETRY_SECONDS), ..Self::plain(StatusCode::SERVICE_UNAVAILABLE, message) }
    }

    /// Its status.
    #[cfg(test)]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its text.
    #[cfg(test)]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(Body { message: &self.message })).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_seconds {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(length) = self.length
            && let Ok(value) = HeaderValue::from_str(&format!("bytes */{length}"))
        {
            headers.insert(CONTENT_RANGE, value);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<VaultError> for Failure {
    /// The one place that decides what each outcome looks like here.
    fn from(error: VaultError) -> Self {
        match &error {
            VaultError::Internal(_) => tracing::error!(error = &error as &dyn std::error::Error, "request failed"),
            VaultError::Unavailable(_) => tracing::warn!(error = &error as &dyn std::error::Error, "request failed"),
            _ => {}
        }
        match error {
            VaultError::Denied(scope) => Self::forbidden(scope),
            VaultError::NotFound | VaultError::Gone | VaultError::NoReceipt => {
                Self::plain(StatusCode::NOT_FOUND, "Interaction not found")
            }
            VaultError::Conflict(text) => Self::plain(StatusCode::CONFLICT, text),
            VaultError::Invalid(text) => Self::bad_request(text),
            VaultError::TooLarge => Self::plain(StatusCode::PAYLOAD_TOO_LARGE, "Too large"),
            VaultError::Interrupted => Self::bad_request("The request body is incomplete"),
            VaultError::Range { length } => Self {
                length: Some(length),
                ..Self::plain(StatusCode::RANGE_NOT_SATISFIABLE, "Requested range not satisfiable")
            },
            VaultError::NotReady => Self::later("The service is starting, please try again"),
            VaultError::StillDue | VaultError::Uncertified => {
                Self::later("The deletion was accepted but is not complete yet, please try again")
            }
            VaultError::Attached => {
                Self::later("The service is being restored and read-only for now, please try again later")
            }
            VaultError::Busy => Self::later("The service is busy, please try again"),
            VaultError::Unavailable(_) => Self::later("The service is unavailable, please try again"),
            VaultError::Internal(_) => {
                Self::plain(StatusCode::INTERNAL_SERVER_ERROR, "An internal server error occurred")
            }
        }
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unauthenticated => Self::plain(StatusCode::UNAUTHORIZED, "Unauthorized"),
        }
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::MediaType | BodyError::Interrupted | BodyError::Malformed | BodyError::NotAnObject => {
                StatusCode::BAD_REQUEST
            }
        };
        Self::plain(status, error.to_string())
    }
}

impl From<MemberError> for Failure {
    fn from(error: MemberError) -> Self {
        Self::bad_request(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_documented_code() {
        let table = [
            (VaultError::Denied(Scope::InteractionDelete), 403),
            (VaultError::Denied(Scope::Admin), 403),
            (VaultError::NotFound, 404),
            (VaultError::Gone, 404),
            (VaultError::Conflict("no"), 409),
            (VaultError::Invalid("no"), 400),
            (VaultError::TooLarge, 413),
            (VaultError::Interrupted, 400),
            (VaultError::Range { length: 5 }, 416),
            (VaultError::NotReady, 503),
            (VaultError::StillDue, 503),
            (VaultError::Attached, 503),
            (VaultError::Busy, 503),
            (VaultError::Unavailable(None), 503),
            (VaultError::Internal(Some("the secret cause".into())), 500),
        ];
        for (error, expected) in table {
            let name = format!("{error:?}");
            let failure = Failure::from(error);
            assert_eq!(failure.status().as_u16(), expected, "{name}");
            assert!(!failure.message.is_empty() && !failure.message.contains("secret"), "{name}");
            let response = failure.into_response();
            assert_eq!(response.headers().contains_key(RETRY_AFTER), expected == 503, "{name}");
            assert_eq!(response.headers().contains_key(CONTENT_RANGE), expected == 416, "{name}");
            assert_eq!(response.headers()["content-type"], "application/json", "{name}");
        }
        let range = Failure::from(VaultError::Range { length: 5 }).into_response();
        assert_eq!(range.headers()[CONTENT_RANGE], "bytes */5");
    }
}
