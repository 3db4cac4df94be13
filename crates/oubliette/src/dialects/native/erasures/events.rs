//! `GET /api/v1/erasures/{id}/events`: progress as server-sent events, until rows and blobs are removed.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse as _;
use axum::response::sse::{Event, KeepAlive, Sse};
use oubliette_core::model::{Actor, Scope};
use uuid::Uuid;

use super::super::auth::Caller;
use super::super::input::InPath;
use super::super::problem::Answer;
use super::ErasureBody;
use crate::http::App;

/// How often progress is looked at.
const PAUSE: Duration = Duration::from_millis(200);
/// A stream ends after this time at the latest; the client comes again.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Watch an erasure. Each `progress` event holds the erasure as it is then; the last has the state `removed`.
#[utoipa::path(
    get, path = "/api/v1/erasures/{id}/events", tag = "erasures", operation_id = "watchErasure",
    security(("bearer" = ["interaction:purge"]), ("bearer" = ["interaction:delete"])),
    params(("id" = String, Path, description = "The erasure's id")),
    responses(
        (status = 200, description = "A stream of `progress` events", body = ErasureBody,
            content_type = "text/event-stream"),
        (status = 404, description = "No such erasure"),
    ),
)]
pub async fn watch_erasure(State(app): State<App>, caller: Caller, InPath(id): InPath<Uuid>) -> Answer {
    caller.require_either(Scope::InteractionPurge, Scope::InteractionDelete)?;
    let first = ErasureBody::from(app.vault.erasure(&caller.0, id).await?);
    let watch = Watch { app, actor: caller.0, id, told: None, next: Some(first), begun: tokio::time::Instant::now() };
    let events = futures::stream::unfold(watch, Watch::step);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

struct Watch {
    app: App,
    actor: Actor,
    id: Uuid,
    told: Option<ErasureBody>,
    next: Option<ErasureBody>,
    begun: tokio::time::Instant,
}

impl Watch {
    async fn step(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.told.as_ref().is_some_and(|told| told.state == "removed") {
            return None;
        }
        loop {
            let now = match self.next.take() {
                Some(first) => first,
                None => {
                    tokio::time::sleep(PAUSE).await;
                    if self.begun.elapsed() > LONGEST {
                        return None;
                    }
                    // What cannot be read now ends the stream; the client comes again.
                    ErasureBody::from(self.app.vault.erasure(&self.actor, self.id).await.ok()?)
                }
            };
            if self.told.as_ref() == Some(&now) {
                continue;
            }
            let event = Event::default().event("progress").json_data(&now).ok()?;
            self.told = Some(now);
            return Some((Ok(event), self));
        }
    }
}
