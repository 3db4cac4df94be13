//! The two shapes of success: JSON with exactly the content type that the strictest client compares, or nothing at all.

use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, StatusCode};
use jiff::{Timestamp, TimestampRound, Unit};
use serde_json::Value;

use super::error::Failure;

/// What a handler gives.
pub type Answer = Result<Response, Failure>;

/// The whole content type: one client compares this string.
pub const JSON: &str = "application/json; charset=utf-8";

/// A JSON body with a status.
pub fn json_with(status: StatusCode, body: &Value) -> Response {
    let headers: [(HeaderName, &str); 2] = [(CONTENT_TYPE, JSON), (CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string()).into_response()
}

/// 200 with a JSON body.
pub fn json(body: &Value) -> Response {
    json_with(StatusCode::OK, body)
}

/// 200 without a body.
pub fn empty() -> Response {
    StatusCode::OK.into_response()
}

/// A time as the clients read it: UTC with `Z`, at most six fractional digits.
pub fn time(at: Timestamp) -> String {
    at.round(TimestampRound::new().smallest(Unit::Microsecond)).unwrap_or(at).to_string()
}
