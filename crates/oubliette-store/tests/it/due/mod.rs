//! Erasures that were accepted and not sealed before a vault stopped: what is said of them until they are. Every test runs over
//! SQLite and over PostgreSQL.

mod directory;
mod journaled;
mod named;

use std::time::Duration;

use oubliette_core::model::{InteractionKind, InteractionMeta, Selector, State};
use oubliette_core::ports::{Clock, SystemClock};
use oubliette_core::service::{Interaction, NewInteraction, Order, VaultSettings};

use crate::certificates::over_both;
use crate::certificates::support::Open;

/// With deletes that do not wait long.
fn hasty() -> VaultSettings {
    VaultSettings { seal_timeout: Duration::from_millis(300), ..VaultSettings::default() }
}

/// An interaction that another system calls `NAME`; its session is `NAME-session`.
async fn named(open: &Open, name: &str) -> Interaction {
    let mut meta = InteractionMeta::starting(SystemClock.now());
    meta.session_id = Some(format!("{name}-session"));
    meta.external_ids.push(name.to_owned());
    let new = NewInteraction { kind: InteractionKind::Call, state: State::Processed, meta, unique_session: false };
    open.vault.draft(&open.actor).await.unwrap().commit(new).await.unwrap()
}

/// An order to erase what a session id names.
fn order_of(session: &str) -> Order {
    let selector = Selector { sessions: vec![session.to_owned()], ..Selector::default() };
    Order { selector, reference: None, reason: None, legal_basis: None, plan_hash: None }
}
