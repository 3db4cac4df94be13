//! Purge by ids or session ids: up to a hundred, each answered once, in the order asked, with the id exactly as sent.

use std::collections::HashSet;

use axum::extract::{Request, State};
use oubliette_core::model::{Scope, Selector};
use oubliette_core::service::{Interaction, Lookup, Order, PublicId, VaultError};
use serde_json::json;

use super::super::answer::{Answer, json};
use super::super::auth::Caller;
use super::super::error::Failure;
use super::super::fields;
use super::item::{Generation, INCOMPLETE, Outcome, item};
use super::what_if::what_if;
use crate::http::App;
use crate::http::json::Members;

/// Most ids of one call.
const MAX_IDS: usize = 100;

/// What the ids are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Id,
    Session,
}

/// `POST /purge/v1/calls`.
pub async fn v1_calls(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    purge(&app, &caller, request, By::Id, Generation::First).await
}

/// `POST /purge/v1/calls/sessions`.
pub async fn v1_sessions(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    purge(&app, &caller, request, By::Session, Generation::First).await
}

/// `POST /interactions/v2/purge`.
pub async fn v2_interactions(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    purge(&app, &caller, request, By::Id, Generation::Second).await
}

/// `POST /interactions/v2/purge/sessions`.
pub async fn v2_sessions(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    purge(&app, &caller, request, By::Session, Generation::Second).await
}

async fn purge(app: &App, caller: &Caller, request: Request, by: By, generation: Generation) -> Answer {
    caller.require(Scope::InteractionPurge)?;
    let trial = what_if(request.uri().query())?;
    let body = fields::body(app, request).await?;
    let members = Members::new(&body);
    let ids = fields::ids(members, "ids", MAX_IDS)?;
    // The first generation has no such switch: it accepts what is still being processed.
    let incomplete = generation == Generation::First || members.boolean("allowIncompleteInteraction")? == Some(true);

    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.push((id, find(app, caller, by, id).await?));
    }
    let refused = |interaction: &Interaction| !incomplete && interaction.state.in_progress();
    let due = found.iter().flat_map(|(_, found)| found).filter(|interaction| !refused(interaction));
    let due: Vec<String> = due.map(|interaction| interaction.id.to_string()).collect();
    let hidden = if trial || due.is_empty() { None } else { Some(order(app, caller, due).await?) };

    let mut items = Vec::new();
    for (given, interactions) in &found {
        let outcome = |interaction: &Interaction| match &hidden {
            _ if refused(interaction) => INCOMPLETE,
            None => Outcome::WhatIf,
            Some(hidden) if hidden.contains(&interaction.id) => Outcome::Purging,
            Some(_) => Outcome::NotFound,
        };
        match by {
            By::Id => match interactions.first() {
                Some(found) => {
                    let session = found.meta.session_id.as_deref();
                    let outcome = outcome(found);
                    let session = session.filter(|_| outcome != Outcome::NotFound);
                    items.push(item(generation, Some(given), session, outcome));
                }
                None => items.push(item(generation, Some(given), None, Outcome::NotFound)),
            },
            By::Session if interactions.is_empty() => {
                items.push(item(generation, None, Some(given), Outcome::NotFound));
            }
            By::Session => items.extend(interactions.iter().map(|found| {
                let (id, outcome) = (found.id.to_string(), outcome(found));
                let id = Some(id.as_str()).filter(|_| outcome != Outcome::NotFound);
                item(generation, id, Some(given), outcome)
            })),
        }
    }
    Ok(json(&json!({ "items": items })))
}

async fn find(app: &App, caller: &Caller, by: By, id: &str) -> Result<Vec<Interaction>, Failure> {
    let actor = caller.asking();
    match by {
        By::Session => Ok(app.vault.lookup(&actor, &Lookup::Session(id.to_owned())).await?),
        By::Id => match app.vault.interaction(&actor, id).await {
            Ok(found) => Ok(vec![found]),
            Err(VaultError::NotFound | VaultError::Gone) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        },
    }
}

/// Orders the purge; what it came to is hidden when this returns. An id somebody else erased meanwhile is not in it.
async fn order(app: &App, caller: &Caller, ids: Vec<String>) -> Result<HashSet<PublicId>, Failure> {
    let selector = Selector { ids, ..Selector::default() };
    let order = Order { selector, reference: None, reason: None, legal_basis: None, plan_hash: None };
    let (_, plan) = app.vault.order(&caller.0, order).await?;
    Ok(plan.items.into_iter().map(|item| item.id).collect())
}
