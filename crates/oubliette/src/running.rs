//! A vault being served: listener, control port, background work, and how it all ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use oubliette_core::service::Vault;
use oubliette_store::media::Parties;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::cli::exit;
use crate::config::{Config, Metrics};
use crate::control::{AsNode, ControlServer};
use crate::http::{self, Answerer, App, Ops, ServerOptions};
use crate::mirrors::{self, host::Host};
use crate::moving::Mover;
use crate::opening::OpenVault;
use crate::telemetry::{self, Serving};
use crate::work;

/// How often it is looked whether a flush failed while no request noticed.
const POISON_WATCH: Duration = Duration::from_millis(50);

/// How long a process that a vault has left waits for somebody to ask how it went.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// A vault that answers requests, without a listener of its own.
pub struct Served {
    /// What answers them.
    pub answerer: Answerer,
    /// The vault.
    pub vault: Vault,
    stop: CancellationToken,
    fetches: JoinHandle<()>,
    witnesses: JoinHandle<()>,
    watch: JoinHandle<()>,
    _control: ControlServer,
    _mirror_host: Option<Host>,
    embedded: OpenVault,
}

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
    served: Served,
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
    let options = ServerOptions { tls: client_tls(config)?, limits: config.limits.clone() };
    let served = Served::start(config, address, embedded, None, on_poisoned).await?;
    let stop = CancellationToken::new();
    let listener =
        tokio::spawn(http::serve(listener, served.answerer.clone(), options, stop.clone().cancelled_owned()));
    Ok(Running { address, url, vault: served.vault.clone(), stop, listener, served })
}

/// Ends the process that another one has taken the vault over from.
fn passed_over() -> ! {
    eprintln!("error: another process has taken the vault over; this one ends at once");
    std::process::exit(i32::from(exit::PASSED_OVER));
}

/// What certificates are for, and when they end.
pub fn certificates(config: &Config) -> Result<Vec<(&'static str, Timestamp)>> {
    let nodes = config.node_place()?.and_then(|place| place.files).map(|files| files.certificate);
    let files = [("listener", config.tls.certificate_file.clone()), ("nodes", nodes)];
    let known = files.into_iter().filter_map(|(name, file)| Some((name, http::certificate_expires(&file?)?)));
    Ok(known.collect())
}

/// TLS towards clients, if it is configured.
pub fn client_tls(config: &Config) -> Result<Option<Arc<rustls::ServerConfig>>> {
    match (&config.tls.certificate_file, &config.tls.key_file) {
        (Some(certificate), Some(key)) => Ok(Some(http::server_config(certificate, key)?)),
        _ => Ok(None),
    }
}

impl Served {
    /// Begins to answer and to work, for clients that reach it at `address`. `on_poisoned` as for [`start`].
    pub async fn start(
        config: &Config,
        address: SocketAddr,
        embedded: OpenVault,
        node: Option<AsNode>,
        on_poisoned: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self> {
        telemetry::recorder();
        // A seal that another process' claim cut short is a failed flush too, and no fault of a medium.
        let superseded = embedded.superseded();
        let on_poisoned: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
            if superseded() {
                passed_over();
            }
            on_poisoned();
        });
        let vault = embedded.vault.clone();
        let app = App::new(vault.clone(), config.dialect_settings(address));
        let ops = Ops {
            vault: vault.clone(),
            log: config.transparency.public,
            metrics: config.metrics.enabled,
            metrics_token: metrics_token(&config.metrics)?.map(Arc::new),
            serving: Arc::new(Serving {
                data: embedded.data.clone(),
                register_verified: Some(embedded.report.lowered.is_none()),
                warnings: embedded.report.warnings.len(),
                certificates: certificates(config)?,
            }),
            mirrors: embedded.mirrors.clone(),
            escrow: embedded.escrow.clone(),
        };
        match &node {
            Some(node) => telemetry::node_role(&node.name, "holder"),
            None => telemetry::node_role("", "alone"),
        }
        let answerer = Answerer::from(http::service(app.clone(), ops, Arc::clone(&on_poisoned)));
        let url = config.public_url(address);
        let control = ControlServer::start(&embedded, url, node).await.context("the control port cannot be opened")?;
        let mirror_host = match config.host_place()? {
            Some(place) => Some(mirrors::host::start(&place).await?),
            None => None,
        };
        let stop = CancellationToken::new();
        let fetches = tokio::spawn(work::fetch::run(app, stop.clone()));
        let witnesses = tokio::spawn(work::witness::run(vault.log(), config.witnesses()?, stop.clone()));
        let (watched, superseded, mover) = (vault.clone(), embedded.superseded(), embedded.mover.clone());
        let watch = tokio::spawn(async move {
            while !watched.readiness().poisoned && !Parties::flush_failed() {
                if let Some(mover) = mover.as_ref().filter(|mover| mover.has_left()) {
                    end_after_move(mover).await;
                }
                if superseded() {
                    passed_over();
                }
                tokio::time::sleep(POISON_WATCH).await;
            }
            on_poisoned();
        });
        let (_control, _mirror_host) = (control, mirror_host);
        Ok(Self { answerer, vault, stop, fetches, witnesses, watch, _control, _mirror_host, embedded })
    }

    /// The open vault with what it stands on.
    pub fn embedded(&self) -> &OpenVault {
        &self.embedded
    }

    /// Ends the work, seals what is planned, lets go of the vault. Call when no request runs any more.
    pub async fn finish(self) {
        self.stop.cancel();
        let _ = self.fetches.await;
        let _ = self.witnesses.await;
        self.watch.abort();
        self.embedded.close().await;
    }
}

impl Running {
    /// The open vault with what it stands on.
    pub fn embedded(&self) -> &OpenVault {
        self.served.embedded()
    }

    /// Lets running requests finish, seals what is planned, lets go of the vault.
    pub async fn stop(self) {
        self.stop.cancel();
        // Recordings waiting to be fetched are not begun any more while requests finish.
        self.served.stop.cancel();
        let _ = self.listener.await;
        self.served.finish().await;
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

/// The token a reader of the figures must send, if any.
pub fn metrics_token(metrics: &Metrics) -> Result<Option<Zeroizing<String>>> {
    let Some(path) = metrics.token_file.as_ref().filter(|path| !path.as_os_str().is_empty()) else { return Ok(None) };
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .with_context(|| format!("metrics.token_file: {} cannot be read", path.display()))?;
    let token = Zeroizing::new(text.trim().to_owned());
    anyhow::ensure!(!token.is_empty(), "metrics.token_file: {} is empty", path.display());
    Ok(Some(token))
}
