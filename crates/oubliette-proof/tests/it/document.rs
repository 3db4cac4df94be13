//! The steps that `docs/proof.md` has for readers without our program, as they stand there.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::fixture::*;

/// All blocks of shell in the document, one after the other.
fn steps() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/proof.md");
    let (mut inside, mut steps) = (false, String::from("set -eu\n"));
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

fn follow(certificate: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("certificate.json"), certificate).unwrap();
    fs::write(folder.path().join("keys.txt"), key_file()).unwrap();
    Command::new("bash").arg("-c").arg(steps()).current_dir(folder.path()).output().unwrap()
}

#[test]
fn a_certificate_is_checked_by_hand_as_the_document_says() {
    let good = String::from_utf8(scene().item.to_json()).unwrap();
    let output = follow(&good);
    let (told, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}{failed}");
    let told: Vec<_> = told.lines().collect();
    assert_eq!(
        told,
        ["the receipt is in the entry", "the entry is in the log", "Signature Verified Successfully"],
        "{failed}"
    );
    // Something stated; the entry's place; the signature.
    let signature = good.split("— vault.example/log ").nth(1).unwrap().split('\\').next().unwrap();
    let (before, after) = signature.split_at(60);
    let other = if after.starts_with('A') { "B" } else { "A" };
    for changed in [
        good.replace("privacy-officer", "privacy-official"),
        good.replace("index 8", "index 7"),
        good.replace(signature, &format!("{before}{other}{}", &after[1..])),
    ] {
        assert_ne!(changed, good);
        assert!(!follow(&changed).status.success(), "{changed}");
    }
}

#[test]
fn exit_codes_and_arguments_are_those_in_the_document() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/proof.md");
    let document = fs::read_to_string(path).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_oubliette-verify")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for line in help.lines().filter_map(|line| line.strip_prefix("  oubliette-verify")) {
        assert!(document.contains(&format!("oubliette-verify{line}")), "{line}");
    }
    for code in 0..=4 {
        assert!(document.contains(&format!("\n| {code} | ")), "{code}");
    }
}
