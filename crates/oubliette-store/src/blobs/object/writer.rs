//! A blob being written: kept in memory while it is small, uploaded in parts once it is not.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use oubliette_core::ports::{BlobHint, BlobRef, BlobWriter, PortError, PortErrorKind};

use super::large::LargeWriter;
use super::place::Place;
use super::{Shared, segments};

/// See [`oubliette_core::ports::BlobWriter`].
pub(super) struct ObjectWriter {
    shared: Arc<Shared>,
    lane: u64,
    state: State,
}

enum State {
    Small(Vec<Bytes>, u64),
    Large(Box<LargeWriter>),
    /// A write failed half-way: nothing can come of it.
    Failed,
}

impl ObjectWriter {
    pub(super) fn create(shared: &Arc<Shared>, hint: BlobHint) -> Result<Self, PortError> {
        let large = hint.length.is_some_and(|length| length > shared.options.small_bytes);
        let state = if large { State::Large(Box::new(LargeWriter::new(shared)?)) } else { State::Small(Vec::new(), 0) };
        Ok(Self { shared: Arc::clone(shared), lane: hint.lane, state })
    }
}

#[async_trait]
impl BlobWriter for ObjectWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), PortError> {
        match &mut self.state {
            State::Large(object) => object.write(bytes).await,
            State::Small(parts, length) if *length + bytes.len() as u64 <= self.shared.options.small_bytes => {
                *length += bytes.len() as u64;
                parts.push(bytes);
                Ok(())
            }
            State::Failed => Err(failed()),
            State::Small(parts, _) => {
                let parts = std::mem::take(parts);
                self.state = State::Failed;
                let mut object = Box::new(LargeWriter::new(&self.shared)?);
                for part in parts {
                    object.write(part).await?;
                }
                object.write(bytes).await?;
                self.state = State::Large(object);
                Ok(())
            }
        }
    }

    async fn finish(self: Box<Self>) -> Result<BlobRef, PortError> {
        let place = match self.state {
            State::Large(object) => object.finish().await?,
            State::Small(parts, _) => Place::Segment(segments::append(&self.shared, self.lane, parts).await?),
            State::Failed => return Err(failed()),
        };
        Ok(place.to_ref())
    }
}

fn failed() -> PortError {
    PortError::bare(PortErrorKind::Unavailable, "write a blob after a failed write")
}
