//! The few kinds of error a port has, by what the caller must do next.

use thiserror::Error;

/// What the caller must do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortErrorKind {
    /// Certainly not done; the store is busy or down (disk full, read-only, timeout before the commit). Try again later.
    Unavailable,
    /// It may or may not have happened (a failed flush, a lost connection during commit). Re-read before anything else;
    /// after a failed local flush the process must end.
    Unknown,
    /// Stored bytes are not what was written.
    Corrupt,
    /// The request is against the port's contract.
    Refused,
}

/// An error of a port. Carries no personal data and no key.
#[derive(Debug, Error)]
#[error("{operation}")]
pub struct PortError {
    /// What to do next.
    pub kind: PortErrorKind,
    /// What was being done, as a constant text.
    pub operation: &'static str,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl PortError {
    /// An error with a cause.
    pub fn new(
        kind: PortErrorKind,
        operation: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, operation, source: Some(source.into()) }
    }

    /// An error without a further cause.
    pub fn bare(kind: PortErrorKind, operation: &'static str) -> Self {
        Self { kind, operation, source: None }
    }
}
