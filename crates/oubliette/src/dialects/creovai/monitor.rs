//! The heartbeat of a recorder: checked, answered with an empty 200, and not kept.

use axum::extract::{Request, State};
use serde_json::Value;

use super::answer::{Answer, empty};
use super::auth::Caller;
use super::error::Failure;
use super::fields;
use crate::http::App;
use crate::http::json::Members;

const STATUSES: [(&str, i64); 5] = [("Unknown", 0), ("Healthy", 1), ("Warning", 10), ("Error", 20), ("Offline", 30)];

/// Takes a heartbeat.
pub async fn monitor(State(app): State<App>, _: Caller, request: Request) -> Answer {
    let body = fields::body(&app, request).await?;
    let members = Members::new(&body);
    let status = members.value("status").and_then(status).ok_or_else(|| {
        Failure::bad("'status' must be Unknown, Healthy, Warning, Error or Offline, or the number of one of them")
    })?;
    fields::time(members, "timeStamp")?;
    members.string("name")?;
    members.string("softwareVersion")?;
    tracing::debug!(status, "heartbeat of a recorder");
    Ok(empty())
}

fn status(value: &Value) -> Option<&'static str> {
    STATUSES
        .into_iter()
        .find(|(name, number)| match value {
            Value::String(given) => given.eq_ignore_ascii_case(name) || given.parse() == Ok(*number),
            other => other.as_i64() == Some(*number),
        })
        .map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_a_number_or_a_name_in_any_case() {
        for (given, expected) in [
            (json!(1), Some("Healthy")),
            (json!("healthy"), Some("Healthy")),
            (json!("30"), Some("Offline")),
            (json!(20), Some("Error")),
            (json!(2), None),
            (json!("sick"), None),
            (json!(true), None),
        ] {
            assert_eq!(status(&given), expected, "{given}");
        }
    }
}
