//! A node from its start to its end: a front first, the holder when it is its turn.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use axum::extract::Request;
use futures::FutureExt as _;
use oubliette_core::ports::{Blobs, Lenders};
use oubliette_store::blobs::object::ObjectBlobs;
use oubliette_store::guard;
use oubliette_store::lease::boot_time;
use oubliette_store::media::postgres::Onlooker;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::front::{Front, FrontParts, HOLDER_VALUE};
use super::holder::Holder;
use super::lendings::{BootClock, Lendings};
use super::ops;
use super::tls::NodeTls;
use super::wire::HolderAt;
use crate::cli::exit;
use crate::cli::serve::{StopSignals, end_at_once, first_tenant};
use crate::config::{BlobPlace, Config, Limits, MetadataPlace, NodePlace};
use crate::control::{AsNode, Ask, ControlServer, Failure, FrontView, Told};
use crate::http::{self, Answerer, ServerOptions};
use crate::opening::{Loss, OpenVault};
use crate::running::{self, Served};
use crate::telemetry::{self, Serving};

/// How long a new holder waits for its look-up map before it says that it holds the vault: requests wait for that meanwhile.
const LOOKUPS: Duration = Duration::from_secs(10);
/// Connections between nodes are kept by those who open them.
const NODE_IDLE_SECONDS: u64 = 3_600;
/// What a forwarded head has more than a client's.
const NODE_HEAD: usize = 4 << 10;

/// A node's two listeners, and what stands behind them.
struct Node {
    front: Arc<Front>,
    holder: Arc<Holder>,
    name: String,
    /// How others reach it.
    address: String,
    /// The address clients use.
    url: String,
    clients: Listener,
    nodes: Listener,
}

struct Listener {
    stop: CancellationToken,
    task: JoinHandle<()>,
    address: std::net::SocketAddr,
}

impl Listener {
    fn start(listener: TcpListener, answerer: Answerer, options: ServerOptions) -> Result<Self> {
        let address = listener.local_addr().context("a listener has no address")?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(http::serve(listener, answerer, options, stop.clone().cancelled_owned()));
        Ok(Self { stop, task, address })
    }

    /// Takes no new connection, lets running requests finish.
    async fn stop(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

/// Serves as a node until it is told to stop.
pub async fn serve(config: &Config, place: NodePlace, stop: &mut StopSignals) -> Result<u8> {
    // Before any key is lent to this process; the opening says what it thinks of it.
    let guards = guard::engage();
    let node = Node::start(config, place, guards.warnings().len()).await?;
    tracing::info!(node = node.name, url = node.url, "listening");
    let standing_by = Arc::new(Notify::new());
    let lenders = Arc::clone(&node.holder.lendings) as Arc<dyn Lenders>;
    let opening = OpenVault::serve_as_node(config, lenders, Arc::clone(&standing_by));
    tokio::pin!(opening);
    let mut control = None;
    let opened = loop {
        tokio::select! {
            opened = &mut opening => break opened?,
            () = standing_by.notified() => {
                telemetry::node_role(&node.name, "front");
                control = Some(node.control(config).await?);
            }
            () = stop.wait() => {
                tracing::info!("stopping: running requests finish");
                node.stop().await;
                return Ok(exit::DONE);
            }
        }
    };
    first_tenant(&opened).await?;
    // One takes the other's place: what is written where commands look is the new one's.
    drop(control);
    let served = node.take_over(config, opened).await?;
    stop.wait().await;
    tracing::info!("stopping: running requests finish, then another node takes over");
    node.hand_over(config, served).await;
    Ok(exit::DONE)
}

impl Node {
    /// `warnings` counts what there is to say of this process before it has opened anything.
    async fn start(config: &Config, place: NodePlace, warnings: usize) -> Result<Self> {
        let tls = place.files.as_ref().map(NodeTls::read).transpose()?;
        let clients = running::bind(config).await?;
        let nodes = TcpListener::bind(place.listen)
            .await
            .with_context(|| format!("node.listen: {} cannot be listened on", place.listen))?;
        let address = match place.advertise {
            Some(advertise) => advertise,
            None => nodes.local_addr().context("a listener has no address")?.to_string(),
        };
        let MetadataPlace::Postgres(server) = config.metadata_place()? else {
            return Err(anyhow!("nodes need PostgreSQL"));
        };
        let BlobPlace::S3(bucket, limits) = config.blob_place()? else { return Err(anyhow!("nodes need a bucket")) };
        let blobs: Arc<dyn Blobs> = Arc::new(ObjectBlobs::attach(&bucket, limits).await?);
        telemetry::recorder();

        let clock: BootClock = Arc::new(boot_time);
        let holder = Holder::new(Arc::new(Lendings::new(Arc::clone(&clock))));
        let front = Front::new(FrontParts {
            name: place.name.clone(),
            blobs,
            onlooker: Arc::new(Onlooker::new(&server)?),
            tls: tls.as_ref().map(|tls| Arc::clone(&tls.client)),
            wait: place.wait,
            clock,
        });
        let token = running::metrics_token(&config.metrics)?.map(Arc::new);
        let certificates = running::certificates(config)?;
        let serving = Serving { data: config.storage.data.clone(), register_verified: None, warnings, certificates };
        let own = ops::own(Arc::clone(&front), config.metrics.enabled, token, serving);
        let options = ServerOptions { tls: running::client_tls(config)?, limits: config.limits.clone() };
        let clients = Listener::start(clients, answering(&front, own), options)?;
        let options = ServerOptions { tls: tls.map(|tls| tls.server), limits: between_nodes(&config.limits) };
        let answerer = {
            let holder = Arc::clone(&holder);
            Answerer::new(move |request| Arc::clone(&holder).answer(request))
        };
        let nodes = Listener::start(nodes, answerer, options)?;
        let url = config.public_url(clients.address);
        tokio::spawn(Arc::clone(&front).run());
        Ok(Self { front, holder, name: place.name, address, url, clients, nodes })
    }

    /// Where commands on the machine ask a front.
    async fn control(&self, config: &Config) -> Result<ControlServer> {
        let (front, name, url) = (Arc::clone(&self.front), self.name.clone(), self.url.clone());
        let answer = move |ask: Ask| {
            let current = front.current();
            let view = FrontView {
                node: name.clone(),
                url: url.clone(),
                leased: current.is_some(),
                holder: current.as_ref().map(|upstream| upstream.holder.name.clone()),
                holder_address: current.map(|upstream| upstream.holder.address.clone()),
            };
            async move {
                match ask {
                    Ask::Status => Told::Front(view),
                    _ => Told::Refused { failure: elsewhere(&view) },
                }
            }
            .boxed()
        };
        let control = ControlServer::answering(&config.storage.data, self.url.clone(), Arc::new(answer)).await;
        control.context("the control port cannot be opened")
    }

    /// Becomes the holder: nothing lent by an earlier one is used here any more, everything is answered here.
    async fn take_over(&self, config: &Config, opened: OpenVault) -> Result<Served> {
        self.front.end();
        let lease = opened.lease().context("a node has a claim")?;
        let lendings = Arc::clone(&self.holder.lendings);
        let node = AsNode { name: self.name.clone(), fronts: Arc::new(move || lendings.fronts()) };
        opened.report.disk.iter().for_each(Loss::tell);
        let served = Served::start(config, self.clients.address, opened, Some(node), end_at_once()).await?;
        let _ = timeout(LOOKUPS, served.vault.wait_ready()).await;
        self.holder.serve(served.answerer.clone(), lease);
        self.front.holds(served.answerer.clone());
        let at = HolderAt { session: self.holder.session, name: self.name.clone(), address: self.address.clone() };
        served.embedded().publish(HOLDER_VALUE, serde_json::to_vec(&at)?).await?;
        tracing::info!(node = self.name, url = self.url, "serving");
        Ok(served)
    }

    /// The holder stops in order: another one need not wait.
    async fn hand_over(self, config: &Config, served: Served) {
        self.clients.stop().await;
        self.holder.hand_over(Duration::from_secs(config.limits.drain_timeout_seconds)).await;
        self.nodes.stop().await;
        served.finish().await;
    }

    /// A front stops.
    async fn stop(self) {
        self.clients.stop().await;
        self.front.end();
        self.nodes.stop().await;
    }
}

/// What the client listener answers with: this node's own paths; else itself when it holds the vault, or whoever does.
fn answering(front: &Arc<Front>, own: Answerer) -> Answerer {
    let front = Arc::clone(front);
    Answerer::new(move |request: Request| match front.here() {
        Some(here) => here.answer(request),
        None if ops::is_own(request.uri().path()) => own.answer(request),
        None => ops::passed_on(Arc::clone(&front), request).boxed(),
    })
}

/// The limits of the node listener: clients are held to theirs at the front already.
fn between_nodes(limits: &Limits) -> Limits {
    Limits {
        max_header_bytes: limits.max_header_bytes + NODE_HEAD,
        max_connections: limits.max_connections.saturating_mul(4),
        header_timeout_seconds: NODE_IDLE_SECONDS,
        stall_timeout_seconds: limits.stall_timeout_seconds.saturating_mul(2),
        drain_timeout_seconds: 1,
        ..limits.clone()
    }
}

fn elsewhere(view: &FrontView) -> Failure {
    let message = match (&view.holder, &view.holder_address) {
        (Some(name), Some(_)) => format!("this node is a front; node {name} holds the vault: ask there"),
        _ => "this node is a front, and no node holds the vault now".to_owned(),
    };
    Failure { exit: exit::UNAVAILABLE, message }
}
