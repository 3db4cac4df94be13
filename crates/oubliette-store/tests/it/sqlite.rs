//! What is SQLite's own: durability of a killed process, group commit, full and read-only disks, files that are not ours.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use keyforest::{Group, Leaf, LeafSet, Probe};
use oubliette_core::model::{ContentKind, InteractionKind, SizeClass, State, TenantId};
use oubliette_core::ports::{
    Applied, BlobRef, Check, ContentRow, InteractionRow, Metadata, PortError, PortErrorKind, PurgeKind, PurgeRow,
    PurgeSet, PurgeState, Transaction, Write, this_thread_may_wait,
};
use oubliette_core::testing::machine::cannot_run;
use oubliette_store::metadata::sqlite::{CRASH_POINTS, SqliteMetadata, SqliteOptions};
use uuid::Uuid;

fn open(path: &Path) -> SqliteMetadata {
    SqliteMetadata::open(path, SqliteOptions::default()).unwrap()
}

fn refusal(path: &Path) -> (PortErrorKind, String) {
    let error = SqliteMetadata::open(path, SqliteOptions::default()).err().unwrap();
    (error.kind, error.source.map(|source| source.to_string()).unwrap_or_default())
}

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
        sealed_meta: vec![group as u8; 600],
    }
}

fn content(group: u64, index: u64) -> ContentRow {
    let leaf = Group(group).leaf(index);
    ContentRow {
        leaf,
        interaction: Group(group),
        kind: ContentKind::CallRecording,
        size_class: SizeClass(20),
        sealed_meta: vec![index as u8; 200],
        blob: BlobRef(format!("blobs/{leaf}")),
        commitment: [index as u8; 32],
    }
}

fn erasure(group: u64) -> PurgeRow {
    PurgeRow {
        id: Uuid::from_u128(u128::from(group)),
        tenant: Some(TenantId(1)),
        credential: None,
        kind: PurgeKind::Order,
        state: PurgeState::Planned,
        set: PurgeSet { interactions: [Leaf(group)].into_iter().collect(), ..PurgeSet::default() },
        interactions: 1,
        contents: 0,
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
    }
}

async fn write(store: &SqliteMetadata, writes: Vec<Write>) -> Result<Applied, PortError> {
    store.apply(Transaction { name: "test", checks: Vec::new(), writes }).await
}

async fn insert(store: &SqliteMetadata, group: u64) -> Result<Applied, PortError> {
    write(store, vec![Write::InsertInteraction(interaction(group))]).await
}

/// What SQLite itself finds wrong with a closed database.
fn complaints(path: &Path) -> Vec<String> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection.prepare("PRAGMA integrity_check").unwrap();
    let mut found: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    found.retain(|line| line != "ok");
    let orphans: usize =
        connection.prepare("PRAGMA foreign_key_check").unwrap().query_map([], |_| Ok(())).unwrap().count();
    found.extend((0..orphans).map(|_| "a row without its parent".to_owned()));
    found
}

const CHILD: &str = "OUBLIETTE_TEST_METADATA_CHILD";

/// The child of the test below: writes until it is killed and says what was acknowledged. Does nothing when run by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_writes_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let store = Arc::new(open(Path::new(&path)));
    let first = store.count_interactions().await.unwrap() + 1_000_000 * store.instance().await.unwrap().commit_counter;
    let tasks = (0..16).map(|lane| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for step in 0.. {
                let group = first + step * 16 + lane;
                let Applied::Done(counter) = insert(&store, group).await.unwrap() else { unreachable!("no checks") };
                // One line, one write: a reader never sees half of it.
                std::io::stdout().write_all(format!("ack {group} {counter}\n").as_bytes()).unwrap();
            }
        })
    });
    futures::future::join_all(tasks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_acknowledged_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.db");
    for round in 1..=5_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sqlite::child_that_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let (mut acknowledged, mut last, mut line) = (Vec::new(), 0, String::new());
        let mut killed = false;
        loop {
            line.clear();
            if lines.read_line(&mut line).unwrap() == 0 {
                break;
            }
            // A line cut off by the kill was not an acknowledgement to anybody.
            if let Some(rest) = line.strip_suffix('\n').and_then(|line| line.split_once("ack ")) {
                let (group, counter) = rest.1.split_once(' ').unwrap();
                acknowledged.push(Group(group.parse().unwrap()));
                last = last.max(counter.parse::<u64>().unwrap());
            }
            if acknowledged.len() == 70 * round && !killed {
                child.kill().unwrap();
                killed = true;
            }
        }
        assert!(killed, "the child ended by itself");
        child.wait().unwrap();

        let store = open(&path);
        for some in acknowledged.chunks(1_000) {
            assert_eq!(store.interactions(some).await.unwrap().len(), some.len());
        }
        assert!(store.instance().await.unwrap().commit_counter >= last);
        store.close().await;
        assert_eq!(complaints(&path), Vec::<String>::new());
    }
}

/// Counts commits and can hold the first one up.
#[derive(Default)]
struct Gate {
    commits: AtomicUsize,
    open: Mutex<bool>,
    changed: Condvar,
}

impl Probe for Gate {
    fn reached(&self, point: &'static str) {
        if point == CRASH_POINTS[0] {
            self.commits.fetch_add(1, Ordering::SeqCst);
            drop(self.changed.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_during_a_commit_forms_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let options = SqliteOptions { probe: Arc::clone(&gate) as Arc<dyn Probe>, ..SqliteOptions::default() };
    let store = Arc::new(SqliteMetadata::open(&folder.path().join("metadata.db"), options).unwrap());
    let begin = |group| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { insert(&store, group).await.unwrap() })
    };
    let first = begin(0);
    while gate.commits.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let waiting: Vec<_> = (1..64).map(begin).collect();
    // They are in the queue once each task has run to its wait; the writer is held up meanwhile.
    tokio::time::sleep(Duration::from_millis(200)).await;
    *gate.open.lock().unwrap() = true;
    gate.changed.notify_all();
    assert_eq!(first.await.unwrap(), Applied::Done(1));
    for task in waiting {
        assert_eq!(task.await.unwrap(), Applied::Done(2));
    }
    assert_eq!(gate.commits.load(Ordering::SeqCst), 2);
    assert_eq!(store.instance().await.unwrap().commit_counter, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_transactions_share_commits() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&folder.path().join("metadata.db")));
    let tasks = (0..64_u64).map(|lane| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for step in 0..20 {
                insert(&store, lane * 1_000 + step).await.unwrap();
            }
        })
    });
    for task in futures::future::join_all(tasks).await {
        task.unwrap();
    }
    let commits = store.instance().await.unwrap().commit_counter;
    assert_eq!(store.count_interactions().await.unwrap(), 1_280);
    assert!(commits < 1_280 / 4, "{commits} commits for 1,280 transactions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_leaves_a_whole_transaction_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&folder.path().join("metadata.db")));
    for group in 0..200 {
        let work =
            write(&store, vec![Write::InsertInteraction(interaction(group)), Write::InsertContent(content(group, 1))]);
        let _ = tokio::time::timeout(Duration::from_micros(group * 10), work).await;
    }
    write(&store, Vec::new()).await.unwrap();
    let groups: Vec<_> = (0..200).map(Group).collect();
    let rows = store.interactions(&groups).await.unwrap().len();
    assert_eq!(store.contents(&groups).await.unwrap().len(), rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_database_answers_unavailable_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.db");
    let options = SqliteOptions { max_bytes: Some(400_000), ..SqliteOptions::default() };
    let store = SqliteMetadata::open(&path, options).unwrap();
    let full = fill(&store).await;
    assert!(full > 100);
    let counter = store.instance().await.unwrap().commit_counter;

    // Nothing of a transaction that did not fit is there, and what it would have covered is not covered.
    let large = (0..200).map(|number| Write::InsertInteraction(interaction(5_000 + number)));
    let writes = std::iter::once(Write::InsertPurge(erasure(1))).chain(large).collect();
    assert_eq!(write(&store, writes).await.unwrap_err().kind, PortErrorKind::Unavailable);
    assert!(store.interaction(Group(5_000)).await.unwrap().is_none());
    let free = Transaction { checks: vec![Check::NotErased(Group(1).leaf(0))], ..Transaction::default() };
    assert!(matches!(store.apply(free).await.unwrap(), Applied::Done(_)));
    assert_eq!(store.instance().await.unwrap().commit_counter, counter);
    assert_eq!(store.count_interactions().await.unwrap(), full);

    write(&store, vec![Write::DeleteInteractions((0..50).map(Group).collect())]).await.unwrap();
    insert(&store, 9_000).await.unwrap();
    store.close().await;
    assert_eq!(complaints(&path), Vec::<String>::new());
}

/// Inserts until the store is full; how many there are then.
async fn fill(store: &SqliteMetadata) -> u64 {
    for group in 0..100_000 {
        if let Err(error) = insert(store, group).await {
            assert_eq!(error.kind, PortErrorKind::Unavailable);
            return group;
        }
    }
    panic!("it never got full");
}

/// A small file system of its own, unmounted at the end.
struct Small(tempfile::TempDir);

impl Small {
    /// `None` where this process may not mount.
    fn mount(test: &str, size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        if mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], folder.path()) {
            return Some(Self(folder));
        }
        cannot_run(test, "needs the right to mount");
        None
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("metadata.db")
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn mount(arguments: &[&str], folder: &Path) -> bool {
    let status = Command::new("mount").args(arguments).arg(folder).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_answers_unavailable_and_heals() {
    let Some(disk) = Small::mount("a_full_disk_answers_unavailable_and_heals", "2m") else { return };
    let store = open(&disk.path());
    insert(&store, 500_000).await.unwrap();
    let ballast = disk.0.path().join("ballast");
    // Until nothing is left, so that not even the log can grow.
    let copied = std::io::copy(&mut std::io::repeat(1).take(4 << 20), &mut std::fs::File::create(&ballast).unwrap());
    copied.unwrap_err();

    let full = fill(&store).await;
    let covering = vec![Write::InsertPurge(erasure(7)), Write::InsertInteraction(interaction(600_000))];
    assert_eq!(write(&store, covering).await.unwrap_err().kind, PortErrorKind::Unavailable);
    let counter = store.instance().await.unwrap().commit_counter;
    assert_eq!(store.count_interactions().await.unwrap(), full + 1, "reading goes on");

    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(insert(&store, 700_000).await.unwrap(), Applied::Done(counter + 1));
    let free = Transaction { checks: vec![Check::NotErased(Group(7).leaf(0))], ..Transaction::default() };
    assert!(matches!(store.apply(free).await.unwrap(), Applied::Done(_)));
    store.close().await;
    assert_eq!(complaints(&disk.path()), Vec::<String>::new());
    let store = open(&disk.path());
    assert_eq!(store.count_interactions().await.unwrap(), full + 2);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_is_written_on_a_full_disk_and_the_space_for_it_comes_back() {
    let Some(disk) = Small::mount("an_erasure_is_written_on_a_full_disk", "40m") else { return };
    let store = open(&disk.path());
    insert(&store, 500_000).await.unwrap();
    let ballast = disk.0.path().join("ballast");
    let copied = std::io::copy(&mut std::io::repeat(1).take(60 << 20), &mut std::fs::File::create(&ballast).unwrap());
    copied.unwrap_err();
    fill(&store).await;
    let reserve = disk.0.path().join("metadata.db.reserve");
    let set_aside = || std::fs::metadata(&reserve).is_ok_and(|file| file.blocks() > 0);
    assert!(set_aside(), "space is kept back, and others are refused before it is touched");

    write(&store, vec![Write::InsertPurge(erasure(7))]).await.unwrap();
    assert!(!set_aside(), "the space is what the erasure was written with");

    std::fs::remove_file(&ballast).unwrap();
    insert(&store, 700_000).await.unwrap();
    for _ in 0..500 {
        if set_aside() {
            store.close().await;
            return assert_eq!(complaints(&disk.path()), Vec::<String>::new());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("there is space, but none is kept back for the next erasure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_disk_is_refused_at_open_and_heals() {
    let Some(disk) = Small::mount("a_read_only_disk_is_refused_at_open_and_heals", "2m") else { return };
    let store = open(&disk.path());
    insert(&store, 1).await.unwrap();
    store.close().await;
    assert!(mount(&["-o", "remount,ro"], disk.0.path()));
    assert_eq!(refusal(&disk.path()).0, PortErrorKind::Unavailable);
    assert!(mount(&["-o", "remount,rw"], disk.0.path()));
    let store = open(&disk.path());
    assert_eq!(store.count_interactions().await.unwrap(), 1);
    store.close().await;
}

#[tokio::test]
async fn a_second_opener_is_refused_while_the_first_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.db");
    let first = open(&path);
    let (kind, cause) = refusal(&path);
    assert_eq!((kind, cause.as_str()), (PortErrorKind::Unavailable, "another process has the database open"));
    drop(first);
    open(&path).close().await;
}

#[tokio::test]
async fn after_close_everything_answers_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("metadata.db"));
    store.close().await;
    store.close().await;
    assert_eq!(insert(&store, 1).await.unwrap_err().kind, PortErrorKind::Unavailable);
    assert_eq!(store.instance().await.unwrap_err().kind, PortErrorKind::Unavailable);
}

#[tokio::test]
async fn tampered_newer_foreign_and_broken_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.db");
    open(&path).close().await;
    let tamper = |sql: &str| rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();

    tamper("INSERT INTO schema_migrations VALUES (900, '0900_future', zeroblob(32))");
    let (kind, cause) = refusal(&path);
    assert!(kind == PortErrorKind::Refused && cause.contains("schema 900") && cause.contains("newer"), "{cause}");
    tamper("DELETE FROM schema_migrations WHERE number = 900");
    tamper("UPDATE schema_migrations SET sha256 = zeroblob(32)");
    let (kind, cause) = refusal(&path);
    assert!(kind == PortErrorKind::Refused && cause.contains("migration 1"), "{cause}");

    let foreign = folder.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = std::fs::read(&foreign).unwrap();
    let (kind, cause) = refusal(&foreign);
    assert!(kind == PortErrorKind::Refused && cause.contains("not the metadata"), "{cause}");
    assert_eq!(std::fs::read(&foreign).unwrap(), before, "another program's file is not touched");

    let broken = folder.path().join("broken.db");
    std::fs::write(&broken, [7; 8192]).unwrap();
    assert_eq!(refusal(&broken).0, PortErrorKind::Corrupt);
    assert_eq!(refusal(&folder.path().join("no/folder.db")).0, PortErrorKind::Unavailable);
}

#[tokio::test]
async fn a_new_database_has_the_id_it_was_given_and_an_old_one_keeps_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.db");
    for given in [5, 6] {
        let options = SqliteOptions { new_instance: Uuid::from_u128(given), ..SqliteOptions::default() };
        let store = SqliteMetadata::open(&path, options).unwrap();
        assert_eq!(store.instance().await.unwrap().instance, Uuid::from_u128(5));
        store.close().await;
    }
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_bounded_and_is_gone_after_close() {
    log_stays_bounded().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_bounded_under_commits_of_a_thread_that_may_wait() {
    on_a_thread_that_may_wait(log_stays_bounded).await;
}

/// Runs what is asked of the store on a thread that the store may use.
async fn on_a_thread_that_may_wait<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send + 'static) {
    let runtime = tokio::runtime::Handle::current();
    let run = move || {
        this_thread_may_wait();
        runtime.block_on(work());
    };
    tokio::task::spawn_blocking(move || std::thread::spawn(run).join().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_that_may_wait_and_the_writers_own_commit_by_turns_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&folder.path().join("metadata.db")));
    let (own, others) = (Arc::clone(&store), Arc::clone(&store));
    let through_the_queue = tokio::spawn(async move {
        for group in 0..300 {
            insert(&others, 2 * group).await.unwrap();
        }
    });
    on_a_thread_that_may_wait(move || async move {
        for group in 0..300 {
            insert(&own, 2 * group + 1).await.unwrap();
            assert!(own.interaction(Group(2 * group + 1)).await.unwrap().is_some(), "a read after its commit");
        }
    })
    .await;
    through_the_queue.await.unwrap();
    assert_eq!(store.count_interactions().await.unwrap(), 600);
    let commits = store.instance().await.unwrap().commit_counter;
    assert!((300..=600).contains(&commits), "{commits}");
    store.close().await;
    on_a_thread_that_may_wait(move || async move {
        assert_eq!(insert(&store, 600).await.unwrap_err().kind, PortErrorKind::Unavailable, "closed for everybody");
    })
    .await;
}

async fn log_stays_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.db");
    let log = folder.path().join("metadata.db-wal");
    let store = open(&path);
    let mut largest = 0;
    for round in 0..60_u64 {
        let row = |number| InteractionRow { sealed_meta: vec![1; 3_000], ..interaction(round * 250 + number) };
        write(&store, (0..250).map(row).map(Write::InsertInteraction).collect()).await.unwrap();
        // Readers come and go meanwhile.
        assert!(store.interaction(Group(round * 250)).await.unwrap().is_some());
        largest = largest.max(std::fs::metadata(&log).unwrap().len());
    }
    assert!(largest < 16 << 20, "the log grew to {largest} bytes");
    store.close().await;
    assert!(std::fs::metadata(&log).map_or(0, |log| log.len()) == 0);
}

#[tokio::test]
async fn the_log_is_emptied_when_nothing_happens() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("metadata.db-wal");
    let store = open(&folder.path().join("metadata.db"));
    insert(&store, 1).await.unwrap();
    assert!(std::fs::metadata(&log).unwrap().len() > 0);
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while std::fs::metadata(&log).unwrap().len() > 0 {
        assert!(std::time::Instant::now() < deadline, "the log still holds old pages");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(store.interaction(Group(1)).await.unwrap().is_some());
    insert(&store, 2).await.unwrap();
    store.close().await;
}

/// No times are asserted: this shows that nothing is quadratic.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_interactions_are_handled() {
    const COUNT: u64 = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("metadata.db"));
    for first in (0..COUNT).step_by(1_000) {
        let rows = (first..first + 1_000)
            .flat_map(|group| [Write::InsertInteraction(interaction(group)), Write::InsertContent(content(group, 1))]);
        write(&store, rows.collect()).await.unwrap();
    }
    assert_eq!(store.count_interactions().await.unwrap(), COUNT);
    let all: LeafSet = (0..COUNT).map(Leaf).collect();
    assert_eq!(store.count_contents(&all).await.unwrap(), COUNT);
    assert_eq!(store.used_groups(0..u64::MAX).await.unwrap(), all);
    assert_eq!(store.next_hour(TenantId(1), 490_001, i64::MAX).await.unwrap(), Some(490_001));
    assert_eq!(store.interactions_in_hour(TenantId(1), 490_500, None, 1_000).await.unwrap().len(), 50);
    let groups: Vec<_> = (0..1_000).map(|number| Group(number * 97)).collect();
    assert_eq!(store.interactions(&groups).await.unwrap().len(), 1_000);

    let gone: Vec<_> = (0..COUNT).filter(|group| group % 4 != 0).map(Group).collect();
    for some in gone.chunks(10_000) {
        write(&store, vec![Write::DeleteInteractions(some.to_vec())]).await.unwrap();
    }
    assert_eq!(store.count_interactions().await.unwrap(), COUNT / 4);
    assert_eq!(store.count_contents(&all).await.unwrap(), COUNT / 4);
    store.close().await;
}
