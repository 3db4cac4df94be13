//! What lies in a database, looked at without changing anything.

use oubliette_core::ports::PortError;
use uuid::Uuid;

use super::migrate::OWNER;
use super::rows::get;
use super::statements as sql;
use super::{SCHEMA, read};
use crate::postgres::{Connector, Options, PostgresError, Session, port_error};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Survey {
    /// Nothing of ours and nothing in our schema's place.
    Empty,
    /// Our schema's name is taken by something else.
    Foreign,
    /// A vault's rows.
    Vault {
        /// The vault's id.
        instance: Uuid,
        /// The newest key epoch that it has heard of; 0 as long as no key state belongs to it.
        epoch: u64,
        /// The named value that was asked for.
        value: Option<Vec<u8>>,
    },
}

/// Looks at a database before anything is made there.
///
/// # Errors
/// As [`PostgresMetadata::open`](super::PostgresMetadata::open): a server that cannot be used, now or at all.
pub async fn survey(server: &Options, value: &str) -> Result<Survey, PortError> {
    let failed = |error| port_error("look at the database", error);
    let session = Connector::new(server)?.connect(SCHEMA).await.map_err(failed)?;
    let found = look(&session, value).await.map_err(failed)?;
    session.close().await;
    Ok(found)
}

async fn look(session: &Session, value: &str) -> Result<Survey, PostgresError> {
    let rows = session.query(OWNER, &[&SCHEMA]).await?;
    let row = rows.first().ok_or(PostgresError::Unreadable("whose the database is"))?;
    let (filled, ours): (bool, bool) = (get(row, 1)?, get(row, 2)?);
    if !ours {
        return Ok(if filled { Survey::Foreign } else { Survey::Empty });
    }
    let row = read::instance(session).await?;
    let rows = session.query(sql::VALUE, &[&value]).await?;
    let value = rows.first().map(|row| get::<Vec<u8>>(row, 0)).transpose()?;
    Ok(Survey::Vault { instance: row.instance, epoch: row.epoch, value })
}
