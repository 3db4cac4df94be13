//! Errors of object stores, by what to do next.
//!
//! No error here is ever *unknown* to the caller: an object whose fate could not be found out is never referred to, so for
//! whoever wanted it written it certainly did not happen. What may lie there all the same is a leftover for a sweep.

use std::error::Error;

use oubliette_core::ports::{PortError, PortErrorKind};
use thiserror::Error;

/// Why a request of our own failed.
#[derive(Debug, Error)]
pub(super) enum Fault {
    /// An answer that says no.
    #[error("the object store answered {status} {code}")]
    Answer {
        /// HTTP status.
        status: u16,
        /// The store's own word for it.
        code: String,
    },
    /// No answer, or only part of one.
    #[error("no answer from the object store")]
    Transport(#[source] Box<dyn Error + Send + Sync>),
    /// There is nothing to sign with.
    #[error("no credentials for the object store")]
    Credentials(#[source] object_store::Error),
    /// An answer that says yes, in words that make no sense.
    #[error("an answer of the object store cannot be read: {0}")]
    Unreadable(&'static str),
}

impl Fault {
    /// Whether the same request may do better.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Answer { status, code } => {
                matches!(status, 408 | 429 | 500 | 502 | 503 | 504) || is_passing_code(code)
            }
            Self::Transport(_) => true,
            Self::Credentials(_) | Self::Unreadable(_) => false,
        }
    }

    /// The store does not know such a request.
    pub(super) fn is_unsupported(&self) -> bool {
        matches!(self, Self::Answer { status: 400 | 404 | 405 | 411 | 501, .. })
    }

    /// The credentials do not allow it.
    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Answer { status: 401 | 403, .. })
    }

    /// There is no such object, upload or setting.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Answer { status: 404, .. })
    }

    pub(super) fn port(self, operation: &'static str) -> PortError {
        PortError::new(PortErrorKind::Unavailable, operation, self)
    }
}

/// Whether a store's word means *later*.
pub(super) fn is_passing_code(code: &str) -> bool {
    matches!(
        code,
        "SlowDown"
            | "InternalError"
            | "ServiceUnavailable"
            | "RequestTimeout"
            | "OperationAborted"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequests"
            | "503 SlowDown"
    )
}

/// A write that certainly leads to no reference.
pub(super) fn not_done(operation: &'static str) -> impl FnOnce(object_store::Error) -> PortError {
    move |error| PortError::new(PortErrorKind::Unavailable, operation, error)
}

/// A read: what is absent or shorter than written is damage; everything else passes.
pub(super) fn read_error(error: object_store::Error) -> PortError {
    let kind = match error {
        object_store::Error::NotFound { .. } => PortErrorKind::Corrupt,
        _ => PortErrorKind::Unavailable,
    };
    PortError::new(kind, "read a blob", error)
}
