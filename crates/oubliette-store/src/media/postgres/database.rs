//! The claim to a key database, and what is reached through it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio_postgres::Row;

use super::claim::{Claim, Values, Write};
use super::reader::Reader;
use super::{PostgresPages, PostgresValues};
use crate::media::worker::Worker;
use crate::postgres::{Connector, Options, Parameter};

/// What to do when another process holds the key state.
#[derive(Clone, Copy, Debug)]
pub enum Claiming {
    /// Wait this long for it to let go.
    Wait(Duration),
    /// Wait for a second; when its session has said nothing for this long, end that and go on. It confirms its claim
    /// far more often, and uses no key once it cannot, so one that is silent is paused or gone.
    WhenSilent(Duration),
    /// End its session and go on at once. For an operator who knows that the other process is stuck: it loses the fence
    /// and has to end, also when it was sound.
    TakeOver,
}

/// How a key database is used.
#[derive(Clone, Debug)]
pub struct KeyDatabaseOptions {
    /// Which server. Sessions hold a lock for as long as they live, so no pooler that shares them may stand in between.
    pub server: Options,
    /// When another process holds it.
    pub claiming: Claiming,
    /// How long to try to find out whether a transaction took place whose answer got lost.
    pub patience: Duration,
}

impl KeyDatabaseOptions {
    /// The usual times.
    pub fn new(server: Options) -> Self {
        Self { server, claiming: Claiming::Wait(Duration::from_secs(60)), patience: Duration::from_secs(60) }
    }
}

/// One process's claim to write key state. Ends, with its lock, when this and everything made from it are dropped.
#[derive(Clone)]
pub struct KeyDatabase(pub(super) Arc<Inner>);

pub(super) struct Inner {
    // First: the thread must have ended before the sessions go.
    worker: Worker,
    claim: Arc<Claim>,
    reader: Arc<Reader>,
    number: u64,
}

impl KeyDatabase {
    /// Claims the key state, making its tables where there are none. Blocks.
    ///
    /// # Errors
    /// [`is_in_use`](super::is_in_use) tells that another process holds it.
    pub fn open(options: KeyDatabaseOptions) -> io::Result<Self> {
        let worker = Worker::start("key-database")?;
        let connector = || Connector::new(&options.server).map_err(io::Error::other);
        let reader = Arc::new(Reader::new(connector()?));
        let taking = Claim::take(connector()?, options.claiming, options.patience);
        let claim = Arc::new(worker.run(taking)?);
        let (number, _) = worker.run({
            let claim = Arc::clone(&claim);
            async move { Ok(claim.fence().await) }
        })?;
        Ok(Self(Arc::new(Inner { worker, claim, reader, number: number.unsigned_abs() })))
    }

    /// The number of this claim: higher than that of every claim before.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// A number of this claim above `floor`. A database that was lost or went back begins to count anew, while another place
    /// still knows the higher numbers of earlier claims.
    ///
    /// # Errors
    /// [`is_superseded`](super::is_superseded), or that the server cannot be asked. [`is_unbelievable`](super::is_unbelievable): so
    /// many claims there never were. Then the number stays, and the trouble is with who named that one.
    pub fn number_above(&self, floor: u64) -> io::Result<u64> {
        let claim = Arc::clone(&self.0.claim);
        self.run(async move { claim.raise_above(floor).await.map(i64::unsigned_abs) })
    }

    /// Makes sure that nobody else has taken the key state over.
    ///
    /// # Errors
    /// [`is_superseded`](super::is_superseded), or that the server cannot be asked.
    pub fn confirm(&self) -> io::Result<()> {
        let claim = Arc::clone(&self.0.claim);
        self.run(async move { claim.confirm().await })
    }

    /// Turns true, for good, when anything that was asked or written shows that another process has taken the key state over.
    /// Holding it does not hold the claim.
    pub fn superseded(&self) -> Arc<AtomicBool> {
        self.0.claim.superseded()
    }

    /// Pages and journal.
    pub fn pages(&self) -> io::Result<PostgresPages> {
        PostgresPages::open(self.clone())
    }

    /// Small named values behind the same fence.
    pub fn values(&self) -> PostgresValues {
        PostgresValues::new(self.clone())
    }

    pub(super) fn write(&self, write: Write) -> io::Result<()> {
        let claim = Arc::clone(&self.0.claim);
        self.run(async move { claim.write(&write).await })
    }

    /// The session for reads.
    pub(super) fn reader(&self) -> &Arc<Reader> {
        &self.0.reader
    }

    /// Number and serial of the fence as this process left them.
    pub(super) fn fence(&self) -> io::Result<(i64, i64)> {
        let claim = Arc::clone(&self.0.claim);
        self.run(async move { Ok(claim.fence().await) })
    }

    /// Runs work on the thread of the sessions.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        self.0.worker.run(work)
    }

    /// Reads rows over the session for reads, each as `row` takes it.
    pub(super) fn read<T: Send + 'static>(
        &self,
        text: &'static str,
        values: Values,
        row: impl Fn(&Row) -> T + Send + 'static,
    ) -> io::Result<Vec<T>> {
        self.read_over(&self.0.reader, text, values, row)
    }

    /// The same over another server's session.
    pub(super) fn read_over<T: Send + 'static>(
        &self,
        reader: &Arc<Reader>,
        text: &'static str,
        values: Values,
        row: impl Fn(&Row) -> T + Send + 'static,
    ) -> io::Result<Vec<T>> {
        let reader = Arc::clone(reader);
        self.run(async move {
            let values: Vec<Parameter<'_>> = values.iter().map(|value| &**value as Parameter<'_>).collect();
            let rows = reader.query(text, &values).await.map_err(io::Error::other)?;
            Ok(rows.iter().map(row).collect())
        })
    }
}
