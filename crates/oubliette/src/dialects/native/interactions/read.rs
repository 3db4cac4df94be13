//! `GET /api/v1/interactions/{id}`.

use axum::extract::State;
use oubliette_core::model::Scope;

use super::super::auth::Caller;
use super::super::gone;
use super::super::input::InPath;
use super::super::problem::Answer;
use super::super::wire::InteractionView;
use super::shown;
use crate::http::App;

/// Show an interaction, by its id or by an external id.
#[utoipa::path(
    get, path = "/api/v1/interactions/{id}", tag = "interactions", operation_id = "readInteraction",
    security(("bearer" = ["interaction:read"])),
    params(("id" = String, Path, description = "The interaction's id")),
    responses(
        (status = 200, description = "The interaction", body = InteractionView,
            headers(("ETag" = String, description = "Its version"))),
        (status = 404, description = "It never existed here"),
        (status = 410, description = "It was erased"),
    ),
)]
pub async fn read_interaction(State(app): State<App>, caller: Caller, InPath(id): InPath<String>) -> Answer {
    caller.require(Scope::InteractionRead)?;
    let work = async {
        let interaction = app.vault.interaction(&caller.0, &id).await?;
        let contents = app.vault.contents(&caller.0, &interaction).await?;
        shown(&app, &caller, interaction, &contents)
    };
    gone::explained(&app, &caller, &id, work).await
}
