//! Commits nobody answered: found out, done again, or told as unknown, and never counted twice.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyforest::{Group, Probe};
use oubliette_core::ports::{Applied, Metadata, PortErrorKind};
use oubliette_store::metadata::postgres::{CRASH_POINTS, PostgresMetadata, PostgresOptions};
use oubliette_store::postgres::Options;

use super::cluster::Cluster;
use super::proxy::{Cut, Proxy};
use super::support::{Database, insert, open, plain, until};

/// A store behind a proxy, one writer, so that each commit goes the same way.
async fn behind(database: &Database) -> (Proxy, PostgresMetadata) {
    let url = database.url();
    let port = url.rsplit(':').next().unwrap().split('/').next().unwrap().to_owned();
    let proxy = Proxy::before(port.parse().unwrap()).await;
    let server = Options {
        url: url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port)),
        connect_timeout: Duration::from_secs(2),
        ..Options::default()
    };
    let options =
        PostgresOptions { server, writers: 1, resolve_within: Duration::from_secs(3), ..PostgresOptions::default() };
    let store = PostgresMetadata::open(options).await.unwrap();
    insert(&store, 1_000).await.unwrap();
    (proxy, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_around_a_commit_leaves_it_done_exactly_once() {
    let database = Database::fresh().await;
    let (proxy, store) = behind(&database).await;
    for (group, cut) in [(1, Cut::Before), (2, Cut::After), (3, Cut::Before), (4, Cut::After)] {
        let before = store.instance().await.unwrap().commit_counter;
        proxy.set(cut);
        // Done twice it would be refused: the group would have a row.
        let Applied::Done(counter) = insert(&store, group).await.unwrap() else { unreachable!() };
        assert!(proxy.was_cut());
        assert!(store.interaction(Group(group)).await.unwrap().is_some());
        let after = store.instance().await.unwrap().commit_counter;
        assert!(before < counter && counter <= after, "{before} {counter} {after}");
    }
    assert_eq!(store.count_interactions().await.unwrap(), 5);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_cannot_be_found_out_is_unknown_whether_done_or_not() {
    for (cut, done) in [(Cut::BeforeAndStay, false), (Cut::AfterAndStay, true)] {
        let database = Database::fresh().await;
        let (proxy, store) = behind(&database).await;
        proxy.set(cut);
        assert_eq!(insert(&store, 7).await.unwrap_err().kind, PortErrorKind::Unknown, "{cut:?}");
        // Before a commit it is known that nothing was done.
        assert_eq!(insert(&store, 8).await.unwrap_err().kind, PortErrorKind::Unavailable, "{cut:?}");
        assert_eq!(store.value("name").await.unwrap_err().kind, PortErrorKind::Unavailable);
        let beside = open(&database).await;
        assert_eq!(beside.interaction(Group(7)).await.unwrap().is_some(), done, "{cut:?}");
        assert!(beside.interaction(Group(8)).await.unwrap().is_none());
        // It heals by itself.
        proxy.set(Cut::Never);
        insert(&store, 8).await.unwrap();
        assert_eq!(store.interaction(Group(7)).await.unwrap().is_some(), done);
        beside.close().await;
        store.close().await;
    }
}

/// Ends the session that is about to commit.
struct Terminator {
    url: String,
    armed: Mutex<bool>,
}

impl Probe for Terminator {
    fn reached(&self, point: &'static str) {
        if point != CRASH_POINTS[0] || !std::mem::take(&mut *self.armed.lock().unwrap()) {
            return;
        }
        let url = self.url.clone();
        let ending = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let client = plain(&url).await;
                let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name = 'oubliette' AND backend_xid IS NOT NULL";
                assert_eq!(client.query(sql, &[]).await.unwrap().len(), 1);
            });
        });
        ending.join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ended_at_its_commit_is_replaced_and_the_batch_done() {
    let database = Database::fresh().await;
    let terminator = Arc::new(Terminator { url: database.url(), armed: Mutex::new(false) });
    let probe = Arc::clone(&terminator) as Arc<dyn Probe>;
    let options = PostgresOptions { server: database.options(), probe, ..PostgresOptions::default() };
    let store = PostgresMetadata::open(options).await.unwrap();
    insert(&store, 1).await.unwrap();
    *terminator.armed.lock().unwrap() = true;
    insert(&store, 2).await.unwrap();
    assert!(!*terminator.armed.lock().unwrap());
    assert_eq!(store.count_interactions().await.unwrap(), 2);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_sessions_that_were_ended_are_replaced_unnoticed() {
    let database = Database::fresh().await;
    let store = open(&database).await;
    insert(&store, 1).await.unwrap();
    store.interaction(Group(1)).await.unwrap().unwrap();
    let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'oubliette'";
    assert!(database.plain().await.query(end, &[]).await.unwrap().len() >= 2);
    assert!(store.interaction(Group(1)).await.unwrap().is_some());
    insert(&store, 2).await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_wait_was_cut_short_is_not_done() {
    let cluster = Cluster::start("", "");
    let server = Options { url: cluster.url(), statement_timeout: Duration::from_millis(1_500), ..Options::default() };
    let resolve_within = Duration::from_secs(4);
    let options = PostgresOptions { server, writers: 1, resolve_within, ..PostgresOptions::default() };
    let store = PostgresMetadata::open(options).await.unwrap();
    insert(&store, 1).await.unwrap();

    // From now on commits wait for a standby that is not there.
    let admin = plain(&cluster.url()).await;
    admin.batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    until("the reload", async || {
        let rows = admin.query("SHOW synchronous_standby_names", &[]).await.unwrap();
        (rows[0].get::<_, String>(0) == "nobody").then_some(())
    })
    .await;
    let error = insert(&store, 2).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Unknown, "{error} {:?}", error.source);

    // The standby is given up by its operator meanwhile: the wait is cut short, and a further commit is durable.
    let waiting = insert(&store, 3);
    let giving_up = async {
        until("the commit's wait", async || {
            let sql = "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
            (!admin.query(sql, &[]).await.unwrap().is_empty()).then_some(())
        })
        .await;
        let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        admin.query(cancel, &[]).await.unwrap();
        admin.batch_execute("ALTER SYSTEM RESET synchronous_standby_names").await.unwrap();
        admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    };
    let (answer, ()) = tokio::join!(waiting, giving_up);
    assert!(matches!(answer.unwrap(), Applied::Done(_)));
    assert!(store.interaction(Group(3)).await.unwrap().is_some());
    store.close().await;
}
