//! Which server, as whom, and how long anything may take.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use zeroize::Zeroizing;

use super::PostgresError;

/// A password; has no readable `Debug`.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Wraps it.
    pub fn new(password: impl Into<String>) -> Self {
        Self(Zeroizing::new(password.into()))
    }

    /// The words, for the server alone.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// Which of the servers that a URL names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// The one that accepts writes.
    #[default]
    Primary,
    /// One that follows another.
    Standby,
}

/// How a database is reached. `Options { url, ..Options::default() }` suits a vault.
#[derive(Clone)]
pub struct Options {
    /// `postgresql://user@host1:5432,host2:5432/database?…`, in libpq's form, also its `key=value` one.
    ///
    /// `sslmode` is `disable`, `require`, `verify-ca` or `verify-full`; the last three are one here: certificate and name are
    /// always checked. Without it TLS is required, but for servers on this machine. Of several hosts the one that accepts
    /// writes is used.
    pub url: String,
    /// The password, when it is not in the URL.
    pub password: Option<Password>,
    /// A file with the password in its first line, read anew for each connection.
    pub password_file: Option<PathBuf>,
    /// Certificates (PEM) of those who may vouch for the server, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Which server, of those that the URL names.
    pub target: Target,
    /// What the server's own views call us.
    pub application_name: String,
    /// For each address tried.
    pub connect_timeout: Duration,
    /// After this the server gives a statement up.
    pub statement_timeout: Duration,
    /// After this the server gives up waiting for a lock.
    pub lock_timeout: Duration,
    /// After this the server ends a session that began a transaction and says nothing.
    pub idle_in_transaction_timeout: Duration,
    /// After this a connection whose other end does not answer counts as lost.
    pub silence_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: String::new(),
            password: None,
            password_file: None,
            ca_file: None,
            target: Target::Primary,
            application_name: "oubliette".to_owned(),
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            idle_in_transaction_timeout: Duration::from_secs(30),
            silence_timeout: Duration::from_secs(20),
        }
    }
}

/// Nothing of the URL: it may hold the password.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("application_name", &self.application_name).finish_non_exhaustive()
    }
}

impl Options {
    /// The driver's configuration, without what is read from files.
    pub(super) fn parse(&self) -> Result<tokio_postgres::Config, PostgresError> {
        // The parser's own error may quote a piece of a password with an unescaped sign in it: it is not passed on.
        let (url, named_mode) = split_ssl_mode(&self.url)?;
        let mut config: tokio_postgres::Config = url.parse().map_err(|_| PostgresError::Url)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(PostgresError::NoHost);
        }
        if self.target == Target::Primary && config.get_target_session_attrs() == TargetSessionAttrs::ReadOnly {
            return Err(PostgresError::ReadOnlyWanted);
        }
        let mode = named_mode.unwrap_or(if local(&config) { SslMode::Disable } else { SslMode::Require });
        config.ssl_mode(mode);
        config.target_session_attrs(match self.target {
            Target::Primary => TargetSessionAttrs::ReadWrite,
            Target::Standby => TargetSessionAttrs::ReadOnly,
        });
        if config.get_application_name().is_none() {
            config.application_name(&self.application_name);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(self.connect_timeout);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(self.silence_timeout);
        }
        let probe = (self.silence_timeout / 4).max(Duration::from_secs(1));
        config.keepalives(true).keepalives_idle(probe).keepalives_interval(probe).keepalives_retries(3);
        if let Some(password) = &self.password {
            config.password(password.expose());
        }
        Ok(config)
    }
}

/// Takes `sslmode` out of the URL: the driver does not know the modes that check.
fn split_ssl_mode(url: &str) -> Result<(String, Option<SslMode>), PostgresError> {
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let Some(at) = find_option(url, is_url) else { return Ok((url.to_owned(), None)) };
    let value_at = at + "sslmode=".len();
    let end = url[value_at..].find(|c: char| if is_url { c == '&' } else { c.is_whitespace() });
    let end = end.map_or(url.len(), |length| value_at + length);
    let mode = match url[value_at..end].trim_matches('\'') {
        "disable" => SslMode::Disable,
        "require" | "verify-ca" | "verify-full" => SslMode::Require,
        _ => return Err(PostgresError::SslMode),
    };
    let rest = url[end..].strip_prefix('&').unwrap_or(&url[end..]);
    Ok((format!("{}{rest}", &url[..at]).trim_end_matches(['?', '&']).to_owned(), Some(mode)))
}

/// Where `sslmode=` begins as an option of its own.
fn find_option(url: &str, is_url: bool) -> Option<usize> {
    // In a URL options come behind the last `@` of the credentials and a `?`.
    let from = if is_url { url.rfind('@').map_or(0, |at| at + 1) } else { 0 };
    url[from..].match_indices("sslmode=").map(|(at, _)| from + at).find(|at| {
        let before = url[..*at].chars().next_back();
        if is_url { matches!(before, Some('?' | '&')) } else { before.is_none_or(char::is_whitespace) }
    })
}

/// Whether every host is this machine, where nobody listens in between.
fn local(config: &tokio_postgres::Config) -> bool {
    let host = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
        }
    };
    if config.get_hostaddrs().is_empty() {
        config.get_hosts().iter().all(host)
    } else {
        config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<tokio_postgres::Config, PostgresError> {
        Options { url: url.to_owned(), ..Options::default() }.parse()
    }

    fn mode(url: &str) -> SslMode {
        parse(url).unwrap().get_ssl_mode()
    }

    #[test]
    fn tls_is_required_unless_said_otherwise_or_on_this_machine() {
        assert_eq!(mode("postgres://u@db.example/v"), SslMode::Require);
        assert_eq!(mode("postgres://u@db.example/v?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("postgres://u@127.0.0.1,db.example/v"), SslMode::Require);
        assert_eq!(mode("postgres://u@127.0.0.1:1,localhost:2/v"), SslMode::Disable);
        assert_eq!(mode("postgres://u@%2Frun%2Fpostgresql/v"), SslMode::Disable);
        assert_eq!(
            mode("postgres://u@127.0.0.1/v?connect_timeout=3&sslmode=verify-full&keepalives=1"),
            SslMode::Require
        );
        assert_eq!(mode("host=db.example user=u sslmode=verify-ca dbname=v"), SslMode::Require);
        assert_eq!(mode("host=127.0.0.1 user=u"), SslMode::Disable);
        assert!(matches!(parse("postgres://u@db/v?sslmode=prefer"), Err(PostgresError::SslMode)));
    }

    #[test]
    fn writes_are_asked_for_and_limits_are_set() {
        let config = parse("postgres://u@a.example:1,b.example:2/v").unwrap();
        assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(config.get_ports(), [1, 2]);
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(5)));
        assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_secs(20)));
        assert_eq!(config.get_keepalives_idle(), Duration::from_secs(5));
        assert!(matches!(
            parse("postgres://u@a.example/v?target_session_attrs=read-only"),
            Err(PostgresError::ReadOnlyWanted)
        ));
        assert!(matches!(parse("postgres:///v"), Err(PostgresError::NoHost)));
    }

    #[test]
    fn a_password_shows_in_no_debug_and_no_error() {
        let secret = "pw5ecret";
        let options = Options {
            url: format!("postgres://u:{secret}@h/v"),
            password: Some(Password::new(secret)),
            ..Options::default()
        };
        assert!(!format!("{options:?} {:?} {:?}", options.password, options.parse().unwrap()).contains(secret));
        let broken = [format!("postgres://u@h/v?{secret}=1"), format!("postgres://h:{secret}/v"), secret.to_owned()];
        for broken in broken {
            let error = Options { url: broken, ..Options::default() }.parse().unwrap_err();
            assert!(!format!("{error} {error:?}").contains(secret));
        }
    }
}
