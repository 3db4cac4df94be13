//! What a log and a witness say to each other: C2SP tlog-witness, section "add-checkpoint". The bytes only; who sends them,
//! and what a witness remembers, is elsewhere.
//!
//! ```text
//! request    "old " size "\n" (base64 hash "\n")* "\n" checkpoint      at most 63 hashes
//! answer     signature lines
//! ```

use std::fmt;

use super::{KeyKind, NoteError, SignatureLine, SignedNote, TrustedKeys, VerifierKey};
use crate::encoding::{base64, decimal, hash_from_base64};
use crate::hash::Hash;

/// Most lines of a consistency proof.
const MAX_PROOF: usize = 63;

/// A log's request to sign a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the checkpoint that the witness signed last, 0 for none.
    pub old: u64,
    /// Consistency proof from there.
    pub proof: Vec<Hash>,
    /// The signed checkpoint, word for word.
    pub checkpoint: String,
}

impl AddCheckpoint {
    /// Reads a request's body as it is displayed, and nothing else. The checkpoint is not looked into yet.
    pub fn parse(body: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed("request to a witness");
        let (head, checkpoint) = body.split_once("\n\n").ok_or(malformed.clone())?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| decimal(line.strip_prefix("old ")?)).ok_or(malformed.clone())?;
        let proof = lines.map(hash_from_base64).collect::<Option<Vec<_>>>().ok_or(malformed.clone())?;
        let request = Self { old, proof, checkpoint: checkpoint.to_owned() };
        if request.proof.len() <= MAX_PROOF && request.to_string() == body { Ok(request) } else { Err(malformed) }
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.proof {
            writeln!(f, "{}", base64(&hash.0))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Adds to a checkpoint what a witness answered, and tells how many lines were added. As tlog-witness has it, lines of keys
/// that are no cosigner's among the given ones are ignored; a line of a given key that does not hold is an error, and then
/// nothing is added.
pub fn add_cosignatures(note: &mut SignedNote, answer: &str, keys: &TrustedKeys) -> Result<usize, NoteError> {
    let (mut added, mut cosigned) = (0, note.clone());
    for line in answer.strip_suffix('\n').ok_or(NoteError::Malformed("answer of a witness"))?.split('\n') {
        let line = SignatureLine::parse(line)?;
        let own =
            |key: &&VerifierKey| key.kind() == KeyKind::Cosigner && key.name() == line.name && key.id() == line.key_id;
        if let Some(key) = keys.keys().iter().find(own) {
            cosigned.add(line, key)?;
            added += 1;
        }
    }
    *note = cosigned;
    Ok(added)
}
