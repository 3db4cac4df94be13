//! Status of sessions. A purge under way leaves the word as it was; once it is sealed the session is `NotFound`.
//! Members that are not known are left out: two of the clients choke on null here.

use axum::extract::{Request, State};
use oubliette_core::model::State as InteractionState;
use oubliette_core::service::{Lookup, PublicId};
use serde_json::{Map, Value, json};

use super::answer::{Answer, json};
use super::auth::Caller;
use super::error::Failure;
use super::fields::{self, between};
use crate::http::App;
use crate::http::json::Members;

/// Path of the status of one session in the first generation.
pub const V1_SESSION: &str = "/callcapture/v1/status/{*session}";

/// The same in the second generation. The client does not encode the id, so it may hold slashes.
pub const V2_SESSION: &str = "/capture/v2/status/{*session}";

const MAX_IDS: usize = 1_000;

/// How the two generations name things.
#[derive(Clone, Copy)]
struct Names {
    ids: &'static str,
    list: &'static str,
    id: &'static str,
}

const V1: Names = Names { ids: "callSessionIds", list: "callSessions", id: "callId" };
const V2: Names = Names { ids: "sessionIds", list: "sessions", id: "id" };

/// `POST /callCapture/v1/status`.
pub async fn v1(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    many(&app, &caller, request, V1).await
}

/// `GET /callCapture/v1/status/{sessionId}`.
pub async fn v1_one(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    let session = fields::tail(&request, "/callcapture/v1/status/")?;
    Ok(json(&one(&app, &caller, &session, V1).await?))
}

/// `POST /capture/v2/status`.
pub async fn v2(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    many(&app, &caller, request, V2).await
}

/// `GET /capture/v2/status/{sessionId}`.
pub async fn v2_one(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    let session = fields::tail(&request, "/capture/v2/status/")?;
    Ok(json(&one(&app, &caller, &session, V2).await?))
}

async fn many(app: &App, caller: &Caller, request: Request, names: Names) -> Answer {
    let body = fields::body(app, request).await?;
    let sessions = Members::new(&body).strings(names.ids)?;
    let sessions = sessions.ok_or_else(|| Failure::Bad(format!("'{}' is required", names.ids)))?;
    if sessions.len() > MAX_IDS {
        return Err(Failure::Bad(format!("'{}' must not name more than {MAX_IDS} ids", names.ids)));
    }
    let mut entries = Vec::with_capacity(sessions.len());
    for session in sessions {
        entries.push(one(app, caller, session, names).await?);
    }
    Ok(json(&json!({ names.list: entries })))
}

async fn one(app: &App, caller: &Caller, session: &str, names: Names) -> Result<Value, Failure> {
    let actor = caller.asking();
    let found = match app.vault.lookup(&actor, &Lookup::Session(session.to_owned())).await?.pop() {
        Some(found) => Some(found),
        None => app.vault.session_being_erased(&actor, session).await?,
    };
    let found = found.map(|found| {
        let length = found.meta.ended_at.map(|end| between(found.meta.started_at, end));
        (found.id, found.state, found.meta.duration_ms.or(length))
    });
    Ok(entry(session, found, names.id))
}

fn entry(session: &str, found: Option<(PublicId, InteractionState, Option<u64>)>, id_name: &str) -> Value {
    let mut entry = Map::new();
    let Some((id, state, milliseconds)) = found else {
        entry.insert("status".into(), "NotFound".into());
        entry.insert("sessionId".into(), session.into());
        return Value::Object(entry);
    };
    entry.insert("status".into(), word(state).into());
    entry.insert(id_name.into(), id.to_string().into());
    entry.insert("sessionId".into(), session.into());
    if let Some(milliseconds) = milliseconds {
        // The clients hold it in 32 bits.
        entry.insert("durationSec".into(), ((milliseconds + 500) / 1_000).min(i32::MAX as u64).into());
    }
    Value::Object(entry)
}

/// The clients know these words and no others.
pub fn word(state: InteractionState) -> &'static str {
    match state {
        InteractionState::Declared
        | InteractionState::AwaitingUpload
        | InteractionState::Uploading
        | InteractionState::UploadFailed
        | InteractionState::AwaitingDownload
        | InteractionState::Downloading => "InProgress",
        InteractionState::Pending | InteractionState::Processing => "Concluded",
        InteractionState::Processed | InteractionState::ProcessingFailed | InteractionState::DownloadFailed => {
            "Complete"
        }
        InteractionState::Excluded => "Excluded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_one_of_the_words_the_clients_know() {
        for (state, _, _) in InteractionState::ALL {
            assert!(["InProgress", "Concluded", "Complete", "Excluded"].contains(&word(state)));
        }
    }

    #[test]
    fn unknown_members_are_left_out_and_never_null() {
        let id = PublicId(uuid::Uuid::nil());
        let known = entry("s", Some((id, InteractionState::Processed, Some(57_400))), "callId");
        assert_eq!(known["durationSec"], 57);
        let bare = entry("s", Some((id, InteractionState::Pending, None)), "id").to_string();
        assert!(!bare.contains("null") && !bare.contains("durationSec"), "{bare}");
        assert_eq!(entry("s", None, "id"), json!({ "status": "NotFound", "sessionId": "s" }));
    }
}
