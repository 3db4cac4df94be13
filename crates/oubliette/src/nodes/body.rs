//! Bodies on their way between nodes.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use oubliette_core::ports::Lease as _;

use super::front::Passing;

/// Bodies up to this size are taken in first, so that the request can be sent again.
const SMALL: u64 = 64 << 10;

/// A client's body, to be sent to a holder and perhaps to another one after it.
pub enum Outgoing {
    /// Taken in whole; it can be sent as often as it takes.
    Whole(Bytes),
    /// Sent while it comes.
    Streamed(Arc<Streamed>),
}

/// A body that is sent once, and until then can be sent anywhere.
pub struct Streamed {
    body: Mutex<Body>,
    begun: AtomicBool,
}

impl Outgoing {
    /// Takes a body; `None` when a small one broke off.
    pub async fn new(headers: &HeaderMap, body: Body) -> Option<Self> {
        if body.is_end_stream() {
            return Some(Self::Whole(Bytes::new()));
        }
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length <= SMALL) {
            return Some(Self::Whole(body.collect().await.ok()?.to_bytes()));
        }
        Some(Self::Streamed(Arc::new(Streamed { body: Mutex::new(body), begun: AtomicBool::new(false) })))
    }

    /// Whether it can be sent now: all of it, from its beginning.
    pub fn is_sendable(&self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Streamed(streamed) => !streamed.begun.load(Ordering::Acquire),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    /// For one attempt to send it.
    pub fn body(&self) -> Body {
        match self {
            Self::Whole(bytes) => Body::from(bytes.clone()),
            Self::Streamed(streamed) => Body::new(Sending(Arc::clone(streamed))),
        }
    }
}

struct Sending(Arc<Streamed>);

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // Held only while polling, and one attempt at a time polls.
        let mut body = self.0.body.lock().unwrap_or_else(PoisonError::into_inner);
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        self.0.begun.store(true, Ordering::Release);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

/// A holder's answer as it passes: nothing of it leaves once the lease has ended, whatever was received before.
pub struct Leased<B> {
    body: B,
    passing: Passing,
}

impl<B> Leased<B> {
    /// An answer that was asked for under this holder's lease.
    pub fn new(body: B, passing: Passing) -> Self {
        Self { body, passing }
    }
}

impl<B> http_body::Body for Leased<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if !self.passing.upstream().lease.holds() {
            return Poll::Ready(Some(Err(io::Error::other("the lease has ended"))));
        }
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            metrics::counter!("oubliette_node_answer_bytes_total").increment(data.len() as u64);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    use futures::stream;
    use uuid::Uuid;

    use super::*;
    use crate::nodes::front::Upstream;
    use crate::nodes::lease::FrontLease;
    use crate::nodes::peer::Peer;
    use crate::nodes::wire::{HolderAt, Renewed};

    #[tokio::test]
    async fn what_was_received_before_the_lease_ended_does_not_leave_after_it() {
        let millis = Arc::new(AtomicU64::new(1_000));
        let time = Arc::clone(&millis);
        let lease = FrontLease::new(1, Arc::new(move || Duration::from_millis(time.load(Ordering::SeqCst))));
        let renewed = Renewed { ttl: 3_000, recalled: Vec::new(), upto: 0, moving: false, over: false };
        lease.renewed(Duration::from_millis(1_000), &renewed);
        let holder = HolderAt { session: Uuid::nil(), name: String::new(), address: "127.0.0.1:1".to_owned() };
        let peer = Arc::new(Peer::new(&holder.address, None).unwrap());
        let upstream = Arc::new(Upstream::new(holder, lease, peer));
        let pieces = ["one", "two", "three"].map(|text| Ok::<_, io::Error>(Bytes::from_static(text.as_bytes())));
        let mut body = Leased::new(Body::from_stream(stream::iter(pieces)), Passing::new(&upstream));
        assert!(!upstream.is_idle());
        for (at, text) in [(1_000, "one"), (3_999, "two")] {
            millis.store(at, Ordering::SeqCst);
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), text);
        }
        millis.store(4_000, Ordering::SeqCst);
        assert!(body.frame().await.unwrap().is_err());
        drop(body);
        assert!(upstream.is_idle());
    }

    #[tokio::test]
    async fn a_small_body_can_be_sent_again_and_a_large_one_until_it_was_begun() {
        let headers = |length: usize| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_LENGTH, length.into());
            headers
        };
        let small = Outgoing::new(&headers(5), Body::from("small")).await.unwrap();
        for _ in 0..2 {
            assert_eq!(small.body().collect().await.unwrap().to_bytes(), "small");
            assert!(small.is_sendable());
        }
        let large = Outgoing::new(&headers(100_000), Body::from(vec![7; 100_000])).await.unwrap();
        drop(large.body());
        assert!(large.is_sendable() && !large.is_empty());
        assert_eq!(large.body().collect().await.unwrap().to_bytes().len(), 100_000);
        assert!(!large.is_sendable());
        let broken = Body::from_stream(stream::iter([Err::<Bytes, _>(io::Error::other("gone"))]));
        assert!(Outgoing::new(&headers(5), broken).await.is_none());
    }
}
