//! The sealer: one thread that makes every seal (design §4.3, steps 3 and 4).
//!
//! Erasures that arrive while a seal runs form the next one; when idle there is no waiting window. An idle sealer even begins
//! ahead: it makes a seal ready while the transaction that plans it is being written, and leaves the register alone until
//! that transaction is durable and everything it erases is hidden. Without it the seal is taken back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use keyforest::{Change, Leaf, LeafSet, SealError, Sealed};
use oubliette_proof::{Hash, Token};
use tokio::sync::oneshot;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::VaultError;
use super::noting::Unmarked;
use super::restore::Restore;
use super::shared::{Pending, Shared};
use crate::ports::PurgeSet;
use crate::proof::{SealFacts, token};

/// Named moments of the sealer outside of the forest's own.
pub const CRASH_POINTS: &[&str] = &["sealer.ready", "sealer.before_seal", "sealer.after_seal", "sealer.before_answer"];

enum Message {
    /// A seal to be made ready.
    Ahead(Ahead),
    /// Something to seal.
    Job(Job),
}

/// Erasures whose transaction is being written.
struct Ahead {
    puncture: LeafSet,
    /// The erasures once they are planned; nothing when the transaction came to nothing.
    planned: mpsc::Receiver<Vec<Pending>>,
}

/// A seal that is being made ready. Dropped without [`Sealer::purge`] it is taken back.
pub struct Readying(mpsc::Sender<Vec<Pending>>);

enum Job {
    Purges(Vec<Pending>),
    Attach(Zeroizing<Vec<u8>>, oneshot::Sender<Result<(), VaultError>>),
    Provision(u64, oneshot::Sender<Result<(), VaultError>>),
    Upkeep {
        unused: LeafSet,
        closed_below: u64,
        provision: u64,
        done: oneshot::Sender<Result<(), VaultError>>,
    },
    Restore(Restore, oneshot::Sender<Result<(), VaultError>>),
    /// A seal that adds and erases nothing: it pins what was committed.
    Pin(oneshot::Sender<Result<(), VaultError>>),
    /// Nothing to do: answered once everything before it is.
    Settle(oneshot::Sender<Result<(), VaultError>>),
    Stop(oneshot::Sender<()>),
}

/// The sealer's door.
pub struct Sealer {
    messages: Mutex<mpsc::Sender<Message>>,
    /// The thread waits for work.
    rests: Arc<AtomicBool>,
    shared: Arc<Shared>,
}

impl Sealer {
    /// Starts the thread.
    pub fn start(shared: Arc<Shared>) -> Result<Self, VaultError> {
        let (messages, queue) = mpsc::channel();
        let rests = Arc::new(AtomicBool::new(false));
        let (sealing, resting) = (Arc::clone(&shared), Arc::clone(&rests));
        std::thread::Builder::new()
            .name("sealer".to_owned())
            .spawn(move || run(&sealing, &queue, &resting))
            .map_err(VaultError::internal)?;
        Ok(Self { messages: Mutex::new(messages), rests, shared })
    }

    fn send(&self, job: Job) -> Result<(), VaultError> {
        self.tell(Message::Job(job))
    }

    fn tell(&self, message: Message) -> Result<(), VaultError> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.send(message).map_err(|_| VaultError::Unavailable(None))
    }

    /// Lets a sealer that rests make the seal of these sets ready while the transaction that plans them is written. `None`
    /// when it has something to do, or when there is more to erase than may be done in vain.
    pub fn get_ready(&self, sets: &[&PurgeSet]) -> Option<Readying> {
        let numbers = |set: &&PurgeSet| set.interactions.len() + set.groups.len() + set.leaves.len();
        if sets.is_empty()
            || sets.iter().map(numbers).sum::<usize>() > AHEAD_AT_MOST
            || !self.rests.swap(false, Ordering::AcqRel)
        {
            return None;
        }
        let puncture = leaves_of(sets.iter().copied());
        let (sender, planned) = mpsc::channel();
        self.tell(Message::Ahead(Ahead { puncture, planned })).ok().map(|()| Readying(sender))
    }

    /// Hands over erasures that are planned in the metadata, and hidden; `readying` if their seal is being made ready.
    pub fn purge(&self, pending: Vec<Pending>, readying: Option<Readying>) -> Result<(), VaultError> {
        match readying {
            Some(Readying(planned)) => planned.send(pending).map_err(|_| VaultError::Unavailable(None)),
            None => self.send(Job::Purges(pending)),
        }
    }

    /// Seals new vault secrets.
    pub async fn attach(&self, secrets: Zeroizing<Vec<u8>>) -> Result<(), VaultError> {
        let (done, answer) = oneshot::channel();
        self.send(Job::Attach(secrets, done))?;
        answer.await.map_err(|_| VaultError::Unavailable(None))?
    }

    /// Adds buckets to the supply.
    pub async fn provision(&self, buckets: u64) -> Result<(), VaultError> {
        let (done, answer) = oneshot::channel();
        self.send(Job::Provision(buckets, done))?;
        answer.await.map_err(|_| VaultError::Unavailable(None))?
    }

    /// Punctures groups that earlier runs left unused, closes their buckets and adds a fresh supply, in one seal.
    pub async fn upkeep(&self, unused: LeafSet, closed_below: u64, provision: u64) -> Result<(), VaultError> {
        let (done, answer) = oneshot::channel();
        self.send(Job::Upkeep { unused, closed_below, provision, done })?;
        answer.await.map_err(|_| VaultError::Unavailable(None))?
    }

    /// Commits a restore in one seal.
    pub async fn restore(&self, restore: Restore) -> Result<(), VaultError> {
        let (done, answer) = oneshot::channel();
        self.send(Job::Restore(restore, done))?;
        answer.await.map_err(|_| VaultError::Unavailable(None))?
    }

    /// Seals what is queued. From now on a seal that cannot be made at once is left to the next start.
    pub async fn settle(&self) -> Result<(), VaultError> {
        self.shared.stopping.store(true, Ordering::Release);
        let (done, answer) = oneshot::channel();
        self.send(Job::Settle(done))?;
        answer.await.map_err(|_| VaultError::Unavailable(None))?
    }

    /// Pins what was committed since the last seal.
    pub async fn pin(&self) -> Result<(), VaultError> {
        let (done, answer) = oneshot::channel();
        self.send(Job::Pin(done))?;
        answer.await.map_err(|_| VaultError::Unavailable(None))?
    }

    /// Seals what is queued and can be sealed now, and ends the thread.
    pub async fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        let (done, answer) = oneshot::channel();
        if self.send(Job::Stop(done)).is_ok() {
            let _ = answer.await;
        }
    }
}

/// Most jobs one seal takes up, so that a flood cannot postpone it for ever.
const JOBS_PER_SEAL: usize = 4_096;

/// Most entries of sets whose seal is made ready ahead: few enough that doing it in vain costs nothing worth mentioning.
const AHEAD_AT_MOST: usize = 4_096;

#[derive(Default)]
struct Batch {
    purges: Vec<Pending>,
    attach: Option<Zeroizing<Vec<u8>>>,
    provision: u64,
    upkeep: Option<(LeafSet, u64)>,
    /// Further leaves that must open after the seal.
    canaries: LeafSet,
    /// A seal is wanted for what it pins.
    pin: bool,
    answers: Vec<oneshot::Sender<Result<(), VaultError>>>,
    stop: Option<oneshot::Sender<()>>,
}

impl Batch {
    fn take(&mut self, job: Job) {
        match job {
            Job::Purges(mut purges) => self.purges.append(&mut purges),
            Job::Attach(secrets, done) => {
                self.attach = Some(secrets);
                self.answers.push(done);
            }
            Job::Provision(buckets, done) => {
                self.provision = self.provision.max(buckets);
                self.answers.push(done);
            }
            Job::Upkeep { unused, closed_below, provision, done } => {
                self.upkeep = Some((unused, closed_below));
                self.provision = self.provision.max(provision);
                self.answers.push(done);
            }
            Job::Restore(Restore { doomed, canaries, closed_below, mut due }, done) => {
                self.upkeep = Some((doomed, closed_below));
                self.canaries = canaries;
                self.purges.append(&mut due);
                self.answers.push(done);
            }
            Job::Pin(done) => {
                self.pin = true;
                self.answers.push(done);
            }
            Job::Settle(done) => self.answers.push(done),
            Job::Stop(done) => self.stop = Some(done),
        }
    }

    fn is_empty(&self) -> bool {
        self.purges.is_empty() && self.attach.is_none() && self.provision == 0 && self.upkeep.is_none() && !self.pin
    }
}

fn run(shared: &Shared, queue: &mpsc::Receiver<Message>, rests: &AtomicBool) {
    let mut held = None;
    while let Some(first) = held.take().or_else(|| next(queue, rests)) {
        let mut batch = Batch::default();
        match first {
            Message::Ahead(ahead) => {
                if !seal_ahead(shared, ahead) {
                    return;
                }
                continue;
            }
            Message::Job(job) => batch.take(job),
        }
        while batch.purges.len() < JOBS_PER_SEAL && batch.stop.is_none() {
            match queue.try_recv() {
                Ok(Message::Job(job)) => batch.take(job),
                Ok(ahead) => {
                    held = Some(ahead);
                    break;
                }
                Err(_) => break,
            }
        }
        if !batch.is_empty() && !seal_until_done(shared, &mut batch, Begun::No) {
            return;
        }
        batch.answers.drain(..).for_each(|answer| drop(answer.send(Ok(()))));
        if let Some(done) = batch.stop {
            let _ = done.send(());
            return;
        }
    }
}

/// The next message; `None` when there will be none.
fn next(queue: &mpsc::Receiver<Message>, rests: &AtomicBool) -> Option<Message> {
    if let Ok(message) = queue.try_recv() {
        return Some(message);
    }
    rests.store(true, Ordering::Release);
    let message = queue.recv().ok();
    rests.store(false, Ordering::Release);
    message
}

/// Makes a seal ready and, once the erasures are planned, finishes it; takes it back when they come to nothing. `false` when
/// the process must end.
fn seal_ahead(shared: &Shared, ahead: Ahead) -> bool {
    let mut change = change(shared, ahead.puncture, &Batch::default());
    // The commit that is under way counts one more than the newest at least. If it comes to nothing, so does the seal.
    change.pins.commit_counter += 1;
    #[expect(clippy::disallowed_methods, reason = "measures a duration, not a date")]
    let started = std::time::Instant::now();
    let mut begun = match shared.forest.prepare_seal(&change) {
        Ok(()) => Begun::Yes,
        Err(SealError::Unknown(cause)) => return end(shared, &cause),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a seal could not be made ready ahead");
            Begun::No
        }
    };
    shared.note_time(started.elapsed());
    shared.probe.reached("sealer.ready");
    let planned = ahead.planned.recv();
    let as_expected = planned.as_ref().is_ok_and(|purges| {
        leaves_of(purges.iter().map(|purge| &*purge.set)) == change.puncture
            && shared.newest_commit() >= change.pins.commit_counter
    });
    if !as_expected && matches!(begun, Begun::Yes) {
        begun = Begun::No;
        if let Err(error) = shared.forest.abandon_seal() {
            return end(shared, &error);
        }
    }
    let Ok(purges) = planned else { return true };
    if matches!(begun, Begun::Yes) {
        shared.probe.reached("sealer.before_seal");
    }
    seal_until_done(shared, &mut Batch { purges, ..Batch::default() }, begun)
}

fn end(shared: &Shared, cause: &(dyn std::error::Error + 'static)) -> bool {
    shared.sealing.store(false, Ordering::Release);
    tracing::error!(error = cause, "a flush failed; the process must end");
    shared.poison();
    false
}

/// Repeats a seal that was certainly not made, and goes on with one that waits for the register, until it is made; `false`
/// when the process must end.
fn seal_until_done(shared: &Shared, batch: &mut Batch, mut begun: Begun) -> bool {
    let mut pause = Duration::from_millis(50);
    loop {
        match seal_once(shared, batch, begun) {
            Ok(()) => {
                shared.sealing.store(true, Ordering::Release);
                for answer in batch.answers.drain(..) {
                    let _ = answer.send(Ok(()));
                }
                return true;
            }
            Err(error @ (SealError::NotDone(_) | SealError::Stalled(_))) => {
                shared.sealing.store(false, Ordering::Release);
                if matches!(error, SealError::Stalled(_)) {
                    begun = Begun::Yes;
                }
                tracing::warn!(error = &error as &dyn std::error::Error, "the seal stalls; it stays due");
                // What is not sealed now is brought to its end by the recovery of the next start; who waits is told so.
                if batch.stop.is_some() || shared.stopping.load(Ordering::Acquire) {
                    shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    return false;
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_secs(2));
            }
            Err(SealError::Unknown(cause)) => return end(shared, &cause),
        }
    }
}

/// Whether the forest has a seal of this batch that waits to be finished.
#[derive(Clone, Copy)]
enum Begun {
    No,
    Yes,
}

fn seal_once(shared: &Shared, batch: &Batch, begun: Begun) -> Result<(), SealError> {
    #[expect(clippy::disallowed_methods, reason = "measures a duration, not a date")]
    let started = std::time::Instant::now();
    let sealed = match begun {
        Begun::No => {
            let change = change(shared, leaves_of(batch.purges.iter().map(|purge| &*purge.set)), batch);
            shared.probe.reached("sealer.before_seal");
            shared.forest.seal(&change)?
        }
        Begun::Yes => shared.forest.finish_seal()?,
    };
    shared.probe.reached("sealer.after_seal");
    // The forest no longer gives these keys out. Wait for whoever still holds one on its stack.
    drop(shared.key_gate.write().unwrap_or_else(PoisonError::into_inner));
    // Nor is one in use at another node: they were asked for them when the leaves were hidden.
    for purge in &batch.purges {
        shared.lenders.wait_back(&purge.set);
    }
    shared.seals.fetch_add(1, Ordering::Relaxed);
    shared.punctured.fetch_add(sealed.punctured, Ordering::Relaxed);
    shared.note_time(started.elapsed());
    answer(shared, batch, &sealed);
    Ok(())
}

fn leaves_of<'a>(sets: impl Iterator<Item = &'a PurgeSet>) -> LeafSet {
    sets.flat_map(|set| set.expand().iter().collect::<Vec<_>>()).collect()
}

fn change(shared: &Shared, mut puncture: LeafSet, batch: &Batch) -> Change {
    if let Some((unused, _)) = &batch.upkeep {
        puncture = puncture.union(unused);
    }
    let canaries: LeafSet = {
        let canaries = shared.canaries.lock().unwrap_or_else(PoisonError::into_inner);
        let live = |leaf: &Leaf| !puncture.contains(*leaf) && shared.forest.key(*leaf).is_ok();
        canaries.iter().map(|group| group.leaf(0)).chain(batch.canaries.iter()).filter(live).collect()
    };
    Change {
        puncture,
        provision: batch.provision,
        attachment: batch.attach.as_ref().map(|secrets| secrets.to_vec()),
        pins: shared.pins(),
        canaries,
        closed_below: batch.upkeep.as_ref().map(|(_, below)| *below),
        journal_done: shared.journaled.done(),
    }
}

/// A register whose class has no name.
#[expect(clippy::expect_used, reason = "a constant")]
fn unnamed() -> Token {
    Token::new("unnamed").expect("a token")
}

/// Tells everybody who waits for the batch's erasures.
fn answer(shared: &Shared, batch: &Batch, sealed: &Sealed) {
    let ids: Vec<Uuid> = batch.purges.iter().map(|purge| purge.id).collect();
    if !ids.is_empty() {
        shared.probe.reached("sealer.before_answer");
    }
    let facts = SealFacts {
        before: sealed.epoch.saturating_sub(1),
        states: sealed.state_hashes.map(Hash),
        punctured: sealed.punctured,
        register_class: token(&shared.forest.register_class()).unwrap_or_else(unnamed),
        findings: shared.register_findings.clone(),
        mirrors: shared.mirrors,
        agents_confirmed: shared.agents[1],
        agents: shared.agents[0],
    };
    let unmarked = Unmarked { ids, epoch: sealed.epoch, at: shared.clock.now(), facts };
    shared.unmarked.push(unmarked);
    if !batch.purges.is_empty() {
        for purge in &batch.purges {
            shared.hidden.remove(purge.id, &purge.set);
            let waiter = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&purge.id);
            if let Some(waiter) = waiter {
                waiter.send_replace(true);
            }
            // Behind that: a record that is being written now is seen here, or sees that nobody waits any more.
            shared.journaled.forget_of(purge.id);
            // Last: who finds it forgotten takes that for *sealed*.
            shared.erasing.forget(purge.id);
        }
        shared.sealed.notify_one();
    }
}
