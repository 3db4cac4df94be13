//! What an operator states about something that was erased.

use serde::{Deserialize, Serialize};

use crate::Token;
use crate::entry::Event;
use crate::hash::{Hash, sha256};
use crate::id::ItemId;
use crate::json;
use crate::time::Seconds;

/// The member `erased`. Its hash is in the receipt, so that none of it can be changed after the seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// When the order was accepted; from then on nothing of it could be read.
    pub accepted_at: Seconds,
    /// Role of who ordered it, never a name.
    pub actor_role: Token,
    /// Until when sealed copies may lie in backups, if the operator says so. (They cannot be opened either way.)
    pub backup_horizon: Option<Seconds>,
    /// Contents that were erased, ascending by kind and size class.
    pub contents: Vec<ContentCount>,
    /// Why: the vCon lifecycle draft's name of it.
    pub event: Event,
    /// Interactions that were erased wholly.
    #[serde(with = "json::count")]
    pub interactions: u64,
    /// Receipts of single items under this order; 1 for an item.
    #[serde(with = "json::count")]
    pub items: u64,
    /// What the order named and was *not* erased, ascending by reason.
    pub kept: Vec<KeptCount>,
    /// On which ground, if the operator says so: a code of theirs such as `gdpr:17-1-b`.
    pub legal_basis: Option<Token>,
    /// The order.
    pub order: ItemId,
    /// For a single content: the interaction it belonged to.
    pub part_of: Option<ItemId>,
    /// Commitment to what the orderer called the order ([`crate::receipt::reference_commitment`]).
    pub reference: Option<Hash>,
}

/// Contents of one kind and size.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentCount {
    /// How many, at least one.
    #[serde(with = "json::count")]
    pub count: u64,
    /// What they were, for example `callRecording`.
    pub kind: Token,
    /// Each stored in fewer than 2 to this power of bytes, and at least half of that; at most 64.
    pub size_class: u8,
}

/// Things that were named and not erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptCount {
    /// How many, at least one.
    #[serde(with = "json::count")]
    pub count: u64,
    /// Why, for example `legal-hold`.
    pub reason: Token,
}

impl Facts {
    /// Hash for the receipt: of the canonical JSON without a newline.
    pub fn hash(&self) -> Hash {
        sha256(&[&serde_json::to_vec(self).unwrap_or_default()])
    }

    /// Whether lists are in order and counts are possible.
    pub(super) fn is_sound(&self) -> bool {
        let key = |content: &ContentCount| (content.kind.clone(), content.size_class);
        self.contents.is_sorted_by(|a, b| key(a) < key(b))
            && self.contents.iter().all(|content| content.count > 0 && content.size_class <= 64)
            && self.kept.is_sorted_by(|a, b| a.reason < b.reason)
            && self.kept.iter().all(|kept| kept.count > 0)
    }

    /// Contents erased, in all.
    pub fn content_count(&self) -> u64 {
        self.contents.iter().fold(0, |sum, content| sum.saturating_add(content.count))
    }
}
