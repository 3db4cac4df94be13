//! Kinds 5 to 9: what happens to a vault and its log.
//!
//! ```text
//! 5 restore        stage u8 (1 attach, 2 commit) ‖ data epoch u64 ‖ key epoch u64
//!                  interactions live u64 ‖ rows dropped u64 ‖ purges replayed u64 ‖ leaves punctured u64
//! 6 hold           action u8 (1 placed, 2 released) ‖ commitment to the hold ‖ items covered u64
//! 7 party dropped  party u8 (1 mirror, 2 agent) ‖ name: token ‖ last epoch it confirmed u64 ‖ reason: token
//!                  public key 32 ‖ signature 64 over
//!                  "oubliette/party-dropped/v1" ‖ 0x00 ‖ origin ‖ 0x00 ‖ everything before the public key
//! 8 log opened     origin ‖ reason: token ‖ earlier u8 (0, 1) [‖ earlier origin ‖ size u64 ‖ root]
//! 9 log closed     reason: token ‖ next u8 (0, 1) [‖ next origin]
//! ```

use super::codec::{Reader, Token, Writer, is_origin};
use crate::hash::{Hash, sha256};
use crate::note::{NoteError, SigningKey, VerifierKey};
use crate::tree::TreeHead;

/// How far a restore went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreStage {
    /// Readable again, nothing final.
    Attach,
    /// In force: whatever the copy does not refer to is punctured.
    Commit,
}

/// A copy of the data was brought back, under the current key state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreEntry {
    /// How far it went.
    pub stage: RestoreStage,
    /// Epoch that the copy of the database knew.
    pub data_epoch: u64,
    /// Epoch of the key state.
    pub key_epoch: u64,
    /// Interactions that live on.
    pub live: u64,
    /// Rows of the copy that were dropped, because their keys are gone.
    pub dropped: u64,
    /// Purges of the journal that the copy did not know.
    pub replayed: u64,
    /// Leaves punctured anew by this stage.
    pub punctured: u64,
}

impl RestoreEntry {
    pub(super) fn write(&self, out: &mut Writer) {
        out.u8(if self.stage == RestoreStage::Attach { 1 } else { 2 });
        let numbers = [self.data_epoch, self.key_epoch, self.live, self.dropped, self.replayed, self.punctured];
        numbers.into_iter().for_each(|number| out.u64(number));
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let stage = match from.u8()? {
            1 => RestoreStage::Attach,
            2 => RestoreStage::Commit,
            _ => return None,
        };
        Some(Self {
            stage,
            data_epoch: from.u64()?,
            key_epoch: from.u64()?,
            live: from.u64()?,
            dropped: from.u64()?,
            replayed: from.u64()?,
            punctured: from.u64()?,
        })
    }
}

/// What was done to a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldAction {
    /// It protects from now on.
    Placed,
    /// It no longer does.
    Released,
}

/// A hold was placed or released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldEntry {
    /// Which of the two.
    pub action: HoldAction,
    /// [`HoldEntry::commit`] of the hold's salt and id.
    pub commitment: Hash,
    /// Items it covers at this time.
    pub items: u64,
}

impl HoldEntry {
    /// Commitment to a hold: `SHA-256("oubliette/hold/v1" ‖ 0x00 ‖ salt 32 ‖ hold id 16)`.
    pub fn commit(salt: &[u8; 32], id: &[u8; 16]) -> Hash {
        sha256(&[b"oubliette/hold/v1\0", salt, id])
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.u8(if self.action == HoldAction::Placed { 1 } else { 2 });
        out.hash(&self.commitment);
        out.u64(self.items);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let action = match from.u8()? {
            1 => HoldAction::Placed,
            2 => HoldAction::Released,
            _ => return None,
        };
        Some(Self { action, commitment: from.hash()?, items: from.u64()? })
    }
}

/// Who takes part in a seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Holds copies of the key pages.
    Mirror,
    /// Holds an envelope of the root.
    Agent,
}

/// The decision to seal without a mirror or an agent from now on, before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsignedDrop {
    /// What it was.
    pub party: Party,
    /// Its name in the configuration.
    pub name: Token,
    /// The last epoch it confirmed; what it may still hold is of that time.
    pub last_epoch: u64,
    /// Why.
    pub reason: Token,
}

impl UnsignedDrop {
    fn write(&self, out: &mut Writer) {
        out.u8(if self.party == Party::Mirror { 1 } else { 2 });
        out.text(self.name.as_str());
        out.u64(self.last_epoch);
        out.text(self.reason.as_str());
    }

    fn message(&self, origin: &str) -> Vec<u8> {
        let mut out = Writer::new();
        out.bytes(b"oubliette/party-dropped/v1\0");
        out.bytes(origin.as_bytes());
        out.u8(0);
        self.write(&mut out);
        out.finish()
    }

    /// Signs the decision for the log `origin`.
    pub fn sign(self, origin: &str, key: &SigningKey) -> PartyDropped {
        let signature = key.sign(&self.message(origin));
        PartyDropped { decision: self, public: *key.verifier().public(), signature }
    }
}

/// A signed decision to seal without a mirror or an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartyDropped {
    /// What was decided.
    pub decision: UnsignedDrop,
    /// Key of who decided.
    pub public: [u8; 32],
    signature: [u8; 64],
}

impl PartyDropped {
    /// Whether the holder of this key decided so for the log `origin`.
    pub fn verify(&self, origin: &str, key: &VerifierKey) -> Result<(), NoteError> {
        let message = self.decision.message(origin);
        let good = *key.public() == self.public && crate::note::holds(&self.public, &message, &self.signature);
        if good { Ok(()) } else { Err(NoteError::BadSignature(key.name().to_owned())) }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        self.decision.write(out);
        out.bytes(&self.public);
        out.bytes(&self.signature);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let party = match from.u8()? {
            1 => Party::Mirror,
            2 => Party::Agent,
            _ => return None,
        };
        let decision = UnsignedDrop { party, name: from.token()?, last_epoch: from.u64()?, reason: from.token()? };
        Some(Self { decision, public: from.array()?, signature: from.array()? })
    }
}

/// First entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOpened {
    origin: String,
    /// Why it begins: `new` for a new vault.
    pub reason: Token,
    earlier: Option<(String, TreeHead)>,
}

impl LogOpened {
    /// The opening of the log `origin`, in place of an earlier one with its last pinned head. `None` when an origin is not
    /// one.
    pub fn new(origin: &str, reason: Token, earlier: Option<(&str, TreeHead)>) -> Option<Self> {
        let good = is_origin(origin) && earlier.is_none_or(|(earlier, _)| is_origin(earlier));
        let earlier = earlier.map(|(origin, head)| (origin.to_owned(), head));
        good.then(|| Self { origin: origin.to_owned(), reason, earlier })
    }

    /// Which log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The log before it, if any, and its last pinned head.
    pub fn earlier(&self) -> Option<(&str, TreeHead)> {
        self.earlier.as_ref().map(|(origin, head)| (origin.as_str(), *head))
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.text(&self.origin);
        out.text(self.reason.as_str());
        out.u8(u8::from(self.earlier.is_some()));
        if let Some((origin, head)) = &self.earlier {
            out.text(origin);
            out.u64(head.size);
            out.hash(&head.root);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (origin, reason) = (from.origin()?, from.token()?);
        let earlier = match from.u8()? {
            0 => None,
            1 => Some((from.origin()?, TreeHead { size: from.u64()?, root: from.hash()? })),
            _ => return None,
        };
        Some(Self { origin, reason, earlier })
    }
}

/// Last entry of a log that ends in good order. One whose entries are lost ends with a note instead
/// ([`crate::note::closing_note`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogClosed {
    /// Why it ends.
    pub reason: Token,
    next: Option<String>,
}

impl LogClosed {
    /// The end, with the origin that follows if any. `None` when that is not one.
    pub fn new(reason: Token, next: Option<&str>) -> Option<Self> {
        next.is_none_or(is_origin).then(|| Self { reason, next: next.map(str::to_owned) })
    }

    /// The log that follows.
    pub fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.text(self.reason.as_str());
        out.u8(u8::from(self.next.is_some()));
        if let Some(next) = &self.next {
            out.text(next);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let reason = from.token()?;
        let next = match from.u8()? {
            0 => None,
            1 => Some(from.origin()?),
            _ => return None,
        };
        Some(Self { reason, next })
    }
}
