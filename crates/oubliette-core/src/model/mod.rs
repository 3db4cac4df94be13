//! The nouns of the domain, one file each.

mod actor;
mod content;
mod interaction;
mod selector;

pub use actor::{Actor, Credential, CredentialKind, Scope, Scopes, TenantId};
pub use content::{ContentKey, ContentKind, ContentMeta, InvalidContentKey, SizeClass};
pub use interaction::{
    ChatMessage, Direction, InteractionKind, InteractionMeta, OutOfBand, Participant, Profile, State, Times,
};
pub use selector::Selector;
