//! `GET /api/v1/interactions`.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse as _;
use jiff::{SignedDuration, Timestamp};
use oubliette_core::service::{ListQuery, PublicId, VaultError};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::auth::Caller;
use super::super::cursor::{self, Listing};
use super::super::input::InQuery;
use super::super::problem::{Answer, Problem};
use super::super::wire::{ContentView, InteractionView};
use crate::http::App;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

/// What to list.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub struct ListParams {
    /// Started at or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Started at or before this time; a day from now if not given.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// Most items wanted, up to 200.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A page of interactions.
#[derive(Serialize, ToSchema)]
pub struct InteractionPage {
    /// In the order of the hours of their start, and within an hour of arrival.
    items: Vec<InteractionView>,
    /// Cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// List interactions in the order of the hours of their start, and within an hour of arrival.
#[utoipa::path(
    get, path = "/api/v1/interactions", tag = "interactions", operation_id = "listInteractions",
    security(("bearer" = ["interaction:read"])),
    params(ListParams),
    responses((status = 200, description = "A page", body = InteractionPage)),
)]
pub async fn list_interactions(State(app): State<App>, caller: Caller, InQuery(query): InQuery<ListParams>) -> Answer {
    caller.require(oubliette_core::model::Scope::InteractionRead)?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::invalid("'limit' must be between 1 and 200"));
    }
    let after = match &query.cursor {
        Some(text) => Some(cursor::read(&app, &caller.0, Listing::Interactions, text)?),
        None => None,
    };
    let a_day_ahead = app.vault.now() + SignedDuration::from_hours(24);
    let query = ListQuery {
        from: query.from.unwrap_or(Timestamp::UNIX_EPOCH),
        to: query.to.unwrap_or(a_day_ahead),
        after: after.map(|(at, id)| (at, PublicId(id))),
        limit,
    };
    if query.to < query.from {
        return Err(Problem::invalid("'to' lies before 'from'"));
    }
    let (page, contents) = app.vault.list_by_hour(&caller.0, &query).await?;
    let next = page.next.map(|(at, id)| cursor::write(&app, &caller.0, Listing::Interactions, (at, id.0)));
    let items = page.items.into_iter().zip(&contents);
    let items = items.map(|(interaction, contents)| {
        let contents = ContentView::all(&app.vault, &caller.0, contents)?;
        Ok(InteractionView::new(interaction, contents))
    });
    let items = items.collect::<Result<_, VaultError>>()?;
    Ok(Json(InteractionPage { items, next }).into_response())
}
