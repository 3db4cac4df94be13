//! The transparency log of a vault: what a seal pins of it, what is not opened, another log after a loss, another key.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use keyforest::{Forest, ForestConfig, NoProbe, Probe, Stores};
use oubliette_core::ports::{Metadata, NoLenders, SystemClock, Unbounded};
use oubliette_core::service::*;
use oubliette_core::testing::blobs::JudgeBlobs;
use oubliette_proof::Token;
use oubliette_proof::entry::{Body, Entry, KeyRotation, LogOpened};
use oubliette_proof::note::{SignedNote, TrustedKeys, UnknownKeys, read_closing_note};
use oubliette_proof::tree::{TreeHead, verify_consistency};
use oubliette_store::media::Folder;
use oubliette_store::metadata::sqlite::{SqliteMetadata, SqliteOptions};
use oubliette_store::roots::FileRegister;
use tempfile::TempDir;

use crate::certificates::support::all_words;

fn stores(root: &Path) -> Stores {
    let data = root.join("data");
    fs::create_dir_all(data.join("packs")).unwrap();
    // A vault that was closed a moment ago may still be letting go of it, on other threads.
    let register = (0..250).find_map(|_| {
        let register = FileRegister::open(&root.join("register"), &data).ok();
        register.is_none().then(|| std::thread::sleep(Duration::from_millis(20)));
        register
    });
    Stores {
        packs: Arc::new(Folder::open(data.join("packs")).unwrap()),
        register: Arc::new(register.unwrap()),
        probe: Arc::new(NoProbe),
    }
}

async fn open(root: &Path, log: LogSettings) -> Result<Vault, VaultError> {
    probed(root, log, Arc::new(NoProbe)).await
}

async fn probed(root: &Path, log: LogSettings, probe: Arc<dyn Probe>) -> Result<Vault, VaultError> {
    let stores = stores(root);
    let path = root.join("data/vault.db");
    let fresh = !path.exists();
    let metadata = Arc::new(SqliteMetadata::open(&path, SqliteOptions::default()).unwrap());
    let medium = Arc::clone(&stores.packs);
    let forest = if fresh {
        let (attachment, pins) = genesis(metadata.instance().await.unwrap().instance).unwrap();
        Forest::create(stores, ForestConfig::default(), &attachment, pins).unwrap()
    } else {
        Forest::open(stores, ForestConfig::default()).unwrap().0
    };
    let parts = VaultParts {
        metadata,
        blobs: Arc::new(JudgeBlobs::new()),
        forest: Arc::new(forest),
        clock: Arc::new(SystemClock),
        lease: Arc::new(Unbounded),
        lenders: Arc::new(NoLenders),
        log: medium,
        probe,
        settings: VaultSettings { log, ..VaultSettings::default() },
    };
    Vault::open(parts).await
}

async fn opened(root: &Path) -> Vault {
    open(root, LogSettings::default()).await.unwrap()
}

/// Why a vault is not opened, in all its words.
async fn refusal(root: &Path, log: LogSettings) -> String {
    let error = open(root, log).await.err().unwrap();
    all_words(&error)
}

fn pinned(root: &Path) -> [u8; 32] {
    Forest::open(stores(root), ForestConfig::default()).unwrap().0.pins().log_head
}

fn log_files(root: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(root.join("data/packs")).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("log-")).collect();
    files.sort();
    files
}

/// Some entry.
fn entry(origin: &str) -> Entry {
    let body = LogOpened::new(origin, Token::new("test").unwrap(), None).unwrap();
    Entry { time: oubliette_proof::Seconds::new(1_800_000_000).unwrap(), body: Body::LogOpened(body) }
}

async fn append(vault: &Vault, count: usize) -> u64 {
    let log = vault.log();
    tokio::task::spawn_blocking(move || log.append(&vec![entry("entry.example"); count])).await.unwrap().unwrap()
}

fn body(vault: &Vault, number: u64) -> Body {
    Entry::decode(&vault.log().entry(number).unwrap()).unwrap().body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_begins_with_its_vault_and_every_seal_pins_its_head() {
    let root = TempDir::new().unwrap();
    let vault = opened(root.path()).await;
    let log = vault.log();
    let instance = vault.status().await.unwrap().instance;
    assert_eq!(log.origin(), format!("oubliette/{instance}"));
    let Body::LogOpened(first) = body(&vault, 0) else { panic!("another first entry") };
    assert_eq!((first.origin(), first.reason.as_str(), first.earlier()), (&*log.origin(), "new", None));
    assert_eq!(append(&vault, 3).await, 1);
    vault.create_tenant("a tenant's making is a seal").await.unwrap();
    append(&vault, 1).await;
    let pin = log.pin();
    let (head, checkpoint) = (log.head(), log.checkpoint());
    let verified = TrustedKeys::new(log.keys()).checkpoint(&checkpoint, UnknownKeys::Refuse).unwrap();
    assert_eq!(verified.checkpoint.head, head);
    vault.close().await;
    drop((vault, log));
    assert_eq!(pinned(root.path()), pin, "a stop in good order is a seal");

    let vault = opened(root.path()).await;
    assert_eq!(vault.log().head(), head, "and nothing that came later is lost");
    assert_eq!(vault.log().checkpoint(), checkpoint);
    vault.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_shrank_or_is_another_is_not_opened_and_nothing_is_signed() {
    let root = TempDir::new().unwrap();
    let vault = opened(root.path()).await;
    let early = fs::read(&log_files(root.path())[0]).unwrap();
    append(&vault, 40).await;
    vault.create_tenant("pinned").await.unwrap();
    vault.close().await;
    drop(vault);
    let file = log_files(root.path())[0].clone();
    let whole = fs::read(&file).unwrap();

    fs::write(&file, &early).unwrap();
    let words = refusal(root.path(), LogSettings::default()).await;
    assert!(words.contains("shorter than it was: 1 entries are there, and 41 were"), "{words}");
    assert_eq!(fs::read(&file).unwrap(), early, "nothing was changed");
    // One byte in the middle: what follows it is not believed.
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&file, &damaged).unwrap();
    let words = refusal(root.path(), LogSettings::default()).await;
    assert!(words.contains("shorter than it was"), "{words}");
    // Another log of the same length, well formed.
    let other = TempDir::new().unwrap();
    let stranger = opened(other.path()).await;
    append(&stranger, 60).await;
    stranger.close().await;
    fs::write(&file, fs::read(&log_files(other.path())[0]).unwrap()).unwrap();
    let words = refusal(root.path(), LogSettings::default()).await;
    assert!(words.contains("its first 41 entries differ"), "{words}");

    fs::write(&file, &whole).unwrap();
    let vault = opened(root.path()).await;
    assert_eq!(vault.log().head().size, 41);
    vault.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_loss_another_log_begins_only_when_it_is_asked_for_and_names_the_one_before() {
    let root = TempDir::new().unwrap();
    let vault = opened(root.path()).await;
    append(&vault, 9).await;
    vault.create_tenant("pinned").await.unwrap();
    let (origin, head, keys) = (vault.log().origin(), vault.log().head(), vault.log().keys());
    vault.close().await;
    drop(vault);
    log_files(root.path()).iter().for_each(|file| fs::remove_file(file).unwrap());
    let words = refusal(root.path(), LogSettings::default()).await;
    assert!(words.contains("`oubliette log reopen`"), "{words}");

    let reopen = LogSettings { reopen: Token::new("disk-loss"), ..LogSettings::default() };
    let vault = open(root.path(), reopen).await.unwrap();
    let log = vault.log();
    assert_eq!(log.origin(), format!("{origin}/2"));
    let Body::LogOpened(first) = body(&vault, 0) else { panic!("another first entry") };
    let (earlier, last) = first.earlier().unwrap();
    // What was pinned is all that is known of it.
    assert_eq!((earlier, last.size, &last.root.0[..24]), (&*origin, 10, &head.root.0[..24]));
    assert_eq!(first.reason.as_str(), "disk-loss");
    let note = log.closing_note().unwrap().unwrap();
    let (closed, next) = read_closing_note(&note, &TrustedKeys::new(keys.clone())).unwrap();
    assert_eq!((closed.origin, closed.head, next), (origin.clone(), last, log.origin()));
    assert_eq!(log.keys()[1..], keys[..], "certificates of before are still checked with the key of before");
    append(&vault, 2).await;
    vault.close().await;
    drop((vault, log));

    let vault = opened(root.path()).await;
    // Beside these the vault tells of its own seals.
    let size = vault.log().head().size;
    assert!(vault.log().origin() == format!("{origin}/2") && size >= 3, "{size}");
    assert_eq!(vault.log().closing_note().unwrap().unwrap(), note);
    vault.close().await;
    drop(vault);
    // One that is whole ends in good order.
    let reopen = LogSettings {
        reopen: Token::new("renamed"),
        origin: Some("vault.example/log".to_owned()),
        ..LogSettings::default()
    };
    let vault = open(root.path(), reopen.clone()).await.unwrap();
    let Body::LogOpened(first) = body(&vault, 0) else { panic!("another first entry") };
    let (earlier, last) = first.earlier().unwrap();
    assert!(earlier == format!("{origin}/2") && last.size > size, "with its closing entry: {}", last.size);
    assert_eq!(vault.log().origin(), "vault.example/log");
    vault.close().await;
    drop(vault);
    let words =
        refusal(root.path(), LogSettings { origin: Some("third.example".to_owned()), ..LogSettings::default() }).await;
    assert!(
        words.contains("the log's origin is vault.example/log, and transparency.origin says third.example"),
        "{words}"
    );
    let vault = open(root.path(), LogSettings { reopen: None, ..reopen }).await.unwrap();
    vault.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_changes_its_key_with_the_consent_of_both_and_a_change_that_was_cut_short_is_finished() {
    let root = TempDir::new().unwrap();
    let settings = LogSettings { origin: Some("vault.example/log".to_owned()), ..LogSettings::default() };
    let vault = open(root.path(), settings.clone()).await.unwrap();
    let log = vault.log();
    let old = log.key();
    assert_eq!(old.name(), "vault.example/log");
    let new = vault.rotate_log_key().await.unwrap();
    assert_eq!(log.keys(), [new.clone(), old.clone()]);
    assert_eq!(rotations(&vault)[0].verify(&old).unwrap(), new);
    let note = SignedNote::parse(&log.checkpoint()).unwrap();
    assert_eq!(note.lines().len(), 2);
    for key in [&old, &new] {
        TrustedKeys::new(vec![key.clone()]).checkpoint(&log.checkpoint(), UnknownKeys::Ignore).unwrap();
    }
    append(&vault, 1).await;
    TrustedKeys::new(vec![new.clone()]).checkpoint(&log.checkpoint(), UnknownKeys::Refuse).unwrap();

    // The next key is announced, and then the log takes nothing.
    log.hold_off();
    assert!(vault.rotate_log_key().await.is_err());
    assert_eq!(log.key(), new);
    vault.close().await;
    drop((vault, log));
    let vault = open(root.path(), settings.clone()).await.unwrap();
    let log = vault.log();
    let third = log.key();
    assert!(third != new && log.keys() == [third.clone(), new.clone(), old.clone()]);
    assert_eq!(rotations(&vault)[1].verify(&new).unwrap(), third);
    vault.close().await;
    drop((vault, log));
    let vault = open(root.path(), settings).await.unwrap();
    assert_eq!((vault.log().key(), rotations(&vault).len()), (third, 2), "once");
    vault.close().await;
}

/// The changes of key that a log tells of, among whatever else the vault told it.
fn rotations(vault: &Vault) -> Vec<KeyRotation> {
    let told = (0..vault.log().head().size).map(|number| body(vault, number));
    told.filter_map(|body| if let Body::KeyRotation(rotation) = body { Some(rotation) } else { None }).collect()
}

/// Keeps what is on the disk at a named moment: what a process that dies there leaves.
struct CopyAt {
    point: &'static str,
    /// How often it was passed already.
    passed: AtomicU32,
    time: u32,
    from: PathBuf,
    to: PathBuf,
}

impl Probe for CopyAt {
    fn reached(&self, point: &'static str) {
        if point == self.point && self.passed.fetch_add(1, Ordering::SeqCst) == self.time {
            copy(&self.from, &self.to);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_at_any_moment_of_the_log() {
    let points: Vec<_> = CRASH_POINTS
        .iter()
        .flat_map(|points| points.iter().copied())
        .filter(|point| point.starts_with("log."))
        .collect();
    assert_eq!(points.len(), 5);
    for point in points {
        let mut copies = 0;
        for time in 0..4 {
            let home = TempDir::new().unwrap();
            let (root, to) = (home.path().join("root"), home.path().join("copy"));
            fs::create_dir_all(&root).unwrap();
            let (from, to_copy) = (root.clone(), to.clone());
            let probe = Arc::new(CopyAt { point, passed: AtomicU32::new(0), time, from, to: to_copy });
            let heads = a_life(&root, probe).await;
            if !to.exists() {
                continue;
            }
            copies += 1;
            // What was acknowledged before that moment is there, and what was under way is finished or not there at all.
            let vault = opened(&to).await;
            let log = vault.log();
            let head = log.head();
            let before = heads.iter().rfind(|(origin, head)| *origin == log.origin() && head.size <= log.head().size);
            if let Some((_, before)) = before {
                let proof = log.consistency(before.size, head.size).unwrap();
                assert!(verify_consistency(before, &head, &proof), "{point} {time}");
            }
            assert!(matches!(body(&vault, 0), Body::LogOpened(_)), "{point} {time}");
            let count = (0..head.size.min(300)).filter(|number| matches!(body(&vault, *number), Body::KeyRotation(_)));
            assert_eq!(log.keys().iter().filter(|key| key.name() == log.origin()).count(), 1 + count.count());
            append(&vault, 1).await;
            vault.create_tenant("pinned").await.unwrap();
            vault.close().await;
            drop((vault, log));
            opened(&to).await.close().await;
        }
        assert!(copies > 0, "{point} is never reached");
    }
}

/// Everything that befalls a log; its heads, each durable before the next began.
async fn a_life(root: &Path, probe: Arc<CopyAt>) -> Vec<(String, TreeHead)> {
    let mut heads = Vec::new();
    let vault = probed(root, LogSettings::default(), Arc::clone(&probe) as Arc<dyn Probe>).await.unwrap();
    // What comes after the copy is another life's.
    let (passed, time) = (Arc::clone(&probe), probe.time);
    let note = |vault: &Vault, heads: &mut Vec<(String, TreeHead)>| {
        let head = (vault.log().origin(), vault.log().head());
        if passed.passed.load(Ordering::SeqCst) <= time {
            heads.push(head);
        }
    };
    note(&vault, &mut heads);
    append(&vault, 2).await;
    note(&vault, &mut heads);
    vault.rotate_log_key().await.unwrap();
    note(&vault, &mut heads);
    if probe.point == "log.index.written" {
        append(&vault, 70_000).await;
        note(&vault, &mut heads);
    }
    vault.close().await;
    drop(vault);
    let reopen = LogSettings { reopen: Token::new("test"), ..LogSettings::default() };
    let vault = probed(root, reopen, probe).await.unwrap();
    note(&vault, &mut heads);
    vault.close().await;
    heads
}
