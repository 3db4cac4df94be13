//! A vault being served: listener, control port, background work, and how it all ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use oubliette_core::service::Vault;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::cli::exit;
use crate::config::{Config, Metrics};
use crate::control::ControlServer;
use crate::http::{self, App, Ops, ServerOptions};
use crate::moving::Mover;
use crate::opening::OpenVault;
use crate::telemetry::Serving;
use crate::work;

/// How often it is looked whether a flush failed while no request noticed.
const POISON_WATCH: Duration = Duration::from_millis(50);

/// How long a process that a vault has left waits for somebody to ask how it went.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// A served vault. Dropping it without [`Running::stop`] is a crash on purpose, for tests.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// The address clients use.
    pub url: String,
    /// The vault.
    pub vault: Vault,
    stop: CancellationToken,
    listener: JoinHandle<()>,
    fetches: JoinHandle<()>,
    watch: JoinHandle<()>,
    _control: ControlServer,
    embedded: OpenVault,
}

/// Binds the listener; apart from [`start`] so that a taken port is noticed before the vault is opened.
pub async fn bind(config: &Config) -> Result<TcpListener> {
    let address = config.listen_address()?;
    TcpListener::bind(address).await.with_context(|| format!("server.listen: {address} cannot be listened on"))
}

/// Serves the vault. `on_poisoned` is called when a flush failed; the program ends itself there.
pub async fn start(
    config: &Config,
    listener: TcpListener,
    embedded: OpenVault,
    on_poisoned: Arc<dyn Fn() + Send + Sync>,
) -> Result<Running> {
    let address = listener.local_addr().context("the listener has no address")?;
    let url = config.public_url(address);
    let (mut tls, mut certificates) = (None, Vec::new());
    if let (Some(certificate), Some(key)) = (&config.tls.certificate_file, &config.tls.key_file) {
        tls = Some(http::server_config(certificate, key)?);
        certificates.extend(http::certificate_expires(certificate).map(|end| ("listener", end)));
    }
    let vault = embedded.vault.clone();
    let app = App::new(vault.clone(), config.dialect_settings(address));
    let ops = Ops {
        vault: vault.clone(),
        metrics: config.metrics.enabled,
        metrics_token: metrics_token(&config.metrics)?.map(Arc::new),
        serving: Arc::new(Serving {
            since: vault.now(),
            data: embedded.data.clone(),
            register_verified: embedded.report.lowered.is_none(),
            warnings: embedded.report.warnings.len(),
            certificates,
        }),
    };
    let router = http::service(app.clone(), ops, Arc::clone(&on_poisoned));
    let control = ControlServer::start(&embedded, url.clone()).await.context("the control port cannot be opened")?;

    let stop = CancellationToken::new();
    let options = ServerOptions { tls, limits: config.limits.clone() };
    let listener = tokio::spawn(http::serve(listener, router, options, stop.clone().cancelled_owned()));
    let fetches = tokio::spawn(work::fetch::run(app, stop.clone()));
    let (watched, superseded, mover) = (vault.clone(), embedded.superseded(), embedded.mover.clone());
    let watch = tokio::spawn(async move {
        while !watched.readiness().poisoned {
            if let Some(mover) = mover.as_ref().filter(|mover| mover.has_left()) {
                end_after_move(mover).await;
            }
            if superseded() {
                eprintln!("error: another process has taken the vault over; this one ends at once");
                std::process::exit(i32::from(exit::PASSED_OVER));
            }
            tokio::time::sleep(POISON_WATCH).await;
        }
        on_poisoned();
    });
    Ok(Running { address, url, vault, stop, listener, fetches, watch, _control: control, embedded })
}

impl Running {
    /// The open vault with what it stands on.
    pub fn embedded(&self) -> &OpenVault {
        &self.embedded
    }

    /// Lets running requests finish, seals what is planned, lets go of the vault.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.listener.await;
        let _ = self.fetches.await;
        self.watch.abort();
        self.embedded.close().await;
    }
}

/// The vault is not here any more, and no key is used. Who asked for the move is told how it ended; then the process ends.
async fn end_after_move(mover: &Mover) {
    let begun = tokio::time::Instant::now();
    while !mover.was_told() && begun.elapsed() < TOLD_WITHIN {
        tokio::time::sleep(POISON_WATCH).await;
    }
    // The answer is on its way.
    tokio::time::sleep(Duration::from_millis(200)).await;
    eprintln!("the vault has moved; this process ends. Serve it with the configuration of the new place");
    std::process::exit(i32::from(exit::MOVED));
}

fn metrics_token(metrics: &Metrics) -> Result<Option<Zeroizing<String>>> {
    let Some(path) = metrics.token_file.as_ref().filter(|path| !path.as_os_str().is_empty()) else { return Ok(None) };
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .with_context(|| format!("metrics.token_file: {} cannot be read", path.display()))?;
    let token = Zeroizing::new(text.trim().to_owned());
    anyhow::ensure!(!token.is_empty(), "metrics.token_file: {} is empty", path.display());
    Ok(Some(token))
}
