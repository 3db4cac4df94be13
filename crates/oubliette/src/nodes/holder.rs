//! What the holder answers to other nodes.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Limited};
use oubliette_core::service::LoanError;
use oubliette_store::lease::ClaimLease;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::lendings::{Lendings, Unknown};
use super::wire::{self, Renew};
use crate::http::Answerer;
use crate::http::content::{self, Lendable};

/// How long a renewal waits for something to say.
const POLL: Duration = Duration::from_millis(400);
/// How long requests may be on their way.
const SETTLE: Duration = Duration::from_millis(50);
/// Between two looks whether requests under way are over.
const LOOK: Duration = Duration::from_millis(10);
/// Longest renewal.
const MAX_RENEW: usize = 4 << 20;

/// The node listener's side of a node that is, or becomes, the holder.
pub struct Holder {
    /// This process, as its published address names it.
    pub session: Uuid,
    /// What is lent.
    pub lendings: Arc<Lendings>,
    /// Once it is the holder.
    serving: OnceLock<Serving>,
    /// Hands over: requests not heard yet go to somebody else.
    moving: AtomicBool,
    under_way: Arc<AtomicUsize>,
}

struct Serving {
    answerer: Answerer,
    lease: Arc<ClaimLease>,
}

impl Holder {
    /// Not the holder yet.
    pub fn new(lendings: Arc<Lendings>) -> Arc<Self> {
        let (serving, moving, under_way) = (OnceLock::new(), AtomicBool::new(false), Arc::default());
        Arc::new(Self { session: Uuid::new_v4(), lendings, serving, moving, under_way })
    }

    /// It is from now on.
    pub fn serve(&self, answerer: Answerer, lease: Arc<ClaimLease>) {
        let _ = self.serving.set(Serving { answerer, lease });
    }

    /// Answers another node.
    pub async fn answer(self: Arc<Self>, request: Request) -> Response {
        let headers = request.headers();
        let meant = headers.get(wire::HOLDER).and_then(|value| value.to_str().ok()?.parse::<Uuid>().ok());
        let (Some(serving), true) = (self.serving.get(), meant == Some(self.session)) else { return moved() };
        match headers.get(wire::NODE).map(HeaderValue::as_bytes) {
            Some(kind) if kind == wire::RENEW.as_bytes() => self.renew(serving, request).await,
            Some(kind) if kind == wire::FORWARD.as_bytes() => {
                // Counted first, asked second: who hands over waits for those counted.
                let counted = Counted::new(&self.under_way);
                if self.moving.load(Ordering::SeqCst) {
                    return moved();
                }
                self.forwarded(serving, request, counted).await
            }
            _ => StatusCode::BAD_REQUEST.into_response(),
        }
    }

    /// Hands over in order: asks the fronts to wait, lets what was begun finish within `limit`, takes every key back. When this
    /// returns no front uses a key lent from here.
    pub async fn hand_over(&self, limit: Duration) {
        self.lendings.move_on();
        let lendings = Arc::clone(&self.lendings);
        let _ = tokio::task::spawn_blocking(move || lendings.wait_quiet()).await;
        // What fronts sent before they said so is on its way.
        sleep(SETTLE).await;
        self.moving.store(true, Ordering::SeqCst);
        let deadline = Instant::now() + limit;
        while self.under_way.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
            sleep(LOOK).await;
        }
        let lendings = Arc::clone(&self.lendings);
        let _ = tokio::task::spawn_blocking(move || lendings.close()).await;
    }

    async fn renew(&self, serving: &Serving, request: Request) -> Response {
        let Ok(body) = Limited::new(request.into_body(), MAX_RENEW).collect().await else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        let Ok(renew) = serde_json::from_slice::<Renew>(&body.to_bytes()) else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        let Ok(wake) = self.lendings.hear(&renew) else { return StatusCode::CONFLICT.into_response() };
        if !renew.first && !self.lendings.pressing(renew.front) {
            let _ = timeout(POLL, wake.notified()).await;
        }
        // Its own lease as it is now: nobody is promised more.
        match self.lendings.answer(renew.front, serving.lease.left()) {
            Ok(renewed) => axum::Json(renewed).into_response(),
            Err(Unknown) => StatusCode::CONFLICT.into_response(),
        }
    }

    async fn forwarded(&self, serving: &Serving, mut request: Request, counted: Counted) -> Response {
        let headers = request.headers_mut();
        let front = number(headers.remove(wire::FRONT)).zip(number(headers.remove(wire::REQUEST)));
        headers.remove(wire::NODE);
        headers.remove(wire::HOLDER);
        let Some((front, name)) = front else { return counted.around(serving.answerer.answer(request).await) };
        let mut response = content::lending(serving.answerer.answer(request)).await;
        let lendable = response.extensions_mut().remove::<Lendable>().and_then(|lendable| lendable.take());
        let Some(stream) = lendable else { return counted.around(response) };
        match stream.lend(|leaf| self.lendings.lend(front, name, leaf)) {
            Ok(loan) => {
                metrics::counter!("oubliette_node_lent_total").increment(1);
                counted.around(granted(response, Bytes::from_owner(Wiped(wire::encode(&loan)))))
            }
            Err(LoanError::Revoked | LoanError::NoLease) => again(),
            Err(LoanError::Begun) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// A grant's bytes as they are handed on; wiped when the last of them is dropped.
struct Wiped(zeroize::Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The answer with a grant in place of its bytes.
fn granted(response: Response, grant: Bytes) -> Response {
    let (mut parts, _) = response.into_parts();
    if let Some(length) = parts.headers.remove(CONTENT_LENGTH) {
        parts.headers.insert(wire::LENGTH, length);
    }
    parts.headers.insert(wire::ANSWER, HeaderValue::from_static(wire::GRANT));
    Response::from_parts(parts, Body::from(grant))
}

fn moved() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(wire::ANSWER, wire::MOVED)]).into_response()
}

fn again() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(wire::ANSWER, wire::AGAIN)]).into_response()
}

fn number(value: Option<HeaderValue>) -> Option<u64> {
    value?.to_str().ok()?.parse().ok()
}

/// A forwarded request under way, until its answer's last byte.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }

    fn around(self, response: Response) -> Response {
        response.map(|body| Body::new(CountedBody { body, _counted: self }))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct CountedBody {
    body: Body,
    _counted: Counted,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
