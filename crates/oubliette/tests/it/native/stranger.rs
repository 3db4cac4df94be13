//! A stranger's path: nothing but the verifier, a certificate and the log's key as the vault serves it, in a folder with
//! nothing else. And the same for the verifier in Python.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

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

/// Runs it in the folder, with no environment; its exit code and what it told.
pub fn verify(folder: &TempDir, args: &[&str]) -> (i32, String) {
    let output = Command::new(verifier()).args(args).env_clear().current_dir(folder.path()).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// Verdicts of the verifier in Python on files of the folder, with the keys in `log.key`.
pub fn python(folder: &TempDir, files: &[String]) -> Vec<bool> {
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

    // Every byte changed, one bit after the other; and through the program itself ten thousand times and more.
    let keys = TrustedKeys::parse(&key).unwrap();
    for (name, bytes) in &given[..3] {
        assert!(accepted(bytes, &keys), "{name}");
        for place in 0..bytes.len() {
            for change in [1, 0x02, 0x20] {
                assert!(!accepted(&changed(bytes, place, change), &keys), "{name}: bits {change} of byte {place}");
            }
        }
    }
    let changes = changes(&given);
    let counts = given.each_ref().map(|(name, _)| changes.iter().filter(|change| change.name == *name).count());
    assert!(changes.len() >= 10_000 && counts.iter().all(|count| *count > 1_500), "{counts:?}");
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, NonZero::get) {
            scope.spawn(|| refused_by_the_program(&key, &changes, &next));
        }
    });
    let sample: Vec<_> = changes.iter().step_by(797).filter(|change| !change.name.ends_with("html")).collect();
    let files: Vec<_> = (0..sample.len()).map(|number| format!("changed-{number}")).collect();
    files.iter().zip(&sample).for_each(|(file, change)| fs::write(at(file), change.made()).unwrap());
    assert!(files.len() >= 5 && python(&folder, &files).iter().all(|valid| !valid));
}

/// These bytes with other bits at one place.
fn changed(bytes: &[u8], place: usize, bits: u8) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[place] ^= bits;
    changed
}

/// One byte of what was given, with other bits.
struct Change<'a> {
    name: &'static str,
    bytes: &'a [u8],
    place: usize,
    bits: u8,
}

impl Change<'_> {
    fn made(&self) -> Vec<u8> {
        changed(self.bytes, self.place, self.bits)
    }
}

/// Changes of every byte of certificates and receipts, and of as many of the page as make ten thousand.
fn changes<'a>(given: &'a [(&'static str, Vec<u8>)]) -> Vec<Change<'a>> {
    let (pages, others): (Vec<_>, Vec<_>) = given.iter().partition(|(name, _)| name.ends_with("html"));
    let of = |(name, bytes): &'a (&'static str, Vec<u8>), place: usize| Change {
        name,
        bytes,
        place,
        bits: [1, 0x02, 0x20][place % 3],
    };
    let mut changes: Vec<_> =
        others.into_iter().flat_map(|file| (0..file.1.len()).map(move |place| of(file, place))).collect();
    let [page] = pages[..] else { panic!("one page") };
    let step = (page.1.len() / 10_000_usize.saturating_sub(changes.len()).max(2_000)).max(1);
    changes.extend((0..page.1.len()).step_by(step).map(|place| of(page, place)));
    changes
}

/// Takes one change after the other and gives it to the program, in a folder with nothing but the log's key.
fn refused_by_the_program(key: &str, changes: &[Change<'_>], next: &AtomicUsize) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("log.key"), key).unwrap();
    while let Some(change) = changes.get(next.fetch_add(1, Ordering::Relaxed)) {
        fs::write(folder.path().join(change.name), change.made()).unwrap();
        let (code, told) = verify(&folder, &[change.name, "--log-key", "log.key"]);
        assert_eq!(code, 1, "bits {} of byte {} of {}: {told}", change.bits, change.place, change.name);
        fs::remove_file(folder.path().join(change.name)).unwrap();
    }
}
