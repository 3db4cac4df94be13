//! Kind 4: the log changes its key.
//!
//! ```text
//! old public key 32 ‖ new public key 32 ‖ signature by the old 64 ‖ signature by the new 64
//! both over: "oubliette/key-rotation/v1" ‖ 0x00 ‖ origin ‖ 0x00 ‖ old ‖ new
//! ```
//! The message has a zero byte, which no signed note has: neither signature is one of a note, nor the other way round.
//! Checkpoints over this entry are signed by the new key, or by both.

use super::codec::{Reader, Writer};
use crate::note::{KeyKind, NoteError, SigningKey, VerifierKey};

/// A change of the key, agreed to by both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRotation {
    /// The key so far.
    pub old: [u8; 32],
    /// The key from here on.
    pub new: [u8; 32],
    signatures: [[u8; 64]; 2],
}

impl KeyRotation {
    /// Hands a log over to another key of the same name.
    pub fn sign(old: &SigningKey, new: &SigningKey) -> Result<Self, NoteError> {
        let (origin, publics) = (old.verifier().name(), [*old.verifier().public(), *new.verifier().public()]);
        if origin != new.verifier().name() || publics[0] == publics[1] {
            return Err(NoteError::Malformed("key rotation: another key of the same name is needed"));
        }
        let message = message(origin, &publics);
        let signatures = [old.sign(&message), new.sign(&message)];
        Ok(Self { old: publics[0], new: publics[1], signatures })
    }

    /// The new key, if both signatures hold and the old key is the given one. Whoever trusts that one can trust this one for
    /// what the log says from here on.
    pub fn verify(&self, old: &VerifierKey) -> Result<VerifierKey, NoteError> {
        let message = message(old.name(), &[self.old, self.new]);
        let holds = |public, signature: &[u8; 64]| crate::note::holds(public, &message, signature);
        let known = *old.public() == self.old && old.kind() == KeyKind::Note;
        if known && holds(&self.old, &self.signatures[0]) && holds(&self.new, &self.signatures[1]) {
            VerifierKey::new(old.name(), KeyKind::Note, self.new)
        } else {
            Err(NoteError::BadSignature(old.name().to_owned()))
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.bytes(&self.old);
        out.bytes(&self.new);
        self.signatures.iter().for_each(|signature| out.bytes(signature));
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self { old: from.array()?, new: from.array()?, signatures: [from.array()?, from.array()?] })
    }
}

fn message(origin: &str, publics: &[[u8; 32]; 2]) -> Vec<u8> {
    [b"oubliette/key-rotation/v1\0", origin.as_bytes(), &[0], &publics[0], &publics[1]].concat()
}
