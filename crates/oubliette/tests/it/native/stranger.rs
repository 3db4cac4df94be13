//! A stranger's path: nothing but the verifier, a certificate and the log's key as the vault serves it, in a folder with
//! nothing else. And the same for the verifier in Python.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use oubliette_proof::certificate::{Certificate, check_page};
use oubliette_proof::note::TrustedKeys;
use serde_json::json;
use tempfile::TempDir;

use super::Caller;

/// The verifier, as it is built with the workspace.
fn verifier() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_oubliette")).with_file_name("oubliette-verify");
    assert!(path.exists(), "{} is built with the whole workspace", path.display());
    path
}

/// Runs it in the folder, with no environment.
fn verify(folder: &TempDir, args: &[&str]) -> (i32, String) {
    let output = Command::new(verifier()).args(args).env_clear().current_dir(folder.path()).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// Verdicts of the verifier in Python on files of the folder.
fn python(folder: &TempDir, files: &[String]) -> Vec<bool> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../oubliette-proof/tests/verify.py");
    let mut command = Command::new("python3");
    command.arg(script.canonicalize().unwrap()).args(["--log-key", "log.key"]).args(files).current_dir(folder.path());
    let output = command.output().expect("python3 is installed (./test.sh tools)");
    let told = String::from_utf8(output.stdout).unwrap();
    let verdicts: Vec<_> = told.lines().map(|line| line.starts_with("valid ")).collect();
    assert_eq!(verdicts.len(), files.len(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    verdicts
}

/// Whether the library's verifier takes these bytes, as the program would read them.
fn accepted(bytes: &[u8], keys: &TrustedKeys) -> bool {
    check_page(bytes, keys).is_ok()
        || Certificate::parse(bytes).is_ok_and(|certificate| certificate.verify(keys).is_ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_accepts_what_the_vault_gives_and_refuses_every_change_of_it() {
    let caller = Caller::start().await;
    let mut ids = Vec::new();
    for session in ["a", "b", "c"] {
        ids.push(caller.call(session, "+15125551234").await);
    }
    let order = json!({ "selector": { "ids": ids }, "reference": "Request 17", "legalBasis": "gdpr:17-1-b" });
    let id = caller.certified(order).await;
    let of_order = format!("/erasures/{id}/certificate");
    let of_item = format!("/interactions/{}/certificate", ids[0]);
    let given = [
        ("order.json", caller.bytes(&format!("{of_order}?reference=Request%2017"), "application/json").await),
        ("item.json", caller.bytes(&of_item, "application/json").await),
        ("item.html", caller.bytes(&of_item, "text/html").await),
        ("receipts.ndjson", caller.bytes(&format!("/erasures/{id}/receipts"), "*/*").await),
    ];
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let key = caller.log_keys().await;
    fs::write(at("log.key"), &key).unwrap();
    given.iter().for_each(|(name, bytes)| fs::write(at(name), bytes).unwrap());

    // What was given is accepted, as what it is and as nothing else.
    let told = verify(&folder, &["order.json", "--log-key", "log.key", "--id", &id]);
    assert!(told.0 == 0 && told.1.contains("VALID") && told.1.contains("gdpr:17-1-b"), "{}", told.1);
    for (name, asked, expected) in [
        ("order.json", &ids[0], 3),
        ("item.json", &ids[0], 0),
        ("item.json", &ids[1], 3),
        ("item.html", &ids[0], 0),
        ("item.html", &ids[1], 3),
        ("receipts.ndjson", &ids[2], 0),
        ("receipts.ndjson", &id, 3),
    ] {
        let (code, told) = verify(&folder, &[name, "--log-key", "log.key", "--id", asked]);
        assert_eq!(code, expected, "{name} {asked}: {told}");
    }
    assert_eq!(verify(&folder, &["receipts.ndjson", "--log-key", "log.key"]).0, 0);
    let files = ["order.json", "item.json", "receipts.ndjson"].map(str::to_owned);
    assert_eq!(python(&folder, &files), [true; 3]);

    // Another vault's key of the same name is not this one's.
    let other = Caller::start().await;
    fs::write(at("other.key"), other.log_keys().await).unwrap();
    assert_eq!(verify(&folder, &["item.json", "--log-key", "other.key"]).0, 1);

    // Every byte changed, in as many ways as make ten thousand; some of them through the programs.
    let keys = TrustedKeys::parse(&key).unwrap();
    let (mut refused, mut sample) = (0, Vec::new());
    for (name, bytes) in &given[..3] {
        assert!(accepted(bytes, &keys), "{name}");
        for place in 0..bytes.len() {
            for change in [1, 0x02, 0x20] {
                let mut changed = bytes.clone();
                changed[place] ^= change;
                assert!(!accepted(&changed, &keys), "{name}: bits {change} of byte {place}");
                refused += 1;
                if refused % 997 == 0 {
                    let file = format!("changed-{refused}.{}", if name.ends_with("html") { "html" } else { "json" });
                    fs::write(at(&file), changed).unwrap();
                    sample.push(file);
                }
            }
        }
    }
    assert!(refused >= 10_000, "{refused}");
    for file in &sample {
        let (code, told) = verify(&folder, &[file.as_str(), "--log-key", "log.key"]);
        assert_eq!(code, 1, "{file}: {told}");
    }
    let certificates: Vec<_> = sample.into_iter().filter(|file| file.ends_with("json")).collect();
    assert!(certificates.len() >= 5 && python(&folder, &certificates).iter().all(|valid| !valid));
}
