//! `GET /api/v1/erasures`.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse as _;
use oubliette_core::model::Scope;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::auth::Caller;
use super::super::cursor::{self, Listing};
use super::super::input::InQuery;
use super::super::problem::{Answer, Problem};
use super::ErasureBody;
use crate::http::App;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

/// What to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ErasureListParams {
    /// Most items wanted, up to 200.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A page of erasures.
#[derive(Serialize, ToSchema)]
pub struct ErasurePage {
    /// Newest first.
    items: Vec<ErasureBody>,
    /// Cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// List erasures, newest first.
#[utoipa::path(
    get, path = "/api/v1/erasures", tag = "erasures", operation_id = "listErasures",
    security(("bearer" = ["interaction:purge"]), ("bearer" = ["interaction:delete"])),
    params(ErasureListParams),
    responses((status = 200, description = "A page", body = ErasurePage)),
)]
pub async fn list_erasures(
    State(app): State<App>,
    caller: Caller,
    InQuery(query): InQuery<ErasureListParams>,
) -> Answer {
    caller.require_either(Scope::InteractionPurge, Scope::InteractionDelete)?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::invalid("'limit' must be between 1 and 200"));
    }
    let before = match &query.cursor {
        Some(text) => Some(cursor::read(&app, &caller.0, Listing::Erasures, text)?),
        None => None,
    };
    let mut views = app.vault.erasures(&caller.0, before, limit + 1).await?;
    let more = views.len() > limit;
    views.truncate(limit);
    let last = views.last().filter(|_| more).map(|view| (view.accepted_at, view.id));
    let next = last.map(|position| cursor::write(&app, &caller.0, Listing::Erasures, position));
    Ok(Json(ErasurePage { items: views.into_iter().map(ErasureBody::from).collect(), next }).into_response())
}
