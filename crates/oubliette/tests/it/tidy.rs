//! Order in the house, held by tests: what a lint or a dependency ban cannot see.
//!
//! They read the sources as text. A rule that is wrong for a good reason is changed here, with the reason.

use std::fs;
use std::path::{Path, PathBuf};

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the crate lies two below the root")
}

/// All files below `folder` (from the root) whose name ends in one of `endings`, with their path from the root.
fn files(folder: &str, endings: &[&str]) -> Vec<(String, String)> {
    fn walk(folder: &Path, endings: &[&str], root: &Path, found: &mut Vec<(String, String)>) {
        let mut entries: Vec<_> = fs::read_dir(folder).expect("readable").map(|entry| entry.expect("entry")).collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if name == "target" || (name.starts_with('.') && name != ".ci" && name != ".config") {
                continue;
            }
            if path.is_dir() {
                walk(&path, endings, root, found);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let path = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
                found.push((path, text));
            }
        }
    }
    let (root, mut found) = (root(), Vec::new());
    walk(&root.join(folder), endings, &root, &mut found);
    found
}

/// Fails with all complaints at once.
fn settle(rule: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{rule}:\n  {}", complaints.join("\n  "));
}

const DIALECTS: [&str; 4] = ["creovai", "elevateai", "native", "vonage_vcc"];

#[test]
fn dialects_do_not_know_each_other() {
    let mut complaints = Vec::new();
    for own in DIALECTS {
        for (path, text) in files(&format!("crates/oubliette/src/dialects/{own}"), &[".rs"]) {
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for other in DIALECTS.iter().filter(|other| **other != own) {
                    let named =
                        [format!("dialects::{other}"), format!("super::{other}"), format!("super::super::{other}")];
                    if named.iter().any(|path| code.contains(path.as_str())) {
                        complaints.push(format!("{path}:{}: names {other}", number + 1));
                    }
                }
            }
        }
    }
    settle("a dialect uses another dialect; what both need belongs to the core or to http", &complaints);
}

#[test]
fn vendors_are_named_only_in_their_dialect_and_where_dialects_are_chosen() {
    // Names of vendors, and words that only one vendor's protocol has.
    let words = [
        ("elevateai", &["elevateai", "elevate_ai", "interactionIdentifier", "X-API-Token", "x-api-token"][..]),
        ("vonage_vcc", &["vonage", "newvoicemedia", "delete-batch", "interaction-content"][..]),
        ("creovai", &["creovai", "tethr", "callCapture", "outofband/"][..]),
    ];
    // Who chooses, describes or drives dialects has to name them. The core knows them as kinds of credentials only.
    let allowed = [
        "crates/oubliette/src/dialects/mod.rs",
        "crates/oubliette/src/cli/",
        "crates/oubliette/src/config",
        "crates/oubliette/src/demo",
        "crates/oubliette/src/http/",
        "crates/oubliette/src/bench",
        "crates/oubliette-core/src/model/actor.rs",
    ];
    let mut complaints = Vec::new();
    for (path, text) in files("crates", &[".rs", ".sql"]) {
        if path.contains("/tests/") || path.contains("/testing/") || allowed.iter().any(|part| path.starts_with(part)) {
            continue;
        }
        let mut production = text.as_str();
        if let Some(tests) = production.find("#[cfg(test)]") {
            production = &production[..tests];
        }
        for (number, line) in production.lines().enumerate() {
            // Comments may say where a rule comes from.
            let code = line.split("//").next().unwrap_or_default();
            for (own, words) in words {
                let home = format!("crates/oubliette/src/dialects/{own}/");
                let kinds = ["ElevateAi", "Vonage", "Creovai"]
                    .iter()
                    .any(|kind| code.contains(&format!("CredentialKind::{kind}")));
                if path.starts_with(&home) || kinds {
                    continue;
                }
                for word in words {
                    if code.to_ascii_lowercase().contains(&word.to_ascii_lowercase()) {
                        complaints.push(format!("{path}:{}: {word}", number + 1));
                    }
                }
            }
        }
    }
    settle("vendor words outside their dialect", &complaints);
}

#[test]
fn sql_is_written_only_in_the_store() {
    let statements = ["SELECT ", "INSERT INTO ", "DELETE FROM ", "CREATE TABLE ", "PRAGMA ", "ALTER TABLE "];
    let mut complaints = Vec::new();
    for (path, text) in files("crates", &[".rs", ".sql"]) {
        if path.starts_with("crates/oubliette-store/") || path.ends_with("/tidy.rs") || path.contains("/tests/") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if let Some(statement) = statements.iter().find(|statement| code.contains(*statement)) {
                complaints.push(format!("{path}:{}: {statement}", number + 1));
            }
        }
    }
    settle("SQL outside the store", &complaints);
}

#[test]
fn source_files_stay_short() {
    const LIMIT: usize = 650;
    let complaints: Vec<_> = files("crates", &[".rs"])
        .iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LIMIT)
        .map(|(path, lines)| format!("{path}: {lines} lines (aim at 500, limit {LIMIT})"))
        .collect();
    settle("a file grew too long to be read in one go", &complaints);
}

#[test]
fn every_relative_link_in_the_documents_leads_somewhere() {
    let root = root();
    let mut complaints = Vec::new();
    for (path, text) in files(".", &[".md"]) {
        let folder = root.join(&path).parent().expect("a file has a folder").to_owned();
        for link in links(&text) {
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let file = if target.is_empty() { root.join(&path) } else { folder.join(target) };
            if !file.exists() {
                complaints.push(format!("{path}: {link}"));
            } else if !anchor.is_empty()
                && !anchors(&fs::read_to_string(file).unwrap_or_default()).contains(&anchor.to_owned())
            {
                complaints.push(format!("{path}: {link}: no such heading"));
            }
        }
    }
    settle("links that lead nowhere", &complaints);
}

#[test]
fn every_document_is_linked_from_another() {
    let documents = files(".", &[".md"]);
    let complaints: Vec<_> = documents
        .iter()
        .filter(|(path, _)| path.starts_with("docs/"))
        .filter(|(path, _)| {
            let name = path.rsplit('/').next().unwrap_or_default();
            !documents.iter().any(|(other, text)| other != path && links(text).any(|link| link.contains(name)))
        })
        .map(|(path, _)| path.clone())
        .collect();
    settle("documents that nothing leads to", &complaints);
}

#[test]
fn nothing_is_left_to_do() {
    let mut complaints = Vec::new();
    for (path, text) in files("crates", &[".rs", ".sql", ".toml"]) {
        for (number, line) in text.lines().enumerate() {
            // Put together so that this file does not find itself.
            if ["to".to_owned() + "do!(", "TO".to_owned() + "DO", "FIX".to_owned() + "ME", "XX".to_owned() + "X"]
                .iter()
                .any(|mark| line.contains(mark.as_str()))
            {
                complaints.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    settle("unfinished places", &complaints);
}

/// Targets of the inline links of a document, code blocks left out.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines()
        .filter(move |line| {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            }
            !in_code
        })
        .flat_map(|line| line.match_indices("](").filter_map(|(at, _)| line[at + 2..].split(')').next()))
        .filter(|link| !link.contains(' '))
}

/// The anchors a document's headings have.
fn anchors(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
        })
        .collect()
}
