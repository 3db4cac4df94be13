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
