//! A log that changes its key, and keys that it has given up.

use std::fs;

use oubliette_proof::Hash;
use oubliette_proof::certificate::{Certificate, Parts, Subject};
use oubliette_proof::entry::{Body, KeyRotation};
use oubliette_proof::note::{KeyKind, SigningKey};
use oubliette_proof::receipt::{Erased, ReceiptTree, SubjectKind};

use crate::auditor::{Auditor, fork, grow, signed};
use crate::command::{copy, run, stranger};
use crate::fixture::*;

#[test]
fn a_key_that_the_log_announced_is_followed_and_no_other() {
    let mut auditor = Auditor::new();
    let (old, new) = (log_key(), key(ORIGIN, KeyKind::Note, 5));
    fs::write(auditor.at("keys"), format!("{}\n", old.verifier())).unwrap();
    auditor.serve(300);
    auditor.found(0, "begun");
    let remembered = auditor.remembered();

    // A key that nobody agreed to; one that another key agreed to.
    auditor.serve(1);
    auditor.server.show(&auditor.log, &signed(&auditor.log, &[&new]));
    let told = auditor.found(4, "unreadable");
    assert!(told["summary"].as_str().unwrap().contains("not signed by a key of the log"), "{told}");
    let mut stolen = fork(&auditor.log, 301, 301);
    let stranger = key(ORIGIN, KeyKind::Note, 6);
    stolen.append("2026-04-02T00:00:00Z", Body::KeyRotation(KeyRotation::sign(&stranger, &new).unwrap()));
    auditor.server.show(&stolen, &signed(&stolen, &[&new]));
    auditor.found(4, "unreadable");
    assert_eq!(auditor.remembered(), remembered);

    // The old key hands over; the new one signs alone from the next entry on.
    let handed = KeyRotation::sign(&old, &new).unwrap();
    auditor.log.append("2026-04-02T00:00:00Z", Body::KeyRotation(handed));
    let both = signed(&auditor.log, &[&new, &old]);
    let first = Auditor::new();
    first.server.show(&auditor.log, &both);
    fs::write(first.at("keys"), format!("{}\n", old.verifier())).unwrap();
    first.found(0, "begun");
    grow(&mut auditor.log, 300, 3);
    let alone = signed(&auditor.log, &[&new]);
    for follower in [&auditor, &first] {
        follower.server.show(&auditor.log, &alone);
        follower.found(0, "grown");
        let keys = fs::read_to_string(follower.at("state/keys")).unwrap();
        assert_eq!(keys, format!("{}\n{}\n", new.verifier(), old.verifier()));
        follower.found(0, "unchanged");
    }

    // From then on the old key is nobody's: also a tree that continues is refused.
    grow(&mut auditor.log, 1, 3);
    auditor.server.show(&auditor.log, &signed(&auditor.log, &[&old]));
    let told = auditor.found(1, "retired-key");
    assert!(told["summary"].as_str().unwrap().contains("a key that it has given up"), "{told}");
    assert_eq!(auditor.remembered(), alone);
    auditor.server.show(&auditor.log, &signed(&auditor.log, &[&new]));
    auditor.found(0, "grown");

    // Who begins later, with either key or with all as the vault serves them, comes to the same.
    for (keys, again) in
        [(&[&old][..], (1, "retired-key")), (&[&new], (4, "unreadable")), (&[&new, &old], (1, "retired-key"))]
    {
        let late = Auditor::new();
        let lines: String = keys.iter().map(|key| format!("{}\n", key.verifier())).collect();
        fs::write(late.at("keys"), lines).unwrap();
        late.server.show(&auditor.log, &signed(&auditor.log, &[&new]));
        late.found(0, "begun");
        let known = fs::read_to_string(late.at("state/keys")).unwrap();
        assert!(known.starts_with(&new.verifier().to_string()), "{known}");
        late.server.show(&auditor.log, &signed(&auditor.log, &[&old]));
        late.found(again.0, again.1);
    }
}

const TIME: &str = "2026-04-01T00:00:00Z";

/// Hands a log over, in an entry.
pub fn hand(log: &mut Log, old: &SigningKey, new: &SigningKey) {
    log.append(TIME, Body::KeyRotation(KeyRotation::sign(old, new).unwrap()));
}

/// The same log with other things after it.
fn continued(log: &Log, more: impl FnOnce(&mut Log)) -> Log {
    let mut copy = Log { files: Files(log.files.0.clone()), head: log.head, entries: log.entries.clone() };
    more(&mut copy);
    copy
}

/// An auditor who has the first key only and followed the log, 351 entries, to the second.
fn handed_over() -> (Auditor, [SigningKey; 3]) {
    let (mut auditor, keys) = (Auditor::new(), [1, 5, 6].map(|seed| key(ORIGIN, KeyKind::Note, seed)));
    let [old, new, _] = &keys;
    fs::write(auditor.at("keys"), format!("{}\n", old.verifier())).unwrap();
    auditor.serve(300);
    fs::write(auditor.at("early"), signed(&auditor.log, &[old])).unwrap();
    auditor.found(0, "begun");
    hand(&mut auditor.log, old, new);
    grow(&mut auditor.log, 50, 3);
    let late = signed(&auditor.log, &[new]);
    fs::write(auditor.at("late"), &late).unwrap();
    auditor.server.show(&auditor.log, &late);
    auditor.found(0, "grown");
    (auditor, keys)
}

#[test]
fn who_has_a_key_that_was_given_up_takes_over_no_log() {
    let (mut auditor, [old, new, evil]) = handed_over();
    let remembered = auditor.remembered();
    let stolen = continued(&auditor.log, |log| {
        hand(log, &old, &evil);
        grow(log, 50, 4);
    });
    let third = key(ORIGIN, KeyKind::Note, 7);
    let twice = continued(&stolen, |log| hand(log, &evil, &third));
    for (log, signers) in [
        (&stolen, &[&evil][..]),
        (&stolen, &[&old]),
        (&stolen, &[&evil, &old]),
        (&twice, &[&third]),
        (&twice, &[&evil]),
    ] {
        auditor.server.show(log, &signed(log, signers));
        let told = auditor.found(1, "retired-key");
        assert!(told["summary"].as_str().unwrap().contains(&format!("it was handed to {}", new.verifier())), "{told}");
        assert!(told["facts"]["evidence"].is_string(), "{told}");
        assert_eq!(auditor.remembered(), remembered);
    }
    // Its line beside one that counts does no harm.
    grow(&mut auditor.log, 40, 3);
    auditor.server.show(&auditor.log, &signed(&auditor.log, &[&old, &new]));
    auditor.found(0, "grown");
    auditor.server.show(&auditor.log, &signed(&auditor.log, &[&new]));
    auditor.found(0, "unchanged");
    auditor.server.show(&auditor.log, &signed(&auditor.log, &[&old]));
    auditor.found(1, "retired-key");
    // Nor does it when the log has gone to another key that nobody was told of.
    hand(&mut auditor.log, &new, &third);
    grow(&mut auditor.log, 40, 3);
    auditor.server.show(&auditor.log, &signed(&auditor.log, &[&old, &third]));
    auditor.found(0, "grown");
    // Who begins with the first key alone is told as well.
    let late = Auditor::new();
    fs::write(late.at("keys"), format!("{}\n", old.verifier())).unwrap();
    for signer in [&evil, &old] {
        late.server.show(&stolen, &signed(&stolen, &[signer]));
        late.found(1, "retired-key");
        assert_eq!(late.remembered(), "");
    }
}

#[test]
fn a_key_that_was_given_up_makes_no_fork_of_a_log() {
    let (auditor, [old, new, _]) = handed_over();
    let remembered = auditor.remembered();
    let cut = |size: u64| fork(&auditor.log, size as usize, size);
    for other in [fork(&auditor.log, 20, 900), fork(&auditor.log, 20, 351), fork(&auditor.log, 20, 200), cut(340)] {
        auditor.server.show(&other, &signed(&other, &[&old]));
        let told = auditor.found(1, "retired-key");
        assert!(!told["summary"].as_str().unwrap().contains("FORKED"), "{told}");
    }
    // A copy of the time at which it was the log's key is an older copy.
    auditor.server.show(&cut(200), &signed(&cut(200), &[&old]));
    auditor.found(1, "shrunk");
    // The key in force tells another story: that is one.
    for other in [fork(&auditor.log, 20, 900), fork(&auditor.log, 20, 351), fork(&auditor.log, 20, 200)] {
        auditor.server.show(&other, &signed(&other, &[&new]));
        auditor.found(1, "forked");
    }
    auditor.server.show(&cut(340), &signed(&cut(340), &[&new]));
    auditor.found(1, "shrunk");
    assert_eq!(auditor.remembered(), remembered);
}

#[test]
fn an_audit_takes_no_key_that_was_given_up() {
    let (auditor, [old, new, evil]) = handed_over();
    let (both, first) = (format!("{}\n{}\n", new.verifier(), old.verifier()), format!("{}\n", old.verifier()));
    let audit = |from: &str, log: &Log, signers: &[&SigningKey], keys: &str| {
        copy(log, &auditor.at("copy"));
        fs::write(auditor.at("copy/checkpoint"), signed(log, signers)).unwrap();
        fs::write(auditor.at("keys"), keys).unwrap();
        run(&auditor.folder, &format!("--audit {from} copy/checkpoint --log copy --log-key keys"))
    };
    let honest = continued(&auditor.log, |log| grow(log, 50, 3));
    let stolen = continued(&auditor.log, |log| {
        hand(log, &old, &evil);
        grow(log, 50, 4);
    });
    // Over the entry that hands the log over both have signed.
    let at_once = fork(&auditor.log, 301, 301);
    fs::write(auditor.at("tip"), signed(&at_once, &[&new, &old])).unwrap();
    for from in ["early", "tip"] {
        let (code, told) = audit(from, &at_once, &[&new, &old], &first);
        assert!(code == 0, "{from}: {told}");
    }
    for (from, keys) in [("early", &first), ("tip", &first), ("tip", &both), ("early", &both), ("late", &both)] {
        let (code, told) = audit(from, &honest, &[&new], keys);
        assert!(code == 0 && told.contains("grew from"), "{told}");
        for (log, signer) in [(&honest, &old), (&stolen, &old), (&stolen, &evil)] {
            let (code, told) = audit(from, log, &[signer], keys);
            assert!(code == 1 && told.contains("a key that it has given up"), "{from}: {told}");
        }
        // What it signs besides is no fork of the log.
        let other = fork(&auditor.log, 20, 900);
        let (code, told) = audit("late", &other, &[&old], &both);
        assert!(code == 1 && !told.contains("FORKED") && told.contains("another key"), "{told}");
        let (code, told) = audit("late", &other, &[&new], &both);
        assert!(code == 1 && told.contains("FORKED"), "{told}");
    }
}

#[test]
fn a_certificate_agrees_with_no_log_of_a_key_that_was_given_up() {
    let (folder, scene) = stranger();
    let [old, new, evil] = [1, 5, 6].map(|seed| key(ORIGIN, KeyKind::Note, seed));
    let compare = |log: &Log, signers: &[&SigningKey]| {
        copy(log, &folder.path().join("log"));
        fs::write(folder.path().join("log/checkpoint"), signed(log, signers)).unwrap();
        run(&folder, "item.json --log-key keys --log log")
    };
    let mut log = scene.log;
    assert_eq!(compare(&log, &[&old]).0, 0);
    hand(&mut log, &old, &new);
    assert_eq!(compare(&log, &[&new, &old]).0, 0);
    grow(&mut log, 300, 3);
    let (code, told) = compare(&log, &[&new]);
    assert!(code == 0 && told.contains("The log given agrees"), "{told}");
    let stolen = continued(&log, |log| {
        hand(log, &old, &evil);
        grow(log, 50, 4);
    });
    for (log, signer) in [(&log, &old), (&stolen, &old), (&stolen, &evil)] {
        let (code, told) = compare(log, &[signer]);
        assert!(code == 1 && told.contains("a key that it has given up"), "{told}");
    }
    // A log that is whole is not blamed for what a key signed that it had given up; nor without a word for what it may not have.
    for (before, words) in [(5, "which the log had given up before it had 10 entries"), (50, "whoever has that key")] {
        let mut other = Log::new();
        grow(&mut other, before, 3);
        hand(&mut other, &old, &new);
        grow(&mut other, 300, 3);
        let (code, told) = compare(&other, &[&new]);
        assert!(code == 1 && told.contains(words) && told.contains("FORKED") == (before > 10), "{told}");
    }
}

/// A certificate under a seal at the log's end and what follows it, signed with these keys.
fn certificate(log: &mut Log, more: impl FnOnce(&mut Log), signers: &[&SigningKey]) -> Vec<u8> {
    let facts = facts(50);
    let erased = Erased {
        salt: salt(1),
        kind: SubjectKind::Interaction,
        id: id(1),
        event: facts.event,
        order: facts.order,
        facts: facts.hash(),
    };
    let tree = ReceiptTree::new([Hash([1; 32]), erased.commitment()]);
    let sealed = log.append(TIME, Body::Seal(seal(tree.head(), 6)));
    more(log);
    let parts = Parts {
        subject: Subject { id: id(1), kind: SubjectKind::Interaction },
        facts,
        receipt: log.receipt(&tree, 1, salt(1), sealed, &signed(log, signers)),
        reference: None,
        existed: Vec::new(),
        removed: None,
    };
    Certificate::new(parts).unwrap().to_json()
}

#[test]
fn a_certificate_of_where_the_log_was_handed_over_agrees_with_its_own_checkpoint() {
    let (folder, mut log) = (tempfile::tempdir().unwrap(), Log::new());
    let [old, new] = [1, 5].map(|seed| key(ORIGIN, KeyKind::Note, seed));
    let at = |name: &str| folder.path().join(name);
    fs::write(at("tip.json"), certificate(&mut log, |log| hand(log, &old, &new), &[&new, &old])).unwrap();
    fs::write(at("keys"), format!("{}\n{}\n", new.verifier(), old.verifier())).unwrap();
    for signers in [[&new, &old], [&old, &new]] {
        fs::write(at("tip"), signed(&log, &signers)).unwrap();
        let (code, told) = run(&folder, "tip.json --log-key keys --log tip");
        assert!(code == 0 && told.contains("The log given agrees"), "{told}");
    }
    fs::write(at("tip"), signed(&log, &[&old])).unwrap();
    let (code, told) = run(&folder, "tip.json --log-key keys --log tip");
    assert!(code == 4 && told.contains("other keys than the certificate"), "{told}");
}

#[test]
fn a_key_that_was_given_up_before_the_certificate_is_told_by_an_audit() {
    let (auditor, [old, ..]) = handed_over();
    let mut stolen = continued(&auditor.log, |_| {});
    let late = certificate(&mut stolen, |log| grow(log, 50, 4), &[&old]);
    fs::write(auditor.at("late.json"), late).unwrap();
    for more in [0, 50] {
        grow(&mut stolen, more, 4);
        copy(&stolen, &auditor.at("copy"));
        fs::write(auditor.at("copy/checkpoint"), signed(&stolen, &[&old])).unwrap();
        // What came before the certificate is not read beside it, as the document says.
        assert_eq!(run(&auditor.folder, "late.json --log copy --log-key keys").0, 0);
        let (code, told) = run(&auditor.folder, "--audit early copy/checkpoint --log copy --log-key keys");
        assert!(code == 1 && told.contains("a key that it has given up"), "{told}");
    }
}

#[test]
fn a_line_that_does_not_hold_is_told_though_its_key_is_learned_from_the_log() {
    let (auditor, [old, new, _]) = handed_over();
    copy(&auditor.log, &auditor.at("copy"));
    let broken = |log: &Log| {
        let both = signed(log, &[&old, &new]);
        let place = both.len() - 10;
        let other = if &both[place..=place] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &both[..place], &both[place + 1..])
    };
    fs::write(auditor.at("copy/checkpoint"), broken(&auditor.log)).unwrap();
    fs::write(auditor.at("tip"), broken(&fork(&auditor.log, 301, 301))).unwrap();
    for (from, to) in [("early", "copy/checkpoint"), ("tip", "late")] {
        let (code, told) = run(&auditor.folder, &format!("--audit {from} {to} --log copy --log-key keys"));
        assert!(code == 1 && told.contains("does not hold") && !told.contains("with a key"), "{from}: {told}");
    }
}
