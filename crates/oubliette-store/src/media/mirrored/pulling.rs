//! Taking over from the mirrors what the primary lacks, before anything of it is read.
//!
//! Bytes that a place lacks are seen by lengths. That bytes are damaged is seen only where files say it themselves
//! ([`super::records`]): in the journal and in the newest files of the log, because who opens those takes the first record that
//! is not whole for their end. Pages are checked against the root when they are opened.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use super::follower::{ANY, Order};
use super::{CHUNK, Mirror, MirrorError, Mirrored, is_shared, records};
use crate::media::Place;
use crate::media::place::difference;

enum Pulling {
    Primary(io::Error),
    Mirror(io::Error),
}

impl Mirrored {
    /// Copies to the primary what it lacks, or has damaged, and a mirror has whole; the bytes copied. Before a forest is
    /// opened.
    ///
    /// # Errors
    /// The primary failed, or lost the list of parties and it could not be taken over. Else a mirror that fails is passed over.
    pub fn pull(&self) -> Result<u64, MirrorError> {
        let mut pulled = 0;
        for mirror in self.mirrors.iter().filter(|mirror| !mirror.is_new) {
            let (reply, answer) = sync_channel(1);
            if mirror.orders.send((ANY, Order::Place(reply))).is_err() {
                continue;
            }
            // Long: who opens a vault waits for a disk that is full of work rather than for nothing.
            let Ok(Ok(place)) = answer.recv_timeout(self.limit) else { continue };
            let taken = self.pull_from(&place).and_then(|bytes| Ok(bytes + self.mend_from(mirror, &place)?));
            match taken {
                Ok(bytes) => pulled += bytes,
                Err(Pulling::Primary(source)) => {
                    return Err(MirrorError::Io { operation: "taking over from a mirror", source });
                }
                Err(Pulling::Mirror(error)) => mirror.shared.falls_behind(&error),
            }
        }
        // Without it all who take part would join anew, and what they still hold be forgotten.
        self.brought.is_here(&*self.primary)?;
        Ok(pulled)
    }

    fn pull_from(&self, place: &Arc<dyn Place>) -> Result<u64, Pulling> {
        let mut pulled = 0;
        let primary = self.primary.list().map_err(Pulling::Primary)?;
        let theirs = self.within(place, records::listed).map_err(Pulling::Mirror)?;
        if let Some(name) = records::beyond(&primary, &theirs) {
            let refused =
                format!("it lists {name}, and no file of a key state is numbered so high: nothing of it is taken over");
            return Err(Pulling::Mirror(io::Error::other(refused)));
        }
        for (name, len) in &theirs {
            if !is_shared(name) || records::longest(name).is_none() {
                continue;
            }
            let of = name.clone();
            let held = self.within(place, move |place| place.held(&of)).map_err(Pulling::Mirror)?;
            if held.last().is_some_and(|range| range.end > *len) {
                return Err(Pulling::Mirror(io::Error::other("it says that it holds more of a file than it lists")));
            }
            let lacking = difference(&held, &self.primary.held(name).map_err(Pulling::Primary)?);
            if !primary.iter().any(|(known, _)| known == name) {
                self.primary.create(name, 0).map_err(Pulling::Primary)?;
            }
            for range in lacking {
                pulled += self.take_over(place, name, &range)?;
            }
        }
        Ok(pulled)
    }

    /// Puts whole records of a mirror in the place of what is damaged in the primary. Told loudly: a disk did that.
    fn mend_from(&self, mirror: &Mirror, place: &Arc<dyn Place>) -> Result<u64, Pulling> {
        let mut mended = 0;
        let there = self.within(place, records::listed).map_err(Pulling::Mirror)?;
        for (name, len) in records::read_first(&self.primary.list().map_err(Pulling::Primary)?) {
            let here = |at, len| self.primary.read_at(&name, at, len);
            let ours = records::whole(&name, len, &here).map_err(Pulling::Primary)?;
            let Some(theirs) = there.iter().find(|(file, _)| *file == name).map(|(_, len)| *len) else { continue };
            if ours >= theirs {
                continue;
            }
            let of = |at, len| {
                let name = name.clone();
                self.within(place, move |place| place.read_back(&name, at, len))
            };
            let theirs = records::whole(&name, theirs, &of).map_err(Pulling::Mirror)?;
            // Where the two part before that, the mirror is behind, or goes behind when it is to lose something.
            if theirs > ours && records::same(&(0..ours), &here, &of).map_err(Pulling::Mirror)? {
                tracing::warn!(
                    mirror = mirror.shared.name,
                    file = name,
                    bytes = theirs - ours,
                    "records that are damaged here are taken over from a mirror"
                );
                mended += self.take_over(place, &name, &(ours..theirs))?;
            }
        }
        Ok(mended)
    }

    /// Writes a mirror's bytes to the primary, durably.
    fn take_over(&self, place: &Arc<dyn Place>, name: &str, range: &Range<u64>) -> Result<u64, Pulling> {
        let mut at = range.start;
        while at < range.end {
            let len = (range.end - at).min(CHUNK) as usize;
            let of = name.to_owned();
            let bytes = self.within(place, move |place| place.read_back(&of, at, len)).map_err(Pulling::Mirror)?;
            self.primary.write_at(name, at, &bytes).map_err(Pulling::Primary)?;
            at += len as u64;
        }
        self.primary.flush(name).map_err(Pulling::Primary)?;
        Ok(range.end - range.start)
    }

    /// What a mirror's place answers in time. One that hangs keeps a thread, and not who opens the vault.
    fn within<T: Send + 'static>(
        &self,
        place: &Arc<dyn Place>,
        ask: impl FnOnce(&dyn Place) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (reply, answer) = sync_channel(1);
        let place = Arc::clone(place);
        let asked = std::thread::Builder::new().name("mirror-pull".to_owned()).spawn(move || {
            let _ = reply.send(ask(&*place));
        });
        asked?;
        answer.recv_timeout(self.limit).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}
