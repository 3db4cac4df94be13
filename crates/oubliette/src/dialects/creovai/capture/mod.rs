//! Capture of calls, chats and cases, in both generations.

pub mod call;
pub mod case;
pub mod chat;
mod messages;
mod sniff;

use oubliette_core::model::{InteractionMeta, Profile, State, Times};
use oubliette_core::service::{IngestMode, Vault};

/// The state of what has just arrived wholly.
fn arrived(vault: &Vault) -> State {
    match vault.settings().ingest {
        IngestMode::Direct => State::Processed,
        IngestMode::External => State::Pending,
    }
}

/// Stamps what has just arrived wholly.
fn stamp(vault: &Vault, meta: &mut InteractionMeta) {
    let now = vault.now();
    let processed_at = (arrived(vault) == State::Processed).then_some(now);
    meta.times = Times {
        declared_at: meta.times.declared_at.or(Some(now)),
        uploaded_at: Some(now),
        processed_at,
        updated_at: Some(now),
        ..meta.times.clone()
    };
    if meta.profile.dialect.is_empty() {
        meta.profile = Profile { dialect: "creovai".to_owned(), ..Profile::default() };
    }
}
