//! What `docs/proof.md` says of the program.

use std::fs;
use std::path::Path;
use std::process::Command;

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
