//! `DELETE /api/v1/interactions/{id}`.

use axum::extract::State;
use axum::response::IntoResponse as _;
use http::StatusCode;
use oubliette_core::model::Scope;

use super::super::auth::Caller;
use super::super::gone;
use super::super::input::InPath;
use super::super::problem::Answer;
use crate::http::App;

/// Erase an interaction with all its contents. The answer comes once the erasure is sealed.
#[utoipa::path(
    delete, path = "/api/v1/interactions/{id}", tag = "interactions", operation_id = "eraseInteraction",
    security(("bearer" = ["interaction:delete"])),
    params(("id" = String, Path, description = "The interaction's id")),
    responses(
        (status = 204, description = "Erased and sealed"),
        (status = 404, description = "It never existed here"),
        (status = 410, description = "It was erased before"),
        (status = 503, description = "Hidden and due, but not sealed yet; ask again"),
    ),
)]
pub async fn erase_interaction(State(app): State<App>, caller: Caller, InPath(id): InPath<String>) -> Answer {
    caller.require(Scope::InteractionDelete)?;
    let work = async {
        app.vault.erase_interaction(&caller.0, &id).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    gone::explained(&app, &caller, &id, work).await
}
