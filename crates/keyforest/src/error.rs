//! Errors, by what the caller does next.

use thiserror::Error;

/// Why a key could not be had.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The leaf was erased.
    #[error("the leaf was erased")]
    Punctured,
    /// The leaf was never issued.
    #[error("the leaf was never issued")]
    NeverIssued,
    /// A paged bucket could not be read.
    #[error("a key page could not be read")]
    Page(#[source] ForestError),
}

/// Errors of opening and of the media below.
#[derive(Debug, Error)]
pub enum ForestError {
    /// The medium failed.
    #[error("key state {operation}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The register holds no valid slot.
    #[error("the register holds no valid root")]
    NoRoot,
    /// The highest valid slot's pages do not open. Nothing was overwritten.
    #[error("the pages of epoch {epoch} do not open: {reason}")]
    PagesDoNotOpen {
        /// The slot's epoch.
        epoch: u64,
        /// What failed, without key material.
        reason: &'static str,
    },
    /// There already is a state where a new one was to be made.
    #[error("there already is a key state here")]
    Exists,
    /// No provisioned bucket is left; provision and try again.
    #[error("no provisioned bucket is left")]
    Unprovisioned,
    /// What was asked for makes no sense; nothing was done.
    #[error("refused: {reason}")]
    Refused {
        /// Why.
        reason: &'static str,
    },
    /// The state read back from the device is not the old one minus what was planned. The old root is whole.
    #[error("the written state failed its check: {reason}")]
    Verify {
        /// What is wrong, without key material.
        reason: &'static str,
    },
    /// The journal lacks an acknowledged record.
    #[error("the journal lacks record {position}")]
    JournalGap {
        /// Position of the first record missing.
        position: u64,
    },
    /// An earlier flush failed: this process must end and a new one recover.
    #[error("an earlier flush failed: the process must end and recover")]
    Ended,
}

/// Why a seal did not happen.
#[derive(Debug, Error)]
pub enum SealError {
    /// Certainly not done: the old epoch is in force and the state in memory is unchanged. May be tried again.
    #[error("the seal was not made")]
    NotDone(#[source] ForestError),
    /// The pages are durable and checked, but the register's store does not answer. The old epoch is in force, readers go
    /// on, and whether the new root has arrived is left open: call [`Forest::finish_seal`](crate::Forest::finish_seal)
    /// until it is done. A process that ends instead recovers.
    #[error("the seal waits for the register")]
    Stalled(#[source] ForestError),
    /// A flush failed at or after the point where the disk's state is unknown, or another process has taken the medium
    /// over. The process must end and recover.
    #[error("a flush failed during the seal: the process must end and recover")]
    Unknown(#[source] ForestError),
}
