//! `GET /processing/v2/…`: what the vault has to say of an analysis it does not do, and of the participant types it knows.

use axum::extract::State;
use serde_json::json;

use super::answer::{Answer, json};
use super::auth::Caller;
use crate::http::App;

/// Categories: none are defined here.
pub async fn categories(_: Caller) -> Answer {
    Ok(json(&json!({ "results": [] })))
}

/// Custom fields: none are defined here.
pub async fn custom_fields(_: Caller) -> Answer {
    Ok(json(&json!({ "customFields": [] })))
}

/// The participant types, with the internal ones that a customer purge leaves out of its matching.
pub async fn participant_ref_types(State(app): State<App>, _: Caller) -> Answer {
    let internal = app.vault.settings().internal_roles.iter().map(|role| (role.as_str(), true));
    let external = [("customer", false)].into_iter().filter(|(role, _)| {
        !app.vault.settings().internal_roles.iter().any(|internal| internal.eq_ignore_ascii_case(role))
    });
    let types: Vec<_> = internal
        .chain(external)
        .map(|(id, internal)| json!({ "id": id, "sources": [], "isInternal": internal, "ignoreInAnalytics": false }))
        .collect();
    Ok(json(&json!({ "types": types })))
}
