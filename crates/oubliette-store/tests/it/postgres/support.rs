//! A database of each test's own on the server that was started for the tests.

use std::sync::Arc;
use std::time::Duration;

use keyforest::{Group, Leaf, LeafSet};
use oubliette_core::model::{ContentKind, InteractionKind, SizeClass, State, TenantId};
use oubliette_core::ports::{
    Applied, BlobRef, Check, ContentRow, InteractionRow, Metadata, PortError, PurgeKind, PurgeRow, PurgeSet,
    PurgeState, Transaction, Write,
};
use oubliette_store::metadata::postgres::{PostgresMetadata, PostgresOptions};
use oubliette_store::postgres::Options;
use tokio_postgres::{Client, NoTls};

/// The server's URL as superuser. It has to be there: a missing server is a failure, not a skip.
pub fn server() -> String {
    std::env::var("OUBLIETTE_TEST_POSTGRES")
        .expect("OUBLIETTE_TEST_POSTGRES is not set: start the servers with scripts/engines.sh, or run ./test.sh")
}

/// A connection without any of our own code.
pub async fn plain(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
    });
    client
}

/// A new database, dropped at the end.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// On the shared server.
    pub async fn fresh() -> Self {
        Self::on(server(), "ENCODING 'UTF8'").await
    }

    /// On some server, with words of its own for CREATE DATABASE.
    pub async fn on(server: String, words: &str) -> Self {
        let name = format!("vault_{}", uuid::Uuid::new_v4().simple());
        let create = format!("CREATE DATABASE {name} TEMPLATE template0 {words}");
        let client = plain(&server).await;
        // Two at once may meet while the template is copied.
        let mut tries = 0;
        while let Err(error) = client.batch_execute(&create).await {
            tries += 1;
            assert!(tries < 20, "{error:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Self { server, name }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        let (head, _) = self.server.rsplit_once('/').unwrap();
        format!("{head}/{}", self.name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is reached.
    pub fn options(&self) -> Options {
        Options { url: self.url(), ..Options::default() }
    }

    /// A connection to it without any of our own code.
    pub async fn plain(&self) -> Client {
        plain(&self.url()).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A runtime of its own: the test's may be gone or busy.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let Ok((client, connection)) = tokio_postgres::connect(&server, NoTls).await else { return };
                tokio::spawn(connection);
                let _ = client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
            });
        });
        let _ = dropping.join();
    }
}

/// A store on the database.
pub async fn open(database: &Database) -> Arc<PostgresMetadata> {
    let options = PostgresOptions { server: database.options(), ..PostgresOptions::default() };
    Arc::new(PostgresMetadata::open(options).await.unwrap())
}

/// An interaction.
pub fn interaction(group: u64) -> InteractionRow {
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

/// A content.
pub fn content(group: u64, index: u64) -> ContentRow {
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

/// A planned erasure of these interactions.
pub fn erasure(id: u64, groups: impl IntoIterator<Item = u64>) -> PurgeRow {
    let interactions: LeafSet = groups.into_iter().map(Leaf).collect();
    PurgeRow {
        id: uuid::Uuid::from_u128(u128::from(id)),
        tenant: Some(TenantId(1)),
        credential: None,
        kind: PurgeKind::Order,
        state: PurgeState::Planned,
        interactions: interactions.len() as u64,
        set: PurgeSet { interactions, ..PurgeSet::default() },
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

/// A transaction.
pub async fn apply(store: &PostgresMetadata, checks: Vec<Check>, writes: Vec<Write>) -> Result<Applied, PortError> {
    store.apply(Transaction { name: "test", checks, writes }).await
}

/// Writes without checks.
pub async fn write(store: &PostgresMetadata, writes: Vec<Write>) -> Result<Applied, PortError> {
    apply(store, Vec::new(), writes).await
}

/// One new interaction.
pub async fn insert(store: &PostgresMetadata, group: u64) -> Result<Applied, PortError> {
    write(store, vec![Write::InsertInteraction(interaction(group))]).await
}

/// Waits until some session of the database waits for another's lock.
pub async fn waits_for_a_lock(database: &Database) {
    let plain = database.plain().await;
    let sql = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("waiting for a lock", async || (!plain.query(sql, &[]).await.unwrap().is_empty()).then_some(())).await;
}

/// Tries until it works, within a minute.
pub async fn until<T>(what: &str, mut work: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = work().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} did not happen");
}
