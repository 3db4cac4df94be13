//! What is to be stated of an order beyond what its row counts: settled when it is accepted, for its words die with it.

use oubliette_proof::certificate::KeptCount;
use oubliette_proof::{Hash, Seconds, Token};
use serde::{Deserialize, Serialize};

use crate::model::{Scope, Scopes};

/// Stored as JSON. No names: roles, codes, counts and a salted commitment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stated {
    /// Role of who ordered it; `None` of erasures from before there were certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Token>,
    /// On which ground.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legal_basis: Option<Token>,
    /// Commitment to what the orderer called it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Hash>,
    /// What it named and does not erase, ascending by reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<KeptCount>,
    /// Until when sealed copies may lie in backups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_horizon: Option<Seconds>,
}

impl Stated {
    /// For the row.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`Stated::encode`] wrote; of erasures from before there is nothing.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() { Some(Self::default()) } else { serde_json::from_slice(bytes).ok() }
    }

    /// Counts things that were named and are not erased.
    pub fn keep(&mut self, reason: &'static str, count: u64) {
        let Some(reason) = Token::new(reason).filter(|_| count > 0) else { return };
        match self.kept.binary_search_by(|kept| kept.reason.cmp(&reason)) {
            Ok(at) => self.kept[at].count += count,
            Err(at) => self.kept.insert(at, KeptCount { count, reason }),
        }
    }
}

/// What somebody who may do this is called in certificates: the weightiest of the roles, never a name.
pub fn role_of(scopes: Scopes) -> Option<Token> {
    let roles = [
        (Scope::Admin, "administrator"),
        (Scope::InteractionPurge, "privacy-officer"),
        (Scope::InteractionDelete, "client"),
    ];
    let role = roles.into_iter().find(|(scope, _)| scopes.contains(*scope)).map_or("writer", |(_, role)| role);
    Token::new(role)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stated_survives_and_nothing_is_stated_of_old_erasures() {
        let mut stated = Stated { role: role_of(Scopes::all()), ..Stated::default() };
        stated.legal_basis = Token::new("gdpr:17-1-b");
        stated.reference = Some(Hash([4; 32]));
        stated.keep("not-found", 2);
        stated.keep("already-erased", 1);
        stated.keep("not-found", 1);
        stated.keep("held", 0);
        let again = Stated::decode(&stated.encode()).unwrap();
        assert_eq!(again, stated);
        let kept: Vec<_> = again.kept.iter().map(|kept| (kept.reason.as_str(), kept.count)).collect();
        assert_eq!(kept, [("already-erased", 1), ("not-found", 3)]);
        assert_eq!(Stated::decode(&[]), Some(Stated::default()));
        assert!(Stated::decode(b"{").is_none());
    }

    #[test]
    fn the_weightiest_role_counts() {
        let role = |scopes: &[Scope]| role_of(scopes.iter().copied().collect()).unwrap().as_str().to_owned();
        assert_eq!(role(&[Scope::InteractionDelete, Scope::InteractionPurge]), "privacy-officer");
        assert_eq!(role(&[Scope::InteractionDelete, Scope::InteractionWrite]), "client");
        assert_eq!(role(&[Scope::InteractionWrite]), "writer");
    }
}
