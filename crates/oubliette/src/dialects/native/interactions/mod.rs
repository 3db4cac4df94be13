//! Interactions: make, show, list, amend, erase.

pub mod create;
pub mod delete;
pub mod list;
pub mod patch;
pub mod read;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, ETAG, HeaderValue};
use oubliette_core::service::{Content, Interaction};

use super::wire::{InteractionView, entity_tag};

/// One interaction with its entity tag.
fn shown(interaction: Interaction, contents: &[Content]) -> Response {
    let tag = entity_tag(interaction.version);
    let mut response = Json(InteractionView::new(interaction, contents)).into_response();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
