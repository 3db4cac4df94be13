//! What an agent does: two places in an erasable register, a root put beside the one in force, all others destroyed on demand.
//!
//! The register's number lies in every block, also in one whose envelope was destroyed: it is drawn when the register is first
//! opened, goes where the bytes go, and is gone where they are gone. It is told once no block is left that lacks it; from then
//! on a place is only written while the other one holds it, so that no write that is cut short loses it.
//!
//! Fenced three times. Only one vault's envelopes are taken. Only the process that opened the last session is heard, and of
//! its requests none that was sent before one that was heard: a request may arrive after its sender has given it up. And a
//! root that is older than one which was in force never comes back.
//!
//! No session is opened for a process with a lower claim (*fence*) than one had that was here. That outlasts what was held: an
//! agent that was told to forget everything may be started anew and be found by a process of before. Fences are each vault's own,
//! for whoever gets the agent next begins anew.

mod block;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand;
use keyforest::media::{SlotDevice, SlotError};
use thiserror::Error;
use zeroize::Zeroizing;

use self::block::{Fences, Place, read_block, write_block};
use super::envelope::Label;
use super::slots::place;
use super::{Envelope, RegisterId, Root};

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

/// A session that an agent has opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Names it.
    pub session: Session,
    /// The agent's register; `None` while one of its blocks lacks its number, as after an older version of this program.
    pub register: Option<RegisterId>,
    /// What it holds.
    pub holds: Vec<Label>,
}

/// What was kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// What is held now.
    pub holds: Vec<Label>,
    /// As [`Opened::register`]: this may be the first time that it can be told, and the last time that the register holds
    /// something to be known by.
    pub register: Option<RegisterId>,
}

/// An agent's two places.
pub struct Depot {
    device: Arc<dyn SlotDevice>,
    inner: Mutex<Inner>,
}

struct Inner {
    /// Whose agent this is; `None` until the first envelope where the configuration does not say.
    instance: Option<[u8; 16]>,
    register: RegisterId,
    held: [Place; 2],
    session: Option<Session>,
    heard: u64,
    fences: Fences,
    /// The highest epoch that is known to have been in force.
    floor: u64,
}

impl Depot {
    /// Reads what the register holds. `instance` is the vault that it is for; without it the first vault that puts anything.
    /// A register that has no number gets one, in a place that holds nothing: before that is durable it is told to nobody.
    ///
    /// # Errors
    /// When the register cannot be read, or not be written; [`io::ErrorKind::InvalidData`] when it holds another vault's
    /// envelope, or blocks of two registers.
    pub fn open(device: Arc<dyn SlotDevice>, instance: Option<[u8; 16]>) -> io::Result<Self> {
        let invalid = |text: &'static str| io::Error::new(io::ErrorKind::InvalidData, text);
        let (mut instance, mut register, mut fences, mut floor) = (instance, None, Fences::default(), 0);
        let mut held = [Place::Unknown, Place::Unknown];
        for (slot, held) in held.iter_mut().enumerate() {
            let block = Zeroizing::new(*device.read_slot(slot)?);
            let Some(read) = read_block(&block) else { continue };
            if let Some(theirs) = read.place.label().map(|label| label.instance)
                && *instance.get_or_insert(theirs) != theirs
            {
                return Err(invalid("the register holds another vault's envelope"));
            }
            if let Some(theirs) = read.register
                && *register.get_or_insert(theirs) != theirs
            {
                return Err(invalid("the register's blocks are of two registers"));
            }
            floor = floor.max(read.floor);
            for (vault, fence) in read.fences.0 {
                fences.raise(vault, fence);
            }
            *held = read.place;
        }
        let register = register.map_or_else(RegisterId::draw, Ok)?;
        let mut inner = Inner { instance, register, held, session: None, heard: 0, fences, floor };
        for slot in inner.order() {
            // Noise that was read is written again, for nobody knows what a failed flush left below it.
            let (place, other) = (&inner.held[slot], &inner.held[1 - slot]);
            if matches!(place, Place::Unknown) || (matches!(place, Place::Destroyed) && other.has_number()) {
                inner.destroy(&*device, slot)?;
            }
        }
        Ok(Self { device, inner: Mutex::new(inner) })
    }

    /// Its register, once no block lacks its number.
    pub fn register(&self) -> Option<RegisterId> {
        self.lock().told()
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
        self.lock().held.iter().filter_map(Place::envelope).cloned().collect()
    }

    /// Opens a session and ends the one before. `fence` is the number of the process's claim to the vault, 0 where there is
    /// none: a process with a lower one is not heard again.
    pub fn session(&self, instance: [u8; 16], fence: u64) -> Result<Opened, Refused> {
        let mut inner = self.lock();
        if inner.instance.is_some_and(|ours| ours != instance) {
            return Err(Refused::OtherInstance);
        }
        let highest = inner.fences.of(instance);
        if fence < highest {
            return Err(Refused::PassedOver { fence: highest });
        }
        let mut session = [0; 16];
        rand::fill(&mut session).map_err(|_| Refused::Again(io::Error::other("no random numbers")))?;
        inner.fences.raise(instance, fence);
        inner.session = Some(session);
        inner.heard = 0;
        Ok(Opened { session, register: inner.told(), holds: inner.labels() })
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
            let slot = match inner.held {
                // The other one has the register's number.
                [_, Place::Unknown] => 1,
                _ => place(held, &label, beside, older),
            };
            // From here on the place counts as neither: a write that is cut short leaves anything.
            inner.held[slot] = Place::Unknown;
            let block = write_block(floor, &inner.fences, inner.register, Some(&envelope)).map_err(Refused::Again)?;
            self.device.write_slot(slot, &block).map_err(refused)?;
            inner.held[slot] = Place::Envelope(envelope);
            inner.instance = Some(label.instance);
        }
        inner.floor = floor;
        Ok(inner.labels())
    }

    /// Destroys all but what is to be kept; gives what is held then.
    pub fn keep(&self, stamp: Stamp, keep: &Keep) -> Result<Kept, Refused> {
        let mut inner = self.lock();
        inner.hear(stamp)?;
        for slot in inner.order() {
            let stays = match (&inner.held[slot], keep) {
                // What is remembered of claims is to be durable once nothing else is.
                (Place::Destroyed, Keep::NothingUpTo(_)) => {
                    inner.fences.0.is_empty() || !inner.held[1 - slot].has_number()
                }
                (Place::Destroyed, Keep::Only(_)) => true,
                (Place::Unknown, _) => false,
                (Place::Envelope(held) | Place::Nameless(held), Keep::Only(label)) => held.label() == label,
                (Place::Envelope(held) | Place::Nameless(held), Keep::NothingUpTo(epoch)) => {
                    held.label().root.epoch > *epoch
                }
            };
            if !stays {
                inner.destroy(&*self.device, slot).map_err(refused)?;
            }
        }
        if let Keep::Only(label) = keep {
            inner.floor = inner.floor.max(label.root.epoch);
        }
        Ok(Kept { holds: inner.labels(), register: inner.told() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Overwrites a place with noise and the register's number.
    fn destroy(&mut self, device: &dyn SlotDevice, slot: usize) -> Result<(), SlotError> {
        self.held[slot] = Place::Unknown;
        let block = write_block(0, &self.fences, self.register, None).map_err(SlotError::Again)?;
        device.write_slot(slot, &block)?;
        self.held[slot] = Place::Destroyed;
        Ok(())
    }

    /// The places as they are to be written: what was cut short goes first, for then the other one has the register's number.
    fn order(&self) -> [usize; 2] {
        if matches!(self.held[1], Place::Unknown) { [1, 0] } else { [0, 1] }
    }

    /// The register's number, once it is durable and no write can lose it.
    fn told(&self) -> Option<RegisterId> {
        let nameless = self.held.iter().any(|place| matches!(place, Place::Nameless(_)));
        (!nameless && self.held.iter().any(Place::has_number)).then_some(self.register)
    }

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

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::{SHA256, digest};
    use keyforest::media::SLOT_BYTES;

    use super::block::{REGISTER_AT, SUM_AT, kept};
    use super::*;

    type Blocks = Arc<Mutex<[[u8; SLOT_BYTES]; 2]>>;

    /// Slots that a test can look into, and whose next write can be cut short.
    #[derive(Clone, Default)]
    struct Torn {
        blocks: Option<Blocks>,
        tear: Arc<Mutex<bool>>,
    }

    impl Torn {
        fn with(blocks: [[u8; SLOT_BYTES]; 2]) -> Self {
            Self { blocks: Some(Arc::new(Mutex::new(blocks))), tear: Arc::default() }
        }

        fn blocks(&self) -> MutexGuard<'_, [[u8; SLOT_BYTES]; 2]> {
            self.blocks.as_ref().unwrap().lock().unwrap()
        }

        fn open(&self) -> Depot {
            Depot::open(Arc::new(self.clone()), None).unwrap()
        }
    }

    impl SlotDevice for Torn {
        fn class(&self) -> std::borrow::Cow<'static, str> {
            "test".into()
        }

        fn read_slot(&self, slot: usize) -> io::Result<Box<[u8; SLOT_BYTES]>> {
            Ok(Box::new(self.blocks()[slot]))
        }

        fn write_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
            let torn = std::mem::take(&mut *self.tear.lock().unwrap());
            let len = if torn { 512 } else { SLOT_BYTES };
            self.blocks()[slot][..len].copy_from_slice(&block[..len]);
            if torn { Err(SlotError::End(io::Error::other("torn"))) } else { Ok(()) }
        }
    }

    #[test]
    fn a_new_register_has_a_number_at_once_and_keeps_it() {
        let slots = Torn::with([[0; SLOT_BYTES]; 2]);
        let number = slots.open().register().unwrap();
        assert_eq!(slots.open().register(), Some(number));
        assert_ne!(Torn::with([[0; SLOT_BYTES]; 2]).open().register(), Some(number));
    }

    #[test]
    fn no_write_that_is_cut_short_loses_the_number() {
        let envelope = read_block(&kept()[1]).unwrap().place.envelope().cloned().unwrap();
        let instance = envelope.label().instance;
        let slots = Torn::with([[0; SLOT_BYTES]; 2]);
        let number = slots.open().register();
        for step in 0..40 {
            let depot = slots.open();
            assert_eq!(depot.register(), number, "{step}");
            let session = depot.session(instance, 0).unwrap().session;
            *slots.tear.lock().unwrap() = step % 3 != 0;
            // Put, and destroyed again; every other time torn.
            let done = if depot.holds().is_empty() {
                depot.put(Stamp { session, number: 1 }, envelope.clone(), None)
            } else {
                depot.keep(Stamp { session, number: 1 }, &Keep::NothingUpTo(u64::MAX)).map(|kept| kept.holds)
            };
            assert_eq!(done.is_ok(), step % 3 == 0, "{step}");
            *slots.tear.lock().unwrap() = step % 2 == 0;
            // An opening may be cut short too.
            let _ = Depot::open(Arc::new(slots.clone()), None);
            *slots.tear.lock().unwrap() = false;
        }
    }

    #[test]
    fn a_register_of_an_older_version_tells_its_number_when_no_block_lacks_it() {
        let [one, two, _] = kept();
        let slots = Torn::with([one, [0; SLOT_BYTES]]);
        let depot = slots.open();
        let instance = depot.instance().unwrap();
        let Opened { session, register, holds } = depot.session(instance, 5).unwrap();
        assert_eq!((register, holds.len()), (None, 1));
        let newer = read_block(&two).unwrap().place.envelope().cloned().unwrap();
        let label = newer.label().clone();
        // Another envelope takes its place: the answer says which register it is, and so does one that is asked for again.
        let mut other = newer.bytes().to_vec();
        other[31] += 1;
        let other = Envelope::read(&other).unwrap();
        depot.put(Stamp { session, number: 1 }, other.clone(), Some(label.root)).unwrap();
        assert_eq!(depot.register(), None);
        let keep = |number| depot.keep(Stamp { session, number }, &Keep::Only(other.label().clone())).unwrap().register;
        let told = keep(2);
        assert!(told.is_some() && keep(3) == told);
        assert_eq!(depot.session(instance, 5).unwrap().register, told);
        assert_eq!(slots.open().register(), told);
    }

    #[test]
    fn who_was_told_to_forget_everything_hears_no_earlier_process_of_that_vault_after_a_start_anew() {
        let envelope = read_block(&kept()[1]).unwrap().place.envelope().cloned().unwrap();
        let instance = envelope.label().instance;
        let forget = |depot: &Depot, of: [u8; 16], fence: u64| {
            let session = depot.session(of, fence).unwrap().session;
            depot.keep(Stamp { session, number: 1 }, &Keep::NothingUpTo(u64::MAX)).unwrap();
        };
        // Whether it held anything or not.
        for holds in [true, false] {
            let slots = Torn::with([[0; SLOT_BYTES]; 2]);
            let depot = slots.open();
            let session = depot.session(instance, 5).unwrap().session;
            if holds {
                depot.put(Stamp { session, number: 1 }, envelope.clone(), None).unwrap();
            }
            let number = depot.register();
            forget(&depot, instance, 6);
            assert!(matches!(depot.session(instance, 5), Err(Refused::PassedOver { fence: 6 })));
            for depot in [slots.open(), slots.open()] {
                assert!(matches!(depot.session(instance, 5), Err(Refused::PassedOver { fence: 6 })), "{holds}");
                assert_eq!(depot.register(), number);
                assert!(depot.session(instance, 6).is_ok());
                // Of another vault it knows no claims.
                assert!(depot.session([0xee; 16], 0).is_ok());
                assert!(matches!(depot.session(instance, 5), Err(Refused::PassedOver { fence: 6 })), "{holds}");
            }
            // Nor if another vault had it meanwhile; and of that one it knows them too.
            forget(&slots.open(), [0xee; 16], 2);
            assert!(matches!(slots.open().session(instance, 5), Err(Refused::PassedOver { fence: 6 })), "{holds}");
            assert!(matches!(slots.open().session([0xee; 16], 1), Err(Refused::PassedOver { fence: 2 })), "{holds}");
        }
    }

    #[test]
    fn blocks_of_two_registers_are_no_register() {
        let mut other = kept()[2];
        other[REGISTER_AT] ^= 1;
        let sum = digest(&SHA256, &other[..SUM_AT]);
        other[SUM_AT..SUM_AT + 32].copy_from_slice(sum.as_ref());
        let slots = Torn::with([kept()[1], other]);
        assert!(Depot::open(Arc::new(slots), None).is_err());
    }
}
