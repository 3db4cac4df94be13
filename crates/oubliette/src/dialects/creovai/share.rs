//! Links for guests: a token in the path names one recording and an end, stamped by the vault. It holds the interaction's
//! opaque id and the API user's, nothing about a person; the guest's address in the request is not kept. A link ends with
//! its time, with the API user, and with the purge.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use oubliette_core::model::{Actor, Scope, Scopes, TenantId};
use oubliette_core::service::PublicId;
use serde_json::json;
use uuid::Uuid;

use super::answer::{Answer, json, time};
use super::auth::Caller;
use super::error::Failure;
use super::fields;
use super::read::{audio, recording};
use crate::http::App;
use crate::http::json::Members;
use crate::http::range::byte_range;

const LIFETIME: Duration = Duration::from_secs(8 * 60 * 60);
const PURPOSE: &str = "creovai.share";
/// Tenant 4 ‖ credential 16 ‖ interaction 16 ‖ expiry 8 (seconds).
const BODY: usize = 44;
/// Part of the stamp that is kept.
const STAMP: usize = 16;

/// `POST /callShare/v1/token`.
pub async fn v1(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    let (expires_at, link) = make(&app, &caller, request, "callId").await?;
    Ok(json(&json!({ "expiration": time(expires_at), "callUrl": link })))
}

/// `POST /Interactions/v2/token`.
pub async fn v2(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    let (expires_at, link) = make(&app, &caller, request, "interactionId").await?;
    Ok(json(&json!({ "expiration": time(expires_at), "shareUri": link })))
}

async fn make(
    app: &App,
    caller: &Caller,
    request: Request,
    name: &'static str,
) -> Result<(Timestamp, String), Failure> {
    caller.require(Scope::InteractionRead)?;
    let body = fields::body(app, request).await?;
    let members = Members::new(&body);
    fields::required_text(members, "email")?;
    let id = fields::required_text(members, name)?;
    let interaction = app.vault.interaction(&caller.0, &id).await?;
    let expires_at = app.vault.now() + LIFETIME;
    let token = Grant { tenant: caller.0.tenant, credential: caller.0.credential, id: interaction.id, expires_at };
    let link = format!("{}/callShare/v1/recording/{}", app.settings.public_url, token.seal(app));
    Ok((expires_at, link))
}

/// `GET /callShare/v1/recording/{token}`: the recording itself.
pub async fn open(State(app): State<App>, Path(token): Path<String>, request: Request) -> Result<Response, Failure> {
    let unknown = Failure::NotFound("the link is invalid or has expired");
    let Some(grant) = Grant::open(&app, &token).filter(|grant| grant.expires_at > app.vault.now()) else {
        return Err(unknown);
    };
    let credentials = app.vault.credentials(grant.tenant).await?;
    let usable = |at: Option<Timestamp>| at.is_none_or(|at| at > app.vault.now());
    let issuer = credentials.iter().find(|credential| credential.id == grant.credential);
    let issuer = issuer.filter(|issuer| issuer.revoked_at.is_none() && usable(issuer.expires_at));
    if !issuer.is_some_and(|issuer| issuer.scopes.contains(Scope::InteractionRead)) {
        return Err(unknown);
    }
    let scopes = Scopes::from_iter([Scope::InteractionRead]);
    let actor = Actor { tenant: grant.tenant, credential: grant.credential, scopes };
    let interaction = app.vault.interaction(&actor, &grant.id.to_string()).await?;
    let contents = app.vault.contents(&actor, &interaction).await?;
    let recording = recording(&contents).ok_or(Failure::NotFound("the interaction has no recording"))?;
    audio::stream(&app, &actor, recording, &recording.meta.media_type, byte_range(request.headers())).await
}

/// What a link allows.
struct Grant {
    tenant: TenantId,
    credential: Uuid,
    id: PublicId,
    expires_at: Timestamp,
}

impl Grant {
    fn seal(&self, app: &App) -> String {
        let mut bytes = Vec::with_capacity(BODY + STAMP);
        bytes.extend_from_slice(&self.tenant.0.to_be_bytes());
        bytes.extend_from_slice(self.credential.as_bytes());
        bytes.extend_from_slice(self.id.0.as_bytes());
        bytes.extend_from_slice(&self.expires_at.as_second().to_be_bytes());
        let stamp = app.vault.stamp(PURPOSE, &bytes);
        bytes.extend_from_slice(&stamp[..STAMP]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn open(app: &App, token: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (body, stamp) = bytes.split_at_checked(BODY)?;
        let expected = app.vault.stamp(PURPOSE, body);
        aws_lc_rs::constant_time::verify_slices_are_equal(stamp, &expected[..STAMP]).ok()?;
        Some(Self {
            tenant: TenantId(u32::from_be_bytes(body[..4].try_into().ok()?)),
            credential: Uuid::from_slice(&body[4..20]).ok()?,
            id: PublicId(Uuid::from_slice(&body[20..36]).ok()?),
            expires_at: Timestamp::from_second(i64::from_be_bytes(body[36..44].try_into().ok()?)).ok()?,
        })
    }
}
