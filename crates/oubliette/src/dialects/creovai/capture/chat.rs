//! A chat session with its messages.

use axum::extract::{Request, State};
use oubliette_core::model::{InteractionKind, InteractionMeta, Scope};
use oubliette_core::service::NewInteraction;
use serde_json::json;

use super::super::answer::{Answer, json};
use super::super::auth::Caller;
use super::super::error::Failure;
use super::super::fields::{self, between};
use super::{arrived, messages, stamp};
use crate::http::App;
use crate::http::json::Members;

/// How the two generations name things.
#[derive(Clone, Copy)]
struct Names {
    master: &'static str,
    participants: &'static str,
    second: bool,
}

const V1: Names = Names { master: "masterCallId", participants: "contacts", second: false };
const V2: Names = Names { master: "masterId", participants: "participants", second: true };

/// `POST /chatCapture/v1`.
pub async fn v1(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    let id = capture(&app, &caller, request, V1).await?;
    Ok(json(&json!({ "callId": id })))
}

/// `POST /capture/v2/chat`.
pub async fn v2(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    let id = capture(&app, &caller, request, V2).await?;
    Ok(json(&json!({ "id": id })))
}

async fn capture(app: &App, caller: &Caller, request: Request, names: Names) -> Result<String, Failure> {
    caller.require(Scope::InteractionWrite)?;
    let body = fields::body(app, request).await?;
    let members = Members::new(&body);
    let session = fields::required_text(members, "sessionId")?;
    let start = fields::required_time(members, "utcStart")?;
    let end = fields::required_time(members, "utcEnd")?;
    let mut meta = InteractionMeta::starting(start);
    meta.session_id = Some(session);
    meta.ended_at = Some(end.max(start));
    meta.duration_ms = Some(between(start, end));
    if end < start {
        meta.flags.push("the end given lies before the start".to_owned());
    }
    meta.direction = fields::direction(members)?;
    meta.master_id = fields::text(members, names.master)?;
    meta.metadata = fields::metadata(members)?;
    if names.second {
        meta.case_id = fields::text(members, "caseReferenceId")?;
        meta.collection_id = fields::text(members, "collectionId")?;
    }
    let given = members.objects(names.participants)?;
    let given = given.ok_or_else(|| Failure::Bad(format!("'{}' is required", names.participants)))?;
    let (participants, messages) = messages::of_chat(given)?;
    meta.participants = participants;
    stamp(&app.vault, &mut meta);

    let mut draft = app.vault.draft(&caller.0).await?;
    let (content, stream) = messages::content(&messages)?;
    draft.add(content, stream).await?;
    let new = NewInteraction { kind: InteractionKind::Chat, state: arrived(&app.vault), meta, unique_session: true };
    Ok(draft.commit(new).await?.id.to_string())
}
