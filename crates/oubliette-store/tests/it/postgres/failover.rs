//! Servers that stop, come back, or are replaced by a standby, with and without what was committed.

use std::time::Duration;

use keyforest::Group;
use oubliette_core::ports::{Metadata, PortErrorKind};
use oubliette_store::metadata::postgres::{PostgresMetadata, PostgresOptions};
use oubliette_store::postgres::Options;

use super::cluster::Cluster;
use super::support::{insert, plain, until};

async fn open(url: String) -> PostgresMetadata {
    let server = Options { url, connect_timeout: Duration::from_secs(2), ..Options::default() };
    PostgresMetadata::open(PostgresOptions { server, ..PostgresOptions::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashed_and_came_back_is_used_again() {
    let cluster = Cluster::start("", "");
    let store = open(cluster.url()).await;
    insert(&store, 1).await.unwrap();
    cluster.stop("immediate");
    assert_eq!(insert(&store, 2).await.unwrap_err().kind, PortErrorKind::Unavailable);
    assert_eq!(store.interaction(Group(1)).await.err().unwrap().kind, PortErrorKind::Unavailable);
    cluster.run();
    insert(&store, 2).await.unwrap();
    assert_eq!(store.count_interactions().await.unwrap(), 2);
    store.close().await;
}

/// A primary, its asynchronous standby, and a store that knows both.
async fn pair() -> (Cluster, Cluster, PostgresMetadata, String) {
    let primary = Cluster::start("wal_keep_size = '256MB'", "");
    let standby = primary.standby("");
    let url = format!("postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres", standby.port, primary.port);
    // The standby comes first in the list and is passed over, since it does not accept writes.
    let store = open(url.clone()).await;
    for group in 0..5 {
        insert(&store, group).await.unwrap();
    }
    (primary, standby, store, url)
}

/// Waits until the standby has everything.
async fn caught_up(primary: &Cluster) {
    let client = plain(&primary.url()).await;
    until("the standby's catching up", async || {
        let sql = "SELECT FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()";
        (!client.query(sql, &[]).await.unwrap().is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_that_has_everything_is_used() {
    let (primary, standby, store, _) = pair().await;
    caught_up(&primary).await;
    let before = store.instance().await.unwrap();
    primary.stop("immediate");
    standby.promote();
    assert_eq!(store.instance().await.unwrap(), before);
    insert(&store, 7).await.unwrap();
    assert!(store.instance().await.unwrap().commit_counter > before.commit_counter);
    assert_eq!(store.count_interactions().await.unwrap(), 6);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_that_lost_commits_is_noticed_and_left_alone() {
    let (primary, standby, store, url) = pair().await;
    caught_up(&primary).await;
    standby.stop("fast");
    for group in 10..15 {
        insert(&store, group).await.unwrap();
    }
    let seen = store.instance().await.unwrap().commit_counter;
    primary.stop("immediate");
    standby.run();
    standby.promote();

    let error = insert(&store, 20).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Unknown, "{error} {:?}", error.source);
    assert_eq!(store.interaction(Group(1)).await.err().unwrap().kind, PortErrorKind::Unknown);
    assert_eq!(insert(&store, 21).await.unwrap_err().kind, PortErrorKind::Unknown);
    store.close().await;

    // Whoever opens it sees fewer commits than the key state has pinned.
    let reopened = open(url).await;
    let found = reopened.instance().await.unwrap().commit_counter;
    assert!(found < seen, "{found} of {seen}");
    assert_eq!(reopened.count_interactions().await.unwrap(), 5);
    assert!(reopened.interaction(Group(20)).await.unwrap().is_none(), "nothing was written to it");
    reopened.close().await;
}
