//! What `oubliette demo` shows: a vault with real speech in it, credentials of every protocol, lines to copy.

mod credentials;
mod curl;
mod load;
mod people;
mod samples;

pub use credentials::{Credentials, make_credentials};
pub use curl::lines;
pub use load::{LOADS, fill};
pub use samples::{SAMPLES, Sample};

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use oubliette_core::model::{Actor, ContentKind, TenantId};
use oubliette_core::service::{Content, Interaction, ListQuery, Vault};
use serde_json::{Value, json};

use crate::control::local_actor;

/// The demo's tenant.
pub const TENANT: &str = "demo";

/// Where samples to show are looked for: among the last days first, then everywhere.
const LOOK_BACK: [SignedDuration; 2] = [SignedDuration::from_hours(24 * 3), SignedDuration::from_hours(24 * 3_650)];

/// Interactions and a number that the printed lines use. Personal, if made up: no `Debug`.
#[derive(Clone)]
pub struct Shown {
    /// An interaction with a recording (WAV) and a transcript.
    pub with_recording: String,
    /// Another interaction.
    pub other: String,
    /// A customer's number who takes part in neither.
    pub phone: String,
}

/// The demo's tenant, made when it is not there.
pub async fn tenant(vault: &Vault) -> Result<TenantId> {
    let tenants = vault.tenants().await?;
    match tenants.into_iter().find(|(_, name)| name == TENANT) {
        Some((id, _)) => Ok(id),
        None => Ok(vault.create_tenant(TENANT).await?),
    }
}

/// Picks what the printed lines use from what is live; `None` when too much was erased.
pub async fn choose(vault: &Vault, tenant: TenantId) -> Result<Option<Shown>> {
    let actor = local_actor(tenant);
    let Some((first, phone_first)) = pick(vault, &actor, &|interaction, contents| {
        has(contents, ContentKind::CallRecording, "audio/wav")
            && has(contents, ContentKind::Transcript, "application/json")
            && customer_phone(interaction).is_some()
    })
    .await?
    else {
        return Ok(None);
    };
    let second = pick(vault, &actor, &|interaction, contents| {
        let phone = customer_phone(interaction);
        phone.is_some() && phone != Some(&phone_first) && !contents.is_empty()
    })
    .await?;
    let Some((second, phone_second)) = second else { return Ok(None) };
    let third = pick(vault, &actor, &|interaction, _| {
        customer_phone(interaction).is_some_and(|phone| *phone != phone_first && *phone != phone_second)
    })
    .await?;
    Ok(third.map(|(_, phone)| Shown { with_recording: first, other: second, phone }))
}

type Suits<'a> = &'a (dyn Fn(&Interaction, &[Content]) -> bool + Send + Sync);

async fn pick(vault: &Vault, actor: &Actor, suits: Suits<'_>) -> Result<Option<(String, String)>> {
    let to = vault.now();
    for look_back in LOOK_BACK {
        let from = to.checked_sub(look_back).unwrap_or(Timestamp::UNIX_EPOCH);
        let query = ListQuery { from, to, after: None, limit: 1 };
        let (page, _) = vault.list(actor, &query, suits).await.context("the demo's interactions cannot be listed")?;
        if let Some(item) = page.items.into_iter().next() {
            return Ok(customer_phone(&item).cloned().map(|phone| (item.id.to_string(), phone)));
        }
    }
    Ok(None)
}

fn has(contents: &[Content], kind: ContentKind, media_type: &str) -> bool {
    contents.iter().any(|content| content.meta.kind == kind && content.meta.media_type == media_type)
}

fn customer_phone(interaction: &Interaction) -> Option<&String> {
    let customer = interaction.meta.participants.iter().find(|participant| participant.role == "customer")?;
    customer.phone.as_ref()
}

/// The one line of `--json`.
pub fn json(url: &str, credentials: &Credentials, shown: &Shown) -> Value {
    json!({
        "url": url,
        "elevateai": { "token": &*credentials.elevateai, "sampleId": shown.other },
        "vonage": {
            "clientId": credentials.vonage.0.to_string(),
            "clientSecret": &*credentials.vonage.1,
            "sampleGuid": shown.with_recording,
        },
        "creovai": {
            "clientId": credentials.creovai.0.to_string(),
            "clientSecret": &*credentials.creovai.1,
            "samplePhone": shown.phone,
        },
        "native": { "token": &*credentials.native },
    })
}
