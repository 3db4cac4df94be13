//! What `[escrow]` says, read into what the program needs.

use std::path::PathBuf;
use std::time::Duration;

use oubliette_store::escrow::{AgentFiles, PublicKey, Quorum};

use super::{Config, ConfigError};

/// Who holds the root in escrow, and how.
#[derive(Clone, Debug)]
pub struct EscrowPlace {
    /// What it is sealed to.
    pub key: PublicKey,
    /// Names and addresses, in order.
    pub agents: Vec<(String, String)>,
    /// How many are enough for what.
    pub quorum: Quorum,
    /// Certificates and patience.
    pub files: AgentFiles,
}

impl EscrowPlace {
    /// Without some of the agents; `None` when none is left.
    ///
    /// # Errors
    /// The others are too few for the shares.
    pub fn without(mut self, leaving: impl Fn(&str) -> bool) -> Result<Option<Self>, ConfigError> {
        self.agents.retain(|(name, _)| !leaving(name));
        if self.agents.is_empty() {
            return Ok(None);
        }
        let (count, restore) = (self.agents.len(), self.quorum.restore());
        let quorum = if self.quorum.is_shared() { Quorum::shares(restore, count) } else { Quorum::plain(count) };
        let few = "too few agents would be left for these shares: change escrow.shares, and take whoever is to be dropped out of \
                   escrow.agents, first";
        self.quorum = quorum.map_err(|_| ConfigError::value("escrow", "shares", few))?;
        Ok(Some(self))
    }
}

impl Config {
    /// Who holds the root in escrow; `None` when nobody does.
    pub fn escrow_place(&self) -> Result<Option<EscrowPlace>, ConfigError> {
        let section = &self.escrow;
        let wrong = |key, message: &str| ConfigError::value("escrow", key, message);
        let shares = section.shares.as_deref().map(str::trim).filter(|shares| !shares.is_empty());
        if section.agents.is_empty() {
            return match (&section.recovery_key, shares) {
                (None, None) => Ok(None),
                _ => Err(wrong("agents", "name the agents: \"NAME=https://HOST:PORT\"")),
            };
        }
        let key = section.recovery_key.as_deref().unwrap_or_default().parse::<PublicKey>();
        let key = key.map_err(|error| wrong("recovery_key", &error.to_string()))?;
        let agents: Option<Vec<(String, String)>> = section
            .agents
            .iter()
            .map(|agent| agent.split_once('=').map(|(name, url)| (name.trim().to_owned(), url.trim().to_owned())))
            .collect();
        let agents = agents.ok_or_else(|| wrong("agents", "each as \"NAME=https://HOST:PORT\""))?;
        let fits = |(at, (name, url)): (usize, &(String, String))| {
            let own = !agents[..at].iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
            own && oubliette_store::escrow::envelope::is_name(name) && url.starts_with("https://")
        };
        if !agents.iter().enumerate().all(fits) {
            let text = "each as \"NAME=https://HOST:PORT\", every name once: letters, digits, - _ and ., at most 32";
            return Err(wrong("agents", text));
        }
        let quorum = match shares {
            None => Quorum::plain(agents.len()),
            Some(text) => {
                let pair = text.split_once('/').and_then(|(needed, of)| {
                    Some((needed.trim().parse::<usize>().ok()?, of.trim().parse::<usize>().ok()?))
                });
                match pair {
                    Some((needed, of)) if of == agents.len() => Quorum::shares(needed, of),
                    _ => {
                        return Err(wrong("shares", "how many of the agents bring the root back, for example \"2/3\""));
                    }
                }
            }
        };
        let quorum = quorum.map_err(|error| wrong("shares", &error.to_string()))?;
        let files = [&section.ca_file, &section.certificate_file, &section.key_file];
        let files: Vec<_> = files.into_iter().flatten().filter(|path| !path.as_os_str().is_empty()).cloned().collect();
        let Ok([ca, certificate, key_file]) = <[PathBuf; 3]>::try_from(files) else {
            return Err(wrong(
                "ca_file",
                "give ca_file, certificate_file and key_file: agents are reached by mutual TLS",
            ));
        };
        if !(1..=60).contains(&section.timeout_seconds) {
            return Err(wrong("timeout_seconds", "1 to 60"));
        }
        let timeout = Duration::from_secs(section.timeout_seconds);
        let files = AgentFiles { ca, certificate, key: key_file, timeout };
        Ok(Some(EscrowPlace { key, agents, quorum, files }))
    }
}

#[cfg(test)]
mod tests {
    use oubliette_store::escrow::SecretKey;

    use super::*;
    use crate::config::Escrow;

    fn config(agents: &[&str], shares: Option<&str>) -> Config {
        let escrow = Escrow {
            recovery_key: Some(SecretKey::generate().unwrap().public().unwrap().to_string()),
            agents: agents.iter().map(|agent| (*agent).to_owned()).collect(),
            shares: shares.map(str::to_owned),
            ca_file: Some("ca.pem".into()),
            certificate_file: Some("vault.pem".into()),
            key_file: Some("vault.key".into()),
            ..Escrow::default()
        };
        Config { escrow, ..Config::default() }
    }

    const THREE: [&str; 3] = ["a=https://a:1", "b=https://b:1", "c=https://c:1"];

    #[test]
    fn agents_and_shares_are_read() {
        assert!(Config::default().escrow_place().unwrap().is_none());
        let place = config(&THREE, Some("2/3")).escrow_place().unwrap().unwrap();
        assert_eq!((place.quorum.restore(), place.quorum.agents()), (2, 3));
        assert_eq!(place.agents[1], ("b".to_owned(), "https://b:1".to_owned()));
        let plain = config(&THREE[..2], None).escrow_place().unwrap().unwrap();
        assert_eq!((plain.quorum.restore(), plain.quorum.put()), (1, 2));
    }

    #[test]
    fn whoever_is_left_shares_anew_as_long_as_they_are_enough() {
        let place = |shares| config(&THREE, shares).escrow_place().unwrap().unwrap();
        let left = place(Some("2/3")).without(|name| name == "a").unwrap().unwrap();
        assert_eq!((left.quorum.restore(), left.quorum.agents(), left.agents[0].0.as_str()), (2, 2, "b"));
        assert!(place(Some("2/3")).without(|name| name != "a").unwrap_err().to_string().contains("shares"));
        assert_eq!(place(None).without(|name| name != "a").unwrap().unwrap().quorum.destroy(), 1);
        assert!(place(None).without(|_| true).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |config: &Config| config.escrow_place().unwrap_err().to_string();
        assert!(refused(&config(&[], Some("2/3"))).contains("agents"));
        assert!(refused(&config(&["https://a:1"], None)).contains("agents"));
        assert!(refused(&config(&["a=http://a:1"], None)).contains("agents"));
        assert!(refused(&config(&["a=https://a:1", "A=https://b:1"], None)).contains("agents"));
        for shares in ["2/2", "1/3", "4/3", "two", "3"] {
            assert!(refused(&config(&THREE, Some(shares))).contains("shares"), "{shares}");
        }
        let mut without = config(&THREE, None);
        without.escrow.key_file = None;
        assert!(refused(&without).contains("ca_file"));
        without.escrow.recovery_key = Some("oubliette-recovery-1:nonsense".to_owned());
        assert!(refused(&without).contains("recovery_key"));
    }
}
