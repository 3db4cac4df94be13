//! The log, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, Log, LogFormat};

/// Starts the log. A second call changes nothing.
pub fn init_logs(log: &Log) -> Result<(), ConfigError> {
    let filter = filter(&log.level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let _ = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    Ok(())
}

/// What is logged. The database's driver tells the values of statements below `info`: it is kept from that at every level.
fn filter(level: &str) -> Result<EnvFilter, ConfigError> {
    let wrong = || ConfigError::value("log", "level", "a level (info) or directives (info,oubliette=debug)");
    let filter = EnvFilter::try_new(level).map_err(|_| wrong())?;
    Ok(filter.add_directive("tokio_postgres=warn".parse().map_err(|_| wrong())?))
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn values_of_statements_are_logged_at_no_level() {
        for level in ["trace", "debug", "info,tokio_postgres=trace", "warn"] {
            let directives = filter(level).unwrap().to_string();
            let driver: Vec<_> = directives.split(',').filter(|part| part.starts_with("tokio_postgres")).collect();
            assert_eq!(driver, ["tokio_postgres=warn"], "{directives}");
        }
    }
}
