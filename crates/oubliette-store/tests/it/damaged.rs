//! An old entry of the log that cannot be read any more stands in the way of nobody whom the commit counter, the mark or a later
//! entry tells what the rows are; where nothing else could tell, it is said.

use std::fs;
use std::sync::Arc;

use keyforest::NoProbe;
use oubliette_core::service::{Vault, VaultError, VaultSettings};
use oubliette_proof::entry::{BatchEntry, Body, Entry, LogOpened};
use oubliette_proof::{Hash, Seconds, Token};

use crate::certificates::support::{Base, Open, all_words};

/// More than an index covers: a start does not read them.
const MANY: usize = 66_000;
/// Far from both ends of what is indexed.
const DAMAGED: u64 = 30_000;

fn time() -> Seconds {
    Seconds::new(1_800_000_000).unwrap()
}

/// An entry that is none of the certifier's.
fn other() -> Entry {
    let opened = LogOpened::new("entry.example", Token::new("test").unwrap(), None).unwrap();
    Entry { time: time(), body: Body::LogOpened(opened) }
}

/// One over something that came in, of which no row knows.
fn arrived() -> Entry {
    let batch = BatchEntry { from: time(), to: time(), count: 1, root: Hash([9; 32]) };
    Entry { time: time(), body: Body::Ingest(batch) }
}

async fn append(open: &Open, entries: Vec<Entry>) {
    let log = open.vault.log();
    tokio::task::spawn_blocking(move || log.append(&entries)).await.unwrap().unwrap();
}

/// A vault with a call whose log has grown by so many entries since its rows noted anything of it.
async fn grown(base: &Base) -> (Open, String) {
    let open = base.open().await;
    let id = open.call("kept", "+15125550001").await.id.to_string();
    open.close().await;
    let quiet = VaultSettings { sweeping: false, telling: false, ..VaultSettings::default() };
    let open = base.open_as(Arc::new(NoProbe), quiet).await;
    append(&open, vec![other(); MANY]).await;
    (open, id)
}

/// The same, whose database is lost; a copy from before is put in its place.
async fn set_back(base: &Base) -> String {
    let (open, id) = grown(base).await;
    base.faults.lose_what_comes();
    open.vault.create_tenant("lost").await.unwrap();
    open.close().await;
    base.faults.lose_no_more();
    id
}

/// Changes a byte of an entry wherever it lies.
fn spoil(base: &Base, number: u64) {
    for file in fs::read_dir(base.packs()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "olf") {
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        let frame =
            |at: &usize| bytes[*at..].starts_with(b"OLGE") && bytes[at + 8..].starts_with(&number.to_be_bytes());
        if let Some(at) = (0..bytes.len().saturating_sub(60)).find(frame) {
            bytes[at + 55] ^= 1;
            fs::write(&path, bytes).unwrap();
            return;
        }
    }
    panic!("there is no entry {number}");
}

async fn try_open(base: &Base) -> Result<Vault, VaultError> {
    let parts = base.parts(Arc::new(NoProbe), VaultSettings::default()).await;
    let metadata = Arc::clone(&parts.metadata);
    let opened = Vault::open(parts).await;
    if opened.is_err() {
        metadata.close().await;
    }
    opened
}

/// Why a vault is not opened, in all its words.
async fn refusal(base: &Base) -> String {
    let error = try_open(base).await.err().unwrap();
    all_words(&error)
}

async fn is_whole(open: &Open, id: &str) {
    let interaction = open.vault.interaction(&open.actor, id).await.unwrap();
    assert_eq!(open.vault.contents(&open.actor, &interaction).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_older_copy_that_the_counter_tells_of_comes_back_although_an_old_entry_is_damaged() {
    let base = Base::sqlite();
    let id = set_back(&base).await;
    spoil(&base, DAMAGED);

    let words = refusal(&base).await;
    assert!(words.contains("the database is older than the key state: commit"), "{words}");
    let attached = base.attach().await;
    is_whole(&attached, &id).await;
    attached.close().await;
    let attached = base.open().await;
    assert!(attached.vault.attached());
    attached.vault.commit_restore().await.unwrap();
    attached.close().await;

    // What the log told before it told of the restore is not the copy's to know.
    let restored = base.open().await;
    assert!(!restored.vault.attached());
    is_whole(&restored, &id).await;
    restored.close().await;
    // And the way out of a damaged log is open.
    let reopened = base.reopen_log().await;
    reopened.vault.erase_interaction(&reopened.actor, &id).await.unwrap();
    reopened.check(&reopened.certificate_of(&id).await);
    reopened.close().await;
    base.open().await.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn where_only_a_damaged_entry_could_tell_a_start_says_so_and_an_operator_decides() {
    for attaches in [false, true] {
        let base = Base::sqlite();
        let (open, id) = grown(&base).await;
        open.close().await;
        spoil(&base, DAMAGED);
        let words = refusal(&base).await;
        assert!(words.contains("cannot be read that would tell whether the database is an older copy"), "{words}");
        assert!(words.contains("entries are not what was written"), "{words}");
        if attaches {
            let attached = base.attach().await;
            is_whole(&attached, &id).await;
            attached.close().await;
            let attached = base.open().await;
            attached.vault.commit_restore().await.unwrap();
            attached.close().await;
        } else {
            base.reopen_log().await.close().await;
        }
        let open = base.open().await;
        assert!(!open.vault.attached());
        is_whole(&open, &id).await;
        open.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_the_log_tells_after_a_damaged_entry_shows_that_the_rows_are_older() {
    let base = Base::sqlite();
    let (open, _) = grown(&base).await;
    append(&open, vec![arrived(); 2]).await;
    open.close().await;
    spoil(&base, DAMAGED);
    let words = refusal(&base).await;
    assert!(words.contains("2 entries of the log tell of what it does not know"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_older_copy_comes_back_although_the_log_s_beginning_is_damaged_and_then_another_log_begins() {
    let base = Base::sqlite();
    let id = set_back(&base).await;
    spoil(&base, 100);
    base.attach().await.close().await;
    let attached = base.open().await;
    is_whole(&attached, &id).await;
    attached.vault.commit_restore().await.unwrap();
    attached.close().await;
    let words = refusal(&base).await;
    assert!(words.contains("entries are not what was written"), "which log it is cannot be told: {words}");
    base.reopen_log().await.close().await;
    let open = base.open().await;
    is_whole(&open, &id).await;
    open.close().await;
}
