//! Small named values: what a root store needs beside its own device and whose old bytes may live for ever.

use std::io;

use keyforest::media::{SlotError, is_not_done};

use super::claim::{Values, Write};
use super::{KeyDatabase, statements};
use crate::roots::Carrier;

/// Values by name, behind the fence of the claim they were opened with.
#[derive(Clone)]
pub struct PostgresValues {
    database: KeyDatabase,
}

impl PostgresValues {
    pub(super) fn new(database: KeyDatabase) -> Self {
        Self { database }
    }

    /// The value as it was last put, by whomever. Blocks.
    pub fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let values = self.database.read(statements::GET_VALUE, vec![Box::new(name.to_owned())], |row| row.get(0))?;
        Ok(values.into_iter().next())
    }

    /// Puts a value, in place of the one before; durable on return. Blocks.
    ///
    /// # Errors
    /// [`is_superseded`](super::is_superseded): another process has taken over, nothing was written.
    /// [`is_not_done`](keyforest::media::is_not_done): certainly not written, to be tried again. Any other: unknown.
    pub fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let values: Values = vec![Box::new(name.to_owned()), Box::new(bytes.to_vec())];
        self.database.write(Write { text: statements::PUT_VALUE, values })
    }
}

/// Wrapped roots under names of their own, for a root store that several processes can reach.
pub struct ValueCarrier {
    values: PostgresValues,
    store: String,
}

impl PostgresValues {
    /// The wrapped roots of the root store `store`.
    pub fn carrier(&self, store: &str) -> ValueCarrier {
        ValueCarrier { values: self.clone(), store: store.to_owned() }
    }
}

impl ValueCarrier {
    fn name(&self, name: &str) -> String {
        format!("roots/{}/{name}", self.store)
    }
}

/// The claim numbers its writes, so none takes effect after a later call: a lost answer is resolved before the next one.
impl Carrier for ValueCarrier {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.values.get(&self.name(name))
    }

    fn write(&self, name: &str, value: &[u8]) -> Result<(), SlotError> {
        self.values.put(&self.name(name), value).map_err(|error| match is_not_done(&error) {
            true => SlotError::Again(error),
            false => SlotError::End(error),
        })
    }
}
