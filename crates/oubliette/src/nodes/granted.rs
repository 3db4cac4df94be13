//! A content read here, with a key that the holder lent: sealed bytes come from the bucket, are opened chunk by chunk, and no
//! chunk leaves after the key was taken back or the lease ended.
//!
//! A key that goes does not say why. So whoever reads on asks the holder again for what is left: a new holder lends it anew
//! when the old one handed over; an erased content is refused, and the stream ends.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use oubliette_core::crypto::KeyCell;
use oubliette_core::ports::Lease;
use oubliette_core::service::{Loan, LoanPlace};

use super::body::Outgoing;
use super::forward::{Failed, Given, Granted, Template, end_to_end};
use super::front::{Front, Upstream};
use super::lease::Ticket;
use super::wire;
use crate::http::content::Lendable;

/// Longest grant.
const MAX_GRANT: usize = 8 << 10;
/// How often one stretch is asked for anew without a byte of it having come.
const TRIES: usize = 4;

/// A content being read.
struct Reading {
    front: Arc<Front>,
    template: Arc<Template>,
    place: LoanPlace,
    /// Plain bytes still to be given.
    left: Range<u64>,
    open: Option<Opened>,
    tries: usize,
}

struct Opened {
    stream: Pieces,
    // After the stream: the holder is told that the key is not used any more.
    _ticket: Option<Ticket>,
}

/// Plain bytes; an error says that no more come from here.
type Pieces = BoxStream<'static, Result<Bytes, ()>>;

/// The answer to a client whose request was answered with a grant.
pub async fn open(front: &Arc<Front>, template: Arc<Template>, granted: Granted) -> Result<Response, Failed> {
    let Granted { answer, ticket, upstream } = granted;
    let (parts, body) = answer.into_parts();
    let loan = read(body).await?;
    let place = loan.place.clone();
    let mut reading =
        Reading { front: Arc::clone(front), template, left: place.range.clone(), place, open: None, tries: 0 };
    // A content that does not open is an error, and no answer that breaks off.
    reading.open = match opened(front, &upstream, loan, ticket).await {
        Some(opened) => Some(opened),
        None => Some(reading.anew().await?),
    };
    let bytes = stream::try_unfold(reading, async |mut reading| match reading.piece().await {
        Ok(Some(piece)) => Ok(Some((piece, reading))),
        Ok(None) => Ok(None),
        Err(_) => Err(std::io::Error::other("the content cannot be read any more")),
    });
    let mut response = Response::new(Body::from_stream(bytes));
    *response.status_mut() = parts.status;
    *response.headers_mut() = end_to_end(&parts.headers);
    response.headers_mut().remove(CONTENT_LENGTH);
    if let Some(length) = parts.headers.get(wire::LENGTH) {
        response.headers_mut().insert(CONTENT_LENGTH, length.clone());
    }
    Ok(response)
}

impl Reading {
    /// The next plain bytes; `None` at the end.
    async fn piece(&mut self) -> Result<Option<Bytes>, Failed> {
        while !self.left.is_empty() {
            if let Some(open) = &mut self.open {
                if let Some(Ok(piece)) = open.stream.next().await {
                    self.left.start += piece.len() as u64;
                    self.tries = 0;
                    metrics::counter!("oubliette_node_granted_bytes_total").increment(piece.len() as u64);
                    return Ok(Some(piece));
                }
                self.open = None;
            }
            self.open = Some(self.anew().await?);
        }
        self.open = None;
        Ok(None)
    }

    /// Asks for what is left, of whoever holds the vault now.
    async fn anew(&mut self) -> Result<Opened, Failed> {
        while self.tries < TRIES && !self.left.is_empty() {
            self.tries += 1;
            let range = format!("bytes={}-{}", self.left.start, self.left.end - 1);
            let template = self.template.with_range(&range);
            let (opened, place) = match self.front.ask_holder(&template, &Outgoing::Whole(Bytes::new())).await? {
                Given::Grant(Granted { answer, ticket, upstream }) => {
                    let loan = read(answer.into_body()).await?;
                    let place = loan.place.clone();
                    (opened(&self.front, &upstream, loan, ticket).await, place)
                }
                Given::Here(mut answer) => {
                    let content = answer.extensions_mut().remove::<Lendable>().and_then(|content| content.take());
                    let content = content.ok_or(Failed)?;
                    let place = content.place().ok_or(Failed)?;
                    (Some(Opened { stream: content.map(|piece| piece.map_err(drop)).boxed(), _ticket: None }), place)
                }
                // Erased, or whoever asks may not read it any more.
                Given::Answer(..) => return Err(Failed),
            };
            // Compaction may have moved it; the commitment says that it is the same.
            let same = LoanPlace { range: self.left.clone(), blob: place.blob.clone(), ..self.place.clone() };
            if place != same {
                // The name stands for another content by now.
                return Err(Failed);
            }
            if let Some(opened) = opened {
                return Ok(opened);
            }
        }
        Err(Failed)
    }
}

async fn read(body: Incoming) -> Result<Loan, Failed> {
    let bytes = Limited::new(body, MAX_GRANT).collect().await.map_err(|_| Failed)?.to_bytes();
    wire::decode(&bytes).ok_or(Failed)
}

/// Takes a loan into use; `None` when it was taken back meanwhile, or its bytes cannot be read.
async fn opened(front: &Front, upstream: &Upstream, loan: Loan, ticket: Ticket) -> Option<Opened> {
    let Loan { key, place } = loan;
    let cell = KeyCell::new(key, Arc::clone(&upstream.lease) as Arc<dyn Lease>);
    if !ticket.take(&cell) {
        return None;
    }
    metrics::counter!("oubliette_node_grants_total").increment(1);
    match place.open(Arc::clone(&front.parts.blobs), &cell).await {
        Ok(stream) => Some(Opened { stream: stream.map(|piece| piece.map_err(drop)).boxed(), _ticket: Some(ticket) }),
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "a content that was lent did not open");
            None
        }
    }
}
