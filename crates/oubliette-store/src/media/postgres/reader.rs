//! A session for reads, so that they do not wait for a flush.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_postgres::Row;

use super::SCHEMA;
use crate::postgres::{Connector, Parameter, PostgresError, Session};

/// Reads over one session, made when it is needed. Reads run side by side.
pub(super) struct Reader {
    connector: Connector,
    session: Mutex<Option<Arc<Session>>>,
}

impl Reader {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, session: Mutex::new(None) }
    }

    /// Asks; once more over a new session when the old one had died unnoticed.
    pub(super) async fn query(&self, text: &'static str, values: &[Parameter<'_>]) -> Result<Vec<Row>, PostgresError> {
        let (session, fresh) = self.session().await?;
        match session.query(text, values).await {
            Err(error) if error.is_lost() && !fresh => {
                self.forget(&session).await;
                let (session, _) = self.session().await?;
                session.query(text, values).await
            }
            answer => answer,
        }
    }

    /// Lets go of a session that died; others may have noticed before.
    async fn forget(&self, session: &Arc<Session>) {
        let mut held = self.session.lock().await;
        if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, session)) {
            *held = None;
        }
    }

    async fn session(&self) -> Result<(Arc<Session>, bool), PostgresError> {
        let mut held = self.session.lock().await;
        if let Some(session) = held.as_ref().filter(|session| !session.is_closed()) {
            return Ok((Arc::clone(session), false));
        }
        let session = Arc::new(self.connector.connect(SCHEMA).await?);
        *held = Some(Arc::clone(&session));
        Ok((session, true))
    }
}
