//! C2SP signed notes, and what a log says in them.
//!
//! [`SignedNote`] is the outer form (C2SP signed-note), [`VerifierKey`] and [`SigningKey`] the keys, [`Checkpoint`] the text
//! of a tree head (C2SP tlog-checkpoint), cosignatures are signatures of the type [`KeyKind::Cosigner`] (C2SP
//! tlog-cosignature, Ed25519), [`TlogProof`] is the file that proves one entry offline (C2SP tlog-proof),
//! [`AddCheckpoint`] what a witness is asked (C2SP tlog-witness).
//!
//! # Stricter than C2SP, and where
//!
//! signed-note has verifiers *ignore* lines of keys they do not know, so that a log can rotate keys and gather cosignatures.
//! [`UnknownKeys::Ignore`] does so, for whoever follows a live log. A *certificate* is a closed document, and is read with
//! [`UnknownKeys::Refuse`]: a line whose name and key id belong to none of the given keys is refused, because nobody could
//! tell whether somebody wrote into it. Whoever is given a cosigned certificate is given the cosigners' keys with it.
//!
//! In both ways: at most one line a key; each line of a known key must hold, not just one; encodings are canonical (base64
//! with padding and zero unused bits, numbers without leading zeros), so that a note has one spelling; and the key that
//! signs a checkpoint for its log bears the origin's name (tlog-checkpoint only recommends it).

mod checkpoint;
mod key;
mod proof_file;
mod signed;
mod trust;
mod witness;

pub use checkpoint::{Checkpoint, closing_note, read_closing_note};
pub(crate) use key::holds;
pub use key::{KeyKind, SigningKey, VerifierKey};
pub use proof_file::TlogProof;
pub use signed::{SignatureLine, SignedNote, UnknownKeys, VerifiedLine};
pub use trust::{Cosignature, TrustedKeys, VerifiedCheckpoint};
pub use witness::{AddCheckpoint, add_cosignatures};

/// Why a note, a key or what is made of them is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not of the form.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// A line is signed with a key that was not given.
    #[error("signed by {0}, a key that was not given")]
    UnknownKey(String),
    /// Two lines of one key.
    #[error("{0} signed twice")]
    SignedTwice(String),
    /// A line of a known key does not hold.
    #[error("the signature of {0} does not hold")]
    BadSignature(String),
    /// No line of a key that had to sign.
    #[error("not signed by a key of the log {0}")]
    NotSigned(String),
    /// The system gave no randomness.
    #[error("the system gave no randomness")]
    NoRandomness,
}
