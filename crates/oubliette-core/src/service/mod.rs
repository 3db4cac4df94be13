//! What the program's fronts (dialects, CLI, workers) may ask of the vault. One verb a file.
//!
//! Requests end in one of three places: reads go straight to the stores; whatever touches the directory goes through the
//! [`committer`]; whatever destroys keys goes through the [`sealer`].

mod answer;
mod attached;
mod blocks;
mod certificates;
mod certify;
mod closing;
mod committer;
mod content_stream;
mod credentials;
mod erase;
mod erasing;
mod error;
mod growing;
mod hidden;
mod ingest;
mod inspect;
mod journal;
mod leaves;
mod list;
mod log;
mod noting;
mod ops;
mod read;
mod recovery;
mod restore;
mod sealer;
mod shared;
mod sweeper;
mod types;
mod upload;
mod vault;
mod walk;

pub use attached::RESTORE_UNTOLD;
pub use attached::commit_offset;
pub use certificates::BulkLimits;
pub use certify::{LOG_PLAN, LOG_TOLD, has_noted_all};
pub use closing::Closed;
pub use content_stream::{ContentStream, Loan, LoanError, LoanPlace};
pub use error::{AuthError, VaultError};
pub use ingest::{Draft, body_of};
pub use inspect::{Inspection, Looked, LookedUp};
pub use log::{LogError, LogSettings, TransparencyLog, copy_log, whole_log_file};
pub use recovery::Mismatch;
pub use restore::{RESTORE_CRASH_POINTS, RestoreView};
pub use types::{
    BodyStream, ByteRange, Content, ContentReader, ErasureItem, ErasureItemState, ErasureView, IngestMode, Interaction,
    ListQuery, Lookup, NewContent, NewCredential, NewInteraction, Order, Page, Plan, PlanItem, PublicId, Readiness,
    Secret, Status, VaultParts, VaultSettings,
};
pub use vault::{First, Vault, genesis};

/// Every named moment of the services at which a test may crash the process or copy the data folder.
pub const CRASH_POINTS: &[&[&str]] = &[
    committer::CRASH_POINTS,
    sealer::CRASH_POINTS,
    recovery::CRASH_POINTS,
    sweeper::CRASH_POINTS,
    certify::CRASH_POINTS,
    log::CRASH_POINTS,
];
