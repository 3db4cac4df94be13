//! What both places know of a move, as one named value each.
//!
//! The old place's says how far it is. Up to `Copying` the old vault is the truth and may serve; from `HandedOver` on it never
//! serves again. The new place's is there from before anything is copied until the old root is destroyed; while it is there
//! the new place does not serve.

use oubliette_core::ports::{Metadata, PortError, PortErrorKind, Transaction, Write};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Name of the old place's value.
const LEAVING: &str = "move.leaving";
/// Name of the new place's value.
pub const ARRIVING: &str = "move.arriving";

/// How far a move is, as the old place knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Rows and contents are being copied. The old vault is the truth.
    Copying,
    /// The point of no return: everything is there and proven. What is left is to change the roots.
    HandedOver,
}

/// What the old place knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Leaving {
    /// The move.
    pub id: Uuid,
    /// How far it is.
    pub stage: Stage,
    /// Where to, for people.
    pub to: String,
}

/// What the new place knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arriving {
    /// The move.
    pub id: Uuid,
    /// The vault's id.
    pub instance: Uuid,
}

impl Arriving {
    /// Reads a value.
    pub fn decode(bytes: &[u8]) -> Result<Self, PortError> {
        decode(bytes)
    }
}

/// What the old place knows of a move, if there is one.
pub async fn leaving(metadata: &dyn Metadata) -> Result<Option<Leaving>, PortError> {
    metadata.value(LEAVING).await?.map(|bytes| decode(&bytes)).transpose()
}

/// What the new place knows of a move that is not finished.
pub async fn arriving(metadata: &dyn Metadata) -> Result<Option<Arriving>, PortError> {
    metadata.value(ARRIVING).await?.map(|bytes| decode(&bytes)).transpose()
}

/// Tells the old place.
pub async fn set_leaving(metadata: &dyn Metadata, leaving: &Leaving) -> Result<(), PortError> {
    put(metadata, LEAVING, Some(encode(leaving)?)).await
}

/// Tells the new place; `None`: the move is finished, it may serve.
pub async fn set_arriving(metadata: &dyn Metadata, arriving: Option<&Arriving>) -> Result<(), PortError> {
    put(metadata, ARRIVING, arriving.map(encode).transpose()?).await
}

async fn put(metadata: &dyn Metadata, name: &str, value: Option<Vec<u8>>) -> Result<(), PortError> {
    let writes = vec![Write::PutValue(name.to_owned(), value)];
    metadata.apply(Transaction { name: "move.mark", checks: Vec::new(), writes }).await.map(|_| ())
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, PortError> {
    serde_json::to_vec(value).map_err(|error| PortError::new(PortErrorKind::Refused, "note a move", error))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, PortError> {
    serde_json::from_slice(bytes)
        .map_err(|error| PortError::new(PortErrorKind::Corrupt, "read what is noted of a move", error))
}
