//! Interactions: make, show, list, amend, erase.

pub mod create;
pub mod delete;
pub mod list;
pub mod patch;
pub mod read;

use axum::Json;
use axum::response::IntoResponse as _;
use http::header::{CACHE_CONTROL, ETAG, HeaderValue};
use oubliette_core::service::{Content, Interaction};

use super::auth::Caller;
use super::problem::Answer;
use super::wire::{ContentView, InteractionView, entity_tag};
use crate::http::App;

/// One interaction with its entity tag.
fn shown(app: &App, caller: &Caller, interaction: Interaction, contents: &[Content]) -> Answer {
    let tag = entity_tag(interaction.version);
    let contents = ContentView::all(&app.vault, &caller.0, contents)?;
    let mut response = Json(InteractionView::new(interaction, contents)).into_response();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
