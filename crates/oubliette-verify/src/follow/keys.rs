//! To which keys a log was handed, as its entries say.

use oubliette_proof::entry::KeyRotation;
use oubliette_proof::note::{KeyKind, TrustedKeys, VerifierKey};

/// Changes of one log's key, in the order of its entries.
pub struct Succession {
    origin: String,
    handed: Vec<VerifierKey>,
}

impl Succession {
    /// None yet.
    pub fn new(origin: &str) -> Self {
        Self { origin: origin.to_owned(), handed: Vec::new() }
    }

    /// Takes note of a change. The new key is trusted when a key agreed to it that is; that the log was handed on is
    /// so in any case, if both keys signed that.
    pub fn add(&mut self, rotation: &KeyRotation, keys: &mut TrustedKeys) {
        keys.learn(&self.origin, rotation);
        let old = VerifierKey::new(&self.origin, KeyKind::Note, rotation.old);
        if let Ok(new) = old.and_then(|old| rotation.verify(&old)) {
            self.handed.push(new);
        }
    }

    /// The last key that the log was handed to, of these changes.
    pub fn last(&self) -> Option<&VerifierKey> {
        self.handed.last()
    }

    /// The key that has to sign now: the last one that the log was handed to, else the one of before.
    pub fn in_force<'a>(&'a self, before: &'a [VerifierKey]) -> Option<&'a VerifierKey> {
        self.last().or_else(|| before.first())
    }

    /// All trusted keys of the log, the one in force first. `signers`: who signed the checkpoint; at the first look, and
    /// without a change of the key, that is all there is to know.
    pub fn keys(&self, before: &[VerifierKey], signers: &[VerifierKey], trusted: &TrustedKeys) -> Vec<VerifierKey> {
        let own = trusted.keys().iter().filter(|key| key.name() == self.origin && key.kind() == KeyKind::Note);
        let mut keys: Vec<VerifierKey> = Vec::new();
        for key in self.handed.iter().rev().chain(before).chain(signers).chain(own) {
            if trusted.keys().contains(key) && !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        keys
    }
}
