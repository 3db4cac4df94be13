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
    // The table of exit codes has those of the program, and begins each meaning with its words.
    let (_, table) = document.split_once("\n| Exit code | Means |\n| --- | --- |\n").unwrap();
    let rows: Vec<_> = table.lines().map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |")).collect();
    let ends = help.lines().find_map(|line| line.strip_prefix("Ends with ")?.strip_suffix('.')).unwrap();
    let told: Vec<_> = ends.split(", ").collect();
    assert_eq!((rows.len(), told.len()), (5, 5), "{rows:?} {told:?}");
    for (code, (row, told)) in (0..).zip(rows.iter().zip(&told)) {
        let words = |text: &str| text.replace([',', ';'], "").split(' ').take(3).collect::<Vec<_>>().join(" ");
        let (number, meaning) = row.split_once(" | ").unwrap();
        let (same, told) = told.split_once(' ').unwrap();
        assert_eq!((number, same), (code.to_string().as_str(), code.to_string().as_str()));
        assert!(words(&format!("{meaning} ")).starts_with(&words(told)), "{code}: {meaning}, {told}");
    }
}
