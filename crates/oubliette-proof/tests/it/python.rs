//! The verifier in Python agrees with ours, and documents fit the schema. A machine without Python fails here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use oubliette_proof::certificate::*;
use oubliette_proof::note::TrustedKeys;
use serde_json::Value;

use crate::fixture::*;
use crate::golden::testdata;

fn python(script: &str, args: &[&Path]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    Command::new("python3").arg(script).args(args).output().expect("python3 is installed (./test.sh tools)")
}

/// Our verdict on a file's bytes: a certificate, or a bulk file.
fn ours(bytes: &[u8], keys: &TrustedKeys) -> bool {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let mut rest = lines.peekable();
    if rest.peek().is_none() {
        return Certificate::parse(first).is_ok_and(|certificate| certificate.verify(keys).is_ok());
    }
    let Ok(mut checker) = BulkChecker::new(first, keys) else { return false };
    rest.all(|line| checker.next(line).is_ok()) && checker.finish().is_ok()
}

/// Every member of a document replaced, one at a time, by values of its kind and of others.
fn replaced(document: &[u8]) -> Vec<Vec<u8>> {
    fn pointers(value: &Value, at: String, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(name, value)| pointers(value, format!("{at}/{name}"), found))
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(number, value)| pointers(value, format!("{at}/{number}"), found))
            }
            _ => {}
        }
        found.push(at);
    }
    let document: Value = serde_json::from_slice(document).unwrap();
    let (mut found, mut all) = (Vec::new(), Vec::new());
    pointers(&document, String::new(), &mut found);
    let hash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let values = [
        Value::Null,
        true.into(),
        0.into(),
        1.into(),
        (1_u64 << 53).into(),
        "".into(),
        "a".into(),
        hash.into(),
        "00000000-0000-0000-0000-000000000000".into(),
        "2026-03-01T12:00:00Z".into(),
        Value::Array(Vec::new()),
        Value::Object(serde_json::Map::new()),
    ];
    for pointer in found {
        for value in &values {
            let mut changed = document.clone();
            *changed.pointer_mut(&pointer).unwrap() = value.clone();
            // Members stand in order in what we write, and in a map.
            all.push((changed.to_string() + "\n").into_bytes());
        }
    }
    all
}

#[test]
fn a_verifier_in_another_language_agrees_on_everything() {
    let Scene { item, content, order, bulk, keys, .. } = scene();
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("keys");
    fs::write(&key, key_file()).unwrap();
    let mut cases = Vec::new();
    for document in [item.to_json(), content.to_json(), order.to_json(), bulk] {
        // A stride that is no period of anything.
        for place in (0..document.len()).step_by(61) {
            for change in [1, 0x20] {
                let mut changed = document.clone();
                changed[place] ^= change;
                cases.push(changed);
            }
        }
        if document.iter().filter(|byte| **byte == b'\n').count() == 1 {
            cases.extend(replaced(&document));
        } else {
            let lines: Vec<_> = document.split_inclusive(|byte| *byte == b'\n').collect();
            cases.extend([lines[..3].concat(), [lines[0], lines[2], lines[1], lines[3]].concat(), lines[1..].concat()]);
        }
        cases.push(document);
    }
    let mut expected = BTreeMap::new();
    for (number, bytes) in cases.iter().enumerate() {
        let path = folder.path().join(format!("case-{number}"));
        fs::write(&path, bytes).unwrap();
        expected.insert(path, ours(bytes, &keys));
    }
    let files: Vec<PathBuf> = expected.keys().cloned().collect();
    let mut args = vec![Path::new("--log-key"), &key];
    args.extend(files.iter().map(PathBuf::as_path));
    let output = python("tests/verify.py", &args);
    let (told, failed) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert_eq!(told.lines().count(), cases.len(), "{failed}");
    let mut counts = [0, 0];
    for line in told.lines() {
        let (verdict, rest) = line.split_once(' ').unwrap();
        let path = PathBuf::from(rest.split(": ").next().unwrap());
        assert_eq!(verdict == "valid", expected[&path], "{line}: {}", fs::read_to_string(&path).unwrap_or_default());
        counts[usize::from(verdict == "valid")] += 1;
    }
    // The four themselves, and each with a part left out that may be: null, or an empty list.
    assert!(counts[0] > 2_000 && counts[1] >= 8, "{counts:?}");
}

#[test]
fn certificates_fit_the_published_schema_and_others_do_not() {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/certificate-v1.json");
    let good = ["certificate-interaction.json", "certificate-content.json", "certificate-order.json"];
    for name in good {
        let output = python("tests/schema.py", &[&schema, &testdata().join(name)]);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let folder = tempfile::tempdir().unwrap();
    let document: Value = serde_json::from_slice(&fs::read(testdata().join(good[0])).unwrap()).unwrap();
    for (pointer, value) in [
        ("/subject/id", "x".into()),
        ("/subject", Value::Null),
        ("/erased/contents/0/count", 0.into()),
        ("/existed/0/blob", "AAAA".into()),
        ("/removed/receipt/index", (-1).into()),
        ("/format", "oubliette/certificate/v2".into()),
    ] {
        let (mut changed, path) = (document.clone(), folder.path().join("changed.json"));
        *changed.pointer_mut(pointer).unwrap() = value;
        fs::write(&path, changed.to_string()).unwrap();
        assert!(!python("tests/schema.py", &[&schema, &path]).status.success(), "{pointer}");
    }
    let mut more = document;
    more["more"] = 1.into();
    let path = folder.path().join("more.json");
    fs::write(&path, more.to_string()).unwrap();
    assert!(!python("tests/schema.py", &[&schema, &path]).status.success());
}
