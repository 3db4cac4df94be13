//! What `[transparency]` says, read into what the program needs.

use oubliette_core::service::LogSettings;
use oubliette_proof::note::{KeyKind, VerifierKey};
use reqwest::Url;

use super::{Config, ConfigError};

/// Who is asked to sign checkpoints.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Where it is asked; ends in a slash.
    pub url: Url,
    /// Its public key.
    pub key: VerifierKey,
}

impl Config {
    /// How the transparency log is opened.
    pub fn log_settings(&self) -> Result<LogSettings, ConfigError> {
        let origin = self.transparency.origin.clone().filter(|origin| !origin.is_empty());
        if origin.as_ref().is_some_and(|origin| VerifierKey::new(origin, KeyKind::Note, [0; 32]).is_err()) {
            return Err(ConfigError::value(
                "transparency",
                "origin",
                "up to 255 bytes without spaces and `+`, for example \"vault.example/log\"",
            ));
        }
        let witnesses = self.witnesses()?.into_iter().map(|witness| witness.key).collect();
        Ok(LogSettings { origin, witnesses, reopen: None })
    }

    /// Who is asked to sign checkpoints.
    pub fn witnesses(&self) -> Result<Vec<Witness>, ConfigError> {
        let wrong = |what: &str| ConfigError::value("transparency", "witnesses", what);
        let mut witnesses: Vec<Witness> = Vec::new();
        for text in &self.transparency.witnesses {
            let Some((url, key)) = text.split_once(' ') else {
                return Err(wrong("each is an address, a space, and a public key in signed-note form"));
            };
            let mut url = Url::parse(url).map_err(|_| wrong("the address of a witness is no URL"))?;
            if !matches!(url.scheme(), "https" | "http") || url.query().is_some() || url.fragment().is_some() {
                return Err(wrong("the address of a witness begins with https:// and has neither `?` nor `#`"));
            }
            if !url.path().ends_with('/') {
                let path = format!("{}/", url.path());
                url.set_path(&path);
            }
            let key = VerifierKey::parse(key.trim()).ok().filter(|key| key.kind() == KeyKind::Cosigner);
            let key =
                key.ok_or_else(|| wrong("the key of a witness is no cosigner's public key in signed-note form"))?;
            if witnesses.iter().any(|known| known.key.name() == key.name()) {
                return Err(wrong("two witnesses have one name"));
            }
            witnesses.push(Witness { url, key });
        }
        Ok(witnesses)
    }
}
