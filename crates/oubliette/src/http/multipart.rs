//! `multipart/form-data` as a stream of parts, with bounded memory whatever the client sends.
//!
//! The parser underneath keeps reading while its source has bytes, and looks for the end of a part's head without a
//! limit. The source given to it here therefore pauses after every chunk, and ends when a head (or what stands before
//! the first boundary) is longer than [`MAX_HEAD_BYTES`].

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use multer::{Constraints, Field, Multipart, SizeLimit};
use thiserror::Error;

use oubliette_core::service::BodyStream;

/// Most bytes between the end of one part and the beginning of the next one's content.
pub const MAX_HEAD_BYTES: u64 = 1 << 20;

/// Why the parts could not be read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PartsError {
    /// The media type is no `multipart/form-data` with a boundary.
    #[error("the media type must be multipart/form-data with a boundary")]
    MediaType,
    /// The parts are malformed, or end too early.
    #[error("the multipart body is malformed or incomplete")]
    Malformed,
    /// A part, or all together, is longer than allowed.
    #[error("the body is too large")]
    TooLarge,
}

/// The parts of a body, one after the other.
pub struct Parts {
    inner: Multipart<'static>,
    head_bytes: Arc<AtomicU64>,
}

/// One part. Its content streams; the next part can be asked for once this one was read or dropped.
pub struct Part {
    field: Field<'static>,
}

impl Parts {
    /// Reads the boundary; the body is at most `limit` bytes long in all.
    pub fn new(headers: &HeaderMap, body: Body, limit: u64) -> Result<Self, PartsError> {
        let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).ok_or(PartsError::MediaType)?;
        let boundary = multer::parse_boundary(given).map_err(|_| PartsError::MediaType)?;
        let head_bytes = Arc::new(AtomicU64::new(0));
        let source = Paced { body: Box::pin(body.into_data_stream()), pause: false, head_bytes: head_bytes.clone() };
        let limits = Constraints::new().size_limit(SizeLimit::new().whole_stream(limit));
        Ok(Self { inner: Multipart::with_constraints(source, boundary, limits), head_bytes })
    }

    /// The next part. What was not read of the one before is passed over.
    pub async fn next(&mut self) -> Result<Option<Part>, PartsError> {
        self.head_bytes.store(1, Ordering::Relaxed);
        let field = self.inner.next_field().await;
        self.head_bytes.store(0, Ordering::Relaxed);
        Ok(field.map_err(problem)?.map(|field| Part { field }))
    }
}

impl Part {
    /// The part's name, quoted or not.
    pub fn name(&self) -> &str {
        self.field.name().unwrap_or_default()
    }

    /// The file name it came with.
    pub fn file_name(&self) -> Option<&str> {
        self.field.file_name().filter(|name| !name.is_empty())
    }

    /// Its own media type, without parameters.
    pub fn media_type(&self) -> Option<&str> {
        self.field.content_type().map(|given| given.essence_str())
    }

    /// The whole content, at most `limit` bytes.
    pub async fn bytes(mut self, limit: usize) -> Result<Bytes, PartsError> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.field.chunk().await.map_err(problem)? {
            if whole.len() + chunk.len() > limit {
                return Err(PartsError::TooLarge);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.into())
    }

    /// Reads and drops the content.
    pub async fn skip(mut self) -> Result<(), PartsError> {
        while self.field.chunk().await.map_err(problem)?.is_some() {}
        Ok(())
    }

    /// The content as a stream; a body that breaks off ends it with an error.
    pub fn into_stream(self) -> BodyStream {
        Box::pin(self.field.map(|chunk| chunk.map_err(|error| std::io::Error::other(problem(error)))))
    }
}

fn problem(error: multer::Error) -> PartsError {
    match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => PartsError::TooLarge,
        _ => PartsError::Malformed,
    }
}

/// A body that lets its reader work after every chunk, and watches the length of heads.
struct Paced {
    body: Pin<Box<axum::body::BodyDataStream>>,
    pause: bool,
    /// Zero inside a part's content; else one more than the bytes read since its head began.
    head_bytes: Arc<AtomicU64>,
}

impl Stream for Paced {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.pause) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Poll::Ready(chunk) = self.body.as_mut().poll_next(context) else { return Poll::Pending };
        let Some(chunk) = chunk else { return Poll::Ready(None) };
        self.pause = true;
        let chunk = chunk.map_err(std::io::Error::other)?;
        let head = self.head_bytes.load(Ordering::Relaxed);
        if head > MAX_HEAD_BYTES {
            return Poll::Ready(Some(Err(std::io::Error::other("a part's head is too long"))));
        }
        if head > 0 {
            self.head_bytes.store(head + chunk.len() as u64, Ordering::Relaxed);
        }
        Poll::Ready(Some(Ok(chunk)))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(content_type: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers
    }

    fn parts(text: &'static str) -> Parts {
        Parts::new(&headers("multipart/form-data; boundary=\"b\""), Body::from(text), 1 << 20).unwrap()
    }

    #[tokio::test]
    async fn quoted_and_unquoted_names_are_read_whatever_stands_around_them() {
        let mut parts = parts(
            "--b\r\nContent-Type: application/json\r\nContent-Disposition: form-data; name=info\r\n\r\n{}\r\n\
             --b\r\nContent-Disposition: form-data; name=\"data\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\
             Content-Transfer-Encoding: BINARY\r\n\r\nRIFF\r\n--b--\r\n",
        );
        let info = parts.next().await.unwrap().unwrap();
        assert_eq!((info.name(), info.media_type(), info.file_name()), ("info", Some("application/json"), None));
        assert_eq!(info.bytes(10).await.unwrap(), "{}");
        let data = parts.next().await.unwrap().unwrap();
        assert_eq!((data.name(), data.file_name()), ("data", Some("a.wav")));
        let chunks: Vec<_> = data.into_stream().collect().await;
        assert_eq!(chunks.into_iter().map(Result::unwrap).collect::<Vec<_>>().concat(), b"RIFF");
        assert!(parts.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error() {
        let mut parts = parts("--b\r\nContent-Disposition: form-data; name=data\r\n\r\nRIF");
        let data = parts.next().await.unwrap().unwrap();
        assert_eq!(data.bytes(10).await, Err(PartsError::Malformed));
    }

    #[tokio::test]
    async fn a_part_longer_than_its_limit_is_refused() {
        let mut parts = parts("--b\r\nContent-Disposition: form-data; name=info\r\n\r\n0123456789\r\n--b--\r\n");
        let info = parts.next().await.unwrap().unwrap();
        assert_eq!(info.bytes(9).await, Err(PartsError::TooLarge));
    }

    #[tokio::test]
    async fn a_fast_sender_is_held_to_the_pace_of_the_reader() {
        let sent = Arc::new(AtomicU64::new(0));
        let counter = sent.clone();
        let head = Bytes::from_static(b"--b\r\nContent-Disposition: form-data; name=data\r\n\r\n");
        // Always ready: nothing but the parts themselves can slow it down.
        let chunks = std::iter::repeat_with(move || {
            counter.fetch_add(65_536, Ordering::Relaxed);
            Bytes::from(vec![b'x'; 65_536])
        });
        let whole = std::iter::once(head).chain(chunks.take(512)).chain([Bytes::from_static(b"\r\n--b--\r\n")]);
        let body = Body::from_stream(futures::stream::iter(whole.map(Ok::<_, std::io::Error>)));
        let mut parts = Parts::new(&headers("multipart/form-data; boundary=b"), body, u64::MAX).unwrap();
        let mut data = parts.next().await.unwrap().unwrap().into_stream();
        let mut taken = 0;
        while let Some(chunk) = data.next().await {
            taken += chunk.unwrap().len() as u64;
            assert!(sent.load(Ordering::Relaxed) - taken <= 4 * 65_536);
        }
        assert_eq!(taken, 512 * 65_536);
    }

    #[tokio::test]
    async fn an_endless_head_ends_the_body() {
        let head = futures::stream::once(async { Ok(Bytes::from_static(b"--b\r\nX: ")) });
        let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 65_536])));
        let body = Body::from_stream(head.chain(endless));
        let mut parts = Parts::new(&headers("multipart/form-data; boundary=b"), body, u64::MAX).unwrap();
        assert_eq!(parts.next().await.err(), Some(PartsError::Malformed));
    }

    #[test]
    fn another_media_type_or_a_missing_boundary_is_refused() {
        for given in ["application/json", "multipart/form-data", "multipart/mixed; boundary=b"] {
            assert!(Parts::new(&headers(given), Body::empty(), 1).is_err(), "{given}");
        }
    }
}
