//! One connection with its prepared statements.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::TryStreamExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::error::Severity;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Connection, Row, SimpleQueryMessage, Statement};

use super::PostgresError;
use super::pipeline::in_order;

/// A value for a statement.
pub type Parameter<'a> = &'a (dyn ToSql + Sync);

/// A session. Statements are prepared once each and known by their text.
///
/// Whoever drops a call half-way leaves its answer to come: the session must then not be used for anything else.
pub struct Session {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
    warnings: Arc<AtomicU64>,
    driver: Driver,
    limit: Duration,
}

/// The task that moves messages. Left alone it hears what was asked to its end, also when nobody waits for the answer.
struct Driver {
    task: Option<JoinHandle<()>>,
    /// Whether it is stopped instead, and the connection with it.
    cut: bool,
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.cut
            && let Some(task) = &self.task
        {
            task.abort();
        }
    }
}

impl Session {
    /// Takes a fresh connection over and drives it on a task of its own.
    pub(super) fn begin<S, T>(client: Client, mut connection: Connection<S, T>, limit: Duration) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let warnings = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&warnings);
        // Messages come in the server's order: a warning is counted before the answer it precedes is handed on.
        let driver = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notice(notice) = message
                    && notice.parsed_severity() == Some(Severity::Warning)
                {
                    counted.fetch_add(1, Ordering::AcqRel);
                    tracing::warn!(code = notice.code().code(), text = notice.message(), "the database warns");
                }
            }
        });
        let driver = Driver { task: Some(driver), cut: false };
        Self { client, statements: Mutex::default(), warnings, driver, limit }
    }

    /// From now on the connection is cut when the session is dropped, whatever is under way.
    pub(super) fn cut_when_dropped(&mut self) {
        self.driver.cut = true;
    }

    /// Rows of a statement, all in memory.
    pub async fn query(&self, text: &'static str, values: &[Parameter<'_>]) -> Result<Vec<Row>, PostgresError> {
        let statement = self.statement(text).await?;
        self.timed(async { Ok(self.client.query(&statement, values).await?) }).await
    }

    /// Rows of a statement, one after the other to `row`; they are never all in memory.
    pub async fn each(
        &self,
        text: &'static str,
        values: &[Parameter<'_>],
        mut row: impl FnMut(Row) -> Result<(), PostgresError> + Send,
    ) -> Result<(), PostgresError> {
        let statement = self.statement(text).await?;
        self.timed(async {
            let mut rows = pin!(self.client.query_raw(&statement, values.iter().copied()).await?);
            while let Some(next) = rows.try_next().await? {
                row(next)?;
            }
            Ok(())
        })
        .await
    }

    /// Runs a statement; how many rows it changed.
    pub async fn execute(&self, text: &'static str, values: &[Parameter<'_>]) -> Result<u64, PostgresError> {
        let statement = self.statement(text).await?;
        self.timed(async { Ok(self.client.execute(&statement, values).await?) }).await
    }

    /// Runs statements without values and answers, separated by semicolons.
    pub async fn batch(&self, text: &str) -> Result<(), PostgresError> {
        self.timed(async { Ok(self.client.batch_execute(text).await?) }).await
    }

    /// Asks in text form, without preparing.
    pub async fn simple(&self, text: &str) -> Result<Vec<SimpleQueryMessage>, PostgresError> {
        self.timed(async { Ok(self.client.simple_query(text).await?) }).await
    }

    /// Prepares statements in one round trip. Only what is prepared keeps its place in [`in_order`].
    pub async fn prepare_all(&self, texts: &[&'static str]) -> Result<(), PostgresError> {
        let requests = texts.iter().map(|text| Box::pin(self.prepare(text)) as _);
        in_order(requests.collect()).await.into_iter().collect()
    }

    /// Warnings of the server so far. One during COMMIT means: committed here, perhaps nowhere else.
    pub fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Acquire)
    }

    /// Whether the connection is known to be gone.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Ends the session and waits until the connection is closed, though not for ever.
    pub async fn close(self) {
        let Self { client, mut driver, .. } = self;
        drop(client);
        if let Some(task) = driver.task.take() {
            drop(tokio::time::timeout(Duration::from_secs(2), task).await);
        }
    }

    async fn statement(&self, text: &'static str) -> Result<Statement, PostgresError> {
        match self.known(text) {
            Some(statement) => Ok(statement),
            None => {
                self.prepare(text).await?;
                self.known(text).ok_or(PostgresError::Unreadable("a prepared statement"))
            }
        }
    }

    fn known(&self, text: &'static str) -> Option<Statement> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(text).cloned()
    }

    async fn prepare(&self, text: &'static str) -> Result<(), PostgresError> {
        let statement = self.timed(async { Ok(self.client.prepare(text).await?) }).await?;
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).insert(text, statement);
        Ok(())
    }

    /// The server ends statements by itself; this is for a server that says nothing any more.
    async fn timed<T>(&self, work: impl Future<Output = Result<T, PostgresError>>) -> Result<T, PostgresError> {
        tokio::time::timeout(self.limit, work).await.map_err(|_| PostgresError::Silent(self.limit))?
    }
}
