//! `POST /api/v1/erasures`: plan (`dryRun`) or order an erasure.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use http::header::{HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};
use oubliette_core::model::{Scope, Selector};
use oubliette_core::service::{Order, Plan};
use oubliette_proof::Token;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::auth::Caller;
use super::super::input::{self, InQuery};
use super::super::problem::{Answer, Kind, Problem};
use super::bulk;
use super::replay::{Claim, MAX_KEY_BYTES, Ordered, Replays};
use crate::http::App;
use crate::http::json::{media_type_is, read_body};

/// Items and missing ids shown of a plan.
const SHOWN: usize = 1_000;
/// As the vault has them.
const MAX_REFERENCE_BYTES: usize = 1_000;
const MAX_REASON_BYTES: usize = 10_000;

/// What to erase: the union of all lists.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SelectorBody {
    /// Interaction ids.
    pub ids: Vec<String>,
    /// Session ids.
    pub sessions: Vec<String>,
    /// Phone numbers of customers, in any spelling.
    pub phones: Vec<String>,
    /// E-mail addresses of customers.
    pub emails: Vec<String>,
}

/// An order to erase.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderBody {
    /// What.
    pub selector: SelectorBody,
    /// Only say what would be erased.
    #[serde(default)]
    pub dry_run: bool,
    /// The orderer's own reference. Sealed with the order, gone with it.
    #[serde(default)]
    pub reference: Option<String>,
    /// Why. Sealed with the order, gone with it.
    #[serde(default)]
    pub reason: Option<String>,
    /// On which ground: a code of 1 to 64 letters, digits and `. _ : / -`, for example `gdpr:17-1-b`. It stays, in the
    /// certificate: nothing personal.
    #[serde(default)]
    pub legal_basis: Option<String>,
    /// Refuse unless the plan still has this hash.
    #[serde(default)]
    pub plan_hash: Option<String>,
}

/// Switches of the query, for bodies of lines.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub struct OrderParams {
    /// Only say what would be erased.
    #[serde(default)]
    dry_run: bool,
    /// Refuse unless the plan still has this hash.
    plan_hash: Option<String>,
}

/// What an order came to, or would come to.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanBody {
    /// The erasure; absent for a dry run, or when nothing live was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Whether nothing was changed because none was wanted.
    dry_run: bool,
    /// SHA-256 over what is erased, in hex.
    plan_hash: String,
    /// Interactions.
    interactions: u64,
    /// Contents.
    contents: u64,
    /// The first 1,000 interactions.
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<PlanItemBody>>,
    /// How many requested ids name nothing live.
    missing_count: u64,
    /// The first 1,000 of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Vec<String>>,
    /// Those of `missing` that were erased before. The others never existed here, or are of another system and not live.
    #[serde(skip_serializing_if = "Option::is_none")]
    gone: Option<Vec<String>>,
}

/// One interaction of a plan.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanItemBody {
    /// Its id.
    id: String,
    /// Its session id.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    /// Its contents; not counted one by one in plans of more than 1,000 interactions.
    #[serde(skip_serializing_if = "Option::is_none")]
    contents: Option<u64>,
}

/// Plan or order an erasure, as one object, or as up to 1,000,000 lines (`application/x-ndjson`), each
/// `{"id":…}`, `{"session":…}`, `{"phone":…}` or `{"email":…}`, with `{"reference":…}` and `{"reason":…}` once each.
/// 202 is answered once everything named is hidden and the order is durable; the seal follows.
#[utoipa::path(
    post, path = "/api/v1/erasures", tag = "erasures", operation_id = "createErasure",
    security(("bearer" = ["interaction:purge"])),
    params(
        OrderParams,
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated order with the same key is answered with \
            the same erasure; kept in memory for a day"),
    ),
    request_body(content((OrderBody = "application/json"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, description = "The plan of a dry run; or nothing live was named", body = PlanBody),
        (status = 202, description = "Accepted and hidden", body = PlanBody,
            headers(("Location" = String, description = "Where to watch it"))),
        (status = 409, description = "The plan has drifted, or the first request with this key is still running"),
        (status = 422, description = "The key came with another request before"),
    ),
)]
pub async fn create_erasure(
    State(app): State<App>,
    caller: Caller,
    Extension(replays): Extension<Arc<Replays>>,
    InQuery(query): InQuery<OrderParams>,
    request: Request,
) -> Answer {
    caller.require(Scope::InteractionPurge)?;
    let (parts, body) = request.into_parts();
    let key = idempotency_key(&parts.headers)?;
    let (order, digest) = read(&app, &parts.headers, body).await?;
    // Whoever says *dry run* anywhere loses nothing.
    let dry_run = order.dry_run || query.dry_run;
    let order = check(order, query.plan_hash)?;
    if dry_run {
        let plan = app.vault.plan(&caller.0, &order.selector).await?;
        if order.plan_hash.is_some_and(|expected| expected != plan.hash) {
            return Err(Problem::with(Kind::Conflict, "the plan has drifted"));
        }
        return Ok(Json(show(&app, &caller, None, true, plan)).into_response());
    }
    let Some(key) = key else {
        return Ok(place(&app, &caller, order).await?.0);
    };
    let mut bound = digest.to_vec();
    bound.extend_from_slice(order.plan_hash.as_ref().map_or(&[][..], |hash| hash));
    let stamp = app.vault.stamp("native.idempotency", &bound);
    match replays.claim(caller.0.credential, &key, stamp, app.vault.now()) {
        Claim::Done(ordered) => Ok(replayed(&ordered)),
        Claim::Running => Err(Problem::with(Kind::Conflict, "the first request with this key is still running")),
        Claim::Reused => Err(Problem::of(Kind::KeyReused)),
        Claim::New(guard) => {
            let (response, ordered) = place(&app, &caller, order).await?;
            if let Some(ordered) = ordered {
                guard.finish(ordered);
            }
            Ok(response)
        }
    }
}

async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<(OrderBody, [u8; 32]), Problem> {
    let mut digest = Context::new(&SHA256);
    let order = if media_type_is(headers, "application/x-ndjson") {
        bulk::read(body, |chunk| digest.update(chunk)).await?
    } else if media_type_is(headers, "application/json") {
        let bytes = read_body(body, app.settings.max_json_bytes).await?;
        digest.update(&bytes);
        input::parse(&bytes)?
    } else {
        return Err(Problem::with(Kind::MediaType, "the media type must be application/json or application/x-ndjson"));
    };
    let mut out = [0; 32];
    out.copy_from_slice(digest.finish().as_ref());
    Ok((order, out))
}

fn check(order: OrderBody, plan_hash: Option<String>) -> Result<Order, Problem> {
    let SelectorBody { ids, sessions, phones, emails } = order.selector;
    let selector = Selector { ids, sessions, phones, emails };
    if selector.is_empty() {
        return Err(Problem::invalid("the selector names nothing"));
    }
    let long = |text: &Option<String>, most| text.as_ref().is_some_and(|text| text.len() > most);
    if long(&order.reference, MAX_REFERENCE_BYTES) || long(&order.reason, MAX_REASON_BYTES) {
        return Err(Problem::invalid("a reference has at most 1,000 bytes and a reason 10,000"));
    }
    if order.plan_hash.is_some() && plan_hash.is_some() && order.plan_hash != plan_hash {
        return Err(Problem::invalid("'planHash' must be given once"));
    }
    let plan_hash = match order.plan_hash.or(plan_hash) {
        Some(text) => {
            let mut hash = [0; 32];
            hex::decode_to_slice(text, &mut hash).map_err(|_| Problem::invalid("'planHash' must be 64 hex digits"))?;
            Some(hash)
        }
        None => None,
    };
    let legal_basis = match order.legal_basis {
        Some(code) => Some(
            Token::new(code)
                .ok_or(Problem::invalid("'legalBasis' must be a code of 1 to 64 letters, digits and . _ : / -"))?,
        ),
        None => None,
    };
    Ok(Order { selector, reference: order.reference, reason: order.reason, legal_basis, plan_hash })
}

async fn place(app: &App, caller: &Caller, order: Order) -> Result<(Response, Option<Ordered>), Problem> {
    let (id, plan) = app.vault.order(&caller.0, order).await?;
    let Some(id) = id else {
        return Ok((Json(show(app, caller, None, false, plan)).into_response(), None));
    };
    let ordered = Ordered {
        id,
        interactions: plan.items.len() as u64,
        contents: plan.contents,
        plan_hash: plan.hash,
        missing: plan.missing.len() as u64,
    };
    Ok((accepted(&ordered, show(app, caller, Some(id.to_string()), false, plan)), Some(ordered)))
}

fn replayed(ordered: &Ordered) -> Response {
    let body = PlanBody {
        id: Some(ordered.id.to_string()),
        dry_run: false,
        plan_hash: hex::encode(ordered.plan_hash),
        interactions: ordered.interactions,
        contents: ordered.contents,
        items: None,
        missing_count: ordered.missing,
        missing: None,
        gone: None,
    };
    let mut response = accepted(ordered, body);
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    response
}

fn accepted(ordered: &Ordered, body: PlanBody) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/erasures/{}", ordered.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn show(app: &App, caller: &Caller, id: Option<String>, dry_run: bool, plan: Plan) -> PlanBody {
    let counted = plan.items.len() <= SHOWN;
    let (interactions, missing_count) = (plan.items.len() as u64, plan.missing.len() as u64);
    let items = plan.items.into_iter().take(SHOWN).map(|item| PlanItemBody {
        id: item.id.to_string(),
        session_id: item.session_id,
        contents: counted.then_some(item.contents),
    });
    let missing: Vec<_> = plan.missing.into_iter().take(SHOWN).collect();
    let gone = missing.iter().filter(|id| app.vault.is_erased(&caller.0, id)).cloned().collect();
    PlanBody {
        id,
        dry_run,
        plan_hash: hex::encode(plan.hash),
        interactions,
        contents: plan.contents,
        items: Some(items.collect()),
        missing_count,
        missing: Some(missing),
        gone: Some(gone),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut lines = headers.get_all("idempotency-key").iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let bad = Problem::invalid("'Idempotency-Key' must be given once, with 1 to 255 visible characters");
    let text = line.to_str().ok().filter(|text| (1..=MAX_KEY_BYTES).contains(&text.len()));
    match text {
        Some(text) if lines.next().is_none() => Ok(Some(text.to_owned())),
        _ => Err(bad),
    }
}
