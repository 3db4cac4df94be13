//! The one move of an open vault: begun once, watched by whoever asks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::run::{Ended, run};
use super::{Figures, MoveError, MovePlan, Source, plan};
use crate::config::Config;

/// How far a move is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MoveState {
    /// None was begun by this process.
    #[default]
    Idle,
    /// Under way.
    Running,
    /// Given up before the point of no return: the old vault goes on.
    GivenUp,
    /// Cut short after it: the old vault never serves again, the same command finishes.
    CutShort,
    /// Through.
    Done,
}

/// What is shown of a move.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MoveView {
    /// How far it is.
    pub state: MoveState,
    /// What is being done, in words.
    pub doing: String,
    /// Interactions looked at in this step.
    pub done: u64,
    /// Of so many.
    pub of: u64,
    /// Contents copied by this run.
    pub copied: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why it ended, when it failed.
    pub failure: Option<String>,
    /// What it came to, when it is through.
    pub figures: Option<Figures>,
}

/// What the work says of itself.
#[derive(Default)]
pub struct Shown {
    doing: Mutex<String>,
    done: AtomicU64,
    of: AtomicU64,
    copied: AtomicU64,
    bytes: AtomicU64,
}

impl Shown {
    /// What is being done now.
    pub fn say(&self, doing: &str) {
        tracing::info!(doing, "moving the vault");
        *lock(&self.doing) = doing.to_owned();
    }

    /// A step over so many interactions.
    pub fn begin(&self, doing: &str, of: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.of.store(of, Ordering::Relaxed);
        self.say(doing);
    }

    /// So many more were looked at.
    pub fn looked_at(&self, interactions: u64) {
        self.done.fetch_add(interactions, Ordering::Relaxed);
    }

    /// A content was copied.
    pub fn copied(&self, bytes: u64) {
        self.copied.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Progress {
    state: MoveState,
    failure: Option<String>,
    figures: Option<Figures>,
    work: Option<JoinHandle<()>>,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Mover(Arc<Inner>);

struct Inner {
    source: Source,
    config: Config,
    shown: Arc<Shown>,
    progress: Mutex<Progress>,
    stop: CancellationToken,
    told: AtomicBool,
}

impl Mover {
    /// For a vault that is open here.
    pub fn new(source: Source, config: Config) -> Self {
        Self(Arc::new(Inner {
            source,
            config,
            shown: Arc::default(),
            progress: Mutex::default(),
            stop: CancellationToken::new(),
            told: AtomicBool::new(false),
        }))
    }

    /// What a move there would do. Changes nothing.
    pub async fn plan(&self, to: &Config) -> Result<MovePlan, MoveError> {
        plan(&self.0.source, &self.0.config, to).await
    }

    /// Begins a move, unless one is under way or through already.
    pub fn start(&self, to: Config) {
        let mut progress = lock(&self.0.progress);
        if !matches!(progress.state, MoveState::Idle | MoveState::GivenUp) {
            return;
        }
        progress.state = MoveState::Running;
        progress.failure = None;
        let inner = Arc::clone(&self.0);
        progress.work = Some(tokio::spawn(async move {
            let ended = run(&inner.source, &inner.config, &to, &inner.shown, &inner.stop).await;
            let mut progress = lock(&inner.progress);
            match ended {
                Ok(figures) => {
                    progress.state = MoveState::Done;
                    progress.figures = Some(figures);
                }
                Err(Ended::Before(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the vault was not moved; it goes on here"
                    );
                    progress.state = MoveState::GivenUp;
                    progress.failure = Some(crate::cli::chain(&error));
                }
                Err(Ended::After(error)) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "a move was cut short after the hand-over"
                    );
                    inner.source.lease.hand_over();
                    progress.state = MoveState::CutShort;
                    progress.failure = Some(crate::cli::chain(&error));
                }
            }
        }));
    }

    /// How far it is.
    pub fn view(&self) -> MoveView {
        let (shown, progress) = (&self.0.shown, lock(&self.0.progress));
        if matches!(progress.state, MoveState::Done | MoveState::CutShort) {
            self.0.told.store(true, Ordering::Release);
        }
        MoveView {
            state: progress.state.clone(),
            doing: lock(&shown.doing).clone(),
            done: shown.done.load(Ordering::Relaxed),
            of: shown.of.load(Ordering::Relaxed),
            copied: shown.copied.load(Ordering::Relaxed),
            bytes: shown.bytes.load(Ordering::Relaxed),
            failure: progress.failure.clone(),
            figures: progress.figures.clone(),
        }
    }

    /// Whether the vault is here no more: this process has to end.
    pub fn has_left(&self) -> bool {
        matches!(lock(&self.0.progress).state, MoveState::Done | MoveState::CutShort)
    }

    /// Whether somebody was told how it ended.
    pub fn was_told(&self) -> bool {
        self.0.told.load(Ordering::Acquire)
    }

    /// Ends the work at the next good moment, and waits for that.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        let work = lock(&self.0.progress).work.take();
        if let Some(work) = work {
            let _ = work.await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
