//! Erasures: plan or order them, watch them, list them.

mod bulk;
pub mod create;
pub mod events;
pub mod list;
pub mod read;
pub mod replay;

use jiff::Timestamp;
use oubliette_core::ports::PurgeState;
use oubliette_core::service::ErasureView;
use serde::Serialize;
use utoipa::ToSchema;

/// An erasure as shown.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErasureBody {
    /// Its id.
    id: String,
    /// `accepted` (hidden: every read answers *gone*), `planned` (cannot be undone), `sealed` (the keys and the old root
    /// are destroyed) or `removed` (rows and blobs are gone as well).
    state: &'static str,
    /// Interactions erased wholly.
    interactions: u64,
    /// Contents erased.
    contents: u64,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    accepted_at: Timestamp,
    /// When it was sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    sealed_at: Option<Timestamp>,
    /// The epoch that sealed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed_epoch: Option<u64>,
    /// When rows and blobs were removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    removed_at: Option<Timestamp>,
    /// The keys are destroyed, but the blob store keeps ciphertext until then and lets nobody remove it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    retained_until: Option<Timestamp>,
    /// The orderer's reference; it dies with the seal.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// Why; it dies with the seal.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Where its certificate is, once the log tells of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
}

impl From<ErasureView> for ErasureBody {
    fn from(view: ErasureView) -> Self {
        let state = match (view.state, view.removed_at) {
            (PurgeState::Accepted, _) => "accepted",
            (PurgeState::Planned, _) => "planned",
            (PurgeState::Sealed, None) => "sealed",
            (PurgeState::Sealed, Some(_)) => "removed",
        };
        let certificate = view.certified.then(|| format!("/api/v1/erasures/{}/certificate", view.id));
        Self {
            id: view.id.to_string(),
            state,
            interactions: view.interactions,
            contents: view.contents,
            accepted_at: view.accepted_at,
            sealed_at: view.sealed_at,
            sealed_epoch: view.sealed_epoch,
            removed_at: view.removed_at,
            retained_until: view.retained_until,
            reference: view.reference,
            reason: view.reason,
            certificate,
        }
    }
}
