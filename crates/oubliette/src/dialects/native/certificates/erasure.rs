//! `GET /api/v1/erasures/{id}/certificate`.

use axum::extract::State;
use http::HeaderMap;
use oubliette_core::model::Scope;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::super::auth::Caller;
use super::super::input::{InPath, InQuery};
use super::super::problem::{Answer, Problem};
use super::described::{Headers, Shown};
use crate::http::App;

/// What is told beside.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CertificateParams {
    /// What the order was called when it was made: told in the certificate when it is that, else refused. (The vault cannot
    /// tell it by itself: it died with the seal.)
    reference: Option<String>,
}

/// Show the certificate of an erasure: JSON, or its page with `Accept: text/html`.
#[utoipa::path(
    get, path = "/api/v1/erasures/{id}/certificate", tag = "certificates", operation_id = "readErasureCertificate",
    security(("bearer" = ["interaction:purge"]), ("bearer" = ["interaction:delete"])),
    params(
        ("id" = String, Path, description = "The erasure's id"),
        CertificateParams,
        Headers,
    ),
    responses(
        Shown,
        (status = 400, description = "Another reference than the order's"),
        (status = 404, description = "No such erasure"),
    ),
)]
pub async fn read_erasure_certificate(
    State(app): State<App>,
    caller: Caller,
    InPath(id): InPath<Uuid>,
    InQuery(query): InQuery<CertificateParams>,
    headers: HeaderMap,
) -> Answer {
    caller.require_either(Scope::InteractionPurge, Scope::InteractionDelete)?;
    let certificate = app.vault.certificate(&caller.0, id, query.reference.as_deref()).await?;
    if query.reference.is_some() && certificate.reference.is_none() {
        return Err(Problem::invalid("the order was not called that"));
    }
    super::shown(&app, &certificate, &headers)
}
