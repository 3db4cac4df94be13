//! A standby as the second place.
//!
//! The rows reach it by the server's own replication; nothing is written here. Before pages are read back, the standby must
//! have replayed everything that the primary had flushed when it was asked, and show the fence as this process left it. What
//! a standby has replayed it had flushed to its own disk before.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use keyforest::media::{Medium, not_done};
use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::reader::Reader;
use super::{PostgresPages, statements};
use crate::postgres::{Connector, Options, PostgresError, Target};

/// Between two questions whether the standby has caught up.
const PAUSE: Duration = Duration::from_millis(2);

/// Why the standby is no second place now.
#[derive(Debug, Error)]
enum Unfit {
    #[error("synchronous_standby_names is empty: commits wait for no standby")]
    NotSynchronous,
    #[error("the standby is a primary: it is not the second place of this one")]
    NotAStandby,
    #[error("the standby does not show the key state as it was written")]
    OtherState,
    #[error("the standby has not replayed what was written")]
    Behind,
    #[error("the standby cannot be asked")]
    Database(#[from] PostgresError),
}

/// Key pages in PostgreSQL whose written bytes are read back from a standby.
pub struct StandbyPages {
    pages: PostgresPages,
    standby: Arc<Reader>,
    patience: Duration,
}

impl StandbyPages {
    /// Reads back over `standby`, and waits up to `patience` for it to catch up.
    ///
    /// # Errors
    /// When the options name no server. That the primary waits for a standby, and that this is one, is checked at each
    /// reading.
    pub fn new(pages: PostgresPages, standby: &Options, patience: Duration) -> io::Result<Self> {
        let options = Options { target: Target::Standby, ..standby.clone() };
        let connector = Connector::new(&options).map_err(io::Error::other)?;
        Ok(Self { pages, standby: Arc::new(Reader::new(connector)), patience })
    }

    pub(in crate::media) fn pages(&self) -> &PostgresPages {
        &self.pages
    }

    /// Waits until the standby holds what was written so far.
    fn caught_up(&self) -> io::Result<()> {
        let database = self.pages.database();
        let (standby, patience) = (Arc::clone(&self.standby), self.patience);
        let (number, serial) = database.fence()?;
        let primary: Vec<(String, bool)> =
            database.read(statements::PRIMARY, Vec::new(), |row| (row.get(0), row.get(1)))?;
        let written = match primary.into_iter().next() {
            Some((written, true)) => written,
            _ => return Err(io::Error::other(Unfit::NotSynchronous)),
        };
        database.run(async move {
            let until = Instant::now() + patience;
            while !shows(&standby, &written, number, serial).await.map_err(io::Error::other)? {
                if Instant::now() >= until {
                    return Err(io::Error::other(Unfit::Behind));
                }
                sleep(PAUSE).await;
            }
            Ok(())
        })
    }
}

/// Whether the standby has replayed up to `written`.
async fn shows(standby: &Reader, written: &str, number: i64, serial: i64) -> Result<bool, Unfit> {
    let rows = standby.query(statements::STANDBY, &[&written]).await?;
    let row = rows.first().ok_or(Unfit::OtherState)?;
    if !row.get::<_, bool>(0) {
        return Err(Unfit::NotAStandby);
    }
    if !row.get::<_, Option<bool>>(1).unwrap_or(false) {
        return Ok(false);
    }
    match (row.get::<_, Option<i64>>(2), row.get::<_, Option<i64>>(3)) {
        (Some(n), Some(s)) if (n, s) >= (number, serial) => Ok(true),
        _ => Err(Unfit::OtherState),
    }
}

impl Medium for StandbyPages {
    fn create(&self, name: &str, reserve: u64) -> io::Result<()> {
        self.pages.create(name, reserve)
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.pages.write_at(name, offset, bytes)
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        self.pages.flush(name)
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.pages.read_at(name, offset, len)
    }

    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        // Whatever is missing may come: the old root is whole, and the seal is tried again.
        self.caught_up().map_err(not_done)?;
        self.pages.read_back_over(&self.standby, name, offset, len)
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.pages.truncate(name, len)
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.pages.list()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.pages.remove(name)
    }
}
