//! Metadata after the fact, by session, master, case or collection. What names nothing live is answered with 200 and
//! dropped: metadata of a purged session must not come back.

use axum::extract::{Request, State};
use oubliette_core::model::{OutOfBand, Scope};
use oubliette_core::service::{Lookup, VaultError};
use serde_json::Value;

use super::answer::{Answer, empty};
use super::auth::Caller;
use super::error::Failure;
use super::{fields, merge};
use crate::http::App;
use crate::http::json::Members;

/// By session id (v1 `event`, v2 `interaction`).
pub async fn by_session(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    append(&app, &caller, request, "sessionId", Lookup::Session).await
}

/// By master call id (v1).
pub async fn by_master_call(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    append(&app, &caller, request, "masterCallId", Lookup::Master).await
}

/// By master id (v2).
pub async fn by_master(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    append(&app, &caller, request, "masterId", Lookup::Master).await
}

/// By case reference.
pub async fn by_case(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    append(&app, &caller, request, "caseReferenceId", Lookup::Case).await
}

/// By collection.
pub async fn by_collection(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    append(&app, &caller, request, "collectionId", Lookup::Collection).await
}

async fn append(
    app: &App,
    caller: &Caller,
    request: Request,
    name: &'static str,
    lookup: fn(String) -> Lookup,
) -> Answer {
    caller.require(Scope::MetadataWrite)?;
    let body = fields::body(app, request).await?;
    let members = Members::new(&body);
    let key = fields::required_text(members, name)?;
    let at = fields::time(members, "eventTime")?.unwrap_or_else(|| app.vault.now());
    let metadata = fields::metadata(members)?;
    if metadata == Value::Null {
        return Err(Failure::bad("'metadata' is required"));
    }
    for found in app.vault.lookup(&caller.asking(), &lookup(key)).await? {
        let entry = OutOfBand { at, metadata: metadata.clone() };
        let outcome =
            app.vault.amend(&caller.0, &found.id.to_string(), None, &|meta| merge::add(meta, entry.clone())).await;
        match outcome {
            Ok(_) | Err(VaultError::NotFound | VaultError::Gone) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(empty())
}
