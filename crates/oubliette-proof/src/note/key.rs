//! Ed25519 keys in note form: C2SP signed-note, sections "Verifier keys", "Signature types" and "Ed25519 signatures".
//!
//! ```text
//! key id   SHA-256(name ‖ 0x0A ‖ kind ‖ public key)[..4]
//! vkey     name "+" key id in hex "+" base64(kind ‖ public key)
//! skey     "PRIVATE+KEY+" name "+" key id in hex "+" base64(kind ‖ seed)
//! ```

use std::fmt;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::NoteError;
use crate::encoding::{base64, from_base64};
use crate::hash::sha256;

/// What a key's signatures are: the signature type byte of C2SP signed-note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// `0x01`: signs the text of notes. A log's own key.
    Note,
    /// `0x04`: timestamped cosignatures on checkpoints. A witness's key.
    Cosigner,
}

impl KeyKind {
    fn byte(self) -> u8 {
        match self {
            Self::Note => 1,
            Self::Cosigner => 4,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Note, Self::Cosigner].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// Whether a name may be a key's: not empty, no spaces, no plus, no control characters, at most 255 bytes (this last one is
/// ours).
pub(super) fn is_name(name: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    !name.is_empty() && name.len() <= 255 && !name.contains(bad)
}

fn key_id(name: &str, kind: KeyKind, public: &[u8; 32]) -> [u8; 4] {
    let hash = sha256(&[name.as_bytes(), b"\n", &[kind.byte()], public]);
    [hash.0[0], hash.0[1], hash.0[2], hash.0[3]]
}

/// A public key with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    public: [u8; 32],
    id: [u8; 4],
}

impl VerifierKey {
    /// A key of these parts. Refuses a name that no key may bear.
    pub fn new(name: &str, kind: KeyKind, public: [u8; 32]) -> Result<Self, NoteError> {
        if !is_name(name) {
            return Err(NoteError::Malformed("key name"));
        }
        Ok(Self { name: name.to_owned(), kind, public, id: key_id(name, kind, &public) })
    }

    /// Reads a vkey as it is displayed, and nothing else.
    pub fn parse(vkey: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed("verifier key");
        // The name has no plus; base64 may.
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed);
        };
        let key = from_base64(key).ok_or(malformed.clone())?;
        let (kind, public) = key.split_first().ok_or(malformed.clone())?;
        let kind = KeyKind::from_byte(*kind).ok_or(NoteError::Malformed("verifier key: no type that is known here"))?;
        let key = Self::new(name, kind, public.try_into().map_err(|_| malformed.clone())?)?;
        if key.to_string() == vkey { Ok(key) } else { Err(malformed) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The 32 bytes of RFC 8032.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The short id in signature lines. No strong hash: name and id select a key, the signature decides.
    pub fn id(&self) -> [u8; 4] {
        self.id
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.kind.byte()][..], &self.public].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), base64(&key))
    }
}

/// Whether an Ed25519 signature holds (RFC 8032; signatures with another spelling of the same numbers do not).
pub(crate) fn holds(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}

/// A private key with its name. Wiped when dropped; has neither `Debug` nor `Clone`.
pub struct SigningKey {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl SigningKey {
    /// A fresh key from the system's randomness.
    pub fn generate(name: &str, kind: KeyKind) -> Result<Self, NoteError> {
        let mut seed = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(&mut *seed).map_err(|_| NoteError::NoRandomness)?;
        Self::from_seed(name, kind, seed)
    }

    /// The key of a seed (RFC 8032: the private key).
    pub fn from_seed(name: &str, kind: KeyKind, seed: Zeroizing<[u8; 32]>) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed("signing key");
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| malformed.clone())?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| malformed)?;
        let verifier = VerifierKey::new(name, kind, public)?;
        Ok(Self { seed, pair, verifier })
    }

    /// Reads an skey as [`SigningKey::to_skey`] writes it, and nothing else.
    pub fn parse(skey: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed("signing key");
        let mut parts = skey.strip_prefix("PRIVATE+KEY+").ok_or(malformed.clone())?.splitn(3, '+');
        let (Some(name), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed);
        };
        let key = Zeroizing::new(from_base64(key).ok_or(malformed.clone())?);
        let (kind, bytes) = key.split_first().ok_or(malformed.clone())?;
        let kind = KeyKind::from_byte(*kind).ok_or(malformed.clone())?;
        let mut seed = Zeroizing::new([0; 32]);
        if bytes.len() != seed.len() {
            return Err(malformed);
        }
        seed.copy_from_slice(bytes);
        let key = Self::from_seed(name, kind, seed)?;
        if *key.to_skey() == skey { Ok(key) } else { Err(malformed) }
    }

    /// The secret in note form. Wiped when dropped.
    pub fn to_skey(&self) -> Zeroizing<String> {
        let mut key = Zeroizing::new(Vec::with_capacity(33));
        key.push(self.verifier.kind.byte());
        key.extend_from_slice(&*self.seed);
        let key = Zeroizing::new(base64(&key));
        let id = hex::encode(self.verifier.id);
        Zeroizing::new(["PRIVATE+KEY+", &self.verifier.name, "+", &id, "+", &key].concat())
    }

    /// Its public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs bytes that are no note: the caller's format keeps them apart from all others.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        let made = self.pair.sign(message);
        if made.as_ref().len() == signature.len() {
            signature.copy_from_slice(made.as_ref());
        }
        signature
    }
}
