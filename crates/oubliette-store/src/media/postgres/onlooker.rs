//! Looks at a key state that another process has claimed, without a claim of its own.

use std::io;
use std::sync::Arc;

use super::reader::Reader;
use super::statements;
use crate::media::worker::Worker;
use crate::postgres::{Connector, Options, Parameter};

/// A session that reads small named values, whoever holds the claim. Writes nothing.
pub struct Onlooker {
    // First: the thread must have ended before the session goes.
    worker: Worker,
    reader: Arc<Reader>,
}

impl Onlooker {
    /// Prepares it; connects when first asked.
    pub fn new(server: &Options) -> io::Result<Self> {
        let worker = Worker::start("onlooker")?;
        let connector = Connector::new(server).map_err(io::Error::other)?;
        Ok(Self { worker, reader: Arc::new(Reader::new(connector)) })
    }

    /// The value as it was last put; `None` also where there is no key state yet. Blocks.
    ///
    /// # Errors
    /// The database cannot be asked.
    pub fn value(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let (reader, name) = (Arc::clone(&self.reader), name.to_owned());
        self.worker.run(async move {
            let values: [Parameter<'_>; 1] = [&name];
            match reader.query(statements::GET_VALUE, &values).await {
                Ok(rows) => Ok(rows.first().map(|row| row.get(0))),
                // The tables are not made yet.
                Err(error) if matches!(error.code(), Some("42P01" | "3F000")) => Ok(None),
                Err(error) => Err(io::Error::other(error)),
            }
        })
    }
}
