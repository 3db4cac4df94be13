//! Which key of a log is in force: the first hands the log to the next in an entry, that one to another, and so on.
//!
//! A change of the key counts only when the key that is in force at its entry agreed to it. Whoever has a key that was given
//! up can sign another change and put it behind a copy of the log; nobody is handed the log by that.

use crate::entry::KeyRotation;
use crate::note::{KeyKind, VerifierKey};

/// Most stray keys that are remembered.
const MAX_STRAYS: usize = 1_000;

/// The keys of one log, in the order of its entries.
#[derive(Clone, Debug)]
pub struct Succession {
    origin: String,
    /// Each with the number of entries from which on it is in force, oldest first.
    keys: Vec<(u64, VerifierKey)>,
    strays: Vec<VerifierKey>,
}

impl Succession {
    /// Of a log from its first entry on. Its first key is the one that the first change names; without one there is no telling.
    pub fn new(origin: &str) -> Self {
        Self { origin: origin.to_owned(), keys: Vec::new(), strays: Vec::new() }
    }

    /// Of a log whose key is this one, from where it is.
    pub fn since(key: VerifierKey) -> Self {
        Self { origin: key.name().to_owned(), keys: vec![(0, key)], strays: Vec::new() }
    }

    /// Of a log that has had these keys, the one that is in force first; `None` without any.
    pub fn after(keys: &[VerifierKey]) -> Option<Self> {
        let origin = keys.first()?.name().to_owned();
        Some(Self { origin, keys: keys.iter().rev().map(|key| (0, key.clone())).collect(), strays: Vec::new() })
    }

    /// Takes note of the change of the key in entry `number`; whether the log was handed over by it. Entries come in their
    /// order. That they are the log's is for the caller to know, and to believe nothing before.
    pub fn add(&mut self, number: u64, rotation: &KeyRotation) -> bool {
        let old = VerifierKey::new(&self.origin, KeyKind::Note, rotation.old);
        let Some((old, new)) = old.ok().and_then(|old| rotation.verify(&old).ok().map(|new| (old, new))) else {
            return false;
        };
        if self.keys.is_empty() {
            self.keys.push((0, old.clone()));
        }
        if self.in_force() == Some(&old) {
            self.keys.push((number.saturating_add(1), new));
            return true;
        }
        let from_within = self.has(&old) || self.strays.contains(&old);
        if from_within && !self.has(&new) && !self.strays.contains(&new) && self.strays.len() < MAX_STRAYS {
            self.strays.push(new);
        }
        false
    }

    /// The key that signs the tree of the first `size` entries.
    pub fn at(&self, size: u64) -> Option<&VerifierKey> {
        self.keys.iter().rev().find(|(from, _)| *from <= size).map(|(_, key)| key)
    }

    /// The key that signs now.
    pub fn in_force(&self) -> Option<&VerifierKey> {
        self.keys.last().map(|(_, key)| key)
    }

    /// All keys that the log had, the one in force first.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &VerifierKey> {
        self.keys.iter().rev().map(|(_, key)| key)
    }

    /// Whether the log has this key, or had it.
    pub fn has(&self, key: &VerifierKey) -> bool {
        self.keys().any(|own| own == key)
    }

    /// Whether this was a key of the log that it had given up by the time it had `size` entries.
    pub fn had_before(&self, key: &VerifierKey, size: u64) -> bool {
        self.at(size) != Some(key) && self.keys.iter().any(|(from, own)| *from <= size && own == key)
    }

    /// Keys that the log was not handed to, though one agreed to them that had been given up: who signs with such a key has a
    /// key that was the log's.
    pub fn strays(&self) -> &[VerifierKey] {
        &self.strays
    }
}
