//! Lets a client finish sending before it is told no.
//!
//! Many clients look for an answer only after the whole body went out. An answer that comes with the body half read, and the
//! connection closed behind it, reaches them as a broken connection. So a refused body is read to its end, within bounds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};

/// Bytes read in vain at most.
const MAX_BYTES: usize = 64 << 20;
/// Time spent reading in vain at most.
const MAX_TIME: Duration = Duration::from_secs(10);

/// A body that can be read by one reader and, after that reader gave up, to its end.
pub struct Drained {
    body: Arc<Mutex<Option<BodyDataStream>>>,
}

impl Drained {
    /// Takes a body.
    pub fn new(body: Body) -> Self {
        Self { body: Arc::new(Mutex::new(Some(body.into_data_stream()))) }
    }

    /// The body for its reader.
    pub fn reader(&self) -> Body {
        Body::from_stream(Reader { body: self.body.clone() })
    }

    /// Reads what is left, within bounds of bytes and time.
    pub async fn drain(self) {
        let rest = self.body.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut rest) = rest else { return };
        let mut read = 0;
        let reading = async {
            while let Some(Ok(chunk)) = rest.next().await {
                read += chunk.len();
                if read > MAX_BYTES {
                    break;
                }
            }
        };
        // Whether it was read to the end or not, the answer is the same.
        let _ = tokio::time::timeout(MAX_TIME, reading).await;
    }
}

struct Reader {
    body: Arc<Mutex<Option<BodyDataStream>>>,
}

impl Stream for Reader {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        // Held only while polling, and only by whoever reads at the time.
        match self.body.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(body) => body.poll_next_unpin(context),
            None => std::task::Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_a_reader_left_is_read_to_the_end() {
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = seen.clone();
        let chunks = futures::stream::iter(0..10).map(move |number| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from(vec![number; 10]))
        });
        let body = Drained::new(Body::from_stream(chunks));
        let mut reader = body.reader().into_data_stream();
        assert_eq!(reader.next().await.unwrap().unwrap().len(), 10);
        assert_eq!(seen.load(Ordering::Relaxed), 1);
        drop(reader);
        body.drain().await;
        assert_eq!(seen.load(Ordering::Relaxed), 10);
    }
}
