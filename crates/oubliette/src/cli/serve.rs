//! `oubliette serve`

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::{VaultArgs, exit};
use crate::config::MetadataPlace;
use crate::opening::{Loss, OpenVault};
use crate::{nodes, running, telemetry};

/// The tenant a fresh vault gets.
const FIRST_TENANT: &str = "default";

/// Serves until SIGTERM or SIGINT: running requests finish, what is planned is sealed, then the process ends.
#[derive(clap::Args)]
#[command(after_help = "Example:  oubliette serve --data /srv/oubliette --listen 127.0.0.1:8080")]
pub struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// Address and port (server.listen)
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

pub async fn run(args: Args) -> Result<u8> {
    let (mut config, source) = args.vault.load()?;
    if let Some(listen) = args.listen {
        config.server.listen = listen;
    }
    config.check()?;
    config.check_transport()?;
    telemetry::init_logs(&config.log)?;
    let mut stop = StopSignals::new()?;
    if let Some(place) = config.node_place()? {
        return nodes::serve(&config, place, &mut stop).await;
    }
    // A taken port is noticed before the vault is opened. Who may have to stand by is reached only when it serves.
    let shared = !matches!(config.metadata_place()?, MetadataPlace::Sqlite);
    let mut listener = Some(running::bind(&config).await?).filter(|_| !shared);
    let opened = tokio::select! {
        opened = OpenVault::serve(&config) => opened?,
        () = stop.wait() => return Ok(exit::DONE),
    };
    let listener = match listener.take() {
        Some(listener) => listener,
        None => running::bind(&config).await?,
    };
    tokio::select! {
        made = first_tenant(&opened) => made?,
        () = stop.wait() => return Ok(exit::DONE),
    }
    opened.report.disk.iter().for_each(Loss::tell);
    let server = running::start(&config, listener, opened, end_at_once()).await?;
    tracing::info!(url = server.url, file = ?source.file, "serving");
    stop.wait().await;
    tracing::info!("stopping: running requests finish, then the vault closes");
    server.stop().await;
    Ok(exit::DONE)
}

/// After so long it is said what a fresh vault waits for.
const FIRST_WITHIN: Duration = Duration::from_secs(2);

/// Gives a fresh vault its first tenant.
pub async fn first_tenant(opened: &OpenVault) -> Result<()> {
    if !opened.vault.attached() && opened.vault.tenants().await?.is_empty() {
        let made = opened.vault.create_tenant(FIRST_TENANT);
        tokio::pin!(made);
        tokio::select! {
            made = &mut made => made.map(drop)?,
            () = tokio::time::sleep(FIRST_WITHIN) => {
                tracing::warn!("a fresh vault is served as soon as its first seal is made, which waits for every mirror and enough agents");
                made.await?;
            }
        }
        tracing::info!(
            "a fresh vault with the tenant `{FIRST_TENANT}`; make credentials with `oubliette token create`"
        );
    }
    Ok(())
}

/// After a failed flush nothing may be answered any more: what the disk holds is unknown until it is read again.
pub fn end_at_once() -> Arc<dyn Fn() + Send + Sync> {
    Arc::new(|| {
        tracing::error!("a flush failed: ending at once; start again to recover from what is really on the disk");
        eprintln!(
            "error: a flush failed; the process ends at once. Start it again: it recovers from what is on the disk"
        );
        std::process::exit(i32::from(exit::FLUSH_FAILED));
    })
}

/// The signals that ask for an orderly stop.
pub struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignals {
    /// Begins to listen for them.
    pub fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be listened for");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for one of them. A second one while stopping ends the process the usual way.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
