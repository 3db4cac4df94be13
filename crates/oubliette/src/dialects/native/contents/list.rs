//! `GET /api/v1/interactions/{id}/contents`.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse as _;
use oubliette_core::model::Scope;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::auth::Caller;
use super::super::gone;
use super::super::input::InPath;
use super::super::problem::Answer;
use super::super::wire::ContentView;
use crate::http::App;

/// All contents of an interaction.
#[derive(Serialize, ToSchema)]
pub struct ContentList {
    /// In the order they were stored.
    items: Vec<ContentView>,
}

/// List an interaction's contents.
#[utoipa::path(
    get, path = "/api/v1/interactions/{id}/contents", tag = "contents", operation_id = "listContents",
    security(("bearer" = ["interaction:read"])),
    params(("id" = String, Path, description = "The interaction's id")),
    responses(
        (status = 200, description = "The contents", body = ContentList),
        (status = 410, description = "The interaction was erased"),
    ),
)]
pub async fn list_contents(State(app): State<App>, caller: Caller, InPath(id): InPath<String>) -> Answer {
    caller.require(Scope::InteractionRead)?;
    let work = async {
        let interaction = app.vault.interaction(&caller.0, &id).await?;
        let contents = app.vault.contents(&caller.0, &interaction).await?;
        Ok(Json(ContentList { items: ContentView::all(&app.vault, &caller.0, &contents)? }).into_response())
    };
    gone::explained(&app, &caller, &id, work).await
}
