//! `DELETE /api/v1/interactions/{id}/contents/{key}`.

use axum::extract::State;
use axum::response::IntoResponse as _;
use http::StatusCode;
use oubliette_core::model::Scope;

use super::super::auth::Caller;
use super::super::gone;
use super::super::input::InPath;
use super::super::problem::Answer;
use crate::http::App;

/// Erase one content. The answer comes once the erasure is sealed.
#[utoipa::path(
    delete, path = "/api/v1/interactions/{id}/contents/{key}", tag = "contents", operation_id = "eraseContent",
    security(("bearer" = ["interaction:delete"])),
    params(
        ("id" = String, Path, description = "The interaction's id"),
        ("key" = String, Path, description = "The content's name, in any case"),
    ),
    responses(
        (status = 204, description = "Erased and sealed"),
        (status = 404, description = "No such interaction or content"),
        (status = 410, description = "The interaction was erased, or the content of this id"),
        (status = 503, description = "Hidden and due, but not sealed yet; ask again"),
    ),
)]
pub async fn erase_content(
    State(app): State<App>,
    caller: Caller,
    InPath((id, key)): InPath<(String, String)>,
) -> Answer {
    caller.require(Scope::InteractionDelete)?;
    let work = async {
        let (interaction, content) = super::find(&app, &caller, &caller.finding(), &id, &key).await?;
        app.vault.erase_named(&caller.0, &interaction.id.to_string(), &content, |_| ()).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    gone::explained(&app, &caller, &id, work).await
}
