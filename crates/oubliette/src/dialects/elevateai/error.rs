//! Errors in this dialect's shape: a status and `{"errorMessage":"…"}`.

use std::borrow::Cow;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use oubliette_core::service::{AuthError, VaultError};
use serde::Serialize;

use crate::http::json::{BodyError, MemberError};
use crate::http::multipart::PartsError;

/// Seconds after which a client should ask again.
const RETRY_SECONDS: &str = "5";

/// An answer that says no.
pub struct Failure {
    status: StatusCode,
    text: Cow<'static, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    error_message: &'a str,
}

impl Failure {
    /// A status with a text that holds nothing personal.
    pub fn plain(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, text: text.into() }
    }

    /// The request makes no sense.
    pub fn bad_request(text: impl Into<Cow<'static, str>>) -> Self {
        Self::plain(StatusCode::BAD_REQUEST, text)
    }

    /// Nothing is there.
    pub fn not_found(text: &'static str) -> Self {
        Self::plain(StatusCode::NOT_FOUND, text)
    }

    /// Its status.
    #[cfg(test)]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(Body { error_message: &self.text })).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
        }
        response
    }
}

/// The one place that decides what each outcome looks like here. The documentation knows no 403: a token that may not do
/// something is answered like any token that does not open the door.
fn answer(error: &VaultError) -> (StatusCode, Cow<'static, str>) {
    let (status, text) = match error {
        VaultError::Denied(scope) => {
            let text = format!("the token does not permit this operation ({})", scope.name());
            return (StatusCode::UNAUTHORIZED, text.into());
        }
        VaultError::NotFound | VaultError::Gone | VaultError::NoReceipt => {
            (StatusCode::NOT_FOUND, "the interaction does not exist")
        }
        VaultError::Conflict(text) => (StatusCode::CONFLICT, *text),
        VaultError::Invalid(text) => (StatusCode::BAD_REQUEST, *text),
        VaultError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the upload is too large"),
        VaultError::Interrupted => (StatusCode::BAD_REQUEST, "the upload is incomplete"),
        VaultError::Range { .. } => (StatusCode::BAD_REQUEST, "the requested range does not exist"),
        VaultError::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "the service is starting, try again"),
        VaultError::StillDue | VaultError::Uncertified => {
            (StatusCode::SERVICE_UNAVAILABLE, "the deletion was accepted but is not complete yet, try again")
        }
        VaultError::Attached => {
            (StatusCode::SERVICE_UNAVAILABLE, "the service is being restored and read-only for now, try again later")
        }
        VaultError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "the service is busy, try again"),
        VaultError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "the service is unavailable, try again"),
        VaultError::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "an internal error occurred"),
    };
    (status, text.into())
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        match &error {
            VaultError::Internal(_) => tracing::error!(error = &error as &dyn std::error::Error, "request failed"),
            VaultError::Unavailable(_) => tracing::warn!(error = &error as &dyn std::error::Error, "request failed"),
            _ => {}
        }
        let (status, text) = answer(&error);
        Self { status, text }
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unauthenticated => {
                Self::plain(StatusCode::UNAUTHORIZED, "the API token is missing or not valid")
            }
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

impl From<PartsError> for Failure {
    fn from(error: PartsError) -> Self {
        let status = match error {
            PartsError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            PartsError::MediaType | PartsError::Malformed => StatusCode::BAD_REQUEST,
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
    use oubliette_core::model::Scope;

    use super::*;

    #[test]
    fn every_outcome_has_its_documented_code() {
        let table = [
            (VaultError::Denied(Scope::InteractionDelete), 401),
            (VaultError::NotFound, 404),
            (VaultError::Gone, 404),
            (VaultError::Conflict("the interaction does not wait for an upload"), 409),
            (VaultError::Invalid("no"), 400),
            (VaultError::TooLarge, 413),
            (VaultError::Interrupted, 400),
            (VaultError::Range { length: 5 }, 400),
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
            assert!(!failure.text.is_empty() && !failure.text.contains("secret"), "{name}");
            let response = failure.into_response();
            assert_eq!(response.headers().contains_key(RETRY_AFTER), expected == 503, "{name}");
            assert_eq!(response.headers()["content-type"], "application/json", "{name}");
        }
    }
}
