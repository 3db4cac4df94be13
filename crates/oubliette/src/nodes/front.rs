//! A node that passes on what it is asked: it looks for the holder, and keeps a lease with it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use oubliette_core::ports::{Blobs, Lease as _};
use oubliette_store::lease::LEASE;
use oubliette_store::media::postgres::Onlooker;
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::forward::Way;
use super::lease::FrontLease;
use super::lendings::BootClock;
use super::peer::{Peer, Unanswered};
use super::wire::{self, HolderAt, Renew, Renewed};
use crate::http::Answerer;

/// Name of the value in the key database that says who holds the vault.
pub const HOLDER_VALUE: &str = "node";
/// Between two looks into the database while there is no holder.
const LOOK: Duration = Duration::from_millis(200);
/// Between two attempts to renew that failed.
const RETRY: Duration = Duration::from_millis(100);
/// How long requests under way may go on when the holder hands over. Shorter than a lease.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Between two looks whether they have.
const PASSING: Duration = Duration::from_millis(5);
/// Longest answer to a renewal.
const MAX_RENEWED: usize = 4 << 20;

/// A holder with which this node has a lease.
pub struct Upstream {
    /// Who it is.
    pub holder: HolderAt,
    /// The lease.
    pub lease: Arc<FrontLease>,
    /// The way there.
    pub peer: Arc<Peer>,
    /// Requests that wait for it, and answers of it that are being passed on.
    passing: AtomicUsize,
    moving: AtomicBool,
}

impl Upstream {
    /// With a lease that was not asked for yet.
    pub fn new(holder: HolderAt, lease: Arc<FrontLease>, peer: Arc<Peer>) -> Self {
        Self { holder, lease, peer, passing: AtomicUsize::new(0), moving: AtomicBool::new(false) }
    }

    /// Whether no request is under way there.
    pub fn is_idle(&self) -> bool {
        self.passing.load(Ordering::SeqCst) == 0
    }

    /// Whether new requests may be sent there now.
    pub fn is_usable(&self) -> bool {
        !self.moving.load(Ordering::Acquire) && self.lease.holds()
    }

    /// It said that it hands over.
    pub fn is_moving(&self) {
        self.moving.store(true, Ordering::Release);
    }
}

/// A request under way to a holder, until its answer's last byte.
pub struct Passing(Arc<Upstream>);

impl Passing {
    /// One more.
    pub fn new(upstream: &Arc<Upstream>) -> Self {
        upstream.passing.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(upstream))
    }

    /// Where it was sent.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.0
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.0.passing.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a front is made of.
pub struct FrontParts {
    /// Its name.
    pub name: String,
    /// Where the sealed contents lie.
    pub blobs: Arc<dyn Blobs>,
    /// Where the holder's address is found.
    pub onlooker: Arc<Onlooker>,
    /// TLS towards the holder.
    pub tls: Option<Arc<ClientConfig>>,
    /// How long a request waits for a holder.
    pub wait: Duration,
    /// Time for leases.
    pub clock: BootClock,
}

/// The front.
pub struct Front {
    pub(super) parts: FrontParts,
    upstream: watch::Sender<Option<Arc<Upstream>>>,
    /// This node has become the holder, or ends: no more looking.
    over: CancellationToken,
    here: OnceLock<Answerer>,
}

impl Front {
    /// Not looking yet.
    pub fn new(parts: FrontParts) -> Arc<Self> {
        let over = CancellationToken::new();
        Arc::new(Self { parts, upstream: watch::Sender::new(None), over, here: OnceLock::new() })
    }

    /// Looks for the holder and keeps a lease with it until [`Front::end`].
    pub async fn run(self: Arc<Self>) {
        let mut last = None;
        while !self.over.is_cancelled() {
            // The last one known may still be it while the database cannot be asked.
            last = self.look().await.or(last);
            let peer = last.as_ref().and_then(|holder| Peer::new(&holder.address, self.parts.tls.as_ref()));
            let (Some(holder), Some(peer)) = (&last, peer) else {
                sleep(LOOK).await;
                continue;
            };
            let lease = FrontLease::new(Uuid::new_v4().as_u64_pair().0, Arc::clone(&self.parts.clock));
            let upstream = Arc::new(Upstream::new(holder.clone(), lease, Arc::new(peer)));
            self.attend(&upstream).await;
            upstream.lease.end();
            self.upstream.send_replace(None);
            sleep(LOOK).await;
        }
    }

    /// Gives up every lease and key: this node has become the holder, or ends.
    pub fn end(&self) {
        self.over.cancel();
        if let Some(upstream) = self.upstream.send_replace(None) {
            upstream.lease.end();
        }
    }

    /// The holder with which there is a lease now.
    pub fn current(&self) -> Option<Arc<Upstream>> {
        self.upstream.borrow().clone().filter(|upstream| upstream.lease.holds())
    }

    /// Where to send a request; waits until `deadline` for a holder.
    pub async fn way(&self, deadline: Instant) -> Option<Way> {
        let mut changes = self.upstream.subscribe();
        let found = async {
            loop {
                if let Some(here) = self.here.get() {
                    return Way::Here(here.clone());
                }
                let at_hand = changes.borrow_and_update().clone();
                if let Some(upstream) = at_hand.filter(|upstream| upstream.is_usable()) {
                    return Way::There(upstream);
                }
                // A lease that lapsed comes back or ends without a word here.
                let _ = timeout(RETRY, changes.changed()).await;
            }
        };
        timeout_at(deadline, found).await.ok()
    }

    /// This node has become the holder: what waits is answered here from now on.
    pub fn holds(&self, here: Answerer) {
        let _ = self.here.set(here);
        self.end();
    }

    /// What answers here, once this node is the holder.
    pub fn here(&self) -> Option<&Answerer> {
        self.here.get()
    }

    async fn look(&self) -> Option<HolderAt> {
        let onlooker = Arc::clone(&self.parts.onlooker);
        match tokio::task::spawn_blocking(move || onlooker.value(HOLDER_VALUE)).await {
            Ok(Ok(value)) => serde_json::from_slice(&value?).ok(),
            Ok(Err(error)) => {
                tracing::debug!(%error, "who holds the vault could not be looked up");
                None
            }
            Err(_) => None,
        }
    }

    /// Keeps one lease for as long as it goes.
    async fn attend(&self, upstream: &Arc<Upstream>) {
        let lease = &upstream.lease;
        let (mut first, mut told, mut acked) = (true, false, 0);
        loop {
            let released = lease.released();
            let renew = Renew {
                front: lease.session,
                name: self.parts.name.clone(),
                first,
                acked,
                released,
                quiet: upstream.moving.load(Ordering::Acquire),
                bye: false,
            };
            let sent = lease.now();
            let answer = tokio::select! {
                answer = timeout(LEASE, ask(upstream, &renew)) => answer.unwrap_or(Err(Unanswered::Unknown)),
                () = self.over.cancelled() => {
                    lease.end();
                    let _ = timeout(RETRY, ask(upstream, &Renew { bye: true, ..renew })).await;
                    return;
                }
            };
            match answer {
                Ok(Heard::Renewed(_)) if !first && !lease.holds() => {
                    // It lapsed, here if not there: what was lent under it is gone for good.
                    return;
                }
                Ok(Heard::Renewed(renewed)) if renewed.over => {
                    let deadline = Instant::now() + LAST_WORDS;
                    while !upstream.is_idle() && Instant::now() < deadline {
                        sleep(PASSING).await;
                    }
                    lease.end();
                    let _ = timeout(RETRY, ask(upstream, &Renew { bye: true, released: Vec::new(), ..renew })).await;
                    return;
                }
                Ok(Heard::Renewed(renewed)) => {
                    lease.told(renew.released.len());
                    lease.renewed(sent, &renewed);
                    acked = renewed.upto;
                    if renewed.moving {
                        upstream.is_moving();
                    }
                    first = false;
                    // A holder that cannot confirm its own claim promises nothing.
                    if !told && lease.holds() {
                        told = true;
                        tracing::info!(holder = upstream.holder.name, "passing requests on");
                        self.upstream.send_replace(Some(Arc::clone(upstream)));
                    }
                }
                Ok(Heard::Unknown | Heard::Moved) => return,
                Err(_) if first || !lease.holds() => return,
                Err(_) => {
                    if self.look().await.is_some_and(|holder| holder.session != upstream.holder.session) {
                        return;
                    }
                    sleep(RETRY).await;
                }
            }
        }
    }
}

enum Heard {
    Renewed(Renewed),
    Unknown,
    Moved,
}

/// One renewal.
async fn ask(upstream: &Upstream, renew: &Renew) -> Result<Heard, Unanswered> {
    let body = serde_json::to_vec(renew).map_err(|_| Unanswered::NotSent)?;
    let request = Request::builder()
        .method(Method::POST)
        .uri("/")
        .header(http::header::HOST, "node")
        .header(wire::NODE, wire::RENEW)
        .header(wire::HOLDER, upstream.holder.session.to_string())
        .body(Body::from(body))
        .map_err(|_| Unanswered::NotSent)?;
    let answer = upstream.peer.send(request).await?;
    if answer.headers().get(wire::ANSWER).is_some_and(|answer| answer == wire::MOVED) {
        return Ok(Heard::Moved);
    }
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_RENEWED).collect().await.map_err(|_| Unanswered::Unknown)?;
    match status {
        StatusCode::OK => serde_json::from_slice(&body.to_bytes()).map(Heard::Renewed).map_err(|_| Unanswered::Unknown),
        StatusCode::CONFLICT => Ok(Heard::Unknown),
        _ => Err(Unanswered::Unknown),
    }
}
