//! `/log/`: static files that anybody may follow, and witnesses who sign what they saw.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use oubliette::work::witness;
use oubliette_core::service::TransparencyLog;
use oubliette_proof::Token;
use oubliette_proof::entry::{Body, Entry, LogOpened};
use oubliette_proof::note::{Checkpoint, KeyKind, SignedNote, SigningKey, TrustedKeys, UnknownKeys, VerifierKey};
use oubliette_proof::tree::{Tile, TileKind, TreeHead};
use oubliette_store::media::Folder;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::TestVault;
use crate::witness::WitnessProgram;

/// Some entry.
fn entry(number: u64) -> Entry {
    let origin = format!("entry-{number}.example");
    let body = LogOpened::new(&origin, Token::new("test").unwrap(), None).unwrap();
    Entry { time: oubliette_proof::Seconds::new(1_800_000_000).unwrap(), body: Body::LogOpened(body) }
}

async fn append(log: &Arc<TransparencyLog>, count: u64) {
    let log = Arc::clone(log);
    let entries: Vec<Entry> = (0..count).map(entry).collect();
    tokio::task::spawn_blocking(move || log.append(&entries)).await.unwrap().unwrap();
}

async fn get(vault: &TestVault, path: &str) -> (u16, String, String, Vec<u8>) {
    let answer = vault.request("GET", path).send().await.unwrap();
    let header = |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let (status, kind, cache) = (answer.status().as_u16(), header("content-type"), header("cache-control"));
    (status, kind, cache, answer.bytes().await.unwrap().to_vec())
}

/// Every file that a log of this size has.
fn files(size: u64) -> Vec<Tile> {
    let kinds = (0..8).map(TileKind::Hashes).chain([TileKind::Entries]);
    kinds.flat_map(|kind| (0..).map_while(move |index| Tile::at(kind, index, size))).collect()
}

/// Copies a log as it is served.
async fn fetch(vault: &TestVault, to: &Path) -> TreeHead {
    let (_, _, _, checkpoint) = get(vault, "/log/checkpoint").await;
    let head = head(str::from_utf8(&checkpoint).unwrap());
    for tile in files(head.size) {
        let (status, _, _, bytes) = get(vault, &format!("/log/{tile}")).await;
        assert_eq!(status, 200, "{tile}");
        write(&to.join(tile.to_string()), &bytes);
    }
    write(&to.join("checkpoint"), &checkpoint);
    head
}

fn head(checkpoint: &str) -> TreeHead {
    Checkpoint::parse(SignedNote::parse(checkpoint).unwrap().text()).unwrap().head
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn audit(old: &Path, new: &Path, keys: &Path) -> Output {
    let verifier = Path::new(env!("CARGO_BIN_EXE_oubliette")).with_file_name("oubliette-verify");
    let folder = new.parent().unwrap();
    let mut command = Command::new(&verifier);
    command.arg("--audit").args([old, new]).arg("--log").arg(folder).arg("--log-key").arg(keys);
    command.output().unwrap_or_else(|error| panic!("{} is not built: {error}", verifier.display()))
}

#[tokio::test]
async fn the_log_is_served_as_static_files_that_an_auditor_follows_over_time() {
    let vault = TestVault::start().await;
    let log = vault.app.vault.log();
    append(&log, 300).await;
    let size = log.head().size;
    let (status, kind, cache, body) = get(&vault, "/log/checkpoint").await;
    assert_eq!((status, &*kind, &*cache), (200, "text/plain; charset=utf-8", "public, max-age=5"));
    assert_eq!(body, log.checkpoint().into_bytes());
    let (status, kind, cache, body) = get(&vault, "/log/tile/0/000").await;
    let for_ever = "public, max-age=31536000, immutable";
    assert_eq!((status, &*kind, &*cache, body.len()), (200, "application/octet-stream", for_ever, 256 * 32));
    let (status, _, cache, _) = get(&vault, "/log/tile/entries/000").await;
    assert_eq!((status, &*cache), (200, for_ever));
    let partial = Tile::at(TileKind::Hashes(0), 1, size).unwrap();
    let (status, _, cache, body) = get(&vault, &format!("/log/{partial}")).await;
    assert_eq!((status, &*cache, body.len()), (200, "public, max-age=3600", usize::from(partial.width) * 32));
    let (status, _, _, narrower) = get(&vault, "/log/tile/0/001.p/7").await;
    assert_eq!((status, &narrower[..]), (200, &body[..7 * 32]), "as it was before");
    let beyond = Tile { width: partial.width + 1, ..partial };
    for absent in [format!("/log/{beyond}"), "/log/tile/0/001".into(), "/log/tile/2/000".into(), "/log/tile/0/0".into()]
    {
        let (status, _, cache, _) = get(&vault, &absent).await;
        assert_eq!((status, &*cache), (404, "no-store"), "{absent}");
    }
    let answer = vault.request("HEAD", "/log/tile/0/000").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["content-length"].to_str().unwrap()), (200, "8192"));
    assert_eq!(vault.request("POST", "/log/checkpoint").send().await.unwrap().status().as_u16(), 405);

    // A stranger copies it, and again when it has grown.
    let home = TempDir::new().unwrap();
    let keys = home.path().join("keys");
    write(&keys, &get(&vault, "/log/key").await.3);
    let (early, late) = (home.path().join("early"), home.path().join("late"));
    fetch(&vault, &early).await;
    append(&log, 400).await;
    assert_eq!(fetch(&vault, &late).await, log.head());
    let grown = audit(&early.join("checkpoint"), &late.join("checkpoint"), &keys);
    assert_eq!(grown.status.code(), Some(0), "{grown:?}");
    let shrunk = audit(&late.join("checkpoint"), &early.join("checkpoint"), &keys);
    let words = String::from_utf8_lossy(&shrunk.stdout).into_owned() + &String::from_utf8_lossy(&shrunk.stderr);
    assert!(shrunk.status.code() == Some(1) && words.contains("SHRANK"), "{words}");
    // A key holder who tells another story from the twentieth entry on.
    let (one, other) = (forged(home.path(), "one", 0), forged(home.path(), "other", 20));
    fs::write(&keys, format!("{}\n", log_key())).unwrap();
    let forked = audit(&one, &other, &keys);
    let words = String::from_utf8_lossy(&forked.stdout).into_owned() + &String::from_utf8_lossy(&forked.stderr);
    assert!(forked.status.code() == Some(1) && words.contains("FORKED"), "{words}");
}

const SEED: [u8; 32] = [8; 32];
const ORIGIN: &str = "log.example";

fn log_key() -> VerifierKey {
    SigningKey::from_seed(ORIGIN, KeyKind::Note, zeroize::Zeroizing::new(SEED)).unwrap().verifier().clone()
}

/// A log of one and the same key whose entries are numbered from `first` on.
fn alone(home: &Path, name: &str, first: u64, count: u64) -> Arc<TransparencyLog> {
    let medium = Arc::new(Folder::open(home.join(name)).unwrap());
    let log = TransparencyLog::alone(medium, ORIGIN, SEED, 0).unwrap();
    log.append(&(first..first + count).map(entry).collect::<Vec<_>>()).unwrap();
    Arc::new(log)
}

/// Writes such a log as it would be served; where its checkpoint is.
fn forged(home: &Path, name: &str, first: u64) -> PathBuf {
    let log = alone(home, &format!("{name}-medium"), first, 300 + first);
    let folder = home.join(name);
    for tile in files(log.head().size) {
        write(&folder.join(tile.to_string()), &log.read(tile).unwrap());
    }
    write(&folder.join("checkpoint"), log.checkpoint().as_bytes());
    folder.join("checkpoint")
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not in time: {what}");
}

#[tokio::test]
async fn witnesses_sign_what_they_saw_and_the_served_checkpoint_bears_their_lines() {
    let vault = TestVault::start().await;
    let (log, home) = (vault.app.vault.log(), TempDir::new().unwrap());
    let key = format!("{}\n", log.key());
    let [first, second] =
        ["one", "two"].map(|name| WitnessProgram::start(home.path(), &format!("{name}.example"), &key));
    let (one, two) = (first.config(), second.config());
    // A third is not there: nobody waits for it.
    let mut away = two.clone();
    away.key = SigningKey::generate("away.example", KeyKind::Cosigner).unwrap().verifier().clone();
    away.url = "http://127.0.0.1:9/".parse().unwrap();
    let mut keys = log.keys();
    keys.extend([one.key.clone(), two.key.clone()]);
    let (keys, stop) = (TrustedKeys::new(keys), CancellationToken::new());
    let running = tokio::spawn(witness::run(Arc::clone(&log), vec![one, two, away], stop.clone()));
    for count in [0, 500, 3] {
        append(&log, count).await;
        let cosigned = || keys.checkpoint(&log.checkpoint(), UnknownKeys::Refuse).unwrap();
        until("both have signed", || cosigned().cosignatures.len() == 2).await;
        assert_eq!([&first, &second].map(|witness| witness.seen(&log.origin())), [log.head(); 2]);
        let served = get(&vault, "/log/checkpoint").await.3;
        assert_eq!(String::from_utf8(served).unwrap(), log.checkpoint());
        assert_eq!(log.cosigned().unwrap(), log.checkpoint());
    }
    // Proofs bear the lines as well.
    let proof = log.inclusion(7, &log.checkpoint()).unwrap();
    let verified = proof.verify(&log.entry(7).unwrap(), &keys, UnknownKeys::Refuse).unwrap();
    assert_eq!(verified.cosignatures.len(), 2);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_witness_signs_neither_a_fork_nor_a_shrunk_log_and_learns_on_after_a_start() {
    let home = TempDir::new().unwrap();
    let log = alone(home.path(), "honest", 0, 300);
    let witness = WitnessProgram::start(home.path(), "witness.example", &log.key().to_string());
    let run = |log: &Arc<TransparencyLog>| {
        let stop = CancellationToken::new();
        (tokio::spawn(witness::run(Arc::clone(log), vec![witness.config()], stop.clone())), stop)
    };
    let end = async |(running, stop): (tokio::task::JoinHandle<()>, CancellationToken)| {
        stop.cancel();
        running.await.unwrap();
    };
    let running = run(&log);
    until("it has signed", || log.cosigned().is_some()).await;
    end(running).await;
    // It is asked anew by a process that knows nothing of it, about a log that has grown.
    append(&log, 50).await;
    let running = run(&log);
    until("it has signed again", || witness.seen(ORIGIN) == log.head()).await;
    end(running).await;
    let seen = witness.seen(ORIGIN);

    // It answers with the size that it has seen, and then that this one does not continue it.
    for (name, first, count, refusals) in
        [("forked", 1, 350, &[409, 409][..]), ("forked-and-longer", 1, 500, &[409, 422]), ("shrunk", 0, 200, &[409])]
    {
        let (other, before) = (alone(home.path(), name, first, count), witness.answers().len());
        let running = run(&other);
        until("it was asked, and again after a pause", || witness.answers().len() > before + refusals.len()).await;
        end(running).await;
        let answers = &witness.answers()[before..];
        assert!(answers.starts_with(refusals) && !answers.contains(&200), "{name}: {answers:?}");
        assert_eq!((other.cosigned(), witness.seen(ORIGIN)), (None, seen), "{name}");
    }
}
