//! The description of this API (OpenAPI 3.1), made from the handlers themselves.

use axum::extract::Extension;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

/// What the handlers do not say.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Oubliette",
        description = "A self-hosted vault for contact-centre interactions whose deletion can be proven.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    modifiers(&Bearer),
    tags(
        (name = "interactions", description = "Conversations and what is known of them"),
        (name = "contents", description = "Recordings, transcripts and other bytes"),
        (name = "erasures", description = "Orders to erase and their progress"),
        (name = "certificates", description = "What was erased, for whoever was not there"),
        (name = "credentials", description = "Who may do what"),
        (name = "status", description = "Figures of the vault"),
    ),
)]
pub struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        openapi.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The description as it is served.
#[derive(Clone)]
pub struct Served(pub std::sync::Arc<str>);

/// Describe this API.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "status", operation_id = "describe",
    responses((status = 200, description = "The description", content_type = "application/json")),
)]
pub async fn describe(Extension(Served(text)): Extension<Served>) -> Response {
    ([(CONTENT_TYPE, "application/json")], text.to_string()).into_response()
}

/// The shape of a problem.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only described; problems are written by hand so that they can be given the request's id")]
#[schema(rename_all = "camelCase")]
struct ProblemBody {
    /// Where this kind of problem is explained.
    #[schema(rename = "type")]
    kind: String,
    /// The kind in a few words.
    title: String,
    /// The status code.
    status: u16,
    /// What exactly, as a constant text.
    detail: Option<String>,
    /// Of something erased: the erasure.
    erasure: Option<String>,
    /// Of something erased: when it was sealed.
    #[schema(value_type = Option<String>, format = DateTime)]
    sealed_at: Option<jiff::Timestamp>,
    /// Of something erased: where its certificate is, for those who may read it.
    certificate: Option<String>,
    /// The request's id, also in `x-request-id`.
    request_id: String,
}

/// Gives every error answer the shape of a problem, and every guarded operation the answers all of them have.
pub fn describe_problems(description: &mut utoipa::openapi::OpenApi) {
    use utoipa::openapi::{Content, Ref, RefOr, Response};
    use utoipa::{PartialSchema as _, ToSchema as _};

    let components = description.components.get_or_insert_default();
    components.schemas.insert(ProblemBody::name().into_owned(), ProblemBody::schema());
    let content = || Content::new(Some(Ref::from_schema_name(ProblemBody::name())));
    for item in description.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            if operation.security.is_some() {
                for (code, text) in [
                    ("400", "The request makes no sense"),
                    ("401", "A valid token is needed"),
                    ("403", "The token lacks a scope"),
                    ("503", "Temporarily unavailable"),
                ] {
                    let answers = &mut operation.responses.responses;
                    answers.entry(code.to_owned()).or_insert_with(|| RefOr::T(Response::new(text)));
                }
            }
            for (code, answer) in &mut operation.responses.responses {
                if let (true, RefOr::T(answer)) = (code.as_str() >= "400", answer) {
                    answer.content.insert("application/problem+json".to_owned(), RefOr::T(content()));
                }
            }
        }
    }
}
