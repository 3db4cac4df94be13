//! The witness of these tests, asked by hand: it answers as C2SP tlog-witness has it, and signs neither a fork nor less than it
//! has signed.

use std::path::Path;
use std::sync::Arc;

use oubliette_core::service::TransparencyLog;
use oubliette_proof::note::{AddCheckpoint, SignedNote, TrustedKeys, add_cosignatures};
use oubliette_proof::{Hash, sha256};
use oubliette_store::media::Folder;

use super::*;
use crate::witness::WitnessProgram;

const KEY: [u8; 32] = [8; 32];

/// A log whose entries are numbered from `first` on, signed with the key of this seed.
fn log(home: &Path, name: &str, seed: [u8; 32], first: u64, count: u64) -> TransparencyLog {
    let medium = Arc::new(Folder::open(home.join(format!("{first}-{count}-{}", seed[0])).join(name)).unwrap());
    let log = TransparencyLog::alone(medium, name, seed, 0).unwrap();
    let entries: Vec<_> = (first..first + count).map(|number| format!("entry {number}").into_bytes()).collect();
    log.append_bytes(&entries).unwrap();
    log
}

/// Asks it to sign the log as it is now; gives status, type and body.
async fn ask(witness: &WitnessProgram, log: &TransparencyLog, old: u64, proof: Vec<Hash>) -> (u16, String, String) {
    send(witness, "add-checkpoint", AddCheckpoint { old, proof, checkpoint: log.checkpoint() }.to_string()).await
}

async fn send(witness: &WitnessProgram, path: &str, body: String) -> (u16, String, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.post(witness.config().url.join(path).unwrap()).body(body).send().await.unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (answer.status().as_u16(), kind, answer.text().await.unwrap())
}

/// Whether an answer is a line of the witness that holds for the log as it is now.
fn signed(witness: &WitnessProgram, log: &TransparencyLog, answer: &(u16, String, String)) -> bool {
    let keys = TrustedKeys::new(vec![witness.config().key]);
    let mut note = SignedNote::parse(&log.checkpoint()).unwrap();
    answer.0 == 200 && add_cosignatures(&mut note, &answer.2, &keys) == Ok(1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_answers_each_request_as_the_protocol_has_it_and_remembers_over_a_kill() {
    let home = TempDir::new().unwrap();
    let make = |first, count| log(home.path(), ORIGIN, KEY, first, count);
    let (shorter, honest) = (make(0, 200), make(0, 300));
    let mut witness = WitnessProgram::start(home.path(), "w.example", &format!("# one\n{}\n", honest.key()));
    let conflict = |size: u64| (409, "text/x.tlog.size".to_owned(), format!("{size}\n"));
    let status = async |log: &TransparencyLog, old, proof| ask(&witness, log, old, proof).await.0;

    // What is no request; another log; another key.
    let good = AddCheckpoint { old: 0, proof: Vec::new(), checkpoint: honest.checkpoint() }.to_string();
    let line = format!("{}\n", sha256(&[b"hash"]));
    for bad in [
        "\n\n".to_owned(),
        "nonsense".to_owned(),
        good.replacen("old 0", "old 00", 1),
        good.replacen("old 0", "old -1", 1),
        good.replacen("old 0", "older 0", 1),
        good.replacen("old 0\n", &format!("old 0\n{}", line.repeat(64)), 1),
        good.replacen("old 0\n", "old 0\nAAAA\n", 1),
        good.replacen("\n300\n", "\n0300\n", 1),
        good.trim_end().to_owned(),
    ] {
        assert_ne!(bad, good);
        assert_eq!(send(&witness, "add-checkpoint", bad.clone()).await.0, 400, "{bad}");
    }
    assert_eq!(send(&witness, "something-else", good.clone()).await.0, 404);
    assert_eq!(status(&log(home.path(), "other.example", KEY, 0, 3), 0, vec![]).await, 404);
    assert_eq!(status(&log(home.path(), ORIGIN, [9; 32], 0, 3), 0, vec![]).await, 403);
    let altered = good.replacen("\n300\n", "\n301\n", 1);
    assert_eq!(send(&witness, "add-checkpoint", altered).await.0, 403);
    // Nothing was signed yet: sizes that were not, a proof from nothing.
    assert_eq!(status(&honest, 301, vec![]).await, 400);
    assert_eq!(ask(&witness, &honest, 200, honest.consistency(200, 300).unwrap()).await, conflict(0));
    assert_eq!(status(&honest, 0, vec![Hash([1; 32])]).await, 422);
    assert_eq!(witness.seen(ORIGIN).size, 0);

    // The first is taken on trust; again, and longer, with what leads there.
    let first = ask(&witness, &shorter, 0, vec![]).await;
    assert!(signed(&witness, &shorter, &first), "{first:?}");
    assert!(signed(&witness, &shorter, &ask(&witness, &shorter, 200, vec![]).await));
    let proof = honest.consistency(200, 300).unwrap();
    for wrong in 0..proof.len() {
        let mut proof = proof.clone();
        proof[wrong] = Hash([wrong as u8; 32]);
        assert_eq!(status(&honest, 200, proof).await, 422);
    }
    assert_eq!(status(&honest, 200, proof[1..].to_vec()).await, 422);
    assert_eq!(status(&honest, 200, [&proof[..], &proof[..1]].concat()).await, 422);
    assert_eq!(ask(&witness, &honest, 0, vec![]).await, conflict(200));
    assert_eq!(witness.seen(ORIGIN), shorter.head());
    let next = ask(&witness, &honest, 200, proof.clone()).await;
    assert!(signed(&witness, &honest, &next), "{next:?}");
    assert!(!signed(&witness, &shorter, &next), "it is no line for another checkpoint");

    witness.kill();
    witness.run();
    // It shrank, as if nothing had been, and as if this had been signed last.
    for old in [0, 200] {
        assert_eq!(ask(&witness, &shorter, old, vec![]).await, conflict(300));
    }
    assert_eq!(ask(&witness, &shorter, 300, vec![]).await.0, 400);
    // Another story from the first entry on: of the same size, and longer with a proof of its own.
    let (fork, longer) = (make(1, 300), make(1, 400));
    assert_eq!(ask(&witness, &fork, 300, vec![]).await, conflict(300));
    assert_eq!(ask(&witness, &longer, 300, longer.consistency(300, 400).unwrap()).await.0, 422);
    assert_eq!(witness.seen(ORIGIN), honest.head());
    // Of two that go on from the same size at once it signs one.
    let (one, other) = (make(0, 350), make(0, 390));
    let (a, b) = tokio::join!(
        ask(&witness, &one, 300, one.consistency(300, 350).unwrap()),
        ask(&witness, &other, 300, other.consistency(300, 390).unwrap())
    );
    let (a_signed, b_signed) = (signed(&witness, &one, &a), signed(&witness, &other, &b));
    assert!(a_signed != b_signed && [a.0, b.0].contains(&409), "{a:?} {b:?}");
    assert_eq!(witness.seen(ORIGIN), if a_signed { one.head() } else { other.head() });
}
