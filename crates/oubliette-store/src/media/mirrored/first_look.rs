//! The first look at the mirrors: whose each of them is, what the primary lacks that one of them has, and how far they are.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use super::follower::{self, ANY, Order, Seen};
use super::lost_list::{Brought, Lack};
use super::mark::Mark;
use super::standing::chain;
use super::{Contact, LogFiles, MirrorError, MirrorSpec, Mirrored, io_failed};
use crate::media::{Parties, PartyKind, Place};

/// What looking at the mirrors found.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// The highest epoch that a mirror knows to have been in force, and which mirror.
    pub newest: Option<(u64, String)>,
    /// Mirrors that could not be looked at, and why.
    pub unreachable: Vec<(String, String)>,
    /// The primary holds no key state while a mirror does.
    pub primary_lost: bool,
}

impl Mirrored {
    /// Looks at all mirrors side by side and begins to follow those that can be reached; the others are tried again. `limit`:
    /// how long one of them may take to answer before it counts as away. Writes nothing, neither here nor there.
    ///
    /// A list of parties that is gone here and whole at a mirror of this key state is brought by [`Mirrored::pull`].
    ///
    /// # Errors
    /// [`MirrorError::Stranger`], [`MirrorError::Occupied`] and [`MirrorError::ListDamaged`] are the operator's to mend.
    pub fn open(
        primary: Arc<dyn Place>,
        instance: [u8; 16],
        specs: Vec<MirrorSpec>,
        limit: Duration,
    ) -> Result<(Self, Looked), MirrorError> {
        let lost = !keyforest::holds_pages(&*primary).map_err(io_failed("listing its files"))?;
        let parties = Parties::read(&*primary).map_err(io_failed("reading who takes part"))?;
        let known = |name: &str| parties.as_ref().is_some_and(|list| list.get(PartyKind::Mirror, name).is_some());
        let lack = parties.is_none().then_some(if lost { Lack::All } else { Lack::List });
        let (epoch, log_files) = (Arc::new(AtomicU64::new(0)), Arc::<LogFiles>::default());
        let mut looked = Looked::default();
        let mut looking = Vec::new();
        for spec in specs {
            let contact = if known(&spec.name) { Contact::Again } else { Contact::First };
            let (epoch, log_files, primary) = (Arc::clone(&epoch), Arc::clone(&log_files), Arc::clone(&primary));
            let started = follower::start(spec, contact, epoch, log_files, primary, lack);
            looking.push(started.map_err(io_failed("starting a thread"))?);
        }
        let mut state = parties.as_ref().map(Parties::state);
        let (mut mirrors, mut brought) = (Vec::new(), Brought::default());
        let until = Instant::now() + limit;
        for (mut mirror, seen) in looking {
            let name = mirror.shared.name.clone();
            let slow = || Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"));
            match seen.recv_timeout(until.saturating_duration_since(Instant::now())).unwrap_or_else(|_| slow()) {
                // It is filled as one that is new.
                Ok(Seen { mark: Some(mark), is_cut_short: true, .. })
                    if !lost && mark.instance == instance && state != Some(mark.state) =>
                {
                    mirror.is_new = true;
                }
                Ok(Seen { mark: Some(mark), list, .. }) => {
                    let belongs = mark.instance == instance && *state.get_or_insert(mark.state) == mark.state;
                    // A key state that is there and knows no parties has no mirrors yet: this mark is another's. Or it has lost
                    // who takes part, and the mirror knows.
                    let known = parties.is_some() || (belongs && brought.take_note(&name, &mark, list));
                    if !belongs || !(known || lost) {
                        return Err(MirrorError::Stranger(name));
                    }
                    looked.primary_lost |= lost && mark.epoch > 0;
                    if looked.newest.as_ref().is_none_or(|(newest, _)| *newest < mark.epoch) {
                        looked.newest = Some((mark.epoch, name));
                    }
                }
                Ok(Seen { mark: None, files: 0, .. }) => {}
                Ok(Seen { mark: None, .. }) => return Err(MirrorError::Occupied(name)),
                Err(error) => {
                    mirror.shared.falls_behind(&error);
                    looked.unreachable.push((name, chain(&error)));
                }
            }
            mirrors.push(mirror);
        }
        if lack == Some(Lack::List) {
            brought.replaces(&primary.list().map_err(io_failed("listing its files"))?)?;
        }
        let state = match state {
            Some(state) => state,
            None => {
                let mut drawn = [0; 16];
                let random = SystemRandom::new().fill(&mut drawn);
                random
                    .map_err(|_| MirrorError::Io { operation: "drawing a number", source: io::Error::other("none") })?;
                drawn
            }
        };
        let mark = Mark { instance, state, epoch: 0, claim: 0 };
        for mirror in &mirrors {
            // Looked at as one that is new; an empty folder where its disk should be is not filled.
            let known = lack == Some(Lack::List) && brought.knows(&mirror.shared.name);
            let again = known.then_some(Contact::Again);
            let _ = mirror.orders.send((ANY, Order::Follow(Arc::clone(&primary), mark, again)));
        }
        let (begun, serving, pieces) = (AtomicBool::new(false), AtomicBool::new(false), Mutex::default());
        let seen_all = looked.unreachable.is_empty();
        Ok((
            Self { primary, mirrors, begun, serving, pieces, limit, epoch, log_files, mark, seen_all, brought },
            looked,
        ))
    }
}
