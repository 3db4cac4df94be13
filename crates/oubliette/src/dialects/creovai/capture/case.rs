//! A case with its messages. Sent again under the same reference, it replaces what the case held before; the earlier
//! messages are erased.

use axum::extract::{Request, State};
use oubliette_core::model::{ChatMessage, InteractionKind, InteractionMeta, Scope};
use oubliette_core::service::{Interaction, Lookup, NewInteraction, VaultError};
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
    reference: &'static str,
    participants: &'static str,
}

const V1: Names = Names { reference: "referenceId", participants: "contacts" };
const V2: Names = Names { reference: "sessionId", participants: "participants" };

/// `POST /caseCapture/v1`.
pub async fn v1(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    let case = capture(&app, &caller, request, V1).await?;
    Ok(json(&json!({
        "referenceId": case.meta.session_id,
        "caseId": case.id.to_string(),
        "collectionId": case.meta.collection_id,
    })))
}

/// `POST /capture/v2/case`.
pub async fn v2(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    let case = capture(&app, &caller, request, V2).await?;
    Ok(json(&json!({ "id": case.id.to_string() })))
}

async fn capture(app: &App, caller: &Caller, request: Request, names: Names) -> Result<Interaction, Failure> {
    caller.require(Scope::InteractionWrite)?;
    let body = fields::body(app, request).await?;
    let (reference, meta, messages) = read(Members::new(&body), names)?;
    // Two first deliveries of one case may race: the loser finds the winner's and updates it.
    for _ in 0..3 {
        let known = app.vault.lookup(&caller.asking(), &Lookup::Session(reference.clone())).await?.pop();
        let outcome = match known {
            Some(known) if known.kind != InteractionKind::Case => {
                return Err(VaultError::Conflict("the session id is in use").into());
            }
            Some(known) => update(app, caller, &known, &meta, &messages).await,
            None => insert(app, caller, meta.clone(), &messages).await,
        };
        match outcome {
            Err(Failure::Vault(VaultError::Conflict(_) | VaultError::Gone | VaultError::NotFound)) => (),
            other => return other,
        }
    }
    Err(VaultError::Conflict("the case is being changed by others").into())
}

fn read(members: Members<'_>, names: Names) -> Result<(String, InteractionMeta, Vec<ChatMessage>), Failure> {
    let reference = fields::required_text(members, names.reference)?;
    let start = fields::required_time(members, "utcStart")?;
    let mut meta = InteractionMeta::starting(start);
    meta.session_id = Some(reference.clone());
    meta.case_id = fields::text(members, "caseReferenceId")?.or_else(|| Some(reference.clone()));
    meta.master_id = fields::text(members, "masterId")?;
    meta.collection_id = fields::text(members, "collectionId")?;
    if let Some(end) = fields::time(members, "utcEnd")? {
        meta.ended_at = Some(end.max(start));
        meta.duration_ms = Some(between(start, end));
        if end < start {
            meta.flags.push("the end given lies before the start".to_owned());
        }
    }
    meta.metadata = fields::metadata(members)?;
    for participant in members.objects(names.participants)?.unwrap_or_default() {
        meta.participants.push(fields::participant(participant)?);
    }
    let messages = messages::of_case(members.objects("messages")?.unwrap_or_default(), &mut meta.participants)?;
    Ok((reference, meta, messages))
}

async fn insert(
    app: &App,
    caller: &Caller,
    mut meta: InteractionMeta,
    messages: &[ChatMessage],
) -> Result<Interaction, Failure> {
    stamp(&app.vault, &mut meta);
    let mut draft = app.vault.draft(&caller.0).await?;
    let (content, stream) = messages::content(messages)?;
    draft.add(content, stream).await?;
    let new = NewInteraction { kind: InteractionKind::Case, state: arrived(&app.vault), meta, unique_session: true };
    Ok(draft.commit(new).await?)
}

async fn update(
    app: &App,
    caller: &Caller,
    known: &Interaction,
    new: &InteractionMeta,
    messages: &[ChatMessage],
) -> Result<Interaction, Failure> {
    let id = known.id.to_string();
    let (content, stream) = messages::content(messages)?;
    app.vault.put_content(&caller.0, &id, content, stream).await?;
    let change = |meta: &mut InteractionMeta| {
        let mut fresh = new.clone();
        // Metadata that came by other ways belongs to the case, not to this delivery.
        fresh.out_of_band = std::mem::take(&mut meta.out_of_band);
        fresh.external_ids = std::mem::take(&mut meta.external_ids);
        fresh.times = meta.times.clone();
        stamp(&app.vault, &mut fresh);
        *meta = fresh;
    };
    Ok(app.vault.amend(&caller.0, &id, Some(arrived(&app.vault)), &change).await?)
}
