//! The bytes of every format of version 1, for ever.
//!
//! When a format changes, its version changes: add `testdata/v2`, never edit `v1`. `PROOF_BLESS=1` writes files that are
//! missing and nothing else.

use std::fs;
use std::path::PathBuf;

use oubliette_proof::certificate::write_page;

use crate::fixture::*;

pub fn testdata() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/v1")
}

/// Compares with the file, and returns what is in it.
pub fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = testdata().join(name);
    if std::env::var_os("PROOF_BLESS").is_some() && !path.exists() {
        fs::create_dir_all(testdata()).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    let kept = fs::read(&path).unwrap_or_default();
    assert!(kept == bytes, "{name} is not what version 1 wrote");
    kept
}

#[test]
fn certificates_and_their_pages_keep_their_bytes() {
    let scene = scene();
    golden("certificate-interaction.json", &scene.item.to_json());
    golden("certificate-content.json", &scene.content.to_json());
    golden("certificate-order.json", &scene.order.to_json());
    for (name, certificate) in [("interaction", &scene.item), ("content", &scene.content), ("order", &scene.order)] {
        let page = write_page(certificate, &certificate.verify(&scene.keys).unwrap());
        golden(&format!("page-{name}.html"), page.as_bytes());
    }
    golden("bulk.ndjson", &scene.bulk);
    golden("keys.txt", key_file().as_bytes());
    golden("entry.tlog-proof", scene.item.receipt.proof.as_bytes());
    for (size, checkpoint) in &scene.checkpoints {
        golden(&format!("checkpoint-{size}"), checkpoint.as_bytes());
    }
}
