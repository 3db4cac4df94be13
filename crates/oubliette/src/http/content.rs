//! Stored contents as answers: their bytes, or, to another node that reads them itself, what it needs to do so.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use oubliette_core::model::Actor;
use oubliette_core::service::{ByteRange, Content, ContentReader, ContentStream, Vault, VaultError};

tokio::task_local! {
    static LENDING: ();
}

/// A content in an answer that was asked for by [`lending`]: taken, it is lent; left, its bytes are the body.
#[derive(Clone)]
pub struct Lendable(Arc<Mutex<Option<ContentStream>>>);

impl Lendable {
    /// Takes the content out; the answer's body is empty from then on.
    pub fn take(&self) -> Option<ContentStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Runs a request whose sender understands grants.
pub async fn lending<T>(request: impl Future<Output = T>) -> T {
    LENDING.scope((), request).await
}

/// Opens a content for the request at hand; see [`Vault::read`]. Nothing is read from the store when it may be lent.
pub async fn read(
    vault: &Vault,
    actor: &Actor,
    content: &Content,
    range: Option<ByteRange>,
) -> Result<ContentReader, VaultError> {
    if is_lending() { vault.prepare(actor, content, range).await } else { vault.read(actor, content, range).await }
}

/// An answer whose body are a content's bytes.
pub fn body(stream: ContentStream) -> Response {
    if !is_lending() {
        return Body::from_stream(stream).into_response();
    }
    let shared = Arc::new(Mutex::new(Some(stream)));
    let polled = Arc::clone(&shared);
    let bytes = futures::stream::poll_fn(move |context| {
        // Held only while polling, and only by whoever has the body.
        match polled.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(stream) => futures::Stream::poll_next(std::pin::Pin::new(stream), context),
            None => std::task::Poll::Ready(None),
        }
    });
    let mut response = Body::from_stream(bytes).into_response();
    response.extensions_mut().insert(Lendable(shared));
    response
}

fn is_lending() -> bool {
    LENDING.try_with(|()| ()).is_ok()
}
