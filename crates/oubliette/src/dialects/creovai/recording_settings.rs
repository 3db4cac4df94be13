//! `GET /sources/v1/recordingSettings`: nothing is configured here per source, so the list is empty.

use serde_json::json;

use super::answer::{Answer, json};
use super::auth::Caller;

/// The settings of all sources.
pub async fn recording_settings(_: Caller) -> Answer {
    Ok(json(&json!([])))
}
