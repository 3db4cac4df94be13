//! Opens sessions, and refuses servers on which "committed" means nothing.

use std::path::PathBuf;
use std::time::Duration;

use oubliette_core::ports::PortError;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;
use zeroize::Zeroizing;

use super::error::port_error;
use super::tls::{self, Roots};
use super::{Options, PostgresError, Session};

/// First key of all advisory locks taken here ("oubl"). The second: 1 migrations, 2 partitions, from 1,000 on the slots of
/// the commit counter. Other adapters take second keys from 100 to 999.
pub const LOCKS: i32 = 0x6f75_626c;

/// The oldest server.
const OLDEST: i32 = 150_000;

/// For work that takes as long as there are rows. A peer that is gone shows sooner, by the connection's own probes.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// Has the server look whether anybody still waits for what it is doing. Not every system that it runs on can.
const LOOK_FOR_CLIENT: &str = "SET client_connection_check_interval = 2000";

/// What has to be known of a server. Told as text, since nothing is prepared yet.
const CHECK: &str = "SELECT current_setting('server_version_num'), current_setting('server_version'),
    current_setting('fsync'), current_setting('full_page_writes'), current_setting('server_encoding'),
    (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit')";

/// Makes sessions to one server, or to whichever of several accepts writes.
pub struct Connector {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    password_file: Option<PathBuf>,
    /// Longer than the server itself needs to give a statement up.
    limit: Duration,
    opening_limit: Duration,
    timeouts: String,
}

impl Connector {
    /// Reads URL and certificates; connects to nothing yet.
    ///
    /// # Errors
    /// `Refused` for what the operator has to mend, `Unavailable` for a file that cannot be read.
    pub fn new(options: &Options) -> Result<Self, PortError> {
        let failed = |error| port_error("read how the database is reached", error);
        let config = options.parse().map_err(failed)?;
        let roots = match &options.ca_file {
            _ if config.get_ssl_mode() == SslMode::Disable => Roots::None,
            None => Roots::System,
            Some(path) => Roots::File(path),
        };
        let millis = |time: Duration| time.as_millis().max(1);
        let timeouts = format!(
            "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {};",
            millis(options.statement_timeout),
            millis(options.lock_timeout),
            millis(options.idle_in_transaction_timeout),
        );
        let addresses = u32::try_from(config.get_hosts().len().max(1)).unwrap_or(u32::MAX).saturating_mul(2);
        Ok(Self {
            tls: tls::connector(roots).map_err(failed)?,
            password_file: options.password_file.clone(),
            limit: options.statement_timeout + Duration::from_secs(5),
            opening_limit: options.connect_timeout.saturating_mul(addresses) + Duration::from_secs(10),
            timeouts,
            config,
        })
    }

    /// Opens a session on the tables of `schema` (a constant name of ours) and checks the server.
    pub async fn connect(&self, schema: &'static str) -> Result<Session, PostgresError> {
        self.connect_within(schema, self.limit).await
    }

    /// The same for work that may take hours: answers are waited for, where the statement's own limit is lifted. When the
    /// session is dropped with work under way the connection is cut, and the server gives the work up within seconds.
    pub async fn connect_at_length(&self, schema: &'static str) -> Result<Session, PostgresError> {
        let mut session = self.connect_within(schema, LONG).await?;
        session.cut_when_dropped();
        if let Err(error) = session.batch(LOOK_FOR_CLIENT).await {
            tracing::debug!(%error, "the server does not look whether its client is still there");
        }
        Ok(session)
    }

    async fn connect_within(&self, schema: &'static str, limit: Duration) -> Result<Session, PostgresError> {
        let opening = async {
            let session = self.open(limit).await?;
            let durable = check(&session).await?;
            session.batch(&self.settings(schema, durable)).await?;
            Ok(session)
        };
        let silent = |_| PostgresError::Silent(self.opening_limit);
        tokio::time::timeout(self.opening_limit, opening).await.map_err(silent)?
    }

    async fn open(&self, limit: Duration) -> Result<Session, PostgresError> {
        let mut config = self.config.clone();
        if let Some(path) = &self.password_file {
            let read = |source| PostgresError::File { what: "the password file", path: path.clone(), source };
            let text = Zeroizing::new(tokio::fs::read_to_string(path).await.map_err(read)?);
            config.password(text.lines().next().unwrap_or_default());
        }
        let (client, connection) = config.connect(self.tls.clone()).await?;
        Ok(Session::begin(client, connection, limit))
    }

    fn settings(&self, schema: &'static str, durable: &'static str) -> String {
        // Generic plans: planned once a session, and the same whatever is asked, so that the tests see the plans that run.
        format!(
            "SET search_path = {schema}; SET synchronous_commit = {durable}; SET plan_cache_mode = force_generic_plan; \
             SET jit = off; SET client_min_messages = warning; SET default_transaction_isolation = 'read committed'; {}",
            self.timeouts
        )
    }
}

/// Checks the server; the `synchronous_commit` to use.
async fn check(session: &Session) -> Result<&'static str, PostgresError> {
    let answer = session.simple(CHECK).await?;
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.ok_or(PostgresError::Unreadable("the server's settings"))?;
    let told = |column| row.try_get(column).ok().flatten().unwrap_or_default();
    if told(0).parse::<i32>().unwrap_or(0) < OLDEST {
        return Err(PostgresError::Old(told(1).to_owned()));
    }
    judge(told(2), told(3), told(4), told(5))
}

fn judge(
    fsync: &str,
    full_page_writes: &str,
    encoding: &str,
    synchronous_commit: &str,
) -> Result<&'static str, PostgresError> {
    let settings =
        [("fsync", fsync), ("full_page_writes", full_page_writes), ("synchronous_commit", synchronous_commit)];
    for (setting, value) in settings {
        if value == "off" {
            return Err(PostgresError::Unsafe { setting, value: value.to_owned() });
        }
    }
    if encoding != "UTF8" {
        return Err(PostgresError::Encoding(encoding.to_owned()));
    }
    // Never less than `on`; what waits for more is the operator's wish.
    Ok(if synchronous_commit == "remote_apply" { "remote_apply" } else { "on" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_lose_what_they_committed_are_refused() {
        assert_eq!(judge("on", "on", "UTF8", "on").unwrap(), "on");
        assert_eq!(judge("on", "on", "UTF8", "local").unwrap(), "on");
        assert_eq!(judge("on", "on", "UTF8", "remote_apply").unwrap(), "remote_apply");
        for (fsync, full, encoding, commit, named) in [
            ("off", "on", "UTF8", "on", "fsync"),
            ("on", "off", "UTF8", "on", "full_page_writes"),
            ("on", "on", "UTF8", "off", "synchronous_commit"),
            ("on", "on", "SQL_ASCII", "on", "SQL_ASCII"),
        ] {
            let error = judge(fsync, full, encoding, commit).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
