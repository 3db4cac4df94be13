//! Problems (RFC 9457). The `type` leads to the page that explains it; `requestId` to the log. Nothing personal in either.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{ALLOW, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use oubliette_core::service::{AuthError, VaultError};
use serde_json::json;

use super::gone::Erased;
use crate::http::json::BodyError;

/// Where the types are explained.
const TYPES: &str = "https://github.com/oubliette-vault/oubliette/blob/main/docs/dialects/native.md#";

/// The kinds of problem: anchor, status, title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No usable token.
    Unauthenticated,
    /// The token lacks a scope.
    Forbidden,
    /// It never existed here.
    NotFound,
    /// No such path.
    NoSuchPath,
    /// The path does not take this method.
    Method,
    /// It existed and was erased.
    Gone,
    /// It was erased, and no certificate of it can ever be made.
    NoReceipt,
    /// It was erased, and the log does not tell of it yet.
    NotCertified,
    /// It stands in the way of what is there.
    Conflict,
    /// A precondition does not hold.
    Precondition,
    /// The request makes no sense.
    Invalid,
    /// A body of another media type.
    MediaType,
    /// Too long.
    TooLarge,
    /// The client's stream broke off.
    Interrupted,
    /// The range lies outside the content.
    Range,
    /// The same idempotency key came with another request.
    KeyReused,
    /// Look-ups are being rebuilt.
    NotReady,
    /// Accepted and hidden, but not sealed in time.
    StillDue,
    /// The vault stands on an older copy and is not to be changed yet.
    ReadOnly,
    /// Enough large answers are under way.
    Busy,
    /// The store is busy, full or stopping.
    Unavailable,
    /// The fault is ours.
    Internal,
}

impl Kind {
    /// Anchor on the page, status and title.
    pub fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED, "A valid token is needed"),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "The token lacks a scope"),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "Not found"),
            Self::NoSuchPath => ("no-such-path", StatusCode::NOT_FOUND, "No such path"),
            Self::Method => ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
            Self::Gone => ("gone", StatusCode::GONE, "Erased"),
            Self::NoReceipt => ("no-receipt", StatusCode::GONE, "Erased without a receipt"),
            Self::NotCertified => ("not-certified", StatusCode::SERVICE_UNAVAILABLE, "Not certified yet"),
            Self::Conflict => ("conflict", StatusCode::CONFLICT, "Conflict"),
            Self::Precondition => ("precondition-failed", StatusCode::PRECONDITION_FAILED, "It has changed"),
            Self::Invalid => ("invalid-request", StatusCode::BAD_REQUEST, "Invalid request"),
            Self::MediaType => ("unsupported-media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "Wrong media type"),
            Self::TooLarge => ("too-large", StatusCode::PAYLOAD_TOO_LARGE, "Too large"),
            Self::Interrupted => ("interrupted", StatusCode::BAD_REQUEST, "The upload broke off"),
            Self::Range => ("range", StatusCode::RANGE_NOT_SATISFIABLE, "Range not satisfiable"),
            Self::KeyReused => ("idempotency-key", StatusCode::UNPROCESSABLE_ENTITY, "Idempotency key reused"),
            Self::NotReady => ("not-ready", StatusCode::SERVICE_UNAVAILABLE, "Look-ups are not ready yet"),
            Self::StillDue => ("still-due", StatusCode::SERVICE_UNAVAILABLE, "Due, but not sealed yet"),
            Self::ReadOnly => ("read-only", StatusCode::SERVICE_UNAVAILABLE, "Restored, read-only until committed"),
            Self::Busy => ("busy", StatusCode::SERVICE_UNAVAILABLE, "Enough large answers are under way"),
            Self::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "Temporarily unavailable"),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Internal error"),
        }
    }
}

/// A problem on its way to the client.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    detail: Option<&'static str>,
    length: Option<u64>,
    erased: Option<Box<Erased>>,
}

/// What handlers give.
pub type Answer = Result<Response, Problem>;

impl Problem {
    /// A problem without a further word.
    pub fn of(kind: Kind) -> Self {
        Self { kind, detail: None, length: None, erased: None }
    }

    /// A problem with a constant text.
    pub fn with(kind: Kind, detail: &'static str) -> Self {
        Self { kind, detail: Some(detail), length: None, erased: None }
    }

    /// Erased, with what is known of the erasure.
    pub fn gone(erased: Erased) -> Self {
        Self { erased: Some(Box::new(erased)), ..Self::of(Kind::Gone) }
    }

    /// An invalid request.
    pub fn invalid(detail: &'static str) -> Self {
        Self::with(Kind::Invalid, detail)
    }

    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    fn render(&self, request_id: Option<&str>) -> Response {
        let (anchor, status, title) = self.kind.parts();
        let mut body = json!({ "type": format!("{TYPES}{anchor}"), "title": title, "status": status.as_u16() });
        if let Some(detail) = self.detail {
            body["detail"] = detail.into();
        }
        if let (Some(erased), Some(members)) = (&self.erased, body.as_object_mut()) {
            erased.write(members);
        }
        if let Some(id) = request_id {
            body["requestId"] = id.into();
        }
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.kind {
            Kind::Unauthenticated => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Kind::NotReady | Kind::StillDue | Kind::NotCertified | Kind::ReadOnly | Kind::Busy | Kind::Unavailable => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Kind::Range => {
                let text = self.length.map(|length| format!("bytes */{length}"));
                if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
                    headers.insert(CONTENT_RANGE, value);
                }
            }
            _ => {}
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.render(None);
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the request's id into a problem.
pub fn identify(response: Response, request_id: &str) -> Response {
    let Some(problem) = response.extensions().get::<Problem>() else { return response };
    let mut named = problem.render(Some(request_id));
    if let Some(allow) = response.headers().get(ALLOW) {
        named.headers_mut().insert(ALLOW, allow.clone());
    }
    named
}

impl From<VaultError> for Problem {
    /// Every outcome of the vault in this API's words.
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Denied(_) => Self::of(Kind::Forbidden),
            VaultError::NotFound => Self::of(Kind::NotFound),
            VaultError::Gone => Self::of(Kind::Gone),
            VaultError::NoReceipt => Self::of(Kind::NoReceipt),
            VaultError::Conflict(text) => Self::with(Kind::Conflict, text),
            VaultError::Invalid(text) => Self::invalid(text),
            VaultError::TooLarge => Self::of(Kind::TooLarge),
            VaultError::Interrupted => Self::of(Kind::Interrupted),
            VaultError::Range { length } => Self { length: Some(length), ..Self::of(Kind::Range) },
            VaultError::NotReady => Self::of(Kind::NotReady),
            VaultError::StillDue => Self::of(Kind::StillDue),
            VaultError::Uncertified => Self::of(Kind::NotCertified),
            VaultError::Attached => Self::of(Kind::ReadOnly),
            VaultError::Busy => Self::of(Kind::Busy),
            VaultError::Unavailable(_) => {
                log(&error);
                Self::of(Kind::Unavailable)
            }
            VaultError::Internal(_) => {
                log(&error);
                Self::of(Kind::Internal)
            }
        }
    }
}

fn log(error: &VaultError) {
    tracing::error!(error = error as &dyn std::error::Error, "a call of the native API failed");
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unauthenticated => Self::of(Kind::Unauthenticated),
        }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::MediaType => Self::with(Kind::MediaType, "the media type must be application/json"),
            BodyError::TooLarge => Self::of(Kind::TooLarge),
            BodyError::Interrupted => Self::of(Kind::Interrupted),
            BodyError::Malformed => Self::invalid("the body is not valid JSON"),
            BodyError::NotAnObject => Self::invalid("the body must be a JSON object"),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use oubliette_core::model::Scope;
    use serde_json::Value;

    use super::*;

    #[tokio::test]
    async fn every_outcome_of_the_vault_has_its_problem() {
        let table = [
            (VaultError::Denied(Scope::Admin), 403, "forbidden", None),
            (VaultError::NotFound, 404, "not-found", None),
            (VaultError::Gone, 410, "gone", None),
            (VaultError::Conflict("drifted"), 409, "conflict", Some("drifted")),
            (VaultError::Invalid("why"), 400, "invalid-request", Some("why")),
            (VaultError::TooLarge, 413, "too-large", None),
            (VaultError::Interrupted, 400, "interrupted", None),
            (VaultError::Range { length: 9 }, 416, "range", None),
            (VaultError::NotReady, 503, "not-ready", None),
            (VaultError::StillDue, 503, "still-due", None),
            (VaultError::NoReceipt, 410, "no-receipt", None),
            (VaultError::Uncertified, 503, "not-certified", None),
            (VaultError::Attached, 503, "read-only", None),
            (VaultError::Busy, 503, "busy", None),
            (VaultError::Unavailable(None), 503, "unavailable", None),
            (VaultError::Internal(None), 500, "internal", None),
        ];
        for (error, status, anchor, detail) in table {
            let response = Problem::from(error).into_response();
            assert_eq!(response.status(), status, "{anchor}");
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
            assert_eq!(response.headers().contains_key(RETRY_AFTER), status == 503);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["type"], format!("{TYPES}{anchor}"));
            assert_eq!(body["status"], status);
            assert_eq!(body.get("detail").and_then(Value::as_str), detail);
        }
    }
}
