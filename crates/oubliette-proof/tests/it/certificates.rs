//! Certificates: what holds is accepted, and nothing else.

use oubliette_proof::certificate::*;
use oubliette_proof::note::*;
use oubliette_proof::receipt::SubjectKind;
use proptest::prelude::*;

use crate::fixture::*;

fn accepted(bytes: &[u8], keys: &TrustedKeys) -> bool {
    Certificate::parse(bytes).is_ok_and(|certificate| certificate.verify(keys).is_ok())
}

fn bulk_accepted(bytes: &[u8], keys: &TrustedKeys) -> bool {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let Some(mut checker) = lines.next().and_then(|first| BulkChecker::new(first, keys).ok()) else { return false };
    lines.all(|line| checker.next(line).is_ok()) && checker.finish().is_ok()
}

/// Single-byte changes: some bits, and characters that often pass for others.
fn changes(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    let values = |byte: u8| {
        let others = [byte ^ 1, byte ^ 2, byte ^ 0x20, byte ^ 0x80, b' ', b'\n', b'0', b'A', b'"', b'/'];
        others.into_iter().filter(move |other| *other != byte)
    };
    (0..bytes.len()).flat_map(move |place| {
        values(bytes[place]).map(move |value| {
            let mut changed = bytes.to_vec();
            changed[place] = value;
            (place, changed)
        })
    })
}

#[test]
fn certificates_hold_and_say_what_they_show() {
    let Scene { item, content, order, keys, .. } = scene();
    let verified = item.verify(&keys).unwrap();
    assert_eq!((verified.existed.len(), verified.removed.map(|removed| removed.blobs)), (2, Some(4)));
    assert_eq!(verified.checkpoint.cosignatures[0].name, "witness.example/w1");
    assert_eq!(verified.sealed_at, time("2026-03-01T12:00:01Z"));
    let codes = |list: Vec<Statement>| list.iter().map(|said| said.code).collect::<Vec<_>>();
    let words = explain(&item, &verified);
    let proven = ["destruction-stated", "existed", "existed", "removal-stated", "logged", "witnessed", "reference"];
    assert_eq!(codes(words.proven), proven);
    assert_eq!(codes(words.not_proven), ["no-copies", "whose", "completeness", "earlier-readers", "clock"]);

    let verified = content.verify(&keys).unwrap();
    let words = explain(&content, &verified);
    assert_eq!(codes(words.proven), ["destruction-stated", "logged", "witnessed"]);
    let not_proven = ["no-copies", "whose", "completeness", "earlier-readers", "clock", "existence", "removal"];
    assert_eq!(codes(words.not_proven), not_proven);

    let verified = order.verify(&keys).unwrap();
    let said: Vec<_> = explain(&order, &verified).stated.into_iter().map(|said| said.text).collect();
    assert!(said.contains(&"Not erased: 2, because of legal-hold.".to_owned()), "{said:?}");
}

#[test]
fn every_changed_byte_of_a_certificate_is_refused() {
    let Scene { item, content, order, keys, .. } = scene();
    let mut refused = 0;
    for bytes in [item.to_json(), content.to_json(), order.to_json()] {
        assert!(accepted(&bytes, &keys));
        for (place, changed) in changes(&bytes) {
            assert!(!accepted(&changed, &keys), "a change at {place}: {}", around(&changed, place));
            refused += 1;
        }
        for place in 0..bytes.len() {
            let (mut longer, mut shorter) = (bytes.clone(), bytes.clone());
            longer.insert(place, b' ');
            shorter.remove(place);
            assert!(!accepted(&longer, &keys) && !accepted(&shorter, &keys), "{}", around(&bytes, place));
            assert!(!accepted(&bytes[..place], &keys));
        }
        assert!(!accepted(&[&bytes[..], b"\n"].concat(), &keys));
    }
    assert!(refused >= 80_000, "{refused}");
}

#[test]
fn every_changed_byte_of_a_bulk_file_is_refused() {
    let Scene { bulk, keys, .. } = scene();
    assert!(bulk_accepted(&bulk, &keys));
    let mut refused = 0;
    for (place, changed) in changes(&bulk) {
        assert!(!bulk_accepted(&changed, &keys), "a change at {place}: {}", around(&changed, place));
        refused += 1;
    }
    assert!(refused >= 30_000, "{refused}");
    let lines: Vec<_> = bulk.split_inclusive(|byte| *byte == b'\n').collect();
    for wrong in [
        vec![lines[0]],
        vec![lines[0], lines[1], lines[2]],
        vec![lines[0], lines[1], lines[1], lines[3]],
        vec![lines[0], lines[2], lines[1], lines[3]],
        vec![lines[0], lines[1], lines[2], lines[3], lines[3]],
        vec![lines[1], lines[2], lines[3]],
    ] {
        assert!(!bulk_accepted(&wrong.concat(), &keys));
    }
}

fn around(bytes: &[u8], place: usize) -> String {
    String::from_utf8_lossy(&bytes[place.saturating_sub(40)..bytes.len().min(place + 40)]).into_owned()
}

#[test]
fn a_bulk_line_is_the_canonical_json_of_its_item() {
    let Scene { bulk, keys, .. } = scene();
    let mut lines = bulk.split_inclusive(|byte| *byte == b'\n');
    let mut checker = BulkChecker::new(lines.next().unwrap(), &keys).unwrap();
    for (line, number) in lines.zip([1, 2, 3]) {
        let item = checker.next(line).unwrap();
        assert_eq!((item.id, item.kind), (id(number), SubjectKind::Interaction));
        assert_eq!(serde_json::to_string(&item).unwrap() + "\n", std::str::from_utf8(line).unwrap());
    }
    assert_eq!(checker.finish(), Ok(3));
}

#[test]
fn parts_of_one_certificate_prove_nothing_in_another() {
    let Scene { item, content, order, keys, log, .. } = scene();
    let refused = |change: &dyn Fn(&mut Certificate)| {
        let mut changed = item.clone();
        change(&mut changed);
        // Written and read again, so that only what it says can be at fault.
        let changed = Certificate::parse(&changed.to_json()).unwrap();
        changed.verify(&keys).expect_err("it was changed")
    };
    refused(&|c| c.subject = content.subject);
    refused(&|c| c.subject = order.subject);
    refused(&|c| c.subject.id = id(2));
    refused(&|c| c.subject.kind = SubjectKind::Content);
    refused(&|c| c.erased.order = id(60));
    refused(&|c| c.erased = order.erased.clone());
    refused(&|c| c.erased.legal_basis = None);
    refused(&|c| c.erased.contents[0].count = 2);
    refused(&|c| c.erased.contents.reverse());
    refused(&|c| c.receipt.salt = salt(2));
    refused(&|c| c.receipt.index = 0);
    refused(&|c| c.receipt = order.receipt.clone());
    refused(&|c| c.receipt.entry = log.entries[3].clone());
    refused(&|c| c.seal.register_trusted = true);
    refused(&|c| c.seal.findings.clear());
    refused(&|c| c.seal.sealed_at = time("2026-03-01T12:00:00Z"));
    refused(&|c| c.reference = Some("another".to_owned()));
    refused(&|c| c.existed.reverse());
    refused(&|c| c.existed[1] = c.existed[0].clone());
    refused(&|c| c.existed[0].content = id(103));
    refused(&|c| c.existed[0].to = time("2026-01-02T10:00:00Z"));
    refused(&|c| c.existed[0].receipt = c.receipt.clone());
    refused(&|c| c.removed.as_mut().unwrap().blobs = 5);
    refused(&|c| c.removed.as_mut().unwrap().receipt = c.existed[0].receipt.clone());
    refused(&|c| c.removed.as_mut().unwrap().stated_at = time("2026-03-01T13:00:01Z"));
    // What may be left out.
    for change in [
        |c: &mut Certificate| c.reference = None,
        |c: &mut Certificate| c.removed = None,
        |c: &mut Certificate| drop(c.existed.pop()),
    ] {
        let mut less = item.clone();
        change(&mut less);
        less.verify(&keys).unwrap();
    }
}

#[test]
fn all_proofs_of_a_certificate_are_under_one_checkpoint() {
    let Scene { item, keys, log, .. } = scene();
    let mut changed = item;
    // The same log, the same size, signed by the log alone: good by itself.
    let other = log.checkpoint(None);
    let removed = changed.removed.as_mut().unwrap();
    let proof = TlogProof::parse(&removed.receipt.proof).unwrap();
    removed.receipt.proof = TlogProof { checkpoint: other, ..proof }.to_string();
    let refused = changed.verify(&keys).unwrap_err();
    assert_eq!(refused, CertificateError::Contradiction("proofs under different checkpoints"));
}

#[test]
fn a_certificate_needs_all_keys_that_signed_it() {
    let Scene { item, .. } = scene();
    let only_log = TrustedKeys::new(vec![log_key().verifier().clone()]);
    let unknown = CertificateError::Note(NoteError::UnknownKey("witness.example/w1".to_owned()));
    assert_eq!(item.verify(&only_log).unwrap_err(), unknown);
    let another =
        TrustedKeys::new(vec![key(ORIGIN, KeyKind::Note, 99).verifier().clone(), witness().verifier().clone()]);
    assert!(item.verify(&another).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn reading_anything_as_a_certificate_does_not_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), length in 0_usize..40,
    ) {
        let Scene { item, bulk, keys, .. } = scene();
        let mut json = item.to_json();
        let at = at.index(json.len());
        let end = (at + length).min(json.len());
        json.splice(at..end, bytes.iter().copied());
        let good = json == item.to_json();
        prop_assert_eq!(accepted(&json, &keys), good);
        prop_assert!(!bulk_accepted(&bytes, &keys));
        let first = bulk.split_inclusive(|byte| *byte == b'\n').next().unwrap();
        prop_assert!(BulkChecker::new(first, &keys).unwrap().item(&bytes).is_err());
    }
}
