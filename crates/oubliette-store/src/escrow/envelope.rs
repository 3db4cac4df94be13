//! The envelope: a root, or one share of it, sealed to the recovery key and bound to where it belongs.
//!
//! ```text
//!   0 "OUBENV01" | 8 instance 16 | 24 epoch u64 BE | 32 state hash 32 | 64 needed u8 | 65 number u8 | 66 recovery key id 8
//!  74 agent's name, zero padded 32 | 106 X-Wing ciphertext 1120 | 1226 AES-256-GCM of the record or its share 512 + 16
//! ```
//!
//! All before the last field is its associated data; the key is used once, so the nonce is zero. A root is shared by
//! polynomials that follow from the root itself: the same root gives the same shares at any time, so that an agent that was
//! away gets its own later and no two dealings can be mixed up. Fewer shares than are needed say nothing to who cannot guess
//! a 256-bit key.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use keyforest::media::{SLOT_BYTES, SLOT_RECORD};
use thiserror::Error;
use zeroize::Zeroizing;

use super::recovery_key::{KeyId, PublicKey, SecretKey};
use super::shamir::{self, Share};
use super::{Quorum, Root, recovery, xwing};

const MAGIC: &[u8; 8] = b"OUBENV01";
const NAME_AT: usize = 74;
/// The longest name of an agent.
pub const MOST_NAME: usize = 32;
const KEM_AT: usize = NAME_AT + MOST_NAME;
const TEXT_AT: usize = KEM_AT + xwing::CIPHERTEXT;
const TAG: usize = 16;
/// Length of an envelope.
pub const ENVELOPE: usize = TEXT_AT + SLOT_RECORD + TAG;
const SHARES: &[u8] = b"oubliette escrow shares 1";

/// Why envelopes do not bring a root back.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// Not an envelope of a version that is known here.
    #[error("not an envelope of a version that this program knows")]
    Malformed,
    /// Sealed to another recovery key.
    #[error("the envelope of agent {agent} is sealed to another recovery key")]
    OtherKey {
        /// Whose.
        agent: String,
    },
    /// It was changed.
    #[error("the envelope of agent {agent} does not open: it was changed, or the recovery key is another one")]
    DoesNotOpen {
        /// Whose.
        agent: String,
    },
    /// Too few of them for any epoch.
    #[error("too few envelopes: epoch {epoch} needs {needed} agents, {given} had one")]
    TooFew {
        /// The newest epoch.
        epoch: u64,
        /// How many it takes.
        needed: u8,
        /// How many there are.
        given: usize,
    },
    /// None was given.
    #[error("no agent gave an envelope")]
    None,
    /// What came out is no record of the root that the envelopes name.
    #[error("the shares do not give a root: they do not belong together")]
    NoRoot,
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Library,
}

/// What an envelope says of itself to everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The vault.
    pub instance: [u8; 16],
    /// The root.
    pub root: Root,
    /// Agents that it takes.
    pub needed: u8,
    /// The share's number; 1 for a whole root.
    pub number: u8,
    /// What it is sealed to.
    pub key: KeyId,
    /// Whose it is.
    pub agent: String,
}

/// A sealed root or share, read as far as it can be without the recovery key.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    label: Label,
    bytes: Zeroizing<Vec<u8>>,
}

impl Envelope {
    /// Its bytes. To be erased as the root is.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says of itself.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// Reads one.
    pub fn read(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let malformed = EnvelopeError::Malformed;
        if bytes.len() != ENVELOPE || &bytes[..8] != MAGIC {
            return Err(malformed);
        }
        let array = |from: usize| <[u8; 8]>::try_from(&bytes[from..from + 8]).unwrap_or_default();
        let root = Root {
            epoch: u64::from_be_bytes(array(24)),
            state: bytes[32..64].try_into().map_err(|_| EnvelopeError::Malformed)?,
        };
        let padded = &bytes[NAME_AT..KEM_AT];
        let end = padded.iter().position(|byte| *byte == 0).unwrap_or(MOST_NAME);
        let agent = String::from_utf8(padded[..end].to_vec()).map_err(|_| EnvelopeError::Malformed)?;
        let (needed, number) = (bytes[64], bytes[65]);
        let sound = is_name(&agent) && padded[end..].iter().all(|byte| *byte == 0) && needed > 0 && number > 0;
        if !sound || root.epoch == 0 {
            return Err(malformed);
        }
        let instance = bytes[8..24].try_into().map_err(|_| EnvelopeError::Malformed)?;
        let label = Label { instance, root, needed, number, key: array(66), agent };
        Ok(Self { label, bytes: Zeroizing::new(bytes.to_vec()) })
    }

    pub(super) fn open(&self, key: &SecretKey) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        let agent = || self.label.agent.clone();
        let id = key.public().map_err(|_| EnvelopeError::Library)?.id();
        if id != self.label.key {
            return Err(EnvelopeError::OtherKey { agent: agent() });
        }
        let kem = self.bytes[KEM_AT..TEXT_AT].try_into().map_err(|_| EnvelopeError::Malformed)?;
        let shared = xwing::decapsulate(key.seed(), kem).map_err(|_| EnvelopeError::DoesNotOpen { agent: agent() })?;
        let mut text = Zeroizing::new(self.bytes[TEXT_AT..].to_vec());
        let plain = cipher(&shared)?
            .open_in_place(nonce(), Aad::from(&self.bytes[..TEXT_AT]), &mut text)
            .map_err(|_| EnvelopeError::DoesNotOpen { agent: agent() })?
            .len();
        text.truncate(plain);
        Ok(text)
    }
}

/// Whether this can be an agent's name: letters, digits, `-`, `_` and `.`.
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=MOST_NAME).contains(&name.len()) && name.bytes().all(plain)
}

/// Seals a root for agent `number` (from 1), called `agent`.
pub fn seal(
    block: &[u8; SLOT_BYTES],
    instance: [u8; 16],
    quorum: Quorum,
    number: u8,
    agent: &str,
    key: &PublicKey,
) -> Result<Envelope, EnvelopeError> {
    let root = Root::of(block).ok_or(EnvelopeError::NoRoot)?;
    if !is_name(agent) || number == 0 || usize::from(number) > quorum.agents() {
        return Err(EnvelopeError::Malformed);
    }
    let needed = quorum.restore() as u8;
    let record = &block[..SLOT_RECORD];
    let plain =
        if needed == 1 { Zeroizing::new(record.to_vec()) } else { share(record, &instance, needed, number)?.values };
    seal_plain(&Label { instance, root, needed, number, key: key.id(), agent: agent.to_owned() }, plain, key)
}

/// Seals a root or share under this label, whatever it is.
pub(super) fn seal_plain(label: &Label, plain: Zeroizing<Vec<u8>>, key: &PublicKey) -> Result<Envelope, EnvelopeError> {
    let (kem, shared) = xwing::encapsulate(key.bytes()).map_err(|_| EnvelopeError::Library)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(ENVELOPE));
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&label.instance);
    bytes.extend_from_slice(&label.root.epoch.to_be_bytes());
    bytes.extend_from_slice(&label.root.state);
    bytes.extend_from_slice(&[label.needed, label.number]);
    bytes.extend_from_slice(&label.key);
    bytes.extend_from_slice(label.agent.as_bytes());
    bytes.resize(KEM_AT, 0);
    bytes.extend_from_slice(&kem);
    let mut text = plain;
    let tag = cipher(&shared)?
        .seal_in_place_separate_tag(nonce(), Aad::from(&bytes[..]), &mut text)
        .map_err(|_| EnvelopeError::Library)?;
    bytes.extend_from_slice(&text);
    bytes.extend_from_slice(tag.as_ref());
    Ok(Envelope { label: label.clone(), bytes })
}

/// The newest root that there are enough envelopes for, as a register's block. Believes what it is given, and so is for
/// envelopes that nobody can have invented: [`super::recovery`] is for those that come from agents.
///
/// Envelopes of roots that there are too few of are passed over: an agent that was away may hold an old one, and some may
/// hold one whose seal never came about. So are those that do not open, of another recovery key or changed, and those that
/// together give no root.
pub fn restore(envelopes: &[Envelope], key: &SecretKey) -> Result<(Root, Zeroizing<[u8; SLOT_BYTES]>), EnvelopeError> {
    let found = recovery::look(envelopes, key);
    let newest = found.candidates.into_iter().next().map(|newest| (newest.root, newest.block));
    newest.ok_or(found.trouble.unwrap_or(EnvelopeError::None))
}

/// The share of a record that follows from the record alone.
pub(super) fn share(record: &[u8], instance: &[u8; 16], needed: u8, number: u8) -> Result<Share, EnvelopeError> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, record);
    let length = usize::from(needed - 1) * record.len();
    let mut coefficients = Zeroizing::new(Vec::with_capacity(length + 32));
    let mut counter = 0_u32;
    while coefficients.len() < length {
        let mut context = hmac::Context::with_key(&key);
        for part in [SHARES, instance, &[needed], &counter.to_be_bytes()] {
            context.update(part);
        }
        coefficients.extend_from_slice(context.sign().as_ref());
        counter += 1;
    }
    coefficients.truncate(length);
    shamir::share(record, number, needed, &coefficients).ok_or(EnvelopeError::Library)
}

fn cipher(shared: &xwing::Shared) -> Result<LessSafeKey, EnvelopeError> {
    UnboundKey::new(&AES_256_GCM, &shared[..]).map(LessSafeKey::new).map_err(|_| EnvelopeError::Library)
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTANCE: [u8; 16] = *b"instance of test";

    /// A record as the key forest writes it, with its checksum.
    fn block(epoch: u64, key: u8) -> Zeroizing<[u8; SLOT_BYTES]> {
        let mut block = Zeroizing::new([0; SLOT_BYTES]);
        block[..8].copy_from_slice(b"KFSLOT01");
        block[8..16].copy_from_slice(&epoch.to_le_bytes());
        block[16..48].fill(key);
        block[48..80].fill(key ^ 0xff);
        let sum = digest(&block[..480]);
        block[480..512].copy_from_slice(&sum);
        block
    }

    fn digest(bytes: &[u8]) -> [u8; 32] {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().try_into().unwrap()
    }

    fn all(block: &[u8; SLOT_BYTES], quorum: Quorum, key: &SecretKey) -> Vec<Envelope> {
        let public = key.public().unwrap();
        let seal = |number| seal(block, INSTANCE, quorum, number, &format!("agent-{number}"), &public).unwrap();
        (1..=quorum.agents() as u8).map(seal).collect()
    }

    fn key() -> SecretKey {
        SecretKey::generate().unwrap()
    }

    #[test]
    fn one_plain_envelope_or_enough_shares_bring_the_root_back() {
        let (block, key) = (block(7, 3), key());
        for envelope in all(&block, Quorum::plain(2).unwrap(), &key) {
            assert_eq!(restore(&[envelope], &key).unwrap(), (Root::of(&block).unwrap(), block.clone()));
        }
        let shares = all(&block, Quorum::shares(2, 3).unwrap(), &key);
        for pair in [[0, 1], [1, 2], [2, 0]] {
            let pair = pair.map(|at: usize| shares[at].clone());
            assert!(restore(&pair, &key).unwrap().1 == block);
        }
        let few = EnvelopeError::TooFew { epoch: 7, needed: 2, given: 1 };
        assert_eq!(restore(&shares[..1], &key).err(), Some(few.clone()));
        assert_eq!(restore(&[shares[0].clone(), shares[0].clone()], &key).err(), Some(few));
        assert_eq!(restore(&[], &key).err(), Some(EnvelopeError::None));
    }

    #[test]
    fn a_share_that_is_made_later_fits_those_that_were_made_before() {
        let (block, key, quorum) = (block(7, 3), key(), Quorum::shares(2, 3).unwrap());
        let (first, later) = (all(&block, quorum, &key), all(&block, quorum, &key));
        assert!(restore(&[first[0].clone(), later[2].clone()], &key).unwrap().1 == block);
        assert!(first[0].bytes() != later[0].bytes(), "sealed afresh all the same");
    }

    #[test]
    fn the_newest_root_that_is_complete_wins() {
        let (key, quorum) = (key(), Quorum::shares(2, 3).unwrap());
        let (old, new) = (all(&block(7, 3), quorum, &key), all(&block(8, 4), quorum, &key));
        let some = [old[0].clone(), old[1].clone(), new[1].clone(), new[2].clone()];
        assert_eq!(restore(&some, &key).unwrap().0.epoch, 8);
        assert_eq!(restore(&some[..3], &key).unwrap().0.epoch, 7, "one share of the newer is nothing");
    }

    #[test]
    fn envelopes_that_do_not_open_do_not_stand_in_the_way_of_enough_that_do() {
        let (key, older, quorum) = (key(), self::key(), Quorum::shares(2, 3).unwrap());
        let (good, of_before) = (all(&block(7, 3), quorum, &key), all(&block(7, 3), quorum, &older));
        // The first agent has that of an older recovery key only, and one claims a root that nobody else has.
        let some = [of_before[0].clone(), good[1].clone(), good[2].clone()];
        assert!(restore(&some, &key).unwrap().1 == block(7, 3));
        let mut spoilt = all(&block(u64::MAX, 9), Quorum::plain(1).unwrap(), &key).remove(0).bytes().to_vec();
        *spoilt.last_mut().unwrap() ^= 1;
        let some = [Envelope::read(&spoilt).unwrap(), good[0].clone(), good[2].clone()];
        assert!(restore(&some, &key).unwrap().1 == block(7, 3));
        let another = EnvelopeError::OtherKey { agent: "agent-1".to_owned() };
        assert_eq!(restore(&of_before, &key).err(), Some(another));
    }

    #[test]
    fn another_key_and_any_changed_byte_are_refused() {
        let (block, key) = (block(7, 3), key());
        let envelope = all(&block, Quorum::plain(1).unwrap(), &key).remove(0);
        let other = EnvelopeError::OtherKey { agent: "agent-1".to_owned() };
        assert_eq!(restore(std::slice::from_ref(&envelope), &self::key()).err(), Some(other));
        for at in 0..ENVELOPE {
            let mut changed = envelope.bytes().to_vec();
            changed[at] ^= 1;
            let opened = Envelope::read(&changed).and_then(|envelope| restore(&[envelope], &key));
            assert!(opened.is_err(), "byte {at}");
        }
    }

    #[test]
    fn an_envelope_says_where_it_belongs_and_nothing_of_the_root() {
        let (block, key) = (block(7, 3), key());
        let envelope = all(&block, Quorum::shares(2, 3).unwrap(), &key).remove(1);
        let read = Envelope::read(envelope.bytes()).unwrap();
        assert!(read == envelope);
        let label = read.label();
        assert_eq!((label.root.epoch, label.needed, label.number, label.agent.as_str()), (7, 2, 2, "agent-2"));
        assert_eq!(label.instance, INSTANCE);
        assert!(!envelope.bytes().windows(8).any(|window| window == [3; 8]), "no part of the root's key");
    }

    /// Once released, an envelope stays readable: a vault may come back after years. `BLESS=1` makes the file anew.
    #[test]
    fn envelopes_of_version_1_open_for_ever() {
        let key =
            SecretKey::read(&["05144-GJ289-144GJ-28914-4GJ28-9144G-J2891-44GJ2-89144-GJ289-144JY-BBBXG"]).unwrap();
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join("envelopes-1.hex");
        if std::env::var_os("BLESS").is_some() {
            let shares = all(&block(7, 3), Quorum::shares(2, 3).unwrap(), &key);
            let plain = all(&block(8, 4), Quorum::plain(1).unwrap(), &key);
            let lines = [&shares[0], &shares[2], &plain[0]].map(|envelope| hex::encode(envelope.bytes()));
            std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        }
        let text = std::fs::read_to_string(path).unwrap();
        let kept: Vec<Envelope> =
            text.lines().map(|line| Envelope::read(&hex::decode(line).unwrap()).unwrap()).collect();
        assert!(restore(&kept[..2], &key).unwrap().1 == block(7, 3));
        assert!(restore(&kept[2..], &key).unwrap().1 == block(8, 4));
        // The shares are those of then: one that is made now fits them.
        let now = all(&block(7, 3), Quorum::shares(2, 3).unwrap(), &key);
        assert!(restore(&[kept[0].clone(), now[1].clone()], &key).unwrap().1 == block(7, 3));
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        let (block, public) = (block(7, 3), key().public().unwrap());
        let quorum = Quorum::plain(1).unwrap();
        for name in ["", "a b", "ä", &"x".repeat(33)] {
            assert!(seal(&block, INSTANCE, quorum, 1, name, &public).is_err(), "{name:?}");
        }
        assert!(seal(&block, INSTANCE, quorum, 2, "second of one", &public).is_err());
    }
}
