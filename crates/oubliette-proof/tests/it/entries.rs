//! Entries: golden bytes, one encoding a value, and whatever else is refused.

use oubliette_proof::entry::*;
use oubliette_proof::note::{KeyKind, NoteError};
use oubliette_proof::receipt::*;
use oubliette_proof::tree::TreeHead;
use oubliette_proof::{Hash, Seconds, sha256};
use proptest::prelude::*;

use crate::fixture::*;
use crate::golden::golden;

fn entries() -> Vec<(&'static str, Body)> {
    let head = TreeHead { size: 0x0102_0304, root: Hash([5; 32]) };
    let earlier = LogOpened::new(ORIGIN, token("entries-lost"), Some(("vault.example/log0", head))).unwrap();
    let rotation = KeyRotation::sign(&log_key(), &key(ORIGIN, KeyKind::Note, 3)).unwrap();
    let drop = UnsignedDrop { party: Party::Mirror, name: token("disk-2"), last_epoch: 77, reason: token("broken") };
    let restore = RestoreEntry {
        stage: RestoreStage::Commit,
        data_epoch: 7,
        key_epoch: 8,
        live: 9,
        dropped: 10,
        replayed: 11,
        punctured: 12,
    };
    let hold = HoldEntry { action: HoldAction::Placed, commitment: HoldEntry::commit(&[1; 32], &[2; 16]), items: 3 };
    vec![
        ("seal", Body::Seal(seal(head, 0x0a0b_0c0d))),
        ("ingest", Body::Ingest(batch(3, Hash([6; 32])))),
        ("removal", Body::Removal(batch(4, Hash([7; 32])))),
        ("key-rotation", Body::KeyRotation(rotation)),
        ("restore-commit", Body::Restore(restore.clone())),
        ("restore-attach", Body::Restore(RestoreEntry { stage: RestoreStage::Attach, ..restore })),
        ("hold-placed", Body::Hold(hold.clone())),
        ("hold-released", Body::Hold(HoldEntry { action: HoldAction::Released, ..hold })),
        ("mirror-dropped", Body::PartyDropped(drop.clone().sign(ORIGIN, &log_key()))),
        ("agent-dropped", Body::PartyDropped(UnsignedDrop { party: Party::Agent, ..drop }.sign(ORIGIN, &log_key()))),
        ("log-opened", Body::LogOpened(LogOpened::new(ORIGIN, token("new"), None).unwrap())),
        ("log-opened-after", Body::LogOpened(earlier)),
        ("log-closed", Body::LogClosed(LogClosed::new(token("end"), None).unwrap())),
        ("log-closed-next", Body::LogClosed(LogClosed::new(token("moved"), Some("vault.example/log2")).unwrap())),
    ]
}

#[test]
fn entries_keep_their_bytes_and_are_still_read() {
    for (name, body) in entries() {
        let entry = Entry { time: time("2026-03-01T12:34:56Z"), body };
        let bytes = golden(&format!("entry-{name}.bin"), &entry.encode());
        assert_eq!(Entry::decode(&bytes), Ok(entry), "{name}");
    }
}

#[test]
fn an_entry_has_one_encoding() {
    for (name, body) in entries() {
        let bytes = Entry { time: time("2026-03-01T12:34:56Z"), body }.encode();
        for cut in 0..bytes.len() {
            assert!(Entry::decode(&bytes[..cut]).is_err(), "{name} cut at {cut}");
        }
        assert_eq!(Entry::decode(&[&bytes[..], &[0]].concat()), Err(EntryError::Malformed), "{name}");
        for (place, value) in (0..bytes.len()).flat_map(|place| (0..=255).map(move |value| (place, value))) {
            let mut changed = bytes.clone();
            changed[place] = value;
            // Whatever is read is written the same.
            if let Ok(entry) = Entry::decode(&changed) {
                assert_eq!(entry.encode(), changed, "{name} with {value} at {place}");
            }
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let read =
        |body: SealEntry| Entry::decode(&Entry { time: Seconds::new(0).unwrap(), body: Body::Seal(body) }.encode());
    let good = seal(TreeHead { size: 9, root: Hash([5; 32]) }, 4);
    assert!(read(good.clone()).is_ok());
    let (mut epochs, mut events, mut findings, mut zero, mut agents) =
        (good.clone(), good.clone(), good.clone(), good.clone(), good.clone());
    epochs.epochs = [5, 5];
    events.events.reverse();
    findings.findings = vec![token("a"), token("a")];
    zero.events[0].count = 0;
    agents.agents_confirmed = 4;
    for bad in [epochs, events, findings, zero, agents] {
        assert_eq!(read(bad), Err(EntryError::Malformed));
    }
    let batches = [
        BatchEntry { count: 0, ..batch(1, Hash([6; 32])) },
        BatchEntry { to: time("2026-01-02T09:59:59Z"), ..batch(1, Hash([6; 32])) },
    ];
    for bad in batches {
        let bytes = Entry { time: Seconds::new(0).unwrap(), body: Body::Ingest(bad) }.encode();
        assert_eq!(Entry::decode(&bytes), Err(EntryError::Malformed));
    }
    assert_eq!(Entry::decode(b"OUBL\x02\x01"), Err(EntryError::Version));
    assert_eq!(Entry::decode(b""), Err(EntryError::Version));
    assert!(LogOpened::new("two words", token("new"), None).is_none());
    assert!(LogClosed::new(token("end"), Some("")).is_none());
}

#[test]
fn a_key_is_handed_on_by_both_keys_or_not_at_all() {
    let (old, new) = (log_key(), key(ORIGIN, KeyKind::Note, 3));
    let rotation = KeyRotation::sign(&old, &new).unwrap();
    assert_eq!(rotation.verify(old.verifier()).as_ref(), Ok(new.verifier()));
    assert!(rotation.verify(new.verifier()).is_err());
    assert!(rotation.verify(key("other", KeyKind::Note, 1).verifier()).is_err());
    assert_eq!(
        KeyRotation::sign(&old, &key("other", KeyKind::Note, 3)).err(),
        Some(NoteError::Malformed("key rotation: another key of the same name is needed"))
    );
    assert!(KeyRotation::sign(&old, &old).is_err());
    // Every byte of it is signed.
    let bytes = Entry { time: time("2026-03-01T12:34:56Z"), body: Body::KeyRotation(rotation) }.encode();
    for place in 14..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        let Body::KeyRotation(rotation) = Entry::decode(&changed).unwrap().body else { panic!("another kind") };
        assert!(rotation.verify(old.verifier()).is_err(), "{place}");
    }
}

#[test]
fn a_decision_to_drop_a_party_is_its_signers_and_of_one_log() {
    let drop = UnsignedDrop { party: Party::Agent, name: token("agent-b"), last_epoch: 5, reason: token("lost") };
    let signed = drop.sign(ORIGIN, &log_key());
    assert!(signed.verify(ORIGIN, log_key().verifier()).is_ok());
    assert!(signed.verify("other", log_key().verifier()).is_err());
    assert!(signed.verify(ORIGIN, witness().verifier()).is_err());
    let mut changed = signed;
    changed.decision.last_epoch = 6;
    assert!(changed.verify(ORIGIN, log_key().verifier()).is_err());
}

#[test]
fn commitments_keep_their_bytes() {
    let erased = Erased {
        salt: salt(1),
        kind: SubjectKind::Content,
        id: id(2),
        event: Event::Expired,
        order: id(3),
        facts: facts(4).hash(),
    };
    let existed = Existed { salt: salt(5), interaction: id(6), content: id(7), blob: Hash([8; 32]) };
    let removed = Removed { salt: salt(9), order: id(10), blobs: 11 };
    let all = [
        erased.commitment(),
        existed.commitment(),
        removed.commitment(),
        reference_commitment(&salt(12), REFERENCE),
        HoldEntry::commit(&[13; 32], &[14; 16]),
        facts(4).hash(),
    ];
    golden("commitments.bin", &all.map(|hash| hash.0).concat());
    // By hand, from the description alone.
    let bytes = [&b"oubliette/receipt/erased/v1\0"[..], &salt(1).0, &[2], &id(2).0, &[2], &id(3).0, &facts(4).hash().0];
    assert_eq!(erased.commitment(), sha256(&bytes));
}

#[test]
fn no_commitment_passes_for_one_of_another_kind_salt_or_subject() {
    let base = Erased {
        salt: salt(1),
        kind: SubjectKind::Interaction,
        id: id(2),
        event: Event::Deleted,
        order: id(3),
        facts: Hash([4; 32]),
    };
    let others = [
        Erased { salt: salt(2), ..base },
        Erased { kind: SubjectKind::Content, ..base },
        Erased { id: id(3), ..base },
        Erased { event: Event::Expired, ..base },
        Erased { order: id(2), ..base },
        Erased { facts: Hash([5; 32]), ..base },
    ];
    for other in others {
        assert_ne!(other.commitment(), base.commitment());
    }
}

proptest! {
    #[test]
    fn reading_any_bytes_as_an_entry_does_not_panic(kind in 0_u8..11, bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Entry::decode(&bytes);
        let framed = [&b"OUBL\x01"[..], &[kind], &bytes].concat();
        if let Ok(entry) = Entry::decode(&framed) {
            prop_assert_eq!(entry.encode(), framed);
        }
    }
}
