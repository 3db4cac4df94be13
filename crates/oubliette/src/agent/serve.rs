//! The agent's listener.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use oubliette_store::escrow::wire::{
    EnvelopesTold, HoldsTold, KeepAsk, KeptTold, LabelTold, MOST_BODY, PutAsk, RefusalTold, SessionAsk, SessionTold,
    StatusTold,
};
use oubliette_store::escrow::{Depot, Refused};
use oubliette_store::roots::check::RegisterAssessment;
use oubliette_store::roots::{FileRegister, assess};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower::limit::GlobalConcurrencyLimitLayer;
use uuid::Uuid;

use super::{AgentConfig, Release};
use crate::config::Limits;
use crate::http::{self as server, ServerOptions};
use crate::nodes::NodeTls;
use crate::opening::lowered;

/// One vault asks, one request after the other, and now and then an operator.
const AT_ONCE: usize = 16;
const CONNECTIONS: usize = 64;
/// The vault keeps its connection between seals.
const IDLE_SECONDS: u64 = 600;

/// An agent that listens.
pub struct RunningAgent {
    /// Where.
    pub address: std::net::SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl RunningAgent {
    /// Takes no new connection and ends.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

struct Agent {
    name: String,
    depot: Depot,
    assessment: RegisterAssessment,
    release: Release,
    /// Requests that are at the register.
    turns: Arc<Semaphore>,
    /// What to do after a failed flush: nobody knows any more what the register holds.
    end: Arc<dyn Fn() + Send + Sync>,
}

/// Opens the register and listens. `end` is called when a flush of the register has failed.
pub async fn start(config: &AgentConfig, end: Arc<dyn Fn() + Send + Sync>) -> Result<RunningAgent> {
    let tls = NodeTls::read(&config.files())?;
    // An agent has no data folder that the register could lie in.
    let register = FileRegister::open(&config.register, &config.register.join("none")).context("the register")?;
    let assessment = assess(&register).context("looking at the register's place")?;
    if let Some(reason) = lowered(&assessment) {
        if !config.accept_unverified_register {
            bail!(
                "the register's class is not verified: {reason}; mend that, or set accept_unverified_register = true and \
                 know that deletions rest on it as it is"
            );
        }
        tracing::warn!("the register's class is not verified: {reason}");
    }
    let depot = Depot::open(Arc::new(register), config.instance.map(Uuid::into_bytes)).context("the register")?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("listen: {} cannot be listened on", config.listen))?;
    let address = listener.local_addr().context("the listener has no address")?;
    let release = Release::beside(&config.register);
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let agent = Arc::new(Agent { name: config.name.clone(), depot, assessment, release, turns, end });
    let options = ServerOptions {
        tls: Some(tls.server),
        limits: Limits {
            max_connections: CONNECTIONS,
            stall_timeout_seconds: IDLE_SECONDS,
            drain_timeout_seconds: 5,
            ..Limits::default()
        },
    };
    let stop = CancellationToken::new();
    let task = tokio::spawn(server::serve(listener, router(agent), options, stop.clone().cancelled_owned()));
    Ok(RunningAgent { address, stop, task })
}

fn router(agent: Arc<Agent>) -> Router {
    Router::new()
        .route("/v1/session", post(session))
        .route("/v1/put", post(put))
        .route("/v1/keep", post(keep))
        .route("/v1/status", get(status))
        .route("/v1/envelopes", get(envelopes))
        .route("/healthz", get(async || "ok\n"))
        .layer(
            ServiceBuilder::new()
                .layer(GlobalConcurrencyLimitLayer::new(AT_ONCE))
                .layer(DefaultBodyLimit::max(MOST_BODY)),
        )
        .with_state(agent)
}

async fn session(State(agent): State<Arc<Agent>>, body: Bytes) -> Response {
    let Some(ask) = read::<SessionAsk>(&body) else { return malformed() };
    let opened = blocking(&agent, move |depot| depot.session(ask.instance.into_bytes(), ask.fence)).await;
    answer(opened.map(|opened| SessionTold::of(&opened)))
}

async fn put(State(agent): State<Arc<Agent>>, body: Bytes) -> Response {
    let Some((stamp, envelope, in_force)) = read::<PutAsk>(&body).and_then(|ask| ask.read()) else {
        return malformed();
    };
    if envelope.label().agent != agent.name {
        let detail = "the envelope is another agent's: do vault and agent call it by the same name?";
        return refusal(StatusCode::FORBIDDEN, "other-agent", detail);
    }
    let epoch = envelope.label().root.epoch;
    let held = blocking(&agent, move |depot| depot.put(stamp, envelope, in_force)).await;
    tracing::debug!(epoch, done = held.is_ok(), "put");
    answer(held.map(|holds| HoldsTold::of(&holds)))
}

async fn keep(State(agent): State<Arc<Agent>>, body: Bytes) -> Response {
    let Some((stamp, keep)) = read::<KeepAsk>(&body).and_then(|ask| ask.read()) else { return malformed() };
    let kept = blocking(&agent, move |depot| depot.keep(stamp, &keep)).await;
    answer(kept.map(|kept| KeptTold::of(&kept)))
}

async fn status(State(agent): State<Arc<Agent>>) -> Response {
    let held = blocking(&agent, |depot| Ok((depot.instance(), depot.register(), depot.holds()))).await;
    let told = held.map(|(instance, register, holds)| StatusTold {
        agent: agent.name.clone(),
        register_class: agent.assessment.class.clone(),
        register_verified: agent.assessment.verified,
        register: register.map(|register| register.to_string()),
        instance: instance.map(Uuid::from_bytes),
        holds: holds.iter().map(LabelTold::of).collect(),
        released: agent.release.is_allowed(),
    });
    answer(told)
}

async fn envelopes(State(agent): State<Arc<Agent>>) -> Response {
    if !agent.release.is_allowed() {
        let detail = "the agent's operator has not allowed it: `oubliette agent release` there";
        return refusal(StatusCode::FORBIDDEN, "not-released", detail);
    }
    let envelopes = blocking(&agent, |depot| Ok(depot.envelopes())).await;
    if envelopes.is_ok() {
        tracing::warn!("envelopes were given out for a recovery");
    }
    answer(envelopes.map(|envelopes| EnvelopesTold::of(&envelopes)))
}

/// The register blocks. A failed flush ends the agent wherever the request is by then: nothing of the register is believed any
/// more, also when the vault gave up waiting. What hangs keeps its place among those that are carried out, so that there are
/// never more of them.
async fn blocking<T: Send + 'static>(
    agent: &Arc<Agent>,
    work: impl FnOnce(&Depot) -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let depot = Arc::clone(agent);
    let carried_out = async {
        let turn = Arc::clone(&agent.turns).acquire_owned().await.map_err(std::io::Error::other);
        let turn = turn.map_err(Refused::Again)?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let done = work(&depot.depot);
            if matches!(done, Err(Refused::End(_))) {
                (depot.end)();
            }
            done
        });
        done.await.map_err(|error| Refused::Again(std::io::Error::other(error)))?
    };
    // Generous: a register that takes longer is broken, and the vault has given up long ago.
    let done = tokio::time::timeout(Duration::from_secs(60), carried_out).await;
    done.unwrap_or_else(|_| Err(Refused::Again(std::io::ErrorKind::TimedOut.into())))
}

fn answer<T: Serialize>(done: Result<T, Refused>) -> Response {
    match done {
        Ok(told) => Json(told).into_response(),
        Err(refused) => {
            tracing::warn!(error = &refused as &dyn std::error::Error, "refused");
            let (status, told) = RefusalTold::of(&refused);
            (StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE), Json(told)).into_response()
        }
    }
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Option<T> {
    serde_json::from_slice(body).ok()
}

fn malformed() -> Response {
    refusal(StatusCode::BAD_REQUEST, "malformed", "not a request of this version")
}

fn refusal(status: StatusCode, word: &str, detail: &str) -> Response {
    let told = serde_json::json!({ "refused": word, "detail": detail });
    (status, Json(told)).into_response()
}
