//! Rows of one table as a batch of transactions leaves them, with an undo log.

use std::collections::HashMap;
use std::hash::Hash;

/// What the database holds of some keys, and what was done to them since.
pub(super) struct Ledger<K, V> {
    rows: HashMap<K, Entry<V>>,
    undo: Vec<(K, Option<Entry<V>>)>,
}

struct Entry<V> {
    now: Option<V>,
    /// The database has it.
    stored: bool,
    /// It is not what the database has.
    touched: bool,
}

/// What has to be written for a key.
pub(super) enum Change<V> {
    /// The database has no such row.
    Insert(V),
    /// The database has another.
    Update(V),
    /// The database has a row that is no more.
    Delete,
}

impl<K, V> Default for Ledger<K, V> {
    fn default() -> Self {
        Self { rows: HashMap::new(), undo: Vec::new() }
    }
}

impl<K: Eq + Hash + Clone, V> Ledger<K, V> {
    /// Takes in what the database holds.
    pub(super) fn load(&mut self, key: K, value: V) {
        self.rows.insert(key, Entry { now: Some(value), stored: true, touched: false });
    }

    /// The row as it is now.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key)?.now.as_ref()
    }

    /// Sets or removes a row.
    pub(super) fn put(&mut self, key: K, value: Option<V>) {
        let stored = self.rows.get(&key).is_some_and(|entry| entry.stored);
        let before = self.rows.insert(key.clone(), Entry { now: value, stored, touched: true });
        self.undo.push((key, before));
    }

    /// The keys of all rows there are.
    pub(super) fn keys(&self) -> impl Iterator<Item = K> + use<K, V> {
        let there = self.rows.iter().filter(|(_, entry)| entry.now.is_some());
        there.map(|(key, _)| key.clone()).collect::<Vec<_>>().into_iter()
    }

    /// Where the undo log stands.
    pub(super) fn mark(&self) -> usize {
        self.undo.len()
    }

    /// Undoes everything since the mark.
    pub(super) fn undo_to(&mut self, mark: usize) {
        for (key, before) in self.undo.drain(mark..).rev() {
            match before {
                Some(entry) => self.rows.insert(key, entry),
                None => self.rows.remove(&key),
            };
        }
    }

    /// The rows that are new, by key.
    pub(super) fn inserted(self) -> impl Iterator<Item = (K, V)>
    where
        K: Ord,
    {
        self.changes().into_iter().filter_map(|(key, change)| match change {
            Change::Insert(now) => Some((key, now)),
            _ => None,
        })
    }

    /// What differs from the database, by key.
    pub(super) fn changes(self) -> Vec<(K, Change<V>)>
    where
        K: Ord,
    {
        let change = |(key, entry): (K, Entry<V>)| match (entry.touched, entry.stored, entry.now) {
            (true, false, Some(now)) => Some((key, Change::Insert(now))),
            (true, true, Some(now)) => Some((key, Change::Update(now))),
            (true, true, None) => Some((key, Change::Delete)),
            _ => None,
        };
        let mut changes: Vec<_> = self.rows.into_iter().filter_map(change).collect();
        // The same order in every batch: two of them never wait for each other in a circle over one table.
        changes.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ledger: Ledger<u8, u8>) -> Vec<(u8, &'static str)> {
        let name = |change| match change {
            Change::Insert(_) => "insert",
            Change::Update(_) => "update",
            Change::Delete => "delete",
        };
        ledger.changes().into_iter().map(|(key, change)| (key, name(change))).collect()
    }

    #[test]
    fn what_is_written_is_the_difference_to_the_database() {
        let mut ledger = Ledger::default();
        for key in 1..=4 {
            ledger.load(key, key);
        }
        ledger.put(1, Some(9));
        ledger.put(2, None);
        ledger.put(3, None);
        ledger.put(3, Some(7));
        ledger.put(8, Some(1));
        ledger.put(9, Some(1));
        ledger.put(9, None);
        ledger.put(10, None);
        assert_eq!(told(ledger), [(1, "update"), (2, "delete"), (3, "update"), (8, "insert")]);
    }

    #[test]
    fn undoing_brings_back_what_was() {
        let mut ledger = Ledger::default();
        ledger.load(1, 1);
        ledger.put(1, Some(2));
        let mark = ledger.mark();
        ledger.put(1, Some(3));
        ledger.put(1, None);
        ledger.put(5, Some(5));
        ledger.undo_to(mark);
        assert_eq!((ledger.get(&1), ledger.get(&5)), (Some(&2), None));
        ledger.undo_to(0);
        assert_eq!(ledger.get(&1), Some(&1));
        assert!(told(ledger).is_empty());
    }
}
