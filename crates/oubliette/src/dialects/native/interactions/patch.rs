//! `PATCH /api/v1/interactions/{id}`: how an external processor says how far it is, and how metadata is corrected.

use axum::extract::{Request, State};
use http::HeaderMap;
use http::header::IF_MATCH;
use jiff::Timestamp;
use oubliette_core::model::{InteractionMeta, Participant, Scope, State as InteractionState};
use oubliette_core::service::VaultError;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::auth::Caller;
use super::super::gone;
use super::super::input::{self, InPath, nullable};
use super::super::problem::{Answer, Kind, Problem};
use super::super::wire::{InteractionView, SetState, WireDirection, WireParticipant};
use super::shown;
use crate::http::App;

/// A merge patch (RFC 7396): absent members stay, null removes.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InteractionPatch {
    /// New state.
    #[serde(default)]
    state: Option<SetState>,
    /// End.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Option<Timestamp>>,
    /// Who started it.
    #[serde(default)]
    direction: Option<WireDirection>,
    /// Language tag.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    language: Option<Option<String>>,
    /// Why the processing failed.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    error: Option<Option<String>>,
    /// All participants anew; look-ups follow.
    #[serde(default)]
    participants: Option<Vec<WireParticipant>>,
    /// Merged into the free metadata, member by member.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Option<Map<String, Value>>>,
}

/// Amend an interaction. With `If-Match`, only if it has not changed since.
#[utoipa::path(
    patch, path = "/api/v1/interactions/{id}", tag = "interactions", operation_id = "amendInteraction",
    security(("bearer" = ["interaction:write"])),
    params(
        ("id" = String, Path, description = "The interaction's id"),
        ("If-Match" = Option<String>, Header, description = "The entity tag it must still have"),
    ),
    request_body(content = InteractionPatch, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "The interaction as it is now", body = InteractionView,
            headers(("ETag" = String, description = "Its version"))),
        (status = 410, description = "It was erased"),
        (status = 412, description = "It has changed since"),
    ),
)]
pub async fn amend_interaction(
    State(app): State<App>,
    caller: Caller,
    InPath(id): InPath<String>,
    request: Request,
) -> Answer {
    caller.require(Scope::InteractionWrite)?;
    let expected = expected_version(request.headers())?;
    let patch: InteractionPatch = input::body(&app, request).await?;
    let state = patch.state.map(InteractionState::from);
    let change = |meta: &mut InteractionMeta| apply(meta, &patch);
    let work = async {
        let amended = app.vault.amend_version(&caller.0, &id, expected, state, &change).await;
        let amended = amended.map_err(|error| match error {
            VaultError::Conflict(_) if expected.is_some() => Problem::of(Kind::Precondition),
            other => other.into(),
        })?;
        let contents = app.vault.contents(&caller.finding(), &amended).await?;
        shown(&app, &caller, amended, &contents)
    };
    gone::explained(&app, &caller, &id, work).await
}

/// The version that `If-Match` demands. A tag that none of ours can be (weak, a list, another text) never matches.
fn expected_version(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let mut lines = headers.get_all(IF_MATCH).iter();
    let (Some(line), more) = (lines.next(), lines.next()) else { return Ok(None) };
    let text = line.to_str().unwrap_or_default().trim();
    if text == "*" && more.is_none() {
        return Ok(None);
    }
    let version = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(|text| text.parse().ok());
    match version {
        Some(version) if more.is_none() => Ok(Some(version)),
        _ => Err(Problem::of(Kind::Precondition)),
    }
}

fn apply(meta: &mut InteractionMeta, patch: &InteractionPatch) {
    if let Some(ended_at) = patch.ended_at {
        meta.ended_at = ended_at;
    }
    if let Some(direction) = patch.direction {
        meta.direction = direction.into();
    }
    if let Some(language) = &patch.language {
        meta.language.clone_from(language);
    }
    if let Some(error) = &patch.error {
        meta.error.clone_from(error);
    }
    if let Some(participants) = &patch.participants {
        meta.participants = participants.iter().cloned().map(Participant::from).collect();
    }
    match &patch.metadata {
        Some(Some(members)) => merge(&mut meta.metadata, members),
        Some(None) => meta.metadata = Value::Null,
        None => {}
    }
}

/// RFC 7396 on one level and below.
fn merge(target: &mut Value, patch: &Map<String, Value>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        match value {
            Value::Null => {
                target.remove(name);
            }
            Value::Object(inner) => merge(target.entry(name.clone()).or_insert(Value::Null), inner),
            other => {
                target.insert(name.clone(), other.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_sets_removes_and_leaves() {
        let mut target = json!({ "a": 1, "b": { "x": 1, "y": 2 }, "c": 3 });
        let patch = json!({ "a": null, "b": { "x": null, "z": 3 }, "d": { "n": null, "m": 1 } });
        merge(&mut target, patch.as_object().unwrap());
        assert_eq!(target, json!({ "b": { "y": 2, "z": 3 }, "c": 3, "d": { "m": 1 } }));
    }

    #[test]
    fn only_a_single_strong_tag_of_ours_can_match() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, HeaderValue::from_static(text));
            expected_version(&headers).map_err(|problem| problem.kind())
        };
        assert_eq!(read("\"7\""), Ok(Some(7)));
        assert_eq!(read("*"), Ok(None));
        for bad in ["W/\"7\"", "7", "\"x\"", "\"1\", \"2\"", ""] {
            assert_eq!(read(bad), Err(Kind::Precondition), "{bad}");
        }
        assert_eq!(expected_version(&HeaderMap::new()).map_err(|problem| problem.kind()), Ok(None));
    }
}
