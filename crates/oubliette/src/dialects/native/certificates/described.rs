//! What the description of this API says of every route that shows a certificate.

use std::collections::BTreeMap;

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::{Content, ObjectBuilder, RefOr, Response, ResponseBuilder, Type};
use utoipa::{IntoParams, IntoResponses};

/// Headers of a question for a certificate.
#[derive(IntoParams)]
#[expect(dead_code, reason = "only described; the handlers read the headers themselves")]
#[into_params(parameter_in = Header)]
pub struct Headers {
    /// `text/html` for the printable page
    #[param(rename = "Accept")]
    accept: Option<String>,
    /// An entity tag known already
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// Answers that all these routes have. What is not there each says in its own words.
pub struct Shown;

impl IntoResponses for Shown {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let of = |kind| ObjectBuilder::new().schema_type(kind).build();
        let tag = HeaderBuilder::new().schema(Some(of(Type::String))).description(Some("Of these very bytes")).build();
        let certificate = ResponseBuilder::new()
            .description("The certificate: one line of canonical JSON (docs/proof.md), or its page")
            .content("application/json", Content::new(Some(of(Type::Object))))
            .content("text/html", Content::new(Some(of(Type::String))))
            .header("ETag", tag)
            .build();
        let others = [
            ("304", "It has not changed"),
            ("410", "Erased, and there is no receipt of it"),
            ("503", "Not sealed or not in the log yet; ask again"),
        ];
        let others = others.map(|(status, description)| (status, Response::new(description)));
        let all = [("200", certificate)].into_iter().chain(others);
        all.map(|(status, response)| (status.to_owned(), RefOr::T(response))).collect()
    }
}
