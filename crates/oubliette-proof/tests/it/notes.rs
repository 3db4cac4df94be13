//! Notes against signed_note (Ed25519 of another provider), checkpoints against tlog_tiles, and what is refused.

use oubliette_proof::note::*;
use oubliette_proof::tree::{MemoryTree, Ranges, TreeHead, leaf_hash};
use oubliette_proof::{Hash, sha256};
use proptest::prelude::*;
use signed_note::{Signer, StandardSigner, StandardVerifier, Verifier, VerifierList};
use zeroize::Zeroizing;

fn key(name: &str, kind: KeyKind, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, kind, Zeroizing::new([seed; 32])).unwrap()
}

fn log_key() -> SigningKey {
    key("vault.example/log", KeyKind::Note, 1)
}

fn witness() -> SigningKey {
    key("witness.example/w1", KeyKind::Cosigner, 2)
}

fn trusted(keys: &[&SigningKey]) -> TrustedKeys {
    TrustedKeys::new(keys.iter().map(|key| key.verifier().clone()).collect())
}

fn head(size: u64) -> TreeHead {
    TreeHead { size, root: sha256(&[&size.to_be_bytes()]) }
}

#[test]
fn a_note_signed_elsewhere_verifies_and_the_key_has_one_spelling() {
    let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let note = "If you think cryptography is the answer to your problem,\n\
                then you don't know what your problem is.\n\n\
                — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let key = VerifierKey::parse(vkey).unwrap();
    let lines = SignedNote::parse(note).unwrap();
    assert_eq!(lines.verify(std::slice::from_ref(&key), UnknownKeys::Refuse).unwrap().len(), 1);
    assert_eq!(key.to_string(), vkey);
    for (place, _) in vkey.char_indices() {
        for other in ["", "+", "A", " ", "\u{e9}"] {
            let changed = format!("{}{other}{}", &vkey[..place], &vkey[place + 1..]);
            assert!(changed == vkey || VerifierKey::parse(&changed).is_err(), "{changed}");
        }
    }
}

#[test]
fn signatures_and_keys_are_those_of_another_implementation() {
    for seed in 0..50 {
        let ours = key(&format!("name.example/{seed}"), KeyKind::Note, seed);
        let theirs = StandardSigner::new(&ours.to_skey()).unwrap();
        let verifier = StandardVerifier::new(&ours.verifier().to_string()).unwrap();
        assert_eq!(theirs.key_id().to_be_bytes(), ours.verifier().id());
        assert_eq!(verifier.name(), ours.verifier().name());
        assert!(SigningKey::parse(&ours.to_skey()).unwrap().verifier() == ours.verifier());

        let text = format!("text {seed}\n\nmore\n");
        let mut note = SignedNote::new(text.clone()).unwrap();
        note.sign(&ours).unwrap();
        let mut other = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
        other.add_sigs(&[&theirs]).unwrap();
        assert_eq!(note.to_string().into_bytes(), other.to_bytes());
        let known = VerifierList::new(vec![Box::new(verifier)]);
        assert_eq!(
            signed_note::Note::from_bytes(note.to_string().as_bytes()).unwrap().verify(&known).unwrap().0.len(),
            1
        );
        let back = SignedNote::parse(std::str::from_utf8(&other.to_bytes()).unwrap()).unwrap();
        assert!(back.verify(&[ours.verifier().clone()], UnknownKeys::Refuse).is_ok());
    }
}

#[test]
fn a_cosignature_is_an_ed25519_signature_over_the_text_that_the_specification_gives() {
    let (log, witness) = (log_key(), witness());
    let mut note = Checkpoint::sign(head(7), &log).unwrap();
    note.cosign(&witness, 1_679_315_147).unwrap();
    let line = note.lines()[1].clone();
    let (time, signature) = line.signature.split_at(8);
    assert_eq!(time, 1_679_315_147_u64.to_be_bytes());
    // The same key in the form that the other implementation knows.
    let public = VerifierKey::new("witness", KeyKind::Note, *witness.verifier().public()).unwrap();
    let verifier = StandardVerifier::new(&public.to_string()).unwrap();
    let message = format!("cosignature/v1\ntime 1679315147\n{}", note.text());
    assert!(verifier.verify(message.as_bytes(), signature));
    let id = sha256(&[b"witness.example/w1\n\x04", witness.verifier().public()]);
    assert_eq!(line.key_id, id.0[..4]);

    let verified = trusted(&[&log, &witness]).checkpoint(&note.to_string(), UnknownKeys::Refuse).unwrap();
    assert_eq!(verified.checkpoint.head, head(7));
    let expected = Cosignature { name: "witness.example/w1".to_owned(), time: 1_679_315_147 };
    assert_eq!(verified.cosignatures, [expected]);
    assert!(note.cosign(&log, 1).is_err() && note.sign(&witness).is_err() && note.cosign(&witness, u64::MAX).is_err());
}

#[test]
fn a_witness_answer_joins_the_checkpoint_only_when_it_holds() {
    let (log, witness) = (log_key(), witness());
    let mut cosigned = Checkpoint::sign(head(7), &log).unwrap();
    cosigned.cosign(&witness, 5).unwrap();
    let answer = cosigned.lines()[1].clone();
    let mut note = Checkpoint::sign(head(7), &log).unwrap();
    note.add(SignatureLine::parse(answer.to_string().trim_end()).unwrap(), witness.verifier()).unwrap();
    assert_eq!(note, cosigned);
    let mut other = Checkpoint::sign(head(8), &log).unwrap();
    assert_eq!(other.add(answer.clone(), witness.verifier()), Err(NoteError::BadSignature(answer.name.clone())));
    assert!(note.clone().add(answer.clone(), log.verifier()).is_err());
    // A later answer takes the place of the earlier one.
    note.cosign(&witness, 6).unwrap();
    assert_eq!(note.lines().len(), 2);
}

#[test]
fn lines_of_unknown_keys_are_refused_in_certificates_and_ignored_in_a_live_log() {
    let (log, witness) = (log_key(), witness());
    let mut note = Checkpoint::sign(head(7), &log).unwrap();
    note.cosign(&witness, 5).unwrap();
    let (note, only_log) = (note.to_string(), trusted(&[&log]));
    assert_eq!(
        only_log.checkpoint(&note, UnknownKeys::Refuse),
        Err(NoteError::UnknownKey("witness.example/w1".to_owned()))
    );
    assert!(only_log.checkpoint(&note, UnknownKeys::Ignore).unwrap().cosignatures.is_empty());
    // A witness alone makes no checkpoint, nor does a key of another name or kind.
    assert!(trusted(&[&witness]).checkpoint(&note, UnknownKeys::Ignore).is_err());
    for other in [key("vault.example/log", KeyKind::Note, 9), key("vault.example/log2", KeyKind::Note, 1)] {
        assert!(trusted(&[&other]).checkpoint(&note, UnknownKeys::Ignore).is_err());
    }
    // The right name does not help over another origin.
    let other = Checkpoint { origin: "other".to_owned(), head: head(7), extensions: Vec::new() };
    let mut other = SignedNote::new(other.to_text()).unwrap();
    other.sign(&log).unwrap();
    assert_eq!(only_log.checkpoint(&other.to_string(), UnknownKeys::Refuse), Err(NoteError::NotSigned("other".into())));
}

#[test]
fn a_line_that_stands_twice_is_refused() {
    let note = Checkpoint::sign(head(7), &log_key()).unwrap();
    let twice = format!("{note}{}", note.lines()[0]);
    let refused = trusted(&[&log_key()]).checkpoint(&twice, UnknownKeys::Ignore);
    assert_eq!(refused, Err(NoteError::SignedTwice("vault.example/log".to_owned())));
}

#[test]
fn every_changed_byte_of_a_cosigned_checkpoint_and_of_its_proof_is_refused() {
    let (log, witness) = (log_key(), witness());
    let leaves: Vec<_> = (0..11_u8).map(|number| leaf_hash(&[number])).collect();
    let tree = MemoryTree::new(leaves);
    let head = TreeHead { size: 11, root: tree.root().unwrap() };
    let mut checkpoint = Checkpoint::sign(head, &log).unwrap();
    checkpoint.cosign(&witness, 5).unwrap();
    let path = tree.prove_inclusion(4, 11).unwrap().unwrap();
    let proof = TlogProof { extra: None, index: 4, path, checkpoint: checkpoint.to_string() }.to_string();
    let keys = trusted(&[&log, &witness]);
    let accepted = |bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else { return false };
        TlogProof::parse(text).is_ok_and(|proof| proof.verify(&[4], &keys, UnknownKeys::Refuse).is_ok())
    };
    assert!(accepted(proof.as_bytes()));
    let mut changes = 0;
    for place in 0..proof.len() {
        for change in (0..8).map(|bit| 1 << bit).chain([b'A' ^ b'B', 0x20 ^ 0x0a]) {
            let mut bytes = proof.clone().into_bytes();
            bytes[place] ^= change;
            assert!(!accepted(&bytes), "byte {place} changed by {change:#04x}");
            changes += 1;
        }
        // Without the witness's line it is whole, and says less.
        let whole = place == proof.find("— witness").unwrap();
        assert_eq!(accepted(&proof.as_bytes()[..place]), whole, "cut at {place}");
    }
    assert!(changes >= 5_000, "{changes}");
    assert!(!accepted(format!("{proof}\n").as_bytes()));
    let with_extra = proof.replace("index 4", "extra AAAA\nindex 4");
    assert!(TlogProof::parse(&with_extra).unwrap().verify(&[4], &keys, UnknownKeys::Ignore).is_ok());
    assert!(!accepted(with_extra.as_bytes()));
}

#[test]
fn checkpoints_are_those_of_another_implementation() {
    for (size, extensions) in [(1, vec![]), (300, vec!["more".to_owned(), "and more".to_owned()])] {
        let ours = Checkpoint { origin: "example.com/log".to_owned(), head: head(size), extensions };
        let theirs = tlog_tiles::Checkpoint::from_bytes(ours.to_text().as_bytes()).unwrap();
        assert_eq!((theirs.origin(), theirs.size(), theirs.hash().0), ("example.com/log", size, head(size).root.0));
        assert_eq!(theirs.to_bytes(), ours.to_text().into_bytes());
        assert_eq!(Checkpoint::parse(&ours.to_text()).unwrap(), ours);
    }
    let good = Checkpoint { origin: "o".to_owned(), head: head(12), extensions: Vec::new() }.to_text();
    for bad in [
        good.replace("12", "012"),
        good.replace("12", "+12"),
        good.replace("12", "0"),
        good.replace("12", "99999999999999999999"),
        good.replace("o\n", "\n"),
        good.replace('=', ""),
        format!("{good}\n"),
        good.trim_end().to_owned(),
        String::new(),
    ] {
        assert!(Checkpoint::parse(&bad).is_err(), "{bad:?}");
    }
    assert!(
        Checkpoint::parse(&Checkpoint { origin: "o".into(), head: TreeHead::empty(), extensions: vec![] }.to_text())
            .is_ok()
    );
}

#[test]
fn a_log_ends_with_a_note_that_is_no_checkpoint() {
    let note = closing_note(head(40), "vault.example/log2", &log_key()).unwrap().to_string();
    let (last, next) = read_closing_note(&note, &trusted(&[&log_key()])).unwrap();
    assert_eq!((last.origin.as_str(), last.head, next.as_str()), ("vault.example/log", head(40), "vault.example/log2"));
    assert!(trusted(&[&log_key()]).checkpoint(&note, UnknownKeys::Ignore).is_err());
    assert!(read_closing_note(&note.replace("log2", "log3"), &trusted(&[&log_key()])).is_err());
    assert!(read_closing_note(&note, &trusted(&[&witness()])).is_err());
    assert!(closing_note(head(40), "two\nlines", &log_key()).is_err());
}

#[test]
fn what_a_witness_is_asked_and_answers_is_as_the_specification_has_it() {
    let (log, witness) = (log_key(), witness());
    let mut note = Checkpoint::sign(head(7), &log).unwrap();
    let request = AddCheckpoint { old: 3, proof: vec![Hash([1; 32]), Hash([2; 32])], checkpoint: note.to_string() };
    let body = request.to_string();
    let line = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    assert!(body.starts_with(&format!("old 3\n{line}\nAgIC")) && body.ends_with(&format!("\n\n{note}")), "{body}");
    assert_eq!(AddCheckpoint::parse(&body).unwrap(), request);
    let first = AddCheckpoint { old: 0, proof: Vec::new(), checkpoint: note.to_string() };
    assert_eq!(AddCheckpoint::parse(&first.to_string()).unwrap(), first);
    let long = AddCheckpoint { proof: vec![Hash([1; 32]); 64], ..request };
    for bad in
        [body.replace("old 3", "old 03"), body.replace("AQE=", "AQF="), body.replace("\n\n", "\n"), long.to_string()]
    {
        assert!(AddCheckpoint::parse(&bad).is_err(), "{bad}");
    }

    let answer = |size, key: &SigningKey| {
        let mut note = SignedNote::new(Checkpoint::sign(head(size), &log).unwrap().text().to_owned()).unwrap();
        note.cosign(key, 9).unwrap();
        note.lines()[0].to_string()
    };
    let (keys, stranger) = (trusted(&[&log, &witness]), key("stranger.example", KeyKind::Cosigner, 4));
    let good = format!("{}{}", answer(7, &stranger), answer(7, &witness));
    assert_eq!(add_cosignatures(&mut note, &good, &keys), Ok(1));
    assert_eq!(keys.checkpoint(&note.to_string(), UnknownKeys::Refuse).unwrap().cosignatures.len(), 1);
    let before = note.clone();
    for bad in [answer(8, &witness), String::new(), good.trim_end().to_owned(), "nonsense\n".to_owned()] {
        assert!(add_cosignatures(&mut note, &bad, &keys).is_err(), "{bad}");
        assert_eq!(note, before);
    }
    // A witness cannot sign for the log.
    let own = note.lines()[0].to_string();
    assert_eq!(add_cosignatures(&mut note, &own, &keys), Ok(0));
}

#[test]
fn a_key_file_holds_keys_and_remarks() {
    let (log, witness) = (log_key().verifier().to_string(), witness().verifier().to_string());
    let keys = TrustedKeys::parse(&format!("# ours\n{log}\n\n# theirs\n{witness}\n")).unwrap();
    assert_eq!(keys.keys().len(), 2);
    assert!(TrustedKeys::parse(&witness).is_err(), "a witness's key alone");
    assert!(TrustedKeys::parse("").is_err());
    assert!(TrustedKeys::parse(&log_key().to_skey()).is_err(), "a private key");
}

proptest! {
    #[test]
    fn reading_anything_does_not_panic(text: String, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let texts = [text.clone(), format!("{text}\n\n— a {text}\n"), String::from_utf8_lossy(&bytes).into_owned()];
        for text in texts {
            let _ = SignedNote::parse(&text).map(|note| note.to_string());
            let _ = Checkpoint::parse(&text);
            let _ = TlogProof::parse(&format!("c2sp.org/tlog-proof@v1\n{text}"));
            let _ = (VerifierKey::parse(&text).is_ok(), SigningKey::parse(&text).is_ok());
        }
    }

    #[test]
    fn what_is_written_is_read(index: u64, path in prop::collection::vec(any::<[u8; 32]>(), 0..64), extra: Option<Vec<u8>>) {
        let path = path.into_iter().map(Hash).collect();
        let checkpoint = Checkpoint::sign(head(3), &log_key()).unwrap().to_string();
        let proof = TlogProof { extra, index, path, checkpoint };
        prop_assert_eq!(TlogProof::parse(&proof.to_string()).unwrap(), proof);
    }
}
