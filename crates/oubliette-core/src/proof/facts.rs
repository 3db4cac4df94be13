//! What a seal's entry is to say, kept from the seal until the log tells of it.

use oubliette_proof::entry::SealEntry;
use oubliette_proof::{Hash, Token};
use serde::{Deserialize, Serialize};

/// A seal as the sealer saw it. Stored as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealFacts {
    /// Epoch before it.
    pub before: u64,
    /// State hashes before and after.
    pub states: [Hash; 2],
    /// Leaves punctured.
    pub punctured: u64,
    /// Class of the register.
    pub register_class: Token,
    /// What lowers it.
    pub findings: Vec<Token>,
    /// Mirrors that held the new state.
    pub mirrors: u8,
    /// Agents that confirmed the destruction of the old root.
    pub agents_confirmed: u8,
    /// Agents there are.
    pub agents: u8,
}

impl SealFacts {
    /// For the row.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`SealFacts::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// An entry of this seal without receipts, from `before` on: the last state the log knows.
    pub fn entry(&self, before: Option<(u64, Hash)>, epoch: u64) -> SealEntry {
        let (from, state) = before.unwrap_or((self.before, self.states[0]));
        let mut findings = self.findings.clone();
        findings.sort_unstable();
        findings.dedup();
        SealEntry {
            epochs: [from, epoch],
            states: [state, self.states[1]],
            punctured: self.punctured,
            interactions: 0,
            contents: 0,
            events: Vec::new(),
            receipts: 0,
            receipts_root: Hash::default(),
            register_class: self.register_class.clone(),
            trusted: findings.is_empty(),
            findings,
            mirrors: self.mirrors,
            agents_confirmed: self.agents_confirmed,
            agents: self.agents,
        }
    }
}

/// A word for the log of a text that was made for people: what a token cannot hold becomes a dash.
pub(crate) fn token(text: &str) -> Option<Token> {
    let word: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || "._:/-".contains(c) { c } else { '-' }).take(64).collect();
    Token::new(word)
}
