//! Rows between whose transactions something happens, as a test arranges it.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use keyforest::media::Medium;
use oubliette_core::ports::*;
use oubliette_store::media::Folder;
use tokio::sync::watch;

/// Why a transaction does not happen.
#[derive(Clone, Copy)]
pub enum Refused {
    /// The database does not answer; nothing happened.
    Unavailable,
    /// A check does not hold.
    Conflict,
}

/// What is arranged. Shared by a test and the rows of its vault.
#[derive(Default)]
pub struct Faults {
    refused: Mutex<Vec<(&'static str, Refused)>>,
    held: watch::Sender<Option<&'static str>>,
    waits: watch::Sender<bool>,
    before_places: Mutex<Option<Vec<Write>>>,
    asked: Mutex<HashMap<&'static str, usize>>,
    unanswered: Mutex<Option<&'static str>>,
    late: Mutex<Option<&'static str>>,
    lost: Mutex<Option<u64>>,
}

impl Faults {
    /// From now on every transaction is answered as done and does not happen, as if an older copy took the place of the rows
    /// later.
    pub fn lose_what_comes(&self) {
        *self.lost.lock().unwrap() = Some(0);
    }

    /// Transactions happen again.
    pub fn lose_no_more(&self) {
        *self.lost.lock().unwrap() = None;
    }

    /// The next transaction of this name does not happen.
    pub fn refuse(&self, name: &'static str, why: Refused) {
        self.refused.lock().unwrap().push((name, why));
    }

    /// How many transactions are still to be refused.
    pub fn left(&self) -> usize {
        self.refused.lock().unwrap().len()
    }

    /// Transactions or questions of this name wait until [`Faults::release`].
    pub fn hold(&self, name: &'static str) {
        self.held.send_replace(Some(name));
    }

    /// The answer to the next question of this name, as it was found, waits until [`Faults::release`].
    pub fn hold_answer(&self, question: &'static str) {
        *self.late.lock().unwrap() = Some(question);
    }

    /// Returns once something waits.
    pub async fn is_waited_for(&self) {
        self.waits.subscribe().wait_for(|waits| *waits).await.unwrap();
    }

    /// Nothing waits any more.
    pub fn release(&self) {
        self.held.send_replace(None);
    }

    /// These are written before the next question for erasures by place.
    pub fn before_places(&self, writes: Vec<Write>) {
        *self.before_places.lock().unwrap() = Some(writes);
    }

    /// How often each question was asked since this was last called.
    pub fn asked(&self) -> HashMap<&'static str, usize> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// How often a question was asked so far.
    pub fn count(&self, question: &'static str) -> usize {
        self.asked.lock().unwrap().get(question).copied().unwrap_or(0)
    }

    /// The next question of this name is not answered.
    pub fn leave_unanswered(&self, question: &'static str) {
        *self.unanswered.lock().unwrap() = Some(question);
    }

    /// Whether that question was asked.
    pub fn was_asked(&self) -> bool {
        self.before_places.lock().unwrap().is_none()
    }
}

/// What is held when one answer is.
const ANSWER: &str = "an answer";

/// Rows to which that happens.
pub struct Arranged {
    pub inner: Arc<dyn Metadata>,
    pub faults: Arc<Faults>,
}

impl Arranged {
    async fn wait_while_held(&self, name: &'static str) {
        let mut held = self.faults.held.subscribe();
        let is_held = |held: &Option<&'static str>| *held == Some(name);
        if is_held(&held.borrow()) {
            self.faults.waits.send_replace(true);
        }
        let _ = held.wait_for(|held| !is_held(held)).await;
    }
}

#[async_trait]
impl MetadataLayer for Arranged {
    fn below(&self) -> &dyn Metadata {
        &*self.inner
    }

    async fn asked(&self, question: &'static str) -> Result<(), PortError> {
        *self.faults.asked.lock().unwrap().entry(question).or_default() += 1;
        if question == "purges_at" {
            let first = self.faults.before_places.lock().unwrap().take();
            if let Some(writes) = first {
                self.inner.apply(Transaction { name: "as arranged", checks: Vec::new(), writes }).await?;
            }
        }
        self.wait_while_held(question).await;
        match self.faults.unanswered.lock().unwrap().take_if(|unanswered| *unanswered == question) {
            Some(_) => Err(PortError::bare(PortErrorKind::Unavailable, "as arranged")),
            None => Ok(()),
        }
    }

    async fn answered(&self, question: &'static str) {
        let late = self.faults.late.lock().unwrap().take_if(|late| *late == question);
        if late.is_some() {
            self.faults.hold(ANSWER);
            self.wait_while_held(ANSWER).await;
        }
    }

    async fn change(&self, transaction: Transaction) -> Result<Applied, PortError> {
        let refused = {
            let mut refused = self.faults.refused.lock().unwrap();
            let at = refused.iter().position(|(name, _)| *name == transaction.name);
            at.map(|at| refused.remove(at).1)
        };
        match refused {
            Some(Refused::Unavailable) => return Err(PortError::bare(PortErrorKind::Unavailable, "as arranged")),
            Some(Refused::Conflict) => return Ok(Applied::Failed(0)),
            None => {}
        }
        self.wait_while_held(transaction.name).await;
        let lost = self.faults.lost.lock().unwrap().as_mut().map(|lost| {
            *lost += 1;
            *lost
        });
        match lost {
            Some(lost) => Ok(Applied::Done(self.inner.instance().await?.commit_counter + lost)),
            None => self.inner.apply(transaction).await,
        }
    }
}

/// A medium that takes no key pages while it is full; the journal and the log it takes.
pub struct Pageless {
    pub inner: Folder,
    pub full: Arc<AtomicBool>,
}

impl Medium for Pageless {
    fn create(&self, name: &str, reserve: u64) -> io::Result<()> {
        self.inner.create(name, reserve)
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if name.starts_with("pack-") && self.full.load(Ordering::SeqCst) {
            return Err(keyforest::media::not_done("as arranged"));
        }
        self.inner.write_at(name, offset, bytes)
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        self.inner.flush(name)
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.inner.read_at(name, offset, len)
    }

    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.inner.read_back(name, offset, len)
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.inner.truncate(name, len)
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.inner.list()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
}
