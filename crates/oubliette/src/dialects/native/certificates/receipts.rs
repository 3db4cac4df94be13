//! `GET /api/v1/erasures/{id}/receipts`: one file for all items of an order, as a stream.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use oubliette_core::model::Scope;
use uuid::Uuid;

use super::super::auth::Caller;
use super::super::input::InPath;
use super::super::problem::Answer;
use super::set;
use crate::http::App;

/// Read the receipts of all items of an erasure: its certificate, and one line for each item. A file that is read too slowly
/// breaks off; one that broke off is told from a whole one by `oubliette-verify`: the certificate says how many lines there are.
#[utoipa::path(
    get, path = "/api/v1/erasures/{id}/receipts", tag = "certificates", operation_id = "readReceipts",
    security(("bearer" = ["interaction:purge"]), ("bearer" = ["interaction:delete"])),
    params(("id" = String, Path, description = "The erasure's id")),
    responses(
        (status = 200, description = "Lines of JSON (docs/proof.md)", body = String, content_type = "application/x-ndjson"),
        (status = 404, description = "No such erasure"),
        (status = 410, description = "Erased, and there is no receipt of it"),
        (status = 503, description = "Not sealed or not in the log yet, or enough of these are being read; ask again"),
    ),
)]
pub async fn read_receipts(State(app): State<App>, caller: Caller, InPath(id): InPath<Uuid>) -> Answer {
    caller.require_either(Scope::InteractionPurge, Scope::InteractionDelete)?;
    let lines = app.vault.receipts(&caller.0, id).await?;
    let mut response = Response::new(Body::from_stream(lines));
    set(&mut response, CONTENT_TYPE, "application/x-ndjson");
    set(&mut response, CONTENT_DISPOSITION, &format!("attachment; filename=\"receipts-{id}.ndjson\""));
    set(&mut response, CACHE_CONTROL, "private, no-cache");
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    Ok(response)
}
