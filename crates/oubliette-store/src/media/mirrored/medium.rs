//! The key state with its mirrors as one medium: what is written here is handed to those that hold the key state, and a flush or
//! a reading back waits for their answers.

use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use bytes::Bytes;
use keyforest::media::{Medium, not_done};

use super::follower::{ANY, Order, Reply};
use super::standing::Standing;
use super::{Mirror, Mirrored, POLL, is_shared};

/// Bytes of unflushed writes that are handed to the mirrors, and flushed there, before a flush asks for it.
pub(super) const AHEAD: usize = 8 << 20;
/// Most bytes that wait for a mirror: who writes more waits with them.
const QUEUED: u64 = 64 << 20;
/// What the names of the transparency log's files begin with.
const LOG: &str = "log-";

/// Writes since the last flush, as the mirrors are to be told of them.
pub(super) type Pieces = Vec<(u64, Bytes)>;

impl Medium for Mirrored {
    fn create(&self, name: &str, reserve: u64) -> io::Result<()> {
        if name.starts_with(LOG) {
            self.log_files.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        }
        self.primary.create(name, reserve)?;
        if self.is_mirrored(name) {
            for mirror in &self.mirrors {
                mirror.wrote(name, 0);
                mirror.tell(|| Order::Create(name.to_owned()));
            }
        }
        Ok(())
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let written = self.primary.write_at(name, offset, bytes);
        if self.is_mirrored(name) && !bytes.is_empty() {
            for mirror in &self.mirrors {
                mirror.wrote(name, offset);
            }
            let ahead = {
                let mut all = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
                let pieces = all.entry(name.to_owned()).or_default();
                pieces.push((offset, Bytes::copy_from_slice(bytes)));
                pieces.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() >= AHEAD
            };
            if ahead {
                self.hand_over(name);
            }
        }
        written
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        if !self.is_mirrored(name) {
            return self.primary.flush(name);
        }
        let (here, there) = self.flush_both(name);
        // What must end the process counts more than what may be tried again.
        here.and(if self.serving.load(Ordering::Acquire) { there } else { Ok(()) })
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.primary.read_at(name, offset, len)
    }

    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        // While a vault opens, its log is read to go on with it, not to prove it before a root is destroyed.
        let to_go_on = name.starts_with(LOG) && !self.serving.load(Ordering::Acquire);
        if to_go_on || !self.is_mirrored(name) {
            return self.primary.read_back(name, offset, len);
        }
        let ask = |mirror: &Mirror| mirror.ask(|reply| Order::ReadBack(name.to_owned(), offset, len, reply));
        let asked: Vec<_> = self.mirrors.iter().map(|mirror| (mirror, ask(mirror))).collect();
        let bytes = self.primary.read_back(name, offset, len)?;
        for (mirror, copy) in self.mirrors.iter().zip(self.gather(asked)?) {
            if copy != bytes {
                mirror.wrote(name, offset);
                mirror.shared.falls_behind(&io::Error::other("it gave other bytes back than were written"));
                return Err(mirror.shared.refusal());
            }
        }
        Ok(bytes)
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.primary.truncate(name, len)?;
        if self.is_mirrored(name) {
            self.hand_over(name);
            for mirror in &self.mirrors {
                mirror.wrote(name, len);
                mirror.tell(|| Order::Truncate(name.to_owned(), len));
            }
        }
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.primary.list()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.primary.remove(name)?;
        if self.is_mirrored(name) {
            self.pieces.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
            for mirror in &self.mirrors {
                mirror.removed(name);
                mirror.tell(|| Order::Remove(name.to_owned()));
            }
        }
        Ok(())
    }
}

impl Mirrored {
    /// Makes what was written to a file durable here and at every mirror. Passes over none at any time, also while a vault is being
    /// opened, as a flush does.
    ///
    /// # Errors
    /// Those of a flush; it may be tried again before the mirrors are written, and while one does not hold the key state.
    pub fn flush_everywhere(&self, name: &str) -> io::Result<()> {
        if !self.has_begun() {
            return Err(not_done("the mirrors are not written yet"));
        }
        let (here, there) = self.flush_both(name);
        here.and(there)
    }

    /// Flushes here, and at the mirrors.
    fn flush_both(&self, name: &str) -> (io::Result<()>, io::Result<()>) {
        self.hand_over(name);
        let asked: Vec<_> = self
            .mirrors
            .iter()
            .map(|mirror| {
                let serial = mirror.shared.lock().serial;
                (mirror, mirror.ask(|reply| Order::Flush(name.to_owned(), serial, reply)))
            })
            .collect();
        let flushed = self.primary.flush(name);
        (flushed, self.gather(asked).map(drop))
    }

    /// Hands what was written to a file to the mirrors that hold the key state; to the others nothing needs to be said.
    fn hand_over(&self, name: &str) {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner).remove(name).unwrap_or_default();
        if pieces.is_empty() {
            return;
        }
        let bytes = pieces.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        for mirror in &self.mirrors {
            mirror.shared.make_room(QUEUED, POLL, self.limit);
            mirror.tell(|| {
                mirror.shared.queued.fetch_add(bytes, Ordering::AcqRel);
                Order::Write(name.to_owned(), pieces.clone())
            });
        }
    }

    fn is_mirrored(&self, name: &str) -> bool {
        self.has_begun() && is_shared(name)
    }

    /// Waits for the mirrors' answers for as long as they get on; the first that does not, or is a refusal, counts.
    fn gather(&self, answers: Vec<(&Mirror, Option<Receiver<Reply>>)>) -> io::Result<Vec<Vec<u8>>> {
        let asked = Instant::now();
        let mut got = Vec::new();
        let mut failed = None;
        for (mirror, answer) in answers {
            let Some(answer) = answer else {
                failed = failed.or_else(|| Some(mirror.shared.refusal()));
                continue;
            };
            match mirror.shared.answer(&answer, asked, self.limit) {
                Some(Ok(bytes)) => got.push(bytes),
                Some(Err(_)) => failed = failed.or_else(|| Some(mirror.shared.refusal())),
                None => {
                    mirror.shared.falls_behind(&io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time"));
                    failed = failed.or_else(|| Some(mirror.shared.refusal()));
                }
            }
        }
        failed.map_or(Ok(got), Err)
    }
}

impl Mirror {
    /// Sends an order if the mirror holds the key state; the answer's place.
    pub(super) fn ask(&self, order: impl FnOnce(SyncSender<Reply>) -> Order) -> Option<Receiver<Reply>> {
        let state = self.shared.lock();
        if state.standing != Standing::Holding {
            drop(state);
            if !self.shared.nudged.swap(true, Ordering::AcqRel) {
                let _ = self.orders.send((ANY, Order::Heal));
            }
            return None;
        }
        let (reply, answer) = sync_channel(1);
        self.orders.send((state.turn, order(reply))).ok().map(|()| answer)
    }

    fn tell(&self, order: impl FnOnce() -> Order) {
        let state = self.shared.lock();
        if state.standing == Standing::Holding {
            let _ = self.orders.send((state.turn, order()));
        }
    }

    /// Nothing of a file needs to be confirmed any more, but that it is not there. After it was removed from the primary.
    fn removed(&self, name: &str) {
        let mut state = self.shared.lock();
        state.unconfirmed.remove(name);
        if state.healing {
            state.unconfirmed_from(name, 0);
        }
    }

    /// Notes that a file is not confirmed from an offset on. After the primary was written.
    fn wrote(&self, name: &str, from: u64) {
        self.shared.lock().unconfirmed_from(name, from);
    }
}
