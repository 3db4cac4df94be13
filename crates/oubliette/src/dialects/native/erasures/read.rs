//! `GET /api/v1/erasures/{id}`.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse as _;
use oubliette_core::model::Scope;
use oubliette_core::service::ErasureItemState;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::super::auth::Caller;
use super::super::input::{InPath, InQuery};
use super::super::problem::{Answer, Problem};
use super::ErasureBody;
use crate::http::App;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 500;

/// Which items to show.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub struct ItemParams {
    /// Position of the first item; `nextItem` of the page before.
    #[serde(default)]
    from_item: usize,
    /// Most items wanted, up to 500.
    limit: Option<usize>,
}

/// An erasure with a page of its items.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErasureWithItems {
    #[serde(flatten)]
    erasure: ErasureBody,
    /// Interactions it covers.
    items: Vec<ErasureItemBody>,
    /// Position of the next item, if there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_item: Option<usize>,
}

/// One interaction of an erasure.
#[derive(Serialize, ToSchema)]
pub struct ErasureItemBody {
    /// Its id.
    id: String,
    /// `hidden` or `sealed`.
    state: &'static str,
}

/// Show an erasure with its progress and a page of its items.
#[utoipa::path(
    get, path = "/api/v1/erasures/{id}", tag = "erasures", operation_id = "readErasure",
    security(("bearer" = ["interaction:purge"]), ("bearer" = ["interaction:delete"])),
    params(("id" = String, Path, description = "The erasure's id"), ItemParams),
    responses(
        (status = 200, description = "The erasure", body = ErasureWithItems),
        (status = 404, description = "No such erasure"),
    ),
)]
pub async fn read_erasure(
    State(app): State<App>,
    caller: Caller,
    InPath(id): InPath<Uuid>,
    InQuery(query): InQuery<ItemParams>,
) -> Answer {
    caller.require_either(Scope::InteractionPurge, Scope::InteractionDelete)?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::invalid("'limit' must be between 1 and 500"));
    }
    let erasure = app.vault.erasure(&caller.0, id).await?;
    // One more than wanted tells whether there is a next page.
    let mut items = app.vault.erasure_items(&caller.0, id, query.from_item, limit + 1).await?;
    let more = items.len() > limit;
    items.truncate(limit);
    let items = items.into_iter().map(|item| ErasureItemBody {
        id: item.id.to_string(),
        state: match item.state {
            ErasureItemState::Hidden => "hidden",
            ErasureItemState::Sealed => "sealed",
        },
    });
    let next_item = more.then(|| query.from_item + limit);
    Ok(Json(ErasureWithItems { erasure: erasure.into(), items: items.collect(), next_item }).into_response())
}
