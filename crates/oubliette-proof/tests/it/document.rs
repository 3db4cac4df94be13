//! The steps that `docs/proof.md` has for readers without our program, as they stand there.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use oubliette_proof::certificate::Certificate;
use oubliette_proof::note::{KeyKind, SignedNote, SigningKey, TrustedKeys};

use crate::fixture::*;

/// All blocks of shell in the document, one after the other.
fn steps() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/proof.md");
    let (mut inside, mut steps) = (false, String::new());
    for line in fs::read_to_string(path).unwrap().lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => steps.push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    steps
}

/// What somebody is told who takes the steps one after the other, whatever the one before said; `None` if one of them fails.
fn follow(certificate: &str, keys: &str) -> Option<Vec<String>> {
    let output = run("", certificate, keys);
    let said: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    let holds = output.stderr.is_empty() && !said.iter().any(|line| line.starts_with("INVALID"));
    holds.then_some(said)
}

/// Runs the steps, in a folder with nothing else, behind a line of one's own.
fn run(before: &str, certificate: &str, keys: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("certificate.json"), certificate).unwrap();
    fs::write(folder.path().join("keys.txt"), keys).unwrap();
    Command::new("bash").arg("-c").arg(before.to_owned() + &steps()).current_dir(folder.path()).output().unwrap()
}

/// The item's certificate as these keys would have signed it.
fn signed_by(keys: &[&SigningKey]) -> String {
    let good = String::from_utf8(scene().item.to_json()).unwrap();
    let checkpoint = scene().checkpoints.pop().unwrap().1;
    let mut note = SignedNote::new(SignedNote::parse(&checkpoint).unwrap().text().to_owned()).unwrap();
    for key in keys {
        match key.verifier().kind() {
            KeyKind::Note => note.sign(key).unwrap(),
            KeyKind::Cosigner => note.cosign(key, 1_772_370_007).unwrap(),
        }
    }
    let escaped = |text: &str| text.replace('\n', "\\n");
    assert_eq!(good.matches(&escaped(&checkpoint)).count(), 4, "of all receipts");
    good.replace(&escaped(&checkpoint), &escaped(&note.to_string()))
}

fn key_file_of(keys: &[&SigningKey]) -> String {
    keys.iter().map(|key| format!("{}\n", key.verifier())).collect()
}

/// What is told of a certificate that holds and bears these lines.
fn told(lines: &[&str]) -> Option<Vec<String>> {
    let all = [&["the receipt is in the entry", "the entry is in the log"], lines, &["the log itself signed"]].concat();
    Some(all.into_iter().map(str::to_owned).collect())
}

const BY_LOG: &str = "vault.example/log signed";
const BY_WITNESS: &str = "witness.example/w1 signed as a witness, at second 1772370007 since 1970";

#[test]
fn a_certificate_is_checked_by_hand_as_the_document_says() {
    let good = String::from_utf8(scene().item.to_json()).unwrap();
    assert_eq!(follow(&good, &key_file()), told(&[BY_LOG, BY_WITNESS]));
    // As a script that stops at the first failure, too.
    assert!(run("set -eu\n", &good, &key_file()).status.success());
    let stopped = run("set -eu\n", &good.replace("index 8", "index 7"), &key_file());
    assert!(
        !stopped.status.success() && String::from_utf8_lossy(&stopped.stdout).ends_with("the entry is in the log\n")
    );
    // Something stated; the entry's place; the signatures.
    let mut changes = vec![good.replace("privacy-officer", "privacy-official"), good.replace("index 8", "index 7")];
    for name in ["vault.example/log", "witness.example/w1"] {
        let signature = good.split(&format!("— {name} ")).nth(1).unwrap().split('\\').next().unwrap();
        let (before, after) = signature.split_at(60);
        let other = if after.starts_with('A') { "B" } else { "A" };
        changes.push(good.replace(signature, &format!("{before}{other}{}", &after[1..])));
    }
    for changed in changes {
        assert_ne!(changed, good);
        assert_eq!(follow(&changed, &key_file()), None, "{changed}");
    }
}

#[test]
fn after_a_change_of_the_logs_key_each_line_is_checked_by_hand_with_the_key_that_made_it() {
    let (old, new, seer) = (log_key(), key(ORIGIN, KeyKind::Note, 9), witness());
    // As `/log/key` has them, the newest first, and the other way round; with keys of others.
    let (other, like_it) = (key("other.example/log", KeyKind::Note, 3), key("vault-example/log", KeyKind::Note, 9));
    let named_alike = key(ORIGIN, KeyKind::Cosigner, 5);
    let newest_first = key_file_of(&[&new, &old]);
    let mixed = format!("# all of them\n\n{}", key_file_of(&[&other, &seer, &old, &like_it, &new]));
    for (by, keys, lines) in [
        (&[&old][..], &newest_first, Some(&[BY_LOG][..])),
        (&[&new], &newest_first, Some(&[BY_LOG])),
        (&[&new, &old], &newest_first, Some(&[BY_LOG, BY_LOG])),
        (&[&seer, &new, &old], &mixed, Some(&[BY_WITNESS, BY_LOG, BY_LOG])),
        (&[&new, &old, &seer], &newest_first, None),
        (&[&new, &old], &key_file_of(&[&new, &like_it]), None),
        // A witness alone, even one with the log's name, is not the log.
        (&[&named_alike], &key_file_of(&[&new, &named_alike]), None),
    ] {
        let certificate = signed_by(by);
        let given = TrustedKeys::parse(keys).unwrap();
        let holds = Certificate::parse(certificate.as_bytes()).unwrap().verify(&given).is_ok();
        assert_eq!(holds, lines.is_some(), "as the verifier has it");
        assert_eq!(follow(&certificate, keys), lines.and_then(told), "{certificate}\n{keys}");
    }
}
