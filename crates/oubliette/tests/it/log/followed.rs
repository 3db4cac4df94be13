//! An auditor follows what `oubliette serve` shows, also after the whole machine was put back to an earlier day.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{erase, filled, verify};
use crate::program::{Place, Server};

const FOLLOW: [&str; 5] = ["--follow", "--log-key", "keys", "--state", "state"];

/// One look: the exit code, the state found, and everything told.
fn seen(place: &Place, url: &str) -> (i32, String, Value) {
    let (code, told) = verify(place, &[&FOLLOW[..], &["--log", url, "--json"]].concat(), &[]);
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    (code, told["facts"]["state"].as_str().unwrap().to_owned(), told)
}

/// One look that must come to this.
#[track_caller]
fn look(place: &Place, url: &str, code: i32, state: &str) -> Value {
    let (is, found, told) = seen(place, url);
    assert_eq!((is, found.as_str()), (code, state), "{told}");
    told
}

fn serve(place: &Place) -> (Server, String) {
    let mut server = place.serve(&[]);
    let url = format!("{}/log/", server.wait_for_endpoint());
    (server, url)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let done = Command::new("cp").arg("-a").args([from, to]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// Keeps everything that the machine has of the vault.
fn keep(place: &Place) {
    for name in ["vault", "vault.register"] {
        copy(&place.join(name), &place.join("earlier").join(name));
    }
}

/// Puts it back as an image of the machine does: the register in its own blocks.
fn put_back(place: &Place) {
    fs::remove_dir_all(place.data()).unwrap();
    copy(&place.join("earlier/vault"), &place.data());
    for file in fs::read_dir(place.join("earlier/vault.register")).unwrap() {
        let (path, name) = file.map(|file| (file.path(), file.file_name())).unwrap();
        let mut target = fs::OpenOptions::new().write(true).open(place.join("vault.register").join(name)).unwrap();
        target.write_all(&fs::read(path).unwrap()).unwrap();
        target.sync_all().unwrap();
    }
}

#[test]
fn an_auditor_follows_the_served_log_and_tells_when_the_whole_machine_was_put_back() {
    let place = filled(16);
    fs::write(place.join("keys"), place.run(&["log", "key", "--data", "vault"]).with_code(0).out).unwrap();
    let (server, url) = serve(&place);
    erase(&place, "S-0");
    look(&place, &url, 0, "begun");
    // The vault may have something to tell its log yet.
    let at_rest = || seen(&place, &url).2["facts"]["state"] == "unchanged";
    assert!((0..50).any(|_| at_rest()), "the log does not come to rest");
    erase(&place, "S-1");
    let told = look(&place, &url, 0, "grown");
    assert!(told["facts"]["kinds"]["seal"].as_u64() >= Some(1), "{told}");

    // The key changes: the auditor has the first one only.
    let key = place.run(&["log", "rotate-key", "--data", "vault"]).with_code(0).out;
    look(&place, &url, 0, "grown");
    place.run(&["log", "rotate-key", "--data", "vault"]).with_code(0);
    erase(&place, "S-2");
    let told = look(&place, &url, 0, "grown");
    let keys = place.run(&["log", "key", "--data", "vault"]).with_code(0).out;
    assert!(told["summary"].as_str().unwrap().contains("handed to another key") && keys.contains(&key), "{told}");
    assert_eq!(fs::read_to_string(place.join("state/keys")).unwrap(), keys);
    server.stop();
    let told = look(&place, &url, 4, "unreadable");
    assert!(told["summary"].as_str().unwrap().contains("cannot be reached"), "{told}");
    keep(&place);

    let (server, url) = serve(&place);
    for session in ["S-3", "S-4", "S-5", "S-6"] {
        erase(&place, session);
    }
    look(&place, &url, 0, "grown");
    let remembered = fs::read_to_string(place.join("state/checkpoint")).unwrap();
    server.stop();

    // Everything is put back, register and all: the vault cannot know. The auditor does.
    put_back(&place);
    let (server, url) = serve(&place);
    let (code, _, told) = seen(&place, &url);
    assert!(code == 1 && told["summary"].as_str().unwrap().contains("SHRANK"), "{told}");
    // And also when the log has got as long again.
    let grown = (7..16).any(|session| {
        erase(&place, &format!("S-{session}"));
        let told = look(&place, &url, 1, "forked");
        assert!(told["summary"].as_str().unwrap().contains("FORKED"), "{told}");
        told["facts"]["new"]["size"].as_u64() > told["facts"]["old"]["size"].as_u64()
    });
    assert!(grown, "the log is still shorter");
    assert_eq!(fs::read_to_string(place.join("state/checkpoint")).unwrap(), remembered);
    assert!(fs::read_dir(place.join("state/evidence")).unwrap().count() >= 2);
    server.stop();
}

#[test]
fn a_certificate_is_compared_with_the_log_over_tls() {
    let place = filled(2);
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    fs::write(place.join("ca.pem"), authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    fs::write(place.join("cert.pem"), leaf.pem()).unwrap();
    fs::write(place.join("key.pem"), key.serialize_pem()).unwrap();
    let text = "[storage]\ndata = \"vault\"\n[tls]\ncertificate_file = \"cert.pem\"\nkey_file = \"key.pem\"\n";
    fs::write(place.join("oubliette.toml"), text).unwrap();
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let url = format!("{}/log/", server.wait_for_endpoint().replace("127.0.0.1", "localhost"));
    let id = erase(&place, "S-0");
    place.run(&["certificate", &id, "--data", "vault", "--out", "c.json", "--key", "keys"]).with_code(0);
    erase(&place, "S-1");
    let compare = ["c.json", "--log-key", "keys", "--log", &url];
    let trusting = [("SSL_CERT_FILE", &*place.join("ca.pem"))];
    let (code, told) = verify(&place, &compare, &trusting);
    assert!(code == 0 && told.contains("The log given agrees with it"), "{told}");
    // A server that nobody vouches for is not read.
    let (code, told) = verify(&place, &compare, &[]);
    assert!(code == 4 && told.contains("the server cannot be reached") && told.contains("certificate"), "{told}");
    assert!(!told.contains("agrees"), "{told}");
    // After a change of the key the log is signed with one that the auditor does not have.
    place.run(&["log", "rotate-key", "--data", "vault"]).with_code(0);
    let erased = place.run(&["log", "rotate-key", "--data", "vault"]).with_code(0);
    assert!(!fs::read_to_string(place.join("keys")).unwrap().contains(erased.out.trim_end()));
    let (code, told) = verify(&place, &compare, &trusting);
    assert!(code == 0 && told.contains("The log given agrees with it"), "{told}");
    server.stop();
}
