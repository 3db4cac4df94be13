//! Purge of everything a customer took part in, by phone number (and, in the second generation, e-mail address). The
//! number of matches is not limited; without a match the list is empty.

use std::collections::HashSet;

use axum::extract::{Request, State};
use oubliette_core::model::{Scope, Selector};
use oubliette_core::service::{Interaction, Lookup, Order, Plan, PublicId};
use serde_json::{Value, json};

use super::super::answer::{Answer, json};
use super::super::auth::Caller;
use super::super::error::Failure;
use super::super::fields;
use super::item::{Generation, INCOMPLETE, Outcome, item};
use super::what_if::what_if;
use crate::http::App;
use crate::http::json::Members;

/// Most phone numbers and e-mail addresses of one call.
const MAX_KEYS: usize = 100;

/// `POST /purge/v1/calls/customer`.
pub async fn v1(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    caller.require(Scope::InteractionPurge)?;
    let trial = what_if(request.uri().query())?;
    let body = fields::body(&app, request).await?;
    let phone = fields::required_text(Members::new(&body), "phoneNumber")?;
    let selector = Selector { phones: vec![phone], ..Selector::default() };
    everything(&app, &caller, selector, trial, Generation::First).await
}

/// `POST /interactions/v2/purge/customer`: the union of both lists.
pub async fn v2(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    caller.require(Scope::InteractionPurge)?;
    let trial = what_if(request.uri().query())?;
    let body = fields::body(&app, request).await?;
    let members = Members::new(&body);
    let list = |name| -> Result<Vec<String>, Failure> {
        let given = members.strings(name)?.unwrap_or_default();
        Ok(given.into_iter().filter(|text| !text.is_empty()).map(str::to_owned).collect())
    };
    let selector = Selector { phones: list("phoneNumbers")?, emails: list("emails")?, ..Selector::default() };
    if selector.is_empty() {
        return Err(Failure::bad("'phoneNumbers' or 'emails' must name at least one customer"));
    }
    if selector.len() > MAX_KEYS {
        return Err(Failure::Bad(format!("'phoneNumbers' and 'emails' must not name more than {MAX_KEYS}")));
    }
    if members.boolean("allowIncompleteInteraction")? == Some(true) {
        everything(&app, &caller, selector, trial, Generation::Second).await
    } else {
        complete_only(&app, &caller, selector, trial).await
    }
}

async fn everything(app: &App, caller: &Caller, selector: Selector, trial: bool, generation: Generation) -> Answer {
    let (plan, outcome) = if trial {
        (app.vault.plan(&caller.0, &selector).await?, Outcome::WhatIf)
    } else {
        (order(app, caller, selector).await?, Outcome::Purging)
    };
    let items: Vec<Value> = plan
        .items
        .iter()
        .map(|found| item(generation, Some(&found.id.to_string()), found.session_id.as_deref(), outcome))
        .collect();
    Ok(json(&json!({ "items": items })))
}

/// What is still being processed is answered as an error and left alone.
async fn complete_only(app: &App, caller: &Caller, selector: Selector, trial: bool) -> Answer {
    let keys = selector.phones.into_iter().map(Lookup::Phone).chain(selector.emails.into_iter().map(Lookup::Email));
    let (mut seen, mut found) = (HashSet::new(), Vec::new());
    for key in keys {
        for Interaction { id, state, meta, .. } in app.vault.lookup(&caller.asking(), &key).await? {
            if seen.insert(id) {
                found.push((id, state.in_progress(), meta.session_id));
            }
        }
    }
    let complete = found.iter().filter(|(_, incomplete, _)| !incomplete);
    let ids: Vec<String> = complete.map(|(id, ..)| id.to_string()).collect();
    let hidden = if trial || ids.is_empty() {
        None
    } else {
        let plan = order(app, caller, Selector { ids, ..Selector::default() }).await?;
        Some(plan.items.into_iter().map(|item| item.id).collect::<HashSet<PublicId>>())
    };
    let mut items = Vec::new();
    for (id, incomplete, session) in &found {
        let outcome = match &hidden {
            _ if *incomplete => INCOMPLETE,
            None => Outcome::WhatIf,
            Some(hidden) if hidden.contains(id) => Outcome::Purging,
            // Erased by somebody else meanwhile: not this customer's call any more.
            Some(_) => continue,
        };
        items.push(item(Generation::Second, Some(&id.to_string()), session.as_deref(), outcome));
    }
    Ok(json(&json!({ "items": items })))
}

async fn order(app: &App, caller: &Caller, selector: Selector) -> Result<Plan, Failure> {
    let order = Order { selector, reference: None, reason: None, legal_basis: None, plan_hash: None };
    Ok(app.vault.order(&caller.0, order).await?.1)
}
