//! What an order asks to erase.

use serde::{Deserialize, Serialize};

/// Ids and personal keys naming interactions; the union of all lists. Personal data: no `Debug`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selector {
    /// Public interaction ids.
    pub ids: Vec<String>,
    /// Session ids.
    pub sessions: Vec<String>,
    /// Phone numbers of external participants, in any spelling.
    pub phones: Vec<String>,
    /// E-mail addresses of external participants.
    pub emails: Vec<String>,
}

impl Selector {
    /// Entries in all lists.
    pub fn len(&self) -> usize {
        self.ids.len() + self.sessions.len() + self.phones.len() + self.emails.len()
    }

    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
