//! `oubliette certificate`, on a closed vault and beside a running server; and what is then found by `remnants`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use oubliette_proof::certificate::Certificate;

use crate::program::{Place, repository};

/// A vault with three recordings.
fn filled() -> Place {
    let place = Place::new();
    let calls = place.join("calls");
    fs::create_dir(&calls).unwrap();
    let sample = repository().join("samples").join("survey.wav");
    let mut manifest = "file,session_id,customer_phone,started_at\n".to_owned();
    for number in 0..3 {
        fs::copy(&sample, calls.join(format!("{number}.wav"))).unwrap();
        manifest += &format!("{number}.wav,S-{number},+15125550{number}01,2026-11-20T09:3{number}:00Z\n");
    }
    fs::write(calls.join("manifest.csv"), manifest).unwrap();
    place.run(&["import", "calls", "--data", "vault"]).with_code(0);
    place
}

/// Erases sessions; the order's id and the ids of the interactions.
fn erase(place: &Place, sessions: &[&str]) -> (String, Vec<String>) {
    let mut args = vec!["erase", "--data", "vault", "--reference", "Request 17", "--legal-basis", "gdpr:17-1-b"];
    sessions.iter().for_each(|session| args.extend(["--session", session]));
    let plan = place.run(&[&args[..], &["--dry-run", "--json"]].concat()).with_code(0).json();
    let items = plan["plan"]["first"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned());
    let items = items.collect();
    let ran = place.run(&[&args[..], &["--yes"]].concat()).with_code(0);
    let line = ran.out.lines().find_map(|line| line.strip_prefix("certificate: oubliette certificate "));
    let line = line.unwrap_or_else(|| panic!("{}", ran.out));
    // As it is to be typed: with the arguments that were given.
    let (id, given) = line.split_once(' ').unwrap();
    assert_eq!(given, "--data vault");
    (id.to_owned(), items)
}

/// The verifier, as it is built with the workspace.
fn verifier() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_oubliette")).with_file_name("oubliette-verify")
}

fn verified(place: &Place, file: &str, id: &str) -> bool {
    let args = [file, "--log-key", "log.key", "--id", id];
    Command::new(verifier()).args(args).current_dir(place.path()).output().unwrap().status.code() == Some(0)
}

#[test]
fn an_erasure_on_a_closed_vault_gives_certificate_page_and_receipts() {
    let place = filled();
    let (id, items) = erase(&place, &["S-0", "S-1"]);
    let all = ["--out", "c.json", "--html", "c.html", "--receipts", "r.ndjson", "--key", "log.key"];
    let args = ["certificate", &id, "--data", "vault", "--reference", "Request 17"];
    let ran = place.run(&[&args[..], &all[..]].concat()).with_code(0);
    assert_eq!(ran.out, "", "what was written to files is not printed");
    for file in ["c.json", "c.html"] {
        assert!(verified(&place, file, &id), "{file}");
    }
    assert!(items.iter().all(|item| verified(&place, "r.ndjson", item)));
    let certificate = Certificate::parse(&fs::read(place.join("c.json")).unwrap()).unwrap();
    assert_eq!(certificate.reference.as_deref(), Some("Request 17"));
    assert_eq!(certificate.erased.legal_basis.map(|basis| basis.to_string()).as_deref(), Some("gdpr:17-1-b"));
    assert!(!place.join("r.ndjson.part").exists());

    // To standard output, byte for byte.
    let ran = place.run(&["certificate", &id, "--data", "vault", "--item", &items[0]]).with_code(0);
    fs::write(place.join("item.json"), &ran.out).unwrap();
    assert!(verified(&place, "item.json", &items[0]) && !verified(&place, "item.json", &items[1]));

    // What is not so is told.
    let ran = place.run(&["certificate", &id, "--data", "vault", "--reference", "Request 18"]).with_code(1);
    assert!(!ran.err.contains("Request 18"), "{}", ran.err);
    place.run(&["certificate", "00000000-0000-4000-8000-000000000000", "--data", "vault"]).with_code(4);
    let (other, _) = erase(&place, &["S-2"]);
    let ran = place.run(&["certificate", &other, "--data", "vault", "--item", &items[0]]).with_code(1);
    assert!(ran.err.contains("was erased by another order"), "{}", ran.err);
    place.run(&["certificate", &id, "--data", "vault", "--html", "nowhere/c.html"]).with_code(1);

    let told = place.run(&["status", "--data", "vault"]).with_code(0).out;
    assert!(told.contains("0 sealed erasures not in it yet"), "{told}");
}

#[test]
fn beside_a_running_server_it_is_the_same() {
    let place = filled();
    let server = place.serve(&[]);
    let (id, items) = erase(&place, &["S-0", "S-1", "S-2"]);
    let all = ["--out", "c.json", "--html", "c.html", "--receipts", "r.ndjson", "--key", "log.key"];
    place.run(&[&["certificate", &id, "--data", "vault"][..], &all[..]].concat()).with_code(0);
    assert!(verified(&place, "c.json", &id) && verified(&place, "c.html", &id));
    assert!(items.iter().all(|item| verified(&place, "r.ndjson", item)));
    let none = "00000000-0000-4000-8000-000000000000";
    place.run(&["certificate", none, "--data", "vault", "--receipts", "none.ndjson"]).with_code(4);
    assert!(!place.join("none.ndjson").exists());
    drop(server);
}

#[test]
fn nothing_in_clear_is_left_of_what_a_certificate_is_about() {
    let place = filled();
    let (id, items) = erase(&place, &["S-0"]);
    let args = ["certificate", &id, "--data", "vault", "--item", &items[0], "--out", "item.json"];
    place.run(&args).with_code(0);
    let search = ["remnants", "--data", "vault", "--certificate", "item.json", "--marker", "+15125550001", "--json"];
    let told = place.run(&search).with_code(0).json();
    assert_eq!(told["findings"].as_array().map(Vec::len), Some(0), "{told}");
    let told = &told["certificates"][0];
    assert_eq!(told["contradicted"], false, "{told}");
    // The record of the erasure names its order; nothing names the interaction.
    let named = told["references"].as_array().unwrap();
    assert!(named.iter().any(|found| found["what"] == format!("the order {id}")), "{told}");
    assert!(!named.iter().any(|found| found["what"] == format!("the interaction {}", items[0])), "{told}");
}

#[test]
fn a_certificate_says_how_long_copies_may_last_and_what_lowers_the_registers_class() {
    let place = filled();
    let memory = tempfile::TempDir::new_in("/dev/shm").unwrap();
    let text = format!(
        "[storage]\ndata = \"second\"\nregister = \"{}\"\naccept_unverified_register = true\n[erasure]\nbackup_horizon_days = 30\n",
        memory.path().join("register").display()
    );
    fs::write(place.join("second.toml"), &text).unwrap();
    let config = ["--config", "second.toml"];
    place.run(&[&["import", "calls"][..], &config].concat()).with_code(0);
    let ran = place.run(&[&["erase", "--session", "S-0", "--yes"][..], &config].concat()).with_code(0);
    let id = ran.out.lines().find_map(|line| line.strip_prefix("certificate: oubliette certificate ")).unwrap();
    let id = id.split(' ').next().unwrap().to_owned();
    let ran = place.run(&[&["certificate", &id][..], &config].concat()).with_code(0);
    let certificate = Certificate::parse(ran.out.as_bytes()).unwrap();
    let facts = &certificate.erased;
    assert_eq!(facts.backup_horizon.unwrap().get() - facts.accepted_at.get(), 30 * 86_400);
    assert!(!certificate.seal.register_trusted);
    assert!(certificate.seal.findings.iter().any(|name| name.as_str() == "in-memory"), "{}", ran.out);

    // Without the setting, at a place without doubts, neither is said.
    let (id, _) = erase(&place, &["S-0"]);
    let ran = place.run(&["certificate", &id, "--data", "vault"]).with_code(0);
    let certificate = Certificate::parse(ran.out.as_bytes()).unwrap();
    assert_eq!(certificate.erased.backup_horizon, None);
    assert!(certificate.seal.register_trusted && certificate.seal.findings.is_empty(), "{}", ran.out);

    fs::write(place.join("second.toml"), text.replace("= 30", "= 99999")).unwrap();
    let ran = place.run(&[&["status"][..], &config].concat()).with_code(3);
    assert!(ran.err.contains("backup_horizon_days"), "{}", ran.err);
}
