//! Two places for the same files.
//!
//! A flush is `Ok` when both places hold the bytes durably. Reads come from the first place, and from the second while the
//! first cannot answer; what is read *back* comes from the second alone. So a forest on a twin destroys no root before its
//! successor's pages were read from a second place, and there is nothing to switch this off with.
//!
//! Opening makes the places equal again where one is behind: bytes that only one place holds are copied to the other. That
//! is sound in both directions, because a file's bytes are written once: what one place holds beyond a state in force is a
//! leftover there, and a leftover in the other too. Where both hold something, nothing is overwritten: whether it is right
//! is decided by the hashes that hang from the root, when the forest opens, in both places.
//!
//! A file `twin` with the same random number in both places says that they belong together: a wrong bucket or folder is
//! refused before a byte is copied.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use keyforest::media::{Medium, is_not_done};
use thiserror::Error;

use super::place::{Place, difference};

const MARK: &str = "twin";
const MARK_BYTES: usize = 16;
/// Copied at once.
const CHUNK: u64 = 4 << 20;

/// Why two places cannot be used together.
#[derive(Debug, Error)]
pub enum TwinError {
    /// They belong to different vaults.
    #[error("the two places of the key pages belong to different vaults")]
    Strangers,
    /// One holds files but no mark, where an empty place was expected.
    #[error("the {0} place of the key pages holds files that do not belong to the other place")]
    Occupied(&'static str),
    /// A place failed.
    #[error("the {place} place of the key pages failed while {operation}")]
    Io {
        /// `first` or `second`.
        place: &'static str,
        /// What was being done.
        operation: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// What opening had to copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaughtUp {
    /// Bytes that the first place lacked.
    pub to_first: u64,
    /// Bytes that the second place lacked.
    pub to_second: u64,
}

/// Two places, used as one medium.
pub struct Twin {
    first: Arc<dyn Place>,
    second: Arc<dyn Place>,
}

impl Twin {
    /// Opens both and lets each catch up with the other.
    ///
    /// # Errors
    /// [`TwinError::Strangers`] and [`TwinError::Occupied`] are the operator's to mend; nothing was written then.
    pub fn open(first: Arc<dyn Place>, second: Arc<dyn Place>) -> Result<(Self, CaughtUp), TwinError> {
        let twin = Self { first, second };
        twin.introduce()?;
        let caught_up = twin.catch_up()?;
        Ok((twin, caught_up))
    }

    pub(super) fn first(&self) -> &dyn Place {
        &*self.first
    }

    /// Makes sure that the places belong together.
    fn introduce(&self) -> Result<(), TwinError> {
        let one = Side::look("first", &*self.first)?;
        let two = Side::look("second", &*self.second)?;
        match (&one.mark, &two.mark) {
            (Some(a), Some(b)) if a == b => Ok(()),
            (Some(_), Some(_)) => Err(TwinError::Strangers),
            (Some(mark), None) if two.empty => two.marked(mark),
            (None, Some(mark)) if one.empty => one.marked(mark),
            (None, None) if one.empty || two.empty => {
                let mut mark = [0; MARK_BYTES];
                SystemRandom::new().fill(&mut mark).map_err(|_| one.failed("drawing a number")(no_random()))?;
                // The one that holds files first: a crash in between must not make it look like a stranger.
                let order = if one.empty { [&two, &one] } else { [&one, &two] };
                order.into_iter().try_for_each(|side| side.marked(&mark))
            }
            (None, _) => Err(TwinError::Occupied("first")),
            (Some(_), None) => Err(TwinError::Occupied("second")),
        }
    }

    fn catch_up(&self) -> Result<CaughtUp, TwinError> {
        let (one, two) = (Side::new("first", &*self.first), Side::new("second", &*self.second));
        let (in_one, in_two) = (one.names()?, two.names()?);
        let mut caught_up = CaughtUp::default();
        for name in in_one.union(&in_two).filter(|name| *name != MARK) {
            for (side, names) in [(&one, &in_one), (&two, &in_two)] {
                if !names.contains(name) {
                    side.place.create(name, 0).map_err(side.failed("making a file"))?;
                }
            }
            let (a, b) = (one.held(name)?, two.held(name)?);
            caught_up.to_second += copy(&one, &two, name, &difference(&a, &b))?;
            caught_up.to_first += copy(&two, &one, name, &difference(&b, &a))?;
        }
        Ok(caught_up)
    }

    /// Does the same in both places at the same time.
    fn both(&self, work: impl Fn(&dyn Place) -> io::Result<()> + Sync) -> io::Result<()> {
        let (one, two) = std::thread::scope(|scope| {
            let second = scope.spawn(|| work(&*self.second));
            let one = work(&*self.first);
            (one, second.join().unwrap_or_else(|_| Err(io::Error::other("the second place panicked"))))
        });
        match (one, two) {
            // What must end the process counts more than what may be tried again.
            (Err(one), Err(two)) => Err(if is_not_done(&one) { two } else { one }),
            (one, two) => one.and(two),
        }
    }
}

impl Medium for Twin {
    fn create(&self, name: &str, reserve: u64) -> io::Result<()> {
        self.both(|place| place.create(name, reserve))
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.first.write_at(name, offset, bytes)?;
        self.second.write_at(name, offset, bytes)
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        self.both(|place| place.flush(name))
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        match self.first.read_at(name, offset, len) {
            // The first place answered; that the second holds more would be no better.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => Err(error),
            Err(error) => self.second.read_at(name, offset, len).map_err(|_| error),
            read => read,
        }
    }

    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.second.read_back(name, offset, len)
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.first.truncate(name, len)?;
        self.second.truncate(name, len)
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = self.first.list()?;
        files.retain(|(name, _)| name != MARK);
        Ok(files)
    }

    /// The first place goes first: where it is fenced, a process that lost it removes nothing from the second either.
    fn remove(&self, name: &str) -> io::Result<()> {
        let absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        match self.first.remove(name) {
            Err(error) if !absent(&error) => Err(error),
            Err(_) => self.second.remove(name),
            Ok(()) => match self.second.remove(name) {
                Err(error) if !absent(&error) => Err(error),
                _ => Ok(()),
            },
        }
    }
}

/// One of the two, with its name for errors.
struct Side<'a> {
    name: &'static str,
    place: &'a dyn Place,
    mark: Option<Vec<u8>>,
    empty: bool,
}

impl<'a> Side<'a> {
    fn new(name: &'static str, place: &'a dyn Place) -> Self {
        Self { name, place, mark: None, empty: false }
    }

    fn look(name: &'static str, place: &'a dyn Place) -> Result<Self, TwinError> {
        let mut side = Self::new(name, place);
        let files = place.list().map_err(side.failed("listing files"))?;
        side.empty = files.iter().all(|(file, _)| file == MARK);
        // A mark that a crash cut short was never whole in either place.
        if files.iter().any(|(file, len)| file == MARK && *len == MARK_BYTES as u64) {
            side.mark = Some(place.read_back(MARK, 0, MARK_BYTES).map_err(side.failed("reading its mark"))?);
        }
        Ok(side)
    }

    fn marked(&self, mark: &[u8]) -> Result<(), TwinError> {
        let write = || {
            match self.place.create(MARK, 0) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            self.place.write_at(MARK, 0, mark)?;
            self.place.flush(MARK)
        };
        write().map_err(self.failed("marking it"))
    }

    fn names(&self) -> Result<BTreeSet<String>, TwinError> {
        let files = self.place.list().map_err(self.failed("listing files"))?;
        Ok(files.into_iter().map(|(name, _)| name).collect())
    }

    fn held(&self, name: &str) -> Result<Vec<Range<u64>>, TwinError> {
        self.place.held(name).map_err(self.failed("listing what it holds"))
    }

    fn failed(&self, operation: &'static str) -> impl FnOnce(io::Error) -> TwinError + use<> {
        let place = self.name;
        move |source| TwinError::Io { place, operation, source }
    }
}

fn copy(from: &Side<'_>, to: &Side<'_>, name: &str, ranges: &[Range<u64>]) -> Result<u64, TwinError> {
    let mut copied = 0;
    for range in ranges {
        let mut at = range.start;
        while at < range.end {
            let len = (range.end - at).min(CHUNK) as usize;
            let bytes = from.place.read_back(name, at, len).map_err(from.failed("reading what the other lacks"))?;
            to.place.write_at(name, at, &bytes).map_err(to.failed("catching up"))?;
            to.place.flush(name).map_err(to.failed("catching up"))?;
            at += len as u64;
            copied += len as u64;
        }
    }
    Ok(copied)
}

fn no_random() -> io::Error {
    io::Error::other("the system gives no random bytes")
}
