//! The log takes something at the very end of a move, and the rows note it late.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use keyforest::Probe;
use oubliette::config::{self, Config};
use oubliette::control::local_actor;
use oubliette::moving::{MoveState, MoveView, Mover};
use oubliette::opening::{OpenVault, Opening, RegisterPolicy};
use oubliette_core::model::{ContentKind, InteractionKind, InteractionMeta, State};
use oubliette_core::ports::{Clock, SystemClock};
use oubliette_core::service::{NewContent, NewInteraction, body_of};

use super::Rig;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// How far the test is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Step {
    /// Nothing is arranged.
    Begun,
    /// Everything is sealed and told; the log may take what came in last.
    Settled,
    /// It has.
    Appended,
    /// It may be noted in the rows.
    Noting,
}

/// Lets the log be told of what came in just when a move has seen that it was told everything, and keeps the rows from noting
/// that. Also the vault's clock: arrivals are told of after a minute.
struct Late {
    step: Mutex<Step>,
    changed: Condvar,
    forward: AtomicI64,
    /// The rows note it so long after the log took it; without this, when the test says so.
    after: Option<Duration>,
}

impl Late {
    fn new(after: Option<Duration>) -> Arc<Self> {
        Arc::new(Self { step: Mutex::new(Step::Begun), changed: Condvar::new(), forward: AtomicI64::new(0), after })
    }

    fn go_to(&self, step: Step) {
        *self.step.lock().unwrap() = step;
        self.changed.notify_all();
    }

    fn wait_for(&self, step: Step, limit: Duration) {
        let reached = self.changed.wait_timeout_while(self.step.lock().unwrap(), limit, |now| *now < step).unwrap();
        assert!(*reached.0 >= step || limit < LIMIT, "{step:?} is not reached");
    }
}

impl Probe for Late {
    fn reached(&self, point: &'static str) {
        let now = *self.step.lock().unwrap();
        match (point, now) {
            ("move.settled", Step::Begun) => {
                self.forward.store(61, Ordering::SeqCst);
                self.go_to(Step::Settled);
                self.wait_for(Step::Appended, LIMIT);
            }
            ("certify.appended", Step::Settled) => {
                self.go_to(Step::Appended);
                self.wait_for(Step::Noting, self.after.unwrap_or(LIMIT));
                self.go_to(Step::Noting);
            }
            _ => {}
        }
    }
}

impl Clock for Late {
    fn now(&self) -> Timestamp {
        SystemClock.now() + SignedDuration::from_secs(self.forward.load(Ordering::SeqCst))
    }
}

/// A vault into which something came a moment ago.
async fn old_vault(rig: &Rig, late: &Arc<Late>) -> OpenVault {
    let mut config = Config::default();
    config.storage.data = rig.old.data();
    let mut opening = Opening::new(RegisterPolicy::Warn);
    (opening.clock, opening.probe) = (Arc::clone(late) as Arc<dyn Clock>, Arc::clone(late) as Arc<dyn Probe>);
    let open = OpenVault::open_with(&config, opening).await.unwrap();
    let actor = local_actor(open.vault.create_tenant("first").await.unwrap());
    let mut draft = open.vault.draft(&actor).await.unwrap();
    draft.add(NewContent::fixed(ContentKind::Transcript, "text/plain"), body_of("said")).await.unwrap();
    let meta = InteractionMeta::starting(open.vault.now());
    let new = NewInteraction { kind: InteractionKind::Call, state: State::Processed, meta, unique_session: false };
    draft.commit(new).await.unwrap();
    open
}

/// Moves it, and tells how that ended.
async fn moved(rig: &Rig, mover: &Mover) -> MoveView {
    let (to, _) = config::load(Some(&rig.new.join("oubliette.toml")), []).unwrap();
    mover.start(to);
    let begun = Instant::now();
    while mover.view().state == MoveState::Running {
        assert!(begun.elapsed() < LIMIT, "{}", mover.view().doing);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    mover.view()
}

/// The new place opens with what came in, and stops in good order.
fn assert_arrived(rig: &Rig) {
    let mut new = rig.serve_new();
    new.wait_for_endpoint();
    let status = rig.new.run(&["status", "--config", "oubliette.toml", "--json"]).with_code(0).json();
    assert_eq!(status["interactions"], 1, "{status}");
    new.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn what_the_log_took_at_the_last_moment_is_waited_for_and_the_moved_vault_opens() {
    let (rig, late) = (Rig::new(), Late::new(Some(Duration::from_secs(7))));
    let old = old_vault(&rig, &late).await;
    let view = moved(&rig, old.mover.as_ref().unwrap()).await;
    assert_eq!((view.state, view.failure), (MoveState::Done, None));
    assert_eq!(*late.step.lock().unwrap(), Step::Noting);
    old.close().await;
    assert_arrived(&rig);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn a_vault_whose_rows_do_not_note_what_the_log_took_stays_where_it_is_and_is_moved_later() {
    let (rig, late) = (Rig::new(), Late::new(None));
    let old = old_vault(&rig, &late).await;
    let mover = old.mover.as_ref().unwrap();
    let view = moved(&rig, mover).await;
    assert_eq!(view.state, MoveState::GivenUp, "{:?}", view.failure);
    assert!(view.failure.unwrap().contains("did not note in time what the log took"));
    // It lives on, notes it, and can be moved.
    old.vault.create_tenant("another").await.unwrap();
    late.go_to(Step::Noting);
    let view = moved(&rig, mover).await;
    assert_eq!((view.state, view.failure), (MoveState::Done, None));
    old.close().await;
    assert_arrived(&rig);
}
