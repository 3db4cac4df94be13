//! The recovery key: a public half for the vault, a secret half that lies off line, on paper, whole or in shares.
//!
//! ```text
//! public   "oubliette-recovery-1:" and base64url of: X-Wing public key 1216 | first 8 bytes of SHA-256 of what is before
//! secret   printable: 01 | seed 32
//! share    printable: 02 | needed u8 | number u8 | key id 8 | values 32
//! ```

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;
use zeroize::Zeroizing;

use super::shamir::{self, Share};
use super::{printable, xwing};

const PREFIX: &str = "oubliette-recovery-1:";
const SUM: usize = 8;
const SECRET: u8 = 1;
const SHARE: u8 = 2;
/// More custodians than this are a mistake.
pub const MOST_SHARES: u8 = 32;

/// Names a recovery key: the first bytes of its hash. No secret.
pub type KeyId = [u8; 8];

/// Why what was given is no recovery key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecoveryKeyError {
    /// Not the public half.
    #[error("not a public recovery key: one line that begins with `{PREFIX}`, copied whole")]
    Public,
    /// Not a secret half, or a slip in copying it.
    #[error("not a recovery key, or there is a slip in it: its checksum does not agree")]
    Secret,
    /// A share where the secret was wanted, or the other way round.
    #[error("shares of a recovery key and a whole one cannot be mixed")]
    Mixed,
    /// Shares of two keys, or a share given twice.
    #[error("the shares do not belong together: they are of different keys, or one was given twice")]
    Strangers,
    /// More are needed.
    #[error("{needed} shares of the recovery key are needed, {given} were given")]
    TooFew {
        /// How many it takes.
        needed: u8,
        /// How many there are.
        given: usize,
    },
    /// Numbers that make no sense.
    #[error("a key is shared between two to {MOST_SHARES} custodians, of whom at least two are needed")]
    Numbers,
    /// The system gave no random numbers, or the cryptographic library failed.
    #[error("the cryptographic library failed")]
    Library,
}

/// The public half: what roots are sealed to.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Box<[u8; xwing::PUBLIC]>);

impl PublicKey {
    /// Its name.
    pub fn id(&self) -> KeyId {
        let mut id = [0; 8];
        id.copy_from_slice(&digest(&SHA256, &self.0[..]).as_ref()[..8]);
        id
    }

    pub(super) fn bytes(&self) -> &[u8; xwing::PUBLIC] {
        &self.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = [&self.0[..], &sum(&self.0[..])].concat();
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(whole))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(self.id()))
    }
}

impl FromStr for PublicKey {
    type Err = RecoveryKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let whole = text.trim().strip_prefix(PREFIX).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let whole = whole.filter(|whole| whole.len() == xwing::PUBLIC + SUM).ok_or(RecoveryKeyError::Public)?;
        let (bytes, end) = whole.split_at(xwing::PUBLIC);
        let mut key = Box::new([0; xwing::PUBLIC]);
        key.copy_from_slice(bytes);
        if sum(bytes) == *end { Ok(Self(key)) } else { Err(RecoveryKeyError::Public) }
    }
}

/// The secret half. Has no `Debug`; wiped when dropped.
pub struct SecretKey(Zeroizing<[u8; xwing::SEED]>);

impl SecretKey {
    /// Draws one.
    pub fn generate() -> Result<Self, RecoveryKeyError> {
        let mut seed = Zeroizing::new([0; xwing::SEED]);
        rand::fill(&mut seed[..]).map_err(|_| RecoveryKeyError::Library)?;
        Ok(Self(seed))
    }

    /// Its public half.
    pub fn public(&self) -> Result<PublicKey, RecoveryKeyError> {
        xwing::public(&self.0).map(|key| PublicKey(Box::new(key))).map_err(|_| RecoveryKeyError::Library)
    }

    /// As it is printed.
    pub fn print(&self) -> Zeroizing<String> {
        printable::print(&Zeroizing::new([&[SECRET], &self.0[..]].concat()))
    }

    /// `count` printed shares, any `needed` of which are the key.
    pub fn shares(&self, needed: u8, count: u8) -> Result<Vec<Zeroizing<String>>, RecoveryKeyError> {
        if needed < 2 || needed > count || count > MOST_SHARES {
            return Err(RecoveryKeyError::Numbers);
        }
        let id = self.public()?.id();
        let mut coefficients = Zeroizing::new(vec![0; usize::from(needed - 1) * xwing::SEED]);
        rand::fill(&mut coefficients).map_err(|_| RecoveryKeyError::Library)?;
        let print = |number| {
            let share = shamir::share(&self.0[..], number, needed, &coefficients).ok_or(RecoveryKeyError::Library)?;
            Ok(printable::print(&Zeroizing::new([&[SHARE, needed, number], &id[..], &share.values].concat())))
        };
        (1..=count).map(print).collect()
    }

    /// Reads the printed key, or as many printed shares as it takes, in any order.
    pub fn read(texts: &[impl AsRef<str>]) -> Result<Self, RecoveryKeyError> {
        let parts: Option<Vec<_>> = texts.iter().map(|text| printable::read(text.as_ref())).collect();
        let parts = parts.filter(|parts| !parts.is_empty()).ok_or(RecoveryKeyError::Secret)?;
        if let [whole] = &parts[..]
            && whole.first() == Some(&SECRET)
        {
            return Self::from_seed(&whole[1..]).ok_or(RecoveryKeyError::Secret);
        }
        let shares: Option<Vec<_>> = parts.iter().map(|part| Part::read(part)).collect();
        let shares = shares.ok_or(RecoveryKeyError::Mixed)?;
        let (needed, id) = (shares[0].needed, shares[0].id);
        let alone = |part: &Part| shares.iter().filter(|other| other.share.number == part.share.number).count() == 1;
        if !shares.iter().all(|part| part.needed == needed && part.id == id && alone(part)) {
            return Err(RecoveryKeyError::Strangers);
        }
        if shares.len() < usize::from(needed) {
            return Err(RecoveryKeyError::TooFew { needed, given: shares.len() });
        }
        let some: Vec<Share> = shares.into_iter().take(usize::from(needed)).map(|part| part.share).collect();
        let seed = shamir::join(&some).ok_or(RecoveryKeyError::Strangers)?;
        let key = Self::from_seed(&seed).ok_or(RecoveryKeyError::Strangers)?;
        if key.public()?.id() == id { Ok(key) } else { Err(RecoveryKeyError::Strangers) }
    }

    pub(super) fn seed(&self) -> &[u8; xwing::SEED] {
        &self.0
    }

    fn from_seed(bytes: &[u8]) -> Option<Self> {
        let mut seed = Zeroizing::new([0; xwing::SEED]);
        (bytes.len() == seed.len()).then(|| seed.copy_from_slice(bytes))?;
        Some(Self(seed))
    }
}

/// A share as it was printed.
struct Part {
    needed: u8,
    id: KeyId,
    share: Share,
}

impl Part {
    fn read(bytes: &[u8]) -> Option<Self> {
        let [SHARE, needed, number, rest @ ..] = bytes else { return None };
        let (id, values) = rest.split_at_checked(8)?;
        let whole = *needed >= 2 && *number >= 1 && values.len() == xwing::SEED;
        let share = Share { number: *number, values: Zeroizing::new(values.to_vec()) };
        whole.then(|| Self { needed: *needed, id: id.try_into().unwrap_or_default(), share })
    }
}

fn sum(bytes: &[u8]) -> [u8; SUM] {
    let digest = digest(&SHA256, &[PREFIX.as_bytes(), bytes].concat());
    let mut sum = [0; SUM];
    sum.copy_from_slice(&digest.as_ref()[..SUM]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SecretKey {
        SecretKey(Zeroizing::new([0x42; 32]))
    }

    #[test]
    fn both_halves_are_read_back_as_they_were_printed() {
        let public = key().public().unwrap();
        let text = public.to_string();
        assert!(text.len() < 1700 && !text.contains(char::is_whitespace));
        assert_eq!(text.parse::<PublicKey>().unwrap(), public);
        let back = SecretKey::read(&[key().print().as_str()]).unwrap();
        assert_eq!(back.0, key().0);
        assert!(SecretKey::generate().unwrap().public().unwrap() != public);
    }

    #[test]
    fn a_public_key_that_was_copied_wrongly_is_refused() {
        let text = key().public().unwrap().to_string();
        for wrong in [&text[..text.len() - 1], &text[1..], "", &text.replacen('A', "B", 1)] {
            assert_eq!(wrong.parse::<PublicKey>(), Err(RecoveryKeyError::Public));
        }
    }

    #[test]
    fn enough_shares_are_the_key_and_others_say_why_not() {
        let shares = key().shares(2, 3).unwrap();
        for pair in [[0, 1], [1, 2], [2, 0]] {
            let pair = pair.map(|share: usize| shares[share].as_str());
            assert_eq!(SecretKey::read(&pair).unwrap().0, key().0);
        }
        let all: Vec<&str> = shares.iter().map(|share| share.as_str()).collect();
        assert_eq!(SecretKey::read(&all).unwrap().0, key().0);
        let read = |texts: &[&str]| SecretKey::read(texts).err();
        assert_eq!(read(&all[..1]), Some(RecoveryKeyError::TooFew { needed: 2, given: 1 }));
        assert_eq!(read(&[all[0], all[0]]), Some(RecoveryKeyError::Strangers));
        let other = SecretKey(Zeroizing::new([1; 32])).shares(2, 2).unwrap();
        assert_eq!(read(&[all[0], other[1].as_str()]), Some(RecoveryKeyError::Strangers));
        assert_eq!(read(&[all[0], key().print().as_str()]), Some(RecoveryKeyError::Mixed));
        assert_eq!(read(&[]), Some(RecoveryKeyError::Secret));
        assert_eq!(key().shares(1, 3).err(), Some(RecoveryKeyError::Numbers));
        assert_eq!(key().shares(4, 3).err(), Some(RecoveryKeyError::Numbers));
    }

    /// Once released, a printed key stays readable.
    #[test]
    fn a_key_that_was_printed_once_is_read_for_ever() {
        let golden = "05144-GJ289-144GJ-28914-4GJ28-9144G-J2891-44GJ2-89144-GJ289-144JY-BBBXG";
        assert_eq!(*key().print(), golden);
        assert_eq!(SecretKey::read(&[golden]).unwrap().0, key().0);
    }
}
