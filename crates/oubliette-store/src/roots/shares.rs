//! A root split over several stores: the XOR of all shares is the record, and all but one of them are random.
//!
//! Whoever lacks one share knows nothing of the record, so **one** destroyed share destroys it. Reading and writing need
//! every store; how many stores must confirm a destruction before it counts is an option.
//!
//! ```text
//! share block   0 share of the record 512 | 512 "KFSHARE1" | 520 drawn for this write 16 | 536 index u8 | 537 count u8
//!               538 zero 6 | 544 SHA-256 of bytes 0..544 | 576 zero
//! ```
//!
//! The number drawn for a write keeps shares of different writes apart: a slot whose shares do not belong together is no
//! record, as a torn block is none.

use std::borrow::Cow;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use aws_lc_rs::{digest, rand};
use keyforest::media::{SLOT_BYTES, SLOT_RECORD, SlotDevice, SlotError};
use thiserror::Error;
use zeroize::Zeroizing;

type Block = Zeroizing<[u8; SLOT_BYTES]>;

const MAGIC: &[u8; 8] = b"KFSHARE1";
const WRITE_AT: usize = SLOT_RECORD + 8;
const INDEX_AT: usize = WRITE_AT + 16;
const SUM_AT: usize = SLOT_RECORD + 32;
const END: usize = SUM_AT + 32;
/// More would only be slower.
const MOST: usize = 8;

/// Why stores cannot be put together.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ShareError {
    /// One store is no split, and more than eight are a mistake.
    #[error("a root is split over two to {MOST} stores")]
    Count,
    /// The destructions that must be confirmed.
    #[error("at least one store and at most all of them must confirm a destruction")]
    Quorum,
    /// A thread could not be started.
    #[error("the thread that destroys what is left could not be started")]
    Thread,
}

/// Several stores as one.
pub struct MultiShare {
    inner: Arc<Inner>,
}

struct Inner {
    stores: Vec<Arc<dyn SlotDevice>>,
    /// Destructions that must be confirmed before a slot counts as destroyed.
    quorum: usize,
    left: Mutex<Left>,
    changed: Condvar,
}

/// Destructions that were asked for and not confirmed: by slot, which stores.
#[derive(Default)]
struct Left {
    stores: [Vec<usize>; 2],
    closed: bool,
}

impl MultiShare {
    /// Splits over `stores`. A slot counts as destroyed when `quorum` of them have confirmed it, all of them by default;
    /// with fewer the others are destroyed in the background, and at the latest before the slot's next use.
    pub fn new(stores: Vec<Arc<dyn SlotDevice>>, quorum: Option<usize>) -> Result<Self, ShareError> {
        if !(2..=MOST).contains(&stores.len()) {
            return Err(ShareError::Count);
        }
        let quorum = quorum.unwrap_or(stores.len());
        if quorum == 0 || quorum > stores.len() {
            return Err(ShareError::Quorum);
        }
        let background = quorum < stores.len();
        let inner = Arc::new(Inner { stores, quorum, left: Mutex::default(), changed: Condvar::new() });
        if background {
            let weak = Arc::downgrade(&inner);
            let thread =
                std::thread::Builder::new().name("shares".to_owned()).spawn(move || destroy_what_is_left(&weak));
            thread.map_err(|_| ShareError::Thread)?;
        }
        Ok(Self { inner })
    }

    /// Shares that were to be destroyed, did not count any more for a seal, and are not confirmed destroyed yet.
    pub fn unconfirmed(&self) -> usize {
        self.inner.lock().stores.iter().map(Vec::len).sum()
    }
}

impl Drop for MultiShare {
    fn drop(&mut self) {
        self.inner.lock().closed = true;
        self.inner.changed.notify_all();
    }
}

impl SlotDevice for MultiShare {
    /// The stores in order and, when not all of them must confirm, how many do: `multi-share(file,openbao;destroyed=1)`.
    fn class(&self) -> Cow<'static, str> {
        let inner = &self.inner;
        let classes: Vec<_> = inner.stores.iter().map(|store| store.class()).collect();
        let classes = classes.join(",");
        if inner.quorum == inner.stores.len() {
            format!("multi-share({classes})").into()
        } else {
            format!("multi-share({classes};destroyed={})", inner.quorum).into()
        }
    }

    fn read_slot(&self, slot: usize) -> io::Result<Box<[u8; SLOT_BYTES]>> {
        let shares = self.inner.shares(slot)?;
        let mut block = Box::new([0; SLOT_BYTES]);
        if let Some(record) = join(&shares) {
            block[..SLOT_RECORD].copy_from_slice(&record[..]);
        }
        Ok(block)
    }

    fn write_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
        if slot > 1 || block[SLOT_RECORD..].iter().any(|byte| *byte != 0) {
            return Err(SlotError::End(io::ErrorKind::InvalidInput.into()));
        }
        // Fresh shares for every attempt: an earlier one may have left some of its own anywhere.
        let shares = split(block, self.inner.stores.len()).map_err(SlotError::Again)?;
        let mut left = self.inner.lock();
        let (confirmed, worst) =
            each(self.inner.stores.iter().zip(&shares), |(store, share)| store.write_slot(slot, share));
        // A store that has written has destroyed what it held.
        left.stores[slot].retain(|store| !confirmed.contains(store));
        worst.map_or(Ok(()), Err)
    }

    /// Every store rewrites its own share: fresh ones would leave none whole between the first store and the last.
    fn rewrite_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
        let _turn = self.inner.lock();
        let shares = self.inner.shares(slot).map_err(SlotError::Again)?;
        if join(&shares).is_none_or(|record| record[..] != block[..SLOT_RECORD]) {
            let changed = io::Error::new(io::ErrorKind::InvalidData, "the slot is not what it was read as");
            return Err(SlotError::End(changed));
        }
        let (_, worst) = each(self.inner.stores.iter().zip(&shares), |(store, share)| store.rewrite_slot(slot, share));
        worst.map_or(Ok(()), Err)
    }

    fn destroy_slot(&self, slot: usize) -> Result<(), SlotError> {
        if slot > 1 {
            return Err(SlotError::End(io::ErrorKind::InvalidInput.into()));
        }
        let mut left = self.inner.lock();
        let (confirmed, worst) = each(self.inner.stores.iter(), |store| store.destroy_slot(slot));
        left.stores[slot] = (0..self.inner.stores.len()).filter(|store| !confirmed.contains(store)).collect();
        match worst {
            None => Ok(()),
            // What one store knows of itself no more cannot be made good by the others.
            Some(SlotError::End(error)) => Err(SlotError::End(error)),
            Some(SlotError::Again(error)) if confirmed.len() >= self.inner.quorum => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    confirmed = confirmed.len(),
                    of = self.inner.stores.len(),
                    "a share of the old root is not confirmed destroyed yet"
                );
                self.inner.changed.notify_all();
                Ok(())
            }
            Some(again) => Err(again),
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shares(&self, slot: usize) -> io::Result<Vec<Block>> {
        self.stores.iter().map(|store| store.read_slot(slot).map(|share| Zeroizing::new(*share))).collect()
    }

    /// One attempt at every share that is left.
    fn retry(&self, left: &mut Left) {
        for (slot, stores) in left.stores.iter_mut().enumerate() {
            stores.retain(|store| self.stores[*store].destroy_slot(slot).is_err());
        }
    }
}

/// Tries all, whatever comes of the others: the places that succeeded, and the worst error.
fn each<T>(
    stores: impl Iterator<Item = T>,
    mut call: impl FnMut(T) -> Result<(), SlotError>,
) -> (Vec<usize>, Option<SlotError>) {
    let mut confirmed = Vec::new();
    let mut worst = None;
    for (place, store) in stores.enumerate() {
        match (call(store), &worst) {
            (Ok(()), _) => confirmed.push(place),
            (Err(_), Some(SlotError::End(_))) => {}
            (Err(error), _) => worst = Some(error),
        }
    }
    (confirmed, worst)
}

/// The background thread: sleeps while nothing is left, and ends with the register.
fn destroy_what_is_left(weak: &Weak<Inner>) {
    let mut pause = Duration::from_millis(100);
    loop {
        let Some(inner) = weak.upgrade() else { return };
        let mut left = inner.lock();
        if left.closed {
            return;
        }
        if left.stores.iter().all(Vec::is_empty) {
            pause = Duration::from_millis(100);
            left = inner.changed.wait(left).unwrap_or_else(PoisonError::into_inner);
            if left.closed {
                return;
            }
        }
        drop(left);
        drop(inner);
        // Outside of the lock: a seal goes first.
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_secs(5));
        let Some(inner) = weak.upgrade() else { return };
        let mut left = inner.lock();
        if !left.closed {
            inner.retry(&mut left);
        }
    }
}

/// The shares of a record, as blocks.
fn split(block: &[u8; SLOT_BYTES], count: usize) -> io::Result<Vec<Block>> {
    let draw = |bytes: &mut [u8]| rand::fill(bytes).map_err(|_| io::Error::other("no random numbers"));
    let mut write = [0; 16];
    draw(&mut write)?;
    let mut last = Zeroizing::new([0; SLOT_RECORD]);
    last.copy_from_slice(&block[..SLOT_RECORD]);
    let mut shares = Vec::with_capacity(count);
    for index in 0..count {
        let mut share = Zeroizing::new([0; SLOT_BYTES]);
        if index + 1 < count {
            draw(&mut share[..SLOT_RECORD])?;
            last.iter_mut().zip(share.iter()).for_each(|(last, random)| *last ^= random);
        } else {
            share[..SLOT_RECORD].copy_from_slice(&last[..]);
        }
        share[SLOT_RECORD..WRITE_AT].copy_from_slice(MAGIC);
        share[WRITE_AT..INDEX_AT].copy_from_slice(&write);
        share[INDEX_AT] = index as u8;
        share[INDEX_AT + 1] = count as u8;
        let sum = digest::digest(&digest::SHA256, &share[..SUM_AT]);
        share[SUM_AT..END].copy_from_slice(sum.as_ref());
        shares.push(share);
    }
    Ok(shares)
}

/// The record, if these are all the shares of one write, each in its place.
fn join(shares: &[Block]) -> Option<Zeroizing<[u8; SLOT_RECORD]>> {
    let mut record = Zeroizing::new([0; SLOT_RECORD]);
    for (index, share) in shares.iter().enumerate() {
        let whole = &share[SLOT_RECORD..WRITE_AT] == MAGIC
            && share[WRITE_AT..INDEX_AT] == shares[0][WRITE_AT..INDEX_AT]
            && usize::from(share[INDEX_AT]) == index
            && usize::from(share[INDEX_AT + 1]) == shares.len()
            && digest::digest(&digest::SHA256, &share[..SUM_AT]).as_ref() == &share[SUM_AT..END];
        if !whole {
            return None;
        }
        record.iter_mut().zip(share.iter()).for_each(|(record, share)| *record ^= share);
    }
    Some(record)
}
