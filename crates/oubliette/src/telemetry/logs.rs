//! The log, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

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

/// Refuses what is no level and no directive.
pub fn check_level(level: &str) -> Result<(), ConfigError> {
    filter(level).map(drop)
}

/// Crates that are told of what is stored or asked: they are kept from telling it at every level. The database's driver tells the
/// values of statements below `info`.
const KEPT_BACK: [&str; 3] = ["tokio_postgres=warn", "lofty=off", "rlibphonenumber=off"];

/// What is logged: what this program's own crates say. Of others only what is asked for by name, since what they say is theirs to
/// decide.
fn filter(level: &str) -> Result<EnvFilter, ConfigError> {
    let wrong = || ConfigError::value("log", "level", "a level (info) or directives (info,oubliette=debug)");
    let (mut ours, mut named) = ("error", Vec::new());
    for part in level.split(',').map(str::trim) {
        match part.parse::<LevelFilter>() {
            Ok(_) if !part.is_empty() => ours = part,
            _ if part.contains('=') => named.push(part),
            // A word alone would be the name of a crate that says everything, and all others nothing.
            _ => return Err(wrong()),
        }
    }
    let all = format!("off,oubliette={ours},keyforest={ours},{}", named.join(","));
    let filter = EnvFilter::try_new(all.trim_end_matches(',')).map_err(|_| wrong())?;
    KEPT_BACK.iter().try_fold(filter, |filter, kept| Ok(filter.add_directive(kept.parse().map_err(|_| wrong())?)))
}

#[cfg(test)]
mod tests {
    use super::filter;

    fn directives(level: &str, of: &str) -> Vec<String> {
        let all = filter(level).unwrap().to_string();
        all.split(',').filter(|part| part.split('=').next() == Some(of)).map(str::to_owned).collect()
    }

    #[test]
    fn values_of_statements_and_what_is_in_recordings_or_numbers_is_logged_at_no_level() {
        for level in ["trace", "debug", "info,tokio_postgres=trace,lofty=trace,rlibphonenumber=trace", "warn"] {
            assert_eq!(directives(level, "tokio_postgres"), ["tokio_postgres=warn"], "{level}");
            assert_eq!(directives(level, "lofty"), ["lofty=off"], "{level}");
            assert_eq!(directives(level, "rlibphonenumber"), ["rlibphonenumber=off"], "{level}");
        }
    }

    #[test]
    fn other_crates_say_only_what_is_asked_for_by_name() {
        assert_eq!(directives("trace", "off"), ["off"]);
        assert_eq!(directives("trace", "oubliette"), ["oubliette=trace"]);
        assert_eq!(directives("info,oubliette=debug,hyper=warn", "oubliette"), ["oubliette=debug"]);
        assert_eq!(directives("info,oubliette=debug,hyper=warn", "hyper"), ["hyper=warn"]);
        assert_eq!(directives("off", "oubliette"), ["oubliette=off"]);
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for level in ["chatty", "", "info,chatty", "oubliette"] {
            assert!(filter(level).is_err(), "{level}");
        }
    }
}
