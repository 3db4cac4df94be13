//! What an agent does: two places in an erasable register, a root put beside the one in force, all others destroyed on demand.
//!
//! ```text
//! block   0 "OUBAGT01" | 8 floor u64 | 16 fence u64 | 24 envelope 1754 | 1778 SHA-256 of all before | zero
//! ```
//!
//! Fenced three times. Only one vault's envelopes are taken. Only the process that opened the last session is heard, and of
//! its requests none that was sent before one that was heard: a request may arrive after its sender has given it up. And a
//! root that is older than one which was in force never comes back.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use keyforest::media::{SLOT_BYTES, SlotDevice, SlotError};
use thiserror::Error;
use zeroize::Zeroizing;

use super::envelope::{ENVELOPE, Label};
use super::slots::place;
use super::{Envelope, Root};

const MAGIC: &[u8; 8] = b"OUBAGT01";
const ENVELOPE_AT: usize = 24;
const SUM_AT: usize = ENVELOPE_AT + ENVELOPE;

/// Names a process's turn with an agent.
pub type Session = [u8; 16];

/// Who asks, and the how manieth request of theirs it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// As the agent gave it.
    pub session: Session,
    /// From 1, ascending.
    pub number: u64,
}

/// What an agent is to hold on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing but this, should it hold it.
    Only(Label),
    /// Nothing of this epoch or an older one: the state has no successor here.
    NothingUpTo(u64),
}

/// Why an agent does not do as it was asked.
#[derive(Debug, Error)]
pub enum Refused {
    /// It is another vault's agent.
    #[error("this agent serves another vault")]
    OtherInstance,
    /// Another process of the vault has claimed it since, or the agent was started anew.
    #[error("this session has ended")]
    SessionEnded,
    /// A later process has been here.
    #[error("a later process of the vault was here")]
    PassedOver {
        /// The number of its claim.
        fence: u64,
    },
    /// A later request has been heard.
    #[error("a later request was heard before this one")]
    Late,
    /// An older root than one that was in force.
    #[error("epoch {epoch} is older than epoch {floor}, which was in force")]
    Backwards {
        /// What was put.
        epoch: u64,
        /// What had been in force.
        floor: u64,
    },
    /// The register did not do it, and may be asked again.
    #[error("the agent's register does not answer")]
    Again(#[source] io::Error),
    /// What is in the register is not known any more: the agent has to start anew.
    #[error("the agent's register failed")]
    End(#[source] io::Error),
}

/// An agent's two places.
pub struct Depot {
    device: Arc<dyn SlotDevice>,
    inner: Mutex<Inner>,
}

struct Inner {
    /// Whose agent this is; `None` until the first envelope where the configuration does not say.
    instance: Option<[u8; 16]>,
    held: [Place; 2],
    session: Option<Session>,
    heard: u64,
    /// The highest claim number of a process that was here.
    fence: u64,
    /// The highest epoch that is known to have been in force.
    floor: u64,
}

enum Place {
    Envelope(Envelope),
    /// Overwritten since the agent started.
    Destroyed,
    /// Nothing that can be read, which may still be the remains of something.
    Unknown,
}

impl Place {
    fn label(&self) -> Option<&Label> {
        match self {
            Self::Envelope(envelope) => Some(envelope.label()),
            _ => None,
        }
    }
}

impl Depot {
    /// Reads what the register holds. `instance` is the vault that it is for; without it the first vault that puts anything.
    ///
    /// # Errors
    /// When the register cannot be read; [`io::ErrorKind::InvalidData`] when it holds another vault's envelope.
    pub fn open(device: Arc<dyn SlotDevice>, instance: Option<[u8; 16]>) -> io::Result<Self> {
        let mut inner =
            Inner { instance, held: [Place::Unknown, Place::Unknown], session: None, heard: 0, fence: 0, floor: 0 };
        for slot in 0..2 {
            let block = Zeroizing::new(*device.read_slot(slot)?);
            let Some((floor, fence, envelope)) = read_block(&block) else { continue };
            let theirs = envelope.label().instance;
            if *inner.instance.get_or_insert(theirs) != theirs {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the register holds another vault's envelope"));
            }
            inner.floor = inner.floor.max(floor);
            inner.fence = inner.fence.max(fence);
            inner.held[slot] = Place::Envelope(envelope);
        }
        Ok(Self { device, inner: Mutex::new(inner) })
    }

    /// Whose agent it is, once that is known.
    pub fn instance(&self) -> Option<[u8; 16]> {
        self.lock().instance
    }

    /// What it holds.
    pub fn holds(&self) -> Vec<Label> {
        self.lock().labels()
    }

    /// The envelopes, for a recovery that the agent's operator has allowed.
    pub fn envelopes(&self) -> Vec<Envelope> {
        let inner = self.lock();
        let envelope = |place: &Place| match place {
            Place::Envelope(envelope) => Some(envelope.clone()),
            _ => None,
        };
        inner.held.iter().filter_map(envelope).collect()
    }

    /// Opens a session and ends the one before. `fence` is the number of the process's claim to the vault, 0 where there is
    /// none: a process with a lower one is not heard again.
    pub fn session(&self, instance: [u8; 16], fence: u64) -> Result<(Session, Vec<Label>), Refused> {
        let mut inner = self.lock();
        if inner.instance.is_some_and(|ours| ours != instance) {
            return Err(Refused::OtherInstance);
        }
        if fence < inner.fence {
            return Err(Refused::PassedOver { fence: inner.fence });
        }
        let mut session = [0; 16];
        rand::fill(&mut session).map_err(|_| Refused::Again(io::Error::other("no random numbers")))?;
        inner.fence = fence;
        inner.session = Some(session);
        inner.heard = 0;
        Ok((session, inner.labels()))
    }

    /// Puts an envelope beside the root that is in force. Durable on `Ok`; gives what is held then.
    pub fn put(&self, stamp: Stamp, envelope: Envelope, in_force: Option<Root>) -> Result<Vec<Label>, Refused> {
        let mut inner = self.lock();
        inner.hear(stamp)?;
        let label = envelope.label().clone();
        if inner.instance.is_some_and(|ours| ours != label.instance) {
            return Err(Refused::OtherInstance);
        }
        if label.root.epoch < inner.floor {
            return Err(Refused::Backwards { epoch: label.root.epoch, floor: inner.floor });
        }
        let floor = inner.floor.max(in_force.map_or(0, |root| root.epoch.min(label.root.epoch)));
        let held = [inner.held[0].label(), inner.held[1].label()];
        if !held.contains(&Some(&label)) {
            // Of two envelopes of the root in force, sealed to an old and a new recovery key, either will do.
            let beside = held.iter().flatten().find(|held| Some(held.root) == in_force).copied();
            let older = |zero: &Label, one: &Label| zero.root < one.root;
            let slot = place(held, &label, beside, older);
            // From here on the place counts as neither: a write that is cut short leaves anything.
            inner.held[slot] = Place::Unknown;
            let block = write_block(floor, inner.fence, &envelope);
            self.device.write_slot(slot, &block).map_err(refused)?;
            inner.held[slot] = Place::Envelope(envelope);
            inner.instance = Some(label.instance);
        }
        inner.floor = floor;
        Ok(inner.labels())
    }

    /// Destroys all but what is to be kept; gives what is held then.
    pub fn keep(&self, stamp: Stamp, keep: &Keep) -> Result<Vec<Label>, Refused> {
        let mut inner = self.lock();
        inner.hear(stamp)?;
        for slot in 0..2 {
            let stays = match (&inner.held[slot], keep) {
                (Place::Destroyed, _) => true,
                (Place::Unknown, _) => false,
                (Place::Envelope(envelope), Keep::Only(label)) => envelope.label() == label,
                (Place::Envelope(envelope), Keep::NothingUpTo(epoch)) => envelope.label().root.epoch > *epoch,
            };
            if !stays {
                inner.held[slot] = Place::Unknown;
                self.device.destroy_slot(slot).map_err(refused)?;
                inner.held[slot] = Place::Destroyed;
            }
        }
        if let Keep::Only(label) = keep {
            inner.floor = inner.floor.max(label.root.epoch);
        }
        Ok(inner.labels())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn labels(&self) -> Vec<Label> {
        self.held.iter().filter_map(|place| place.label().cloned()).collect()
    }

    fn hear(&mut self, stamp: Stamp) -> Result<(), Refused> {
        if self.session != Some(stamp.session) {
            return Err(Refused::SessionEnded);
        }
        if stamp.number <= self.heard {
            return Err(Refused::Late);
        }
        self.heard = stamp.number;
        Ok(())
    }
}

fn refused(error: SlotError) -> Refused {
    match error {
        SlotError::Again(error) => Refused::Again(error),
        SlotError::End(error) => Refused::End(error),
    }
}

fn write_block(floor: u64, fence: u64, envelope: &Envelope) -> Zeroizing<[u8; SLOT_BYTES]> {
    let mut block = Zeroizing::new([0; SLOT_BYTES]);
    block[..8].copy_from_slice(MAGIC);
    block[8..16].copy_from_slice(&floor.to_be_bytes());
    block[16..24].copy_from_slice(&fence.to_be_bytes());
    block[ENVELOPE_AT..SUM_AT].copy_from_slice(envelope.bytes());
    let sum = digest(&SHA256, &block[..SUM_AT]);
    block[SUM_AT..SUM_AT + 32].copy_from_slice(sum.as_ref());
    block
}

fn read_block(block: &[u8; SLOT_BYTES]) -> Option<(u64, u64, Envelope)> {
    let whole = &block[..8] == MAGIC && digest(&SHA256, &block[..SUM_AT]).as_ref() == &block[SUM_AT..SUM_AT + 32];
    let number = |from: usize| Some(u64::from_be_bytes(block[from..from + 8].try_into().ok()?));
    whole.then_some(())?;
    Some((number(8)?, number(16)?, Envelope::read(&block[ENVELOPE_AT..SUM_AT]).ok()?))
}
