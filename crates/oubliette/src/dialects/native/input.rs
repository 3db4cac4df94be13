//! Parts of requests, with every rejection as a problem of ours.

use axum::extract::{FromRequestParts, Path, Query, Request};
use http::HeaderMap;
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::{Kind, Problem};
use crate::http::App;
use crate::http::json::{media_type, read_body};

/// Reads a JSON body into a type that refuses unknown members. What did not fit is not repeated: it may be personal.
pub async fn body<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, Problem> {
    let (parts, body) = request.into_parts();
    check_json(&parts.headers)?;
    parse(&read_body(body, app.settings.max_json_bytes).await?)
}

/// The type of a JSON body, merge patches included.
fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let known = ["application/json", "application/merge-patch+json"];
    match media_type(headers) {
        Some(given) if known.iter().any(|name| given.eq_ignore_ascii_case(name)) => Ok(()),
        _ => Err(Problem::with(Kind::MediaType, "the media type must be application/json")),
    }
}

/// Parses JSON into a type.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            Problem::invalid("the body is JSON, but a member is unknown, missing or of another type")
        }
        _ => Problem::invalid("the body is not valid JSON"),
    })
}

/// Parts of the path.
pub struct InPath<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let read = Path::<T>::from_request_parts(parts, app).await;
        read.map(|Path(value)| Self(value)).map_err(|_| Problem::of(Kind::NotFound))
    }
}

/// The query.
pub struct InQuery<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for InQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let read = Query::<T>::from_request_parts(parts, app).await;
        read.map(|Query(value)| Self(value))
            .map_err(|_| Problem::invalid("a query parameter is unknown or not what it should be"))
    }
}

/// Reads a member that may be absent (`None`), null (`Some(None)`) or set.
pub fn nullable<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
