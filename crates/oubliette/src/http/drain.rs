//! Lets a client finish sending although its request was answered already.
//!
//! Many clients look for an answer only after the whole body went out. A server that answers with the body half read, and
//! closes the connection behind it, reaches them as a broken connection instead of as the answer. So what nobody wants to
//! read any more is read in vain, beside the answer and within bounds (what RFC 9112 §9.6 calls closing in stages).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;

/// Bytes read in vain at most.
const MAX_BYTES: usize = 64 << 20;
/// Time spent reading in vain at most.
const MAX_TIME: Duration = Duration::from_secs(10);

/// A request body that is read to its end, within bounds, when its reader gives it up.
pub struct LingeringBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// Until it ended or failed.
    body: Option<B>,
    /// The client waits to be asked for the body (`Expect: 100-continue`), and was not yet.
    awaited: bool,
}

impl<B> LingeringBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// Takes a body, and whether its sender waits to be asked for it. Reading is asking, so that a body nobody asked for is
    /// not read in vain either.
    pub fn new(body: B, awaited: bool) -> Self {
        Self { body: (!body.is_end_stream()).then_some(body), awaited }
    }
}

impl<B> Body for LingeringBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.awaited = false;
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> Drop for LingeringBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !self.awaited && !body.is_end_stream()) else { return };
        // While the runtime ends there is nobody to answer to.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(linger(body, MAX_TIME));
        }
    }
}

async fn linger(body: impl Body<Data = Bytes> + Unpin, limit: Duration) {
    // Whether it was read to the end or not, the answer is the same.
    let _ = tokio::time::timeout(limit, read_in_vain(body)).await;
}

async fn read_in_vain(mut body: impl Body<Data = Bytes> + Unpin) {
    let mut left = MAX_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => break,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::{StreamExt as _, stream};
    use http_body_util::StreamBody;

    use super::*;

    /// Ten chunks of ten bytes that are counted when read; the body, and the count.
    fn counted() -> (impl Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static, Arc<AtomicUsize>) {
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = seen.clone();
        let chunks = stream::iter(0..10).map(move |number| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Frame::data(Bytes::from(vec![number; 10])))
        });
        (StreamBody::new(chunks), seen)
    }

    async fn settled() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_a_reader_left_is_read_to_the_end() {
        let (body, seen) = counted();
        let mut body = LingeringBody::new(body, false);
        assert_eq!(body.frame().await.unwrap().unwrap().data_ref().unwrap().len(), 10);
        assert_eq!(seen.load(Ordering::Relaxed), 1);
        drop(body);
        settled().await;
        assert_eq!(seen.load(Ordering::Relaxed), 10);
    }

    #[tokio::test]
    async fn what_never_ends_is_not_read_for_ever() {
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = seen.clone();
        let piece = Bytes::from(vec![0; 1 << 20]);
        let chunks = stream::repeat_with(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(Frame::data(piece.clone()))
        });
        drop(LingeringBody::new(StreamBody::new(chunks), false));
        settled().await;
        // The piece that passes the bound is the last.
        assert_eq!(seen.load(Ordering::Relaxed), (MAX_BYTES >> 20) + 1);
    }

    #[tokio::test]
    async fn what_comes_drop_by_drop_is_not_waited_for_for_ever() {
        let (gone, left) = tokio::sync::oneshot::channel::<()>();
        // Never a piece; told when it is dropped.
        let chunks = stream::once(async move {
            let _gone = gone;
            std::future::pending::<Result<Frame<Bytes>, Infallible>>().await
        });
        linger(Box::pin(StreamBody::new(chunks)), Duration::from_millis(20)).await;
        assert!(left.await.is_err(), "it is given up");
    }

    #[tokio::test]
    async fn a_body_that_was_not_asked_for_is_not_read() {
        let (body, seen) = counted();
        drop(LingeringBody::new(body, true));
        settled().await;
        assert_eq!(seen.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn once_asked_for_it_is_read_to_the_end_too() {
        let (body, seen) = counted();
        let mut body = LingeringBody::new(body, true);
        body.frame().await.unwrap().unwrap();
        drop(body);
        settled().await;
        assert_eq!(seen.load(Ordering::Relaxed), 10);
    }
}
