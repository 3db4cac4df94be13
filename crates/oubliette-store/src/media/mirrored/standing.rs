//! Whether a mirror holds the key state, and what of it is not confirmed: what its thread and the vault's threads share.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use keyforest::media::not_done;
use thiserror::Error;

/// Whether a mirror holds the key state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds everything that was flushed.
    Holding,
    /// It does not, or it is not known. Nothing is sealed.
    Behind {
        /// Why, for people.
        cause: String,
        /// Since when.
        since: Instant,
    },
}

/// What is not confirmed of a file: everything from here on.
#[derive(Clone, Copy)]
pub(super) struct Unconfirmed {
    pub(super) from: u64,
    /// The newest write.
    pub(super) serial: u64,
}

/// What the vault's threads and a follower share.
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) state: Mutex<State>,
    pub(super) copied: AtomicU64,
    /// When the place last did something that it was told.
    pub(super) moved: Mutex<Instant>,
    /// Bytes that it was told to write and has not.
    pub(super) queued: AtomicU64,
    /// It was told to try, and has not heard it yet.
    pub(super) nudged: AtomicBool,
}

pub(super) struct State {
    pub(super) standing: Standing,
    pub(super) unconfirmed: BTreeMap<String, Unconfirmed>,
    pub(super) serial: u64,
    /// How often it came to hold the key state. Orders of an earlier time are not carried out: it was given newer bytes since.
    pub(super) turn: u64,
    /// It is being made to hold the key state: it may have been given files that are removed meanwhile.
    pub(super) healing: bool,
    /// Attempts in vain to make it hold the key state, since it last did.
    pub(super) in_vain: u32,
    /// The list of parties has it.
    pub(super) admitted: bool,
}

impl State {
    /// Nothing of a file is confirmed from an offset on.
    pub(super) fn unconfirmed_from(&mut self, name: &str, from: u64) {
        self.serial += 1;
        let serial = self.serial;
        let entry = self.unconfirmed.entry(name.to_owned()).or_insert(Unconfirmed { from, serial });
        *entry = Unconfirmed { from: entry.from.min(from), serial };
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place did something.
    pub(super) fn moves(&self) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Waits for an answer until the place has done nothing for `limit`, all of it since `asked`. `None`: it does not answer.
    /// A place that is slow at much work is not away: whoever gave it up would have it do the same work again, for ever.
    pub(super) fn answer<T>(&self, answer: &Receiver<T>, asked: Instant, limit: Duration) -> Option<T> {
        loop {
            let moved = *self.moved.lock().unwrap_or_else(PoisonError::into_inner);
            let left = (moved.max(asked) + limit).saturating_duration_since(Instant::now());
            match answer.recv_timeout(left) {
                Ok(answer) => return Some(answer),
                Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
                Err(_) => return None,
            }
        }
    }

    /// Waits until no more than `most` bytes are queued for the place; it falls behind if it finishes nothing for `limit`.
    pub(super) fn make_room(&self, most: u64, pause: Duration, limit: Duration) {
        let asked = Instant::now();
        while self.queued.load(Ordering::Acquire) > most && self.lock().standing == Standing::Holding {
            let moved = *self.moved.lock().unwrap_or_else(PoisonError::into_inner);
            if moved.max(asked).elapsed() >= limit {
                self.falls_behind(&io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time"));
            }
            std::thread::sleep(pause);
        }
    }

    /// It is not believed any more. Told loudly once.
    pub(super) fn falls_behind(&self, error: &io::Error) {
        let mut state = self.lock();
        let cause = chain(error);
        match &mut state.standing {
            Standing::Behind { cause: known, .. } => *known = cause,
            standing @ Standing::Holding => {
                tracing::error!(mirror = self.name, cause, "a mirror does not answer: nothing is sealed until it does");
                *standing = Standing::Behind { cause, since: Instant::now() };
            }
        }
    }

    pub(super) fn refusal(&self) -> io::Error {
        let cause = match &self.lock().standing {
            Standing::Behind { cause, .. } => cause.clone(),
            Standing::Holding => "it has fallen behind just now".to_owned(),
        };
        not_done(Waits { mirror: self.name.clone(), cause })
    }
}

/// What a flush answers while a mirror is behind.
#[derive(Debug, Error)]
#[error("the mirror {mirror} does not hold the key state: {cause}")]
struct Waits {
    mirror: String,
    cause: String,
}

/// Whether what was asked is done in the key state's own place and waits for a mirror.
pub fn waits_for_mirror(error: &io::Error) -> bool {
    let first = error.get_ref().map(|error| error as &(dyn std::error::Error + 'static));
    std::iter::successors(first, |error| error.source()).any(|error| error.is::<Waits>())
}

pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_mirror_that_is_behind_is_waited_for() {
        let behind = not_done(Waits { mirror: "attic".to_owned(), cause: "it is away".to_owned() });
        assert!(waits_for_mirror(&behind) && waits_for_mirror(&io::Error::other(behind)));
        // The key state's own place may say so as well, and then nothing is written there.
        assert!(!waits_for_mirror(&not_done("no room")));
        assert!(!waits_for_mirror(&io::ErrorKind::NotFound.into()));
    }
}
