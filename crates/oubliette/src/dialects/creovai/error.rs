//! What goes wrong, and how it is said: `{"message":…}` with a status. Nothing personal is ever in a message.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use oubliette_core::service::{AuthError, VaultError};
use serde_json::json;
use thiserror::Error;

use super::answer::json_with;
use crate::http::json::{BodyError, MemberError};
use crate::http::multipart::PartsError;

/// Why a call failed.
#[derive(Debug, Error)]
pub enum Failure {
    /// No, a bad, an expired or a revoked token.
    #[error("the access token is missing, invalid or expired")]
    Unauthenticated,
    /// The API user lacks the right.
    #[error("the API user is not authorised for this call")]
    Denied,
    /// The request makes no sense.
    #[error("{0}")]
    Bad(String),
    /// A body of another media type.
    #[error("{0}")]
    MediaType(&'static str),
    /// A body longer than allowed.
    #[error("the body is too large")]
    TooLarge,
    /// What the path names is not there.
    #[error("{0}")]
    NotFound(&'static str),
    /// No such path.
    #[error("there is no such path")]
    NoSuchPath,
    /// The path does not take this method.
    #[error("the method is not allowed here")]
    Method,
    /// The vault refused or failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Failure {
    /// A bad request with a constant text.
    pub fn bad(text: &str) -> Self {
        Self::Bad(text.to_owned())
    }

    fn parts(&self) -> (StatusCode, String) {
        let status = match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound(_) | Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Vault(error) => return vault_parts(error),
        };
        (status, self.to_string())
    }
}

/// Every outcome of the vault in this dialect's words.
fn vault_parts(error: &VaultError) -> (StatusCode, String) {
    match error {
        VaultError::Denied(_) => (StatusCode::FORBIDDEN, Failure::Denied.to_string()),
        VaultError::NotFound => (StatusCode::NOT_FOUND, "not found".into()),
        VaultError::Gone | VaultError::NoReceipt => (StatusCode::NOT_FOUND, "it was purged".into()),
        VaultError::Conflict(text) => (StatusCode::CONFLICT, (*text).to_owned()),
        VaultError::Invalid(text) => (StatusCode::BAD_REQUEST, (*text).to_owned()),
        VaultError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Failure::TooLarge.to_string()),
        VaultError::Interrupted => (StatusCode::BAD_REQUEST, "the upload broke off".into()),
        VaultError::Range { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "the range lies outside the recording".into()),
        VaultError::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "look-ups are not ready yet; try again".into()),
        VaultError::StillDue | VaultError::Uncertified => {
            (StatusCode::SERVICE_UNAVAILABLE, "the purge is accepted but not done yet".into())
        }
        VaultError::Attached => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the vault is being restored and read-only for now; try again later".into(),
        ),
        VaultError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "the vault is busy; try again".into()),
        VaultError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "the vault is unavailable; try again".into()),
        VaultError::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal error".into()),
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, message) = self.parts();
        if let Self::Vault(error @ (VaultError::Internal(_) | VaultError::Unavailable(_))) = &self {
            tracing::error!(error = error as &dyn std::error::Error, "a call of the Creovai dialect failed");
        }
        let mut response = json_with(status, &json!({ "message": message }));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Self::Vault(VaultError::Range { length }) = self
            && let Ok(value) = HeaderValue::from_str(&format!("bytes */{length}"))
        {
            response.headers_mut().insert(http::header::CONTENT_RANGE, value);
        }
        response
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unauthenticated => Self::Unauthenticated,
        }
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::MediaType => Self::MediaType("the media type must be application/json"),
            BodyError::TooLarge => Self::TooLarge,
            BodyError::Interrupted | BodyError::Malformed | BodyError::NotAnObject => Self::Bad(error.to_string()),
        }
    }
}

impl From<MemberError> for Failure {
    fn from(error: MemberError) -> Self {
        Self::Bad(error.to_string())
    }
}

impl From<PartsError> for Failure {
    fn from(error: PartsError) -> Self {
        match error {
            PartsError::MediaType => Self::MediaType("the media type must be multipart/form-data with a boundary"),
            PartsError::TooLarge => Self::TooLarge,
            PartsError::Malformed => Self::Bad(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use oubliette_core::model::Scope;

    use super::*;

    #[tokio::test]
    async fn every_outcome_of_the_vault_has_its_status_and_a_message() {
        let table = [
            (VaultError::Denied(Scope::InteractionPurge), 403, "the API user is not authorised for this call"),
            (VaultError::NotFound, 404, "not found"),
            (VaultError::Gone, 404, "it was purged"),
            (VaultError::Conflict("the session id is in use"), 409, "the session id is in use"),
            (VaultError::Invalid("why"), 400, "why"),
            (VaultError::TooLarge, 413, "the body is too large"),
            (VaultError::Interrupted, 400, "the upload broke off"),
            (VaultError::Range { length: 7 }, 416, "the range lies outside the recording"),
            (VaultError::NotReady, 503, "look-ups are not ready yet; try again"),
            (VaultError::StillDue, 503, "the purge is accepted but not done yet"),
            (VaultError::Attached, 503, "the vault is being restored and read-only for now; try again later"),
            (VaultError::Busy, 503, "the vault is busy; try again"),
            (VaultError::Unavailable(None), 503, "the vault is unavailable; try again"),
            (VaultError::Internal(None), 500, "internal error"),
        ];
        for (error, status, message) in table {
            let response = Failure::from(error).into_response();
            assert_eq!(response.status(), status, "{message}");
            assert_eq!(response.headers()["content-type"], "application/json; charset=utf-8");
            assert_eq!(response.headers().contains_key(RETRY_AFTER), status == 503);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), json!({ "message": message }));
        }
    }
}
