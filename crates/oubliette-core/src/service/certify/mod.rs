//! The certifier: tells the log of seals, of what came in and of what was removed, so that certificates can be given out.
//! Nobody waits for it: a delete is answered when it is sealed.
//!
//! A round: [`round`] settles what the next entries comprise, [`erasures`] and [`batches`] make them, the log takes them in one
//! append, and one transaction notes their numbers. Between append and transaction a crash may come; what is in the log and
//! not noted is found again by its root ([`ledger`]), because everything that an entry is made of is either settled by the
//! seal or written down before the append. So each receipt has exactly one entry.
//!
//! - Seals are told of in order of their epochs, each entry beginning with the state that the one before it ended with. A seal
//!   that punctured nothing has no entry of its own, nor has one whose record was lost in a crash: the next entry spans it.
//! - An erasure is swept only once it is certified: its manifest is made of rows that the sweep removes.
//! - What replaced uploads erase has receipts like any order. Upkeep has none: it is counted among the leaves punctured.

mod batches;
mod behind;
mod erasures;
mod ledger;
mod restored;
mod round;

use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use keyforest::LeafSet;

pub use behind::has_noted_all;
pub(in crate::service) use behind::{Unknown, unknown_batches};
pub use erasures::Whole;
pub use ledger::{LOG_TOLD, Ledger};
pub use round::{CRASH_POINTS, LOG_PLAN};

use super::vault::Inner;

/// What the certifier remembers from round to round.
#[derive(Default)]
pub struct Certifier {
    /// What the log holds; read anew after anything went wrong.
    ledger: Option<Ledger>,
    /// When arrivals were last told of.
    arrivals_at: Option<Timestamp>,
    /// More of them are there than one entry took.
    arrivals_left: bool,
    /// Rounds in which seals waited for those, one after the other.
    rounds_of_arrivals: u32,
    /// Contents that a restored copy has rows of and no key.
    without_key: Option<Arc<LeafSet>>,
}

/// How eager a round is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eagerness {
    /// What is due.
    Due,
    /// Arrivals too, however few and fresh.
    All,
}

/// The certifier looks by itself this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What failed is tried again after this, and then ever later.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// Rounds at a clean stop: some hundred thousand items.
const ROUNDS_AT_A_STOP: u32 = 64;

/// Works until the vault closes.
pub async fn work(inner: Weak<Inner>) {
    let mut pause = AGAIN[0];
    loop {
        let Some(strong) = inner.upgrade() else { return };
        let mut closing = strong.closing.subscribe();
        if *closing.borrow_and_update() {
            return;
        }
        strong.trees.tidy();
        strong.batch_trees.tidy();
        let told = strong.certify(&mut *strong.certifier.lock().await, Eagerness::Due).await;
        let (wait, listens) = match told {
            Ok(more) => {
                pause = AGAIN[0];
                (if more { Duration::ZERO } else { LOOK_EVERY }, true)
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "telling the log is delayed");
                let wait = pause;
                pause = (pause * 2).min(AGAIN[1]);
                (wait, false)
            }
        };
        let nudged = Arc::clone(&strong);
        drop(strong);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = nudged.tell.notified(), if listens => {}
            _ = closing.wait_for(|closing| *closing) => return,
        }
    }
}

impl Inner {
    /// At a clean stop the log is told what came in, however little it is.
    pub async fn tell_the_last(self: &Arc<Self>) {
        if self.shared.is_poisoned() {
            return;
        }
        for _ in 0..ROUNDS_AT_A_STOP {
            match self.certify(&mut *self.certifier.lock().await, Eagerness::All).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the log was not told everything; the next start will"
                    );
                    return;
                }
            }
        }
    }
}
