//! Exclude sessions from processing. A session that is not here is passed over: nothing is kept about it.

use axum::extract::{Request, State};
use oubliette_core::model::{Scope, State as InteractionState};
use oubliette_core::service::{Lookup, VaultError};

use super::answer::{Answer, empty};
use super::auth::Caller;
use super::error::Failure;
use super::fields;
use crate::http::App;
use crate::http::json::Members;

const MAX_IDS: usize = 1_000;

/// `POST /callCapture/v1/status/exclude`.
pub async fn v1(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    many(&app, &caller, request, "callSessionIds").await
}

/// `POST /capture/v2/status/exclude`.
pub async fn v2(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    many(&app, &caller, request, "sessionIds").await
}

/// `POST /capture/v2/status/exclude/{sessionId}`, without a body.
pub async fn v2_one(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    allowed(&caller)?;
    let session = fields::tail(&request, "/capture/v2/status/exclude/")?;
    exclude(&app, &caller, &session).await?;
    Ok(empty())
}

async fn many(app: &App, caller: &Caller, request: Request, name: &'static str) -> Answer {
    allowed(caller)?;
    let body = fields::body(app, request).await?;
    for session in fields::ids(Members::new(&body), name, MAX_IDS)? {
        exclude(app, caller, session).await?;
    }
    Ok(empty())
}

fn allowed(caller: &Caller) -> Result<(), Failure> {
    caller.require(Scope::InteractionWrite).or_else(|_| caller.require(Scope::MetadataWrite))
}

async fn exclude(app: &App, caller: &Caller, session: &str) -> Result<(), Failure> {
    for found in app.vault.lookup(&caller.asking(), &Lookup::Session(session.to_owned())).await? {
        if found.state == InteractionState::Excluded {
            continue;
        }
        let id = found.id.to_string();
        match app.vault.amend(&caller.0, &id, Some(InteractionState::Excluded), &|_| ()).await {
            Ok(_) | Err(VaultError::NotFound | VaultError::Gone) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
