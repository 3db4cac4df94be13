//! What the program's fronts (dialects, CLI, workers) may ask of the vault. One verb a file.

mod error;
mod types;
mod vault;

pub use error::{AuthError, VaultError};
pub use types::{
    BodyStream, ByteRange, Content, ContentReader, ErasureItem, ErasureItemState, ErasureView, IngestMode, Interaction,
    ListQuery, Lookup, NewContent, NewCredential, NewInteraction, Order, Page, Plan, PlanItem, PublicId, Readiness,
    Secret, Status, VaultParts, VaultSettings,
};
pub use vault::{Draft, Vault};
