//! Figures of the metadata: `cargo bench -p oubliette-store --bench metadata [-- FOLDER | URL]`.
//!
//! Prints one line a figure; asserts nothing about time. With a folder (default: the temporary one) on SQLite, with the URL of
//! an empty database on PostgreSQL. The folder should lie on the disk that is meant, since most of a small transaction is the
//! flush.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on should say where")]

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyforest::{Group, Leaf, LeafSet};
use oubliette_core::model::{ContentKind, InteractionKind, SizeClass, State, TenantId};
use oubliette_core::ports::{
    BlobRef, Check, ContentRow, InteractionRow, Metadata, PurgeKind, PurgeRow, PurgeSet, PurgeState, Transaction, Write,
};
use oubliette_store::metadata::postgres::{PostgresMetadata, PostgresOptions};
use oubliette_store::metadata::sqlite::{SqliteMetadata, SqliteOptions};
use oubliette_store::postgres::Options;
use uuid::Uuid;

/// Interactions loaded before reads are measured, and contents of each.
const INTERACTIONS: u64 = 100_000;
const CONTENTS: u64 = 4;

fn interaction(group: u64) -> InteractionRow {
    InteractionRow {
        group: Group(group),
        tenant: TenantId(1),
        kind: InteractionKind::Call,
        state: State::Processed,
        start_hour: 490_000 + i64::try_from(group / 50).unwrap(),
        next_leaf: 1,
        extra_groups: Vec::new(),
        directory_block: group / 32,
        version: 0,
        sealed_meta: vec![group as u8; 700],
    }
}

fn content(group: u64, index: u64) -> ContentRow {
    let leaf = Group(group).leaf(index);
    ContentRow {
        leaf,
        interaction: Group(group),
        kind: ContentKind::CallRecording,
        size_class: SizeClass(20),
        sealed_meta: vec![index as u8; 250],
        blob: BlobRef(format!("segments/000001/{leaf}")),
        commitment: [index as u8; 32],
    }
}

/// What accepting and planning one interactive delete writes.
fn erasure(number: u64) -> Transaction {
    let purge = PurgeRow {
        id: Uuid::from_u128(u128::from(number)),
        tenant: Some(TenantId(1)),
        credential: None,
        kind: PurgeKind::Order,
        state: PurgeState::Planned,
        set: PurgeSet { interactions: [Leaf(number)].into_iter().collect(), ..PurgeSet::default() },
        interactions: 1,
        contents: CONTENTS,
        order_leaf: None,
        sealed_order: Vec::new(),
        accepted_at: jiff::Timestamp::UNIX_EPOCH,
        sealed_at: None,
        sealed_epoch: None,
        removed_at: None,
        retained_until: None,
        stated: Vec::new(),
        place: None,
        removal: None,
    };
    let checks = vec![Check::Interaction(Group(number)), Check::NotErased(Group(number).leaf(0))];
    Transaction { name: "bench", checks, writes: vec![Write::InsertPurge(purge)] }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn timed<T>(times: usize, mut work: impl AsyncFnMut() -> T) -> Duration {
    let mut taken = Vec::with_capacity(times);
    for _ in 0..times {
        let start = Instant::now();
        work().await;
        taken.push(start.elapsed());
    }
    median(taken)
}

/// One durable flush of 8 KiB appended to a file: what a small commit cannot be faster than.
fn flush(folder: &Path) -> Duration {
    let file = std::fs::File::create(folder.join("flush")).unwrap();
    let times = (0..200).map(|step| {
        let start = Instant::now();
        file.write_all_at(&[7; 8_192], step * 8_192).unwrap();
        file.sync_data().unwrap();
        start.elapsed()
    });
    median(times.collect())
}

fn say(what: &str, figure: impl std::fmt::Display) {
    println!("{what:<64} {figure}");
}

#[tokio::main]
async fn main() {
    let argument = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if let Some(url) = argument.as_deref().filter(|argument| argument.contains("://")) {
        return on_postgres(url).await;
    }
    let folder = match argument {
        Some(parent) => tempfile::tempdir_in(parent).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    say("flush of 8 KiB, median", format!("{:?}", flush(folder.path())));
    let open = || SqliteMetadata::open(&folder.path().join("metadata.db"), SqliteOptions::default()).unwrap();
    figures(Arc::new(open())).await;

    let start = Instant::now();
    let store = open();
    say("open", format!("{:?}", start.elapsed()));
    store.close().await;
    let bytes = std::fs::metadata(folder.path().join("metadata.db")).unwrap().len();
    say("database file", format!("{} MiB", bytes >> 20));
}

async fn on_postgres(url: &str) {
    let open = async || {
        let server = Options { url: url.to_owned(), ..Options::default() };
        PostgresMetadata::open(PostgresOptions { server, ..PostgresOptions::default() }).await.unwrap()
    };
    figures(Arc::new(open().await)).await;
    let start = Instant::now();
    let store = open().await;
    say("open", format!("{:?}", start.elapsed()));
    store.close().await;
}

async fn figures(store: Arc<dyn Metadata>) {
    load(&*store).await;
    concurrency(&store).await;
    reads(&*store).await;
    let start = Instant::now();
    store.close().await;
    say("close", format!("{:?}", start.elapsed()));
}

async fn load(store: &dyn Metadata) {
    let start = Instant::now();
    for first in (0..INTERACTIONS).step_by(1_000) {
        let rows = (first..first + 1_000).flat_map(|group| {
            let contents = (1..=CONTENTS).map(move |index| Write::InsertContent(content(group, index)));
            std::iter::once(Write::InsertInteraction(interaction(group))).chain(contents)
        });
        let writes = rows.collect();
        store.apply(Transaction { name: "bench", checks: Vec::new(), writes }).await.unwrap();
    }
    let taken = start.elapsed().as_secs_f64();
    say("interactions with 4 contents each, 1,000 a transaction", format!("{:.0}/s", INTERACTIONS as f64 / taken));
    say("rows in the same", format!("{:.0}/s", (INTERACTIONS * (1 + CONTENTS)) as f64 / taken));
}

async fn concurrency(store: &Arc<dyn Metadata>) {
    let mut next = 0;
    for lanes in [1_u64, 8, 64] {
        let each = if lanes == 1 { 1_000 } else { 20_000 / lanes };
        let commits = store.instance().await.unwrap().commit_counter;
        let start = Instant::now();
        let tasks = (0..lanes).map(|lane| {
            let store = Arc::clone(store);
            let first = next + lane * each;
            tokio::spawn(async move {
                for number in first..first + each {
                    store.apply(erasure(number)).await.unwrap();
                }
            })
        });
        for task in futures::future::join_all(tasks).await {
            task.unwrap();
        }
        let (taken, done) = (start.elapsed().as_secs_f64(), lanes * each);
        let commits = store.instance().await.unwrap().commit_counter - commits;
        let per_commit = done as f64 / commits as f64;
        say(
            &format!("erasures accepted at concurrency {lanes}"),
            format!("{:.0}/s, {per_commit:.1} a commit", done as f64 / taken),
        );
        next += done;
    }
}

async fn reads(store: &dyn Metadata) {
    let one = timed(2_000, async || store.interaction(Group(77)).await.unwrap()).await;
    say("interaction(), median", format!("{one:?}"));
    let groups: Vec<_> = (0..1_000).map(|number| Group(number * 97)).collect();
    let many = timed(50, async || store.interactions(&groups).await.unwrap()).await;
    say("interactions() of 1,000, median", format!("{many:?}"));
    let contents = timed(50, async || store.contents(&groups).await.unwrap()).await;
    say("contents() of 1,000 interactions, 4,000 rows, median", format!("{contents:?}"));
    let set: LeafSet = (0..25_000).map(|number| Leaf(number * 4)).collect();
    let count = timed(20, async || store.count_contents(&set).await.unwrap()).await;
    say("count_contents() of 25,000 interactions, median", format!("{count:?}"));
    let used = timed(5, async || store.used_groups(0..u64::MAX).await.unwrap()).await;
    say("used_groups() of everything, median", format!("{used:?}"));
    let gone: Vec<_> = (0..25_000).map(|number| Group(number * 4)).collect();
    let start = Instant::now();
    for some in gone.chunks(1_000) {
        let writes = vec![Write::DeleteInteractions(some.to_vec())];
        store.apply(Transaction { name: "bench", checks: Vec::new(), writes }).await.unwrap();
    }
    let taken = start.elapsed().as_secs_f64();
    say("rows deleted (125,000, 1,000 interactions a transaction)", format!("{:.0}/s", 125_000.0 / taken));
}
