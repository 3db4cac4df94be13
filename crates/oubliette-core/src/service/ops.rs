//! What the committer is asked to do.

use std::collections::HashSet;
use std::sync::Arc;

use keyforest::{Group, Leaf};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::VaultError;
use super::growing::Reading;
use crate::directory::Entry;
use crate::model::{Actor, TenantId};
use crate::ports::{Check, ContentRow, InteractionRow, PurgeKind, PurgeSet, Write};
use crate::proof::{Stated, role_of};

/// A new interaction.
pub struct Insert {
    /// Its row; the block is filled in here.
    pub row: InteractionRow,
    /// Its contents.
    pub contents: Vec<ContentRow>,
    /// Its look-up entry.
    pub entry: Entry,
    /// Refuse when this session id is in use.
    pub unique_session: Option<String>,
    /// The answer.
    pub done: oneshot::Sender<Result<(), VaultError>>,
}

/// Changed look-up keys of an interaction.
pub struct Rekey {
    /// The row to write, with its old version.
    pub row: InteractionRow,
    /// The new entry.
    pub entry: Entry,
    /// The answer: whether the version still matched.
    pub done: oneshot::Sender<Result<bool, VaultError>>,
}

/// An interaction to erase wholly.
pub struct Target {
    /// Its primary group.
    pub group: Group,
    /// Its extra groups.
    pub extra: Vec<Group>,
    /// Its directory block.
    pub block: u64,
    _since: Reading,
}

impl Target {
    /// The interaction of a row that was read while `since` was held.
    pub fn of(row: &InteractionRow, since: &Reading) -> Self {
        let (group, extra, block) = (row.group, row.extra_groups.clone(), row.directory_block);
        Self { group, extra, block, _since: since.clone() }
    }
}

/// Something to erase.
pub struct Erase {
    /// The tenant that ordered it.
    pub tenant: TenantId,
    /// The credential that ordered it.
    pub credential: Option<Uuid>,
    /// What led to it.
    pub kind: PurgeKind,
    /// An interaction to erase wholly whose row the committer looks for.
    pub named: Option<Group>,
    /// Interactions to erase wholly.
    pub targets: Vec<Target>,
    /// Single contents to erase.
    pub leaves: Vec<Leaf>,
    /// Contents in all.
    pub contents: u64,
    /// Selector, reference and reason as bytes to seal.
    pub order: Option<Vec<u8>>,
    /// What the orderer calls it.
    pub reference: Option<String>,
    /// What the log is to state of it beyond the counts.
    pub stated: Stated,
    /// The answer precedes the seal: journal first.
    pub early: bool,
    /// Further writes of the same transaction with what must hold for them; makes the batch a batch of one.
    pub with: Option<(Vec<Check>, Vec<Write>)>,
    /// The answer.
    pub done: oneshot::Sender<Result<Accepted, VaultError>>,
}

impl Erase {
    /// An actor's order of nothing yet.
    pub fn order(actor: &Actor, done: oneshot::Sender<Result<Accepted, VaultError>>) -> Self {
        Self {
            tenant: actor.tenant,
            credential: Some(actor.credential),
            kind: PurgeKind::Order,
            named: None,
            targets: Vec::new(),
            leaves: Vec::new(),
            contents: 0,
            order: None,
            reference: None,
            stated: Stated { role: role_of(actor.scopes), ..Stated::default() },
            early: false,
            with: None,
            done,
        }
    }
}

/// What became of an order to erase.
pub struct Accepted {
    /// The erasure; `None` when everything was hidden or erased already.
    pub id: Option<Uuid>,
    /// Interactions it erases.
    pub groups: HashSet<u64>,
    /// Erasures under way that already cover some of it.
    pub covered_by: Vec<Uuid>,
    /// What it covers.
    pub set: Option<Arc<PurgeSet>>,
}

/// One operation.
pub enum Op {
    /// A new interaction.
    Insert(Box<Insert>),
    /// Changed look-up keys.
    Rekey(Box<Rekey>),
    /// An erasure.
    Erase(Box<Erase>),
}

impl Op {
    /// What it counts in a batch.
    pub fn weight(&self) -> usize {
        match self {
            Self::Insert(_) | Self::Rekey(_) => 1,
            Self::Erase(erase) => 1 + usize::from(erase.named.is_some()) + erase.targets.len(),
        }
    }

    /// Whether it needs a batch of its own.
    pub fn alone(&self) -> bool {
        match self {
            Self::Insert(_) => false,
            Self::Rekey(_) => true,
            Self::Erase(erase) => erase.with.is_some(),
        }
    }
}
