//! Outcomes that callers treat differently.

use thiserror::Error;

use crate::model::Scope;
use crate::ports::PortError;

/// Why a service did not do what was asked. Each dialect maps this in one exhaustive match.
#[derive(Debug, Error)]
pub enum VaultError {
    /// The actor lacks a scope.
    #[error("the credential lacks the scope {}", .0.name())]
    Denied(Scope),
    /// It never existed here, or belongs to another tenant.
    #[error("not found")]
    NotFound,
    /// It was erased (or is being erased: hidden already).
    #[error("erased")]
    Gone,
    /// It stands in the way of what is there: an upload nobody waits for, a session id in use, a plan that drifted.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// The request makes no sense; the text is fit for the client and holds nothing personal.
    #[error("invalid: {0}")]
    Invalid(&'static str),
    /// Larger than the configured limit.
    #[error("too large")]
    TooLarge,
    /// The client's own stream broke off.
    #[error("the upload broke off")]
    Interrupted,
    /// The requested byte range lies outside the content.
    #[error("range not satisfiable")]
    Range {
        /// The content's exact length in bytes.
        length: u64,
    },
    /// The look-up map is still being rebuilt. Never to be answered as *not found*.
    #[error("look-ups are not ready yet")]
    NotReady,
    /// The vault stands on an older copy of its database: it can be read, and changed once the restore is committed.
    #[error("the vault is restored from an older copy and read-only until that is committed")]
    Attached,
    /// Accepted and hidden, but not sealed in time; it stays due. Ask again.
    #[error("the erasure is due but not sealed yet")]
    StillDue,
    /// It is erased or being erased, and its certificate is not made yet. Ask again.
    #[error("erased; its certificate is not made yet")]
    Uncertified,
    /// It is erased, and there is no receipt for it: it went before there were certificates.
    #[error("erased without a receipt")]
    NoReceipt,
    /// Too many of these are under way, or this one was read too slowly. Ask again.
    #[error("too many large answers are under way")]
    Busy,
    /// The store is busy, full, read-only or stopping.
    #[error("unavailable")]
    Unavailable(#[source] Option<PortError>),
    /// Stored bytes are damaged or something impossible happened; the cause is logged, never told.
    #[error("internal error")]
    Internal(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
}

/// Why somebody could not be authenticated. One answer for all: who knocks learns nothing.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AuthError {
    /// Missing, unknown, malformed, expired, revoked, or of another protocol.
    #[error("not authenticated")]
    Unauthenticated,
}
