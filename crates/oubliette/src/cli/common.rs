//! What several commands share.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::config::{self, Config, Source};
use crate::control::{Ask, Target, TenantView, Told};

/// Which vault.
#[derive(clap::Args, Clone, Default)]
pub struct VaultArgs {
    /// Configuration file [default: oubliette.toml here, if there is one]
    #[arg(long, value_name = "FILE", env = "OUBLIETTE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Data folder (storage.data)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Register folder (storage.register) [default: the data folder's name with .register behind it]
    #[arg(long, value_name = "DIR")]
    pub register: Option<PathBuf>,
}

impl VaultArgs {
    /// The arguments as they were given, each with a blank before: for a command that is told to be typed next.
    pub fn given(&self) -> String {
        let given = [("config", &self.config), ("data", &self.data), ("register", &self.register)];
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte));
        let words = given.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?.display().to_string())));
        let word = |text: String| if plain(&text) { text } else { format!("'{}'", text.replace('\'', "'\\''")) };
        words.map(|(name, text)| format!(" --{name} {}", word(text))).collect()
    }

    /// The configuration with the arguments laid over it.
    pub fn load(&self) -> Result<(Config, Source)> {
        let (mut config, source) = config::load(self.config.as_deref(), std::env::vars())?;
        if let Some(data) = &self.data {
            config.storage.data = data.clone();
        }
        if let Some(register) = &self.register {
            config.storage.register = Some(register.clone());
        }
        config.check()?;
        Ok((config, source))
    }
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            let _ = write!(text, ": {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// The tenant a command is about: the one named, or the only one.
pub async fn tenant(target: &Target, name: Option<&str>) -> Result<TenantView> {
    let Told::Tenants { tenants } = target.ask(Ask::Tenants).await? else { bail!("an unexpected answer") };
    match (name, tenants.as_slice()) {
        (Some(name), _) => {
            let found = tenants.iter().find(|tenant| tenant.name == name || tenant.id.to_string() == name);
            found
                .cloned()
                .ok_or_else(|| anyhow::anyhow!("there is no tenant {name}; `oubliette tenant list` shows them"))
        }
        (None, [only]) => Ok(only.clone()),
        (None, []) => bail!("the vault has no tenant yet; make one with `oubliette tenant create NAME`"),
        (None, _) => bail!("the vault has several tenants: name one with --tenant"),
    }
}
