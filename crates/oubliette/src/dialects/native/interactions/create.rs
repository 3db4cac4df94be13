//! `POST /api/v1/interactions`.

use axum::extract::{Request, State};
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use oubliette_core::model::State as InteractionState;
use oubliette_core::service::{IngestMode, NewInteraction};

use super::super::auth::Caller;
use super::super::input;
use super::super::problem::Answer;
use super::super::wire::{InteractionView, NewInteractionBody};
use super::shown;
use crate::http::App;

/// Make an interaction. Its contents are put afterwards.
#[utoipa::path(
    post, path = "/api/v1/interactions", tag = "interactions", operation_id = "createInteraction",
    security(("bearer" = ["interaction:write"])),
    request_body = NewInteractionBody,
    responses(
        (status = 201, description = "Made", body = InteractionView,
            headers(("Location" = String, description = "Where it is"), ("ETag" = String, description = "Its version"))),
        (status = 409, description = "The session id is in use"),
    ),
)]
pub async fn create_interaction(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    caller.require(oubliette_core::model::Scope::InteractionWrite)?;
    let body: NewInteractionBody = input::body(&app, request).await?;
    let direct = match app.vault.settings().ingest {
        IngestMode::Direct => InteractionState::Processed,
        IngestMode::External => InteractionState::Pending,
    };
    let state = body.state.map_or(direct, InteractionState::from);
    let kind = body.kind.into();
    let new = NewInteraction { kind, state, meta: body.into_meta(), unique_session: true };
    let made = app.vault.create(&caller.0, new).await?;
    let location = format!("/api/v1/interactions/{}", made.id);
    let mut response = shown(&app, &caller, made, &[])?;
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}
