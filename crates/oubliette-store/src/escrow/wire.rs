//! What vault and agent say to each other: JSON over mutual TLS, version 1.
//!
//! | Request | Body | Answer |
//! | --- | --- | --- |
//! | `POST /v1/session` | [`SessionAsk`] | [`SessionTold`] |
//! | `POST /v1/put` | [`PutAsk`] | [`HoldsTold`] |
//! | `POST /v1/keep` | [`KeepAsk`] | [`KeptTold`] |
//! | `GET /v1/status` | | [`StatusTold`] |
//! | `GET /v1/envelopes` | | [`EnvelopesTold`], or 403 while the agent's operator has not allowed it |
//!
//! A refusal has status 403, 409 or 503 and a [`RefusalTold`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::depot::{Keep, Kept, Opened, Refused, Stamp};
use super::envelope::{Envelope, Label};
use super::{RegisterId, Root};

/// The largest body either side reads.
pub const MOST_BODY: usize = 16 << 10;

/// Which root or share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelTold {
    instance: Uuid,
    epoch: u64,
    state: String,
    needed: u8,
    number: u8,
    key: String,
    agent: String,
}

/// Which root.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RootTold {
    epoch: u64,
    state: String,
}

/// Opens a session.
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionAsk {
    /// The vault.
    pub instance: Uuid,
    /// The number of the process's claim.
    pub fence: u64,
}

/// A session.
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionTold {
    session: String,
    /// An agent of an older version does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    register: Option<String>,
    holds: Vec<LabelTold>,
}

/// Puts an envelope.
#[derive(Serialize, Deserialize)]
pub struct PutAsk {
    session: String,
    number: u64,
    envelope: String,
    in_force: Option<RootTold>,
}

/// Destroys all but something. Exactly one of the two.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeepAsk {
    session: String,
    number: u64,
    only: Option<LabelTold>,
    nothing_up_to: Option<u64>,
}

/// What is held.
#[derive(Debug, Serialize, Deserialize)]
pub struct HoldsTold {
    holds: Vec<LabelTold>,
}

/// What is held after all else was destroyed.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeptTold {
    /// An agent of an older version does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    register: Option<String>,
    holds: Vec<LabelTold>,
}

/// An agent's state.
#[derive(Debug, Serialize, Deserialize)]
pub struct StatusTold {
    /// Its name.
    pub agent: String,
    /// Its register's class.
    pub register_class: String,
    /// Nothing was found that lowers the class.
    pub register_verified: bool,
    /// Its register's own number, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub register: Option<String>,
    /// Whose agent it is.
    pub instance: Option<Uuid>,
    /// What it holds.
    pub holds: Vec<LabelTold>,
    /// Whether envelopes may be fetched just now.
    pub released: bool,
}

/// Envelopes for a recovery.
#[derive(Serialize, Deserialize)]
pub struct EnvelopesTold {
    envelopes: Vec<String>,
}

/// Why not.
#[derive(Debug, Serialize, Deserialize)]
pub struct RefusalTold {
    /// A word for programs.
    pub refused: String,
    /// A sentence for people.
    pub detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    floor: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fence: Option<u64>,
}

impl LabelTold {
    /// As it is told.
    pub fn of(label: &Label) -> Self {
        Self {
            instance: Uuid::from_bytes(label.instance),
            epoch: label.root.epoch,
            state: hex::encode(label.root.state),
            needed: label.needed,
            number: label.number,
            key: hex::encode(label.key),
            agent: label.agent.clone(),
        }
    }

    fn read(&self) -> Option<Label> {
        Some(Label {
            instance: self.instance.into_bytes(),
            root: root(self.epoch, &self.state)?,
            needed: self.needed,
            number: self.number,
            key: array(&self.key)?,
            agent: self.agent.clone(),
        })
    }
}

impl SessionTold {
    /// As it is told.
    pub fn of(opened: &Opened) -> Self {
        let Opened { session, register, holds } = opened;
        let register = register.map(|register| register.to_string());
        Self { session: hex::encode(session), register, holds: holds.iter().map(LabelTold::of).collect() }
    }

    /// `None` when it is malformed.
    pub fn read(&self) -> Option<Opened> {
        let register = register(self.register.as_deref())?;
        let holds = self.holds.iter().map(LabelTold::read).collect::<Option<_>>()?;
        Some(Opened { session: array(&self.session)?, register, holds })
    }
}

impl KeptTold {
    /// As it is told.
    pub fn of(kept: &Kept) -> Self {
        let register = kept.register.map(|register| register.to_string());
        Self { register, holds: kept.holds.iter().map(LabelTold::of).collect() }
    }

    /// `None` when it is malformed.
    pub fn read(&self) -> Option<Kept> {
        let holds = self.holds.iter().map(LabelTold::read).collect::<Option<_>>()?;
        Some(Kept { holds, register: register(self.register.as_deref())? })
    }
}

impl PutAsk {
    /// As it is asked.
    pub fn of(stamp: Stamp, envelope: &Envelope, in_force: Option<Root>) -> Self {
        let in_force = in_force.map(|root| RootTold { epoch: root.epoch, state: hex::encode(root.state) });
        let envelope = BASE64.encode(envelope.bytes());
        Self { session: hex::encode(stamp.session), number: stamp.number, envelope, in_force }
    }

    /// `None` when it is malformed.
    pub fn read(&self) -> Option<(Stamp, Envelope, Option<Root>)> {
        let envelope = Envelope::read(&BASE64.decode(&self.envelope).ok()?).ok()?;
        let in_force = match &self.in_force {
            None => None,
            Some(told) => Some(root(told.epoch, &told.state)?),
        };
        Some((Stamp { session: array(&self.session)?, number: self.number }, envelope, in_force))
    }
}

impl KeepAsk {
    /// As it is asked.
    pub fn of(stamp: Stamp, keep: &Keep) -> Self {
        let (only, nothing_up_to) = match keep {
            Keep::Only(label) => (Some(LabelTold::of(label)), None),
            Keep::NothingUpTo(epoch) => (None, Some(*epoch)),
        };
        Self { session: hex::encode(stamp.session), number: stamp.number, only, nothing_up_to }
    }

    /// `None` when it is malformed.
    pub fn read(&self) -> Option<(Stamp, Keep)> {
        let keep = match (&self.only, self.nothing_up_to) {
            (Some(label), None) => Keep::Only(label.read()?),
            (None, Some(epoch)) => Keep::NothingUpTo(epoch),
            _ => return None,
        };
        Some((Stamp { session: array(&self.session)?, number: self.number }, keep))
    }
}

impl HoldsTold {
    /// As it is told.
    pub fn of(holds: &[Label]) -> Self {
        Self { holds: holds.iter().map(LabelTold::of).collect() }
    }

    /// `None` when it is malformed.
    pub fn read(&self) -> Option<Vec<Label>> {
        self.holds.iter().map(LabelTold::read).collect()
    }
}

impl EnvelopesTold {
    /// As it is told.
    pub fn of(envelopes: &[Envelope]) -> Self {
        Self { envelopes: envelopes.iter().map(|envelope| BASE64.encode(envelope.bytes())).collect() }
    }

    /// `None` when one is malformed.
    pub fn read(&self) -> Option<Vec<Envelope>> {
        let read = |text: &String| Envelope::read(&BASE64.decode(text).ok()?).ok();
        self.envelopes.iter().map(read).collect()
    }
}

impl RefusalTold {
    /// As it is told, with its status.
    pub fn of(refused: &Refused) -> (u16, Self) {
        let (status, word) = match refused {
            Refused::OtherInstance => (403, "other-instance"),
            Refused::SessionEnded => (409, "session-ended"),
            Refused::PassedOver { .. } => (403, "passed-over"),
            Refused::Late => (409, "late"),
            Refused::Backwards { .. } => (409, "backwards"),
            Refused::Again(_) | Refused::End(_) => (503, "register"),
        };
        let (epoch, floor) = match refused {
            Refused::Backwards { epoch, floor } => (Some(*epoch), Some(*floor)),
            _ => (None, None),
        };
        let fence = if let Refused::PassedOver { fence } = refused { Some(*fence) } else { None };
        (status, Self { refused: word.to_owned(), detail: refused.to_string(), epoch, floor, fence })
    }

    /// `None` for a word that is not known here.
    pub fn read(&self) -> Option<Refused> {
        Some(match self.refused.as_str() {
            "other-instance" => Refused::OtherInstance,
            "session-ended" => Refused::SessionEnded,
            "passed-over" => Refused::PassedOver { fence: self.fence.unwrap_or(u64::MAX) },
            "late" => Refused::Late,
            "backwards" => Refused::Backwards { epoch: self.epoch?, floor: self.floor? },
            _ => return None,
        })
    }
}

/// A register's number, where one is told; the outer `None` when it is malformed.
fn register(told: Option<&str>) -> Option<Option<RegisterId>> {
    match told {
        None => Some(None),
        Some(told) => RegisterId::parse(told).map(Some),
    }
}

fn root(epoch: u64, state: &str) -> Option<Root> {
    Some(Root { epoch, state: array(state)? })
}

fn array<const N: usize>(text: &str) -> Option<[u8; N]> {
    hex::decode(text).ok()?.try_into().ok()
}
