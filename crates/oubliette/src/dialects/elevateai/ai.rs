//! `GET /v1/interactions/{id}/ai`: results of an analysis.
//!
//! The vault analyses nothing. An external processor puts the results in as the content `cxAi`, JSON in the documented shape,
//! and they are given back as they are.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use oubliette_core::model::Scope;

use super::caller::{Caller, Id};
use super::error::Failure;
use super::translate::{AI_CONTENT_KEY, Declared, require_processed};
use crate::http::App;
use crate::http::json::{Members, parse_json};

/// Largest stored result that is given back, in bytes.
const MAX_RESULT: u64 = 64 << 20;

/// 200 with the results; 404 when there are none, or the declare did not want any.
pub async fn ai(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Response, Failure> {
    let actor = caller.with(Scope::InteractionRead)?;
    let interaction = app.vault.interaction(actor, &id).await?;
    require_processed(&interaction)?;
    let none = || Failure::not_found("the interaction has no AI results");
    if !Declared::of(&interaction).include_ai_results {
        return Err(none());
    }
    let contents = app.vault.contents(actor, &interaction).await?;
    let found = contents.iter().find(|content| content.meta.key.matches(AI_CONTENT_KEY)).ok_or_else(none)?;
    let bytes = app.vault.read_all(actor, found, MAX_RESULT).await?;
    // All clients expect an object; anything else that was stored under this name is no result.
    let value = parse_json(&bytes).map_err(|_| none())?;
    Members::of(&value).ok_or_else(none)?;
    Ok(([(CONTENT_TYPE, "application/json")], bytes).into_response())
}
