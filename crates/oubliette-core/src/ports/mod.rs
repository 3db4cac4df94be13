//! What the domain needs from the outside: metadata, blobs, time, the right to use keys. Adapters implement these; conformance suites in
//! `testing::conformance` state each sentence of the contracts as a test.

mod blobs;
mod clock;
mod covers;
mod error;
mod layer;
mod lease;
mod lenders;
mod metadata;
mod proof;
mod waiting;

pub use blobs::{BlobHint, BlobRef, BlobWriter, Blobs, LiveBlobs, Removal, SweepReport};
pub use clock::{Clock, SystemClock};
pub use covers::{CoverRow, StoredSet};
pub use error::{PortError, PortErrorKind};
pub use layer::MetadataLayer;
pub use lease::{Lease, Unbounded};
pub use lenders::{Lenders, NoLenders};
pub use metadata::{
    Applied, Check, ContentRow, CredentialRow, DirectoryRow, InstanceRow, InteractionRow, Metadata, PurgeKind,
    PurgeRow, PurgeSet, PurgeState, Transaction, Write,
};
pub use proof::{ArrivalRow, BatchRow, Certified, ReceiptPlace, RemovalPlace, RemovedPurge, SealRow};
pub use waiting::{may_wait, this_thread_may_wait};
