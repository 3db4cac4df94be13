//! A vault to ask: open here, or at a program that runs.

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::endpoint::Endpoint;
use super::handle::{Surroundings, handle};
use super::{Ask, Told};
use crate::config::Config;
use crate::opening::{OpenError, OpenVault, RegisterPolicy};

/// Where a command's questions go.
pub enum Target {
    /// The vault is open in this process.
    Here(Box<OpenVault>),
    /// Another process has it open.
    Running(Running),
}

/// A running program's control port.
pub struct Running {
    endpoint: Endpoint,
    client: reqwest::Client,
}

impl Target {
    /// The running program's, if there is one.
    pub async fn running(config: &Config) -> Option<Self> {
        let endpoint = Endpoint::read(&config.storage.data)?;
        let client = reqwest::Client::builder().no_proxy().build().ok()?;
        let running = Running { endpoint, client };
        running.ask(&Ask::Tenants).await.ok().map(|_| Self::Running(running))
    }

    /// The running program's, if there is one; else opens the vault. Commands never make a vault.
    pub async fn find(config: &Config) -> Result<Self> {
        if let Some(running) = Self::running(config).await {
            return Ok(running);
        }
        match OpenVault::open_existing(config, RegisterPolicy::Warn).await {
            Ok(embedded) => Ok(Self::Here(Box::new(embedded))),
            Err(OpenError::InUse(path)) => {
                bail!("{} is open in another process that does not answer at its control port", path.display())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks; a refusal is an error.
    pub async fn ask(&self, ask: Ask) -> Result<Told> {
        let told = match self {
            Self::Here(embedded) => {
                let around = Surroundings {
                    url: None,
                    report: embedded.report.clone(),
                    node: None,
                    mover: embedded.mover.clone(),
                    mirrors: embedded.mirrors.clone(),
                    backups: Some(embedded.backups.clone()),
                    escrow: embedded.escrow.clone(),
                    dismissals: std::sync::Arc::clone(&embedded.dismissals),
                };
                handle(&embedded.vault, &around, ask).await
            }
            Self::Running(running) => running.ask(&ask).await?,
        };
        match told {
            Told::Refused { failure } => Err(failure.into()),
            told => Ok(told),
        }
    }

    /// Lets go of the vault in good order.
    pub async fn close(self) {
        if let Self::Here(embedded) = self {
            embedded.close().await;
        }
    }
}

impl Running {
    async fn ask(&self, ask: &Ask) -> Result<Told> {
        self.post("", ask).await?.json().await.context("the running program's answer is not understood")
    }

    /// Asks at a path of the control port.
    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> Result<reqwest::Response> {
        let url = format!("{}{path}", self.endpoint.control);
        let request = self.client.post(url).bearer_auth(&self.endpoint.token).json(body);
        let response = request.send().await.context("the running program does not answer")?;
        response.error_for_status().context("the running program refused")
    }
}
