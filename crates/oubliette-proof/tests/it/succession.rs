//! Which key of a log is in force.

use oubliette_proof::audit::Succession;
use oubliette_proof::entry::KeyRotation;
use oubliette_proof::note::{KeyKind, SigningKey};

use crate::fixture::*;

fn keys() -> [SigningKey; 5] {
    [1, 2, 3, 4, 5].map(|seed| key(ORIGIN, KeyKind::Note, seed))
}

fn rotation(old: &SigningKey, new: &SigningKey) -> KeyRotation {
    KeyRotation::sign(old, new).unwrap()
}

#[test]
fn a_log_is_handed_on_by_the_key_in_force_only() {
    let [first, second, third, evil, other] = &keys();
    let mut log = Succession::new(ORIGIN);
    assert_eq!((log.in_force(), log.at(7)), (None, None), "no entry tells");
    assert!(log.add(100, &rotation(first, second)) && log.add(200, &rotation(second, third)));
    for (size, key) in [(0, first), (100, first), (101, second), (200, second), (201, third), (u64::MAX, third)] {
        assert_eq!(log.at(size), Some(key.verifier()), "{size}");
    }
    // Keys that were given up hand nobody anything, nor does one that never was the log's.
    for (old, new) in [(first, evil), (second, evil), (first, second), (other, evil)] {
        assert!(!log.add(300, &rotation(old, new)));
        assert_eq!(log.in_force(), Some(third.verifier()));
    }
    assert_eq!(log.strays(), [evil.verifier().clone()]);
    assert!(!log.add(301, &rotation(evil, other)));
    assert_eq!(log.strays(), [evil.verifier().clone(), other.verifier().clone()], "a stray's stray");
    let all: Vec<_> = log.keys().cloned().collect();
    assert_eq!(all, [third, second, first].map(|key| key.verifier().clone()));
}

#[test]
fn a_change_of_another_logs_key_hands_nothing_over() {
    let [first, second, ..] = &keys();
    let elsewhere = ["other.example/log"; 2].into_iter().zip([1, 2]);
    let elsewhere: Vec<_> = elsewhere.map(|(name, seed)| key(name, KeyKind::Note, seed)).collect();
    let mut log = Succession::since(first.verifier().clone());
    assert!(!log.add(1, &rotation(&elsewhere[0], &elsewhere[1])));
    assert_eq!(log.in_force(), Some(first.verifier()));
    assert!(log.add(2, &rotation(first, second)) && log.strays().is_empty());
    assert_eq!((log.at(2), log.at(3)), (Some(first.verifier()), Some(second.verifier())));
}
