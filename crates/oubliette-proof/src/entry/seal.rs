//! Kind 1: keys were destroyed.
//!
//! ```text
//! epoch from u64 ‖ epoch to u64 ‖ state hash from ‖ state hash to
//! leaves punctured u64 ‖ interactions erased u64 ‖ contents erased u64
//! events: list of (event u8, count u64), ascending by event, counts above 0
//! receipts u64 ‖ Merkle root over them
//! register class: token ‖ trusted u8 (0, 1) ‖ findings: list of tokens, ascending
//! mirrors u8 ‖ agents that confirmed u8 ‖ agents u8
//! ```

use serde::{Deserialize, Serialize};

use super::codec::{Reader, Writer};
use crate::Token;
use crate::hash::Hash;

/// Event types of the vCon lifecycle draft (draft-howe-vcon-lifecycle).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Event {
    /// Somebody asked for it.
    #[serde(rename = "vcon_deleted")]
    Deleted,
    /// Its time to be kept was over.
    #[serde(rename = "vcon_expired")]
    Expired,
}

impl Event {
    /// Its number in entries and receipts.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Deleted => 1,
            Self::Expired => 2,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Deleted, Self::Expired].into_iter().find(|event| event.code() == code)
    }

    /// The draft's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deleted => "vcon_deleted",
            Self::Expired => "vcon_expired",
        }
    }
}

/// How many interactions and contents went for one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventCount {
    /// The cause.
    pub event: Event,
    /// How many receipts bear it.
    pub count: u64,
}

/// A statement of the operator: the leaves of these receipts are punctured in the state `states[1]`, and the root key of
/// `states[0]` was destroyed in the register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealEntry {
    /// Epoch before and after.
    pub epochs: [u64; 2],
    /// SHA-256 of the state root page's ciphertext before and after.
    pub states: [Hash; 2],
    /// Leaves punctured.
    pub punctured: u64,
    /// Interactions erased wholly.
    pub interactions: u64,
    /// Contents erased.
    pub contents: u64,
    /// By cause: ascending, none with a count of 0, no cause twice.
    pub events: Vec<EventCount>,
    /// Number of receipts under the root.
    pub receipts: u64,
    /// Merkle root over the commitments of the receipts ([`crate::receipt::Erased`]).
    pub receipts_root: Hash,
    /// Class of the register in which the old root was destroyed.
    pub register_class: Token,
    /// Whether nothing was found at the register's place that lowers its class.
    pub trusted: bool,
    /// What was found there: ascending, none twice, at most 255.
    pub findings: Vec<Token>,
    /// Mirrors that held the new state before the old root was destroyed.
    pub mirrors: u8,
    /// Escrow agents that confirmed the destruction of the old root.
    pub agents_confirmed: u8,
    /// Escrow agents there were.
    pub agents: u8,
}

impl SealEntry {
    pub(super) fn write(&self, out: &mut Writer) {
        self.epochs.iter().for_each(|epoch| out.u64(*epoch));
        self.states.iter().for_each(|state| out.hash(state));
        [self.punctured, self.interactions, self.contents].into_iter().for_each(|count| out.u64(count));
        out.list(&self.events, |out, EventCount { event, count }| {
            out.u8(event.code());
            out.u64(*count);
        });
        out.u64(self.receipts);
        out.hash(&self.receipts_root);
        out.text(self.register_class.as_str());
        out.u8(u8::from(self.trusted));
        out.list(&self.findings, |out, finding| out.text(finding.as_str()));
        [self.mirrors, self.agents_confirmed, self.agents].into_iter().for_each(|count| out.u8(count));
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let entry = Self {
            epochs: [from.u64()?, from.u64()?],
            states: [from.hash()?, from.hash()?],
            punctured: from.u64()?,
            interactions: from.u64()?,
            contents: from.u64()?,
            events: from.list(|from| {
                let event = Event::from_code(from.u8()?)?;
                Some(EventCount { event, count: from.u64().filter(|count| *count > 0)? })
            })?,
            receipts: from.u64()?,
            receipts_root: from.hash()?,
            register_class: from.token()?,
            trusted: from.u8().filter(|flag| *flag <= 1)? == 1,
            findings: from.list(Reader::token)?,
            mirrors: from.u8()?,
            agents_confirmed: from.u8()?,
            agents: from.u8()?,
        };
        let ascending =
            entry.events.is_sorted_by(|a, b| a.event < b.event) && entry.findings.is_sorted_by(|a, b| a < b);
        let sound = entry.epochs[0] < entry.epochs[1] && entry.agents_confirmed <= entry.agents;
        (ascending && sound).then_some(entry)
    }
}
