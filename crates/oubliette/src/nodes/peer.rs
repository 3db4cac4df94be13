//! The way to one holder: connections of HTTP/1.1, kept for further requests.
//!
//! What matters to the caller is whether a request may have been heard: one that was certainly not is sent elsewhere.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// To connect and shake hands.
const CONNECT: Duration = Duration::from_secs(2);
/// A connection that was not used for so long is not used again; the other side keeps it longer.
const IDLE: Duration = Duration::from_secs(30);
/// What a connection reads ahead: little, because bytes in hand may have to be thrown away.
const BUFFER: usize = 64 << 10;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The request was certainly not heard.
    NotSent,
    /// Whether it was, and what became of it, is unknown.
    Unknown,
}

/// A holder's address with the connections to it.
pub struct Peer {
    address: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    kept: Mutex<Vec<(SendRequest<Body>, Instant)>>,
}

impl Peer {
    /// `None` when the address makes no sense.
    pub fn new(address: &str, tls: Option<&Arc<ClientConfig>>) -> Option<Self> {
        let (host, _) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = match tls {
            Some(config) => Some((TlsConnector::from(Arc::clone(config)), ServerName::try_from(host).ok()?)),
            None => None,
        };
        Some(Self { address: address.to_owned(), tls, kept: Mutex::default() })
    }

    /// Sends a request; its URI is a path.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, Unanswered> {
        loop {
            let kept = self.take_kept();
            let fresh = kept.is_none();
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            match connection.try_send_request(request).await {
                Ok(response) => {
                    let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.push((connection, Instant::now()));
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    // A kept connection that had ended: once more over another.
                    Some(back) if !fresh => request = back,
                    Some(_) => return Err(Unanswered::NotSent),
                    None => return Err(Unanswered::Unknown),
                },
            }
        }
    }

    /// A connection that waits for its next request. Those still giving an answer are left where they are.
    fn take_kept(&self) -> Option<SendRequest<Body>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(connection, used)| !connection.is_closed() && used.elapsed() < IDLE);
        let ready = kept.iter().rposition(|(connection, _)| connection.is_ready())?;
        Some(kept.swap_remove(ready).0)
    }

    async fn connect(&self) -> Result<SendRequest<Body>, Unanswered> {
        let connecting = async {
            let stream = TcpStream::connect(&self.address).await.ok()?;
            let _ = stream.set_nodelay(true);
            match &self.tls {
                None => shake(stream).await,
                Some((tls, name)) => match tls.connect(name.clone(), stream).await {
                    Ok(stream) => shake(stream).await,
                    Err(error) => {
                        tracing::debug!(%error, "the holder's certificate, or ours, was refused");
                        None
                    }
                },
            }
        };
        timeout(CONNECT, connecting).await.ok().flatten().ok_or(Unanswered::NotSent)
    }
}

async fn shake<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Option<SendRequest<Body>> {
    let (sender, connection) = Builder::new().max_buf_size(BUFFER).handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to the holder ended early");
        }
    });
    Some(sender)
}
