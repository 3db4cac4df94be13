//! The accept loop: HTTP/1.1 and HTTP/2 on one port, everything bounded, a stop that lets running requests finish.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Version;
use http::header::EXPECT;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

use super::drain::LingeringBody;
use super::stall::{StallGuardedBody, StallGuardedIo};
use crate::config::Limits;
use crate::dialects;

/// Requests one HTTP/2 connection may have open.
const STREAMS_PER_CONNECTION: u32 = 128;
/// Pause after the system refused to accept (out of descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What answers requests.
#[derive(Clone)]
pub struct Answerer(Arc<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>);

impl Answerer {
    /// Any function.
    pub fn new<F: Future<Output = Response> + Send + 'static>(
        answer: impl Fn(Request) -> F + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |request| answer(request).boxed()))
    }

    /// Answers one.
    pub fn answer(&self, request: Request) -> BoxFuture<'static, Response> {
        (self.0)(request)
    }
}

impl From<Router> for Answerer {
    fn from(router: Router) -> Self {
        Self::new(move |request| {
            let mut router = router.clone();
            async move { router.call(dialects::normalise(request)).await.unwrap_or_else(|no| match no {}) }
        })
    }
}

/// How connections are treated.
#[derive(Clone)]
pub struct ServerOptions {
    /// TLS, if the listener speaks it.
    pub tls: Option<Arc<ServerConfig>>,
    /// Bounds.
    pub limits: Limits,
}

impl ServerOptions {
    /// Plain HTTP within these limits.
    pub fn plain(limits: Limits) -> Self {
        Self { tls: None, limits }
    }
}

/// Serves until `stop` resolves, then lets running requests finish for as long as the limits allow.
pub async fn serve(
    listener: TcpListener,
    answerer: impl Into<Answerer>,
    options: ServerOptions,
    stop: impl Future<Output = ()>,
) {
    let limits = &options.limits;
    let connections = Arc::new(Semaphore::new(limits.max_connections));
    let graceful = GracefulShutdown::new();
    let tls = options.tls.clone().map(TlsAcceptor::from);
    let shared = Arc::new(Shared { builder: builder(limits), answerer: answerer.into(), limits: limits.clone() });
    tokio::pin!(stop);
    loop {
        let (stream, permit) = tokio::select! {
            next = accept(&listener, &connections) => next,
            () = &mut stop => break,
        };
        let (shared, tls, watcher) = (shared.clone(), tls.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _permit = permit;
            shared.connection(stream, tls, watcher).await;
        });
    }
    drop(listener);
    let drain = Duration::from_secs(limits.drain_timeout_seconds);
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time and were cut off");
    }
}

async fn accept(listener: &TcpListener, connections: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed; without a permit nothing would be bounded, so a missing one ends with its connection.
    let permit = connections.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                return (stream, permit);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(limits.header_timeout_seconds))
        .max_buf_size(limits.max_header_bytes.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .keep_alive_interval(Duration::from_secs(limits.stall_timeout_seconds))
        .adaptive_window(true);
    builder
}

struct Shared {
    builder: Builder<TokioExecutor>,
    answerer: Answerer,
    limits: Limits,
}

impl Shared {
    async fn connection(self: Arc<Self>, stream: TcpStream, tls: Option<TlsAcceptor>, watcher: Watcher) {
        let stall = Duration::from_secs(self.limits.stall_timeout_seconds);
        match tls {
            None => self.speak(StallGuardedIo::new(TokioIo::new(stream), stall), watcher).await,
            Some(tls) => {
                let patience = Duration::from_secs(self.limits.handshake_timeout_seconds);
                match tokio::time::timeout(patience, tls.accept(stream)).await {
                    Ok(Ok(stream)) => self.speak(StallGuardedIo::new(TokioIo::new(stream), stall), watcher).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                }
            }
        }
    }

    async fn speak<I>(self: Arc<Self>, io: StallGuardedIo<I>, watcher: Watcher)
    where
        I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let stall = Duration::from_secs(self.limits.stall_timeout_seconds);
        let answerer = self.answerer.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let awaited = request.headers().contains_key(EXPECT);
            // HTTP/2 tells the client of a stream it need not go on with; only HTTP/1 has to listen to the end.
            let lingers = request.version() < Version::HTTP_2;
            let request: Request = request.map(|body| {
                let body = StallGuardedBody::new(body, stall);
                if lingers { Body::new(LingeringBody::new(body, awaited)) } else { Body::new(body) }
            });
            let answered = answerer.answer(request);
            async move { Ok::<_, Infallible>(answered.await) }
        });
        let connection = self.builder.serve_connection(io, service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}
