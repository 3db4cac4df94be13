//! The keys somebody was given, and what they make of a checkpoint.

use super::{Checkpoint, KeyKind, NoteError, SignedNote, UnknownKeys, VerifiedLine, VerifierKey};

/// Keys that a reader trusts: keys of one or more logs (more than one of a name, when a log has changed its key), and keys of
/// witnesses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedKeys(Vec<VerifierKey>);

/// A witness's statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// The witness.
    pub name: String,
    /// When it saw the tree head as the largest one, by its clock; seconds since 1970.
    pub time: u64,
}

/// A checkpoint whose signatures hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Which witnesses saw it, in the note's order.
    pub cosignatures: Vec<Cosignature>,
    /// Keys of the log itself that signed it, in the note's order.
    pub signed_by: Vec<VerifierKey>,
}

impl TrustedKeys {
    /// These keys.
    pub fn new(keys: Vec<VerifierKey>) -> Self {
        Self(keys)
    }

    /// Reads a key file: one vkey a line; empty lines and lines that begin with `#` are for people. At least one key of a
    /// log.
    pub fn parse(file: &str) -> Result<Self, NoteError> {
        let lines = file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Vec<_> = lines.map(VerifierKey::parse).collect::<Result<_, _>>()?;
        if keys.iter().any(|key| key.kind() == KeyKind::Note) {
            Ok(Self(keys))
        } else {
            Err(NoteError::Malformed("key file: no key of a log in it"))
        }
    }

    /// The keys.
    pub fn keys(&self) -> &[VerifierKey] {
        &self.0
    }

    /// Trusts one more key.
    pub fn add(&mut self, key: VerifierKey) {
        if !self.0.contains(&key) {
            self.0.push(key);
        }
    }

    /// Checks a signed checkpoint: at least one key of the log named by its origin signed, and every other line holds as
    /// [`SignedNote::verify`] says.
    pub fn checkpoint(&self, note: &str, unknown: UnknownKeys) -> Result<VerifiedCheckpoint, NoteError> {
        let note = SignedNote::parse(note)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        let lines = self.verify_for(&note, &checkpoint.origin, unknown)?;
        let cosignatures = lines
            .iter()
            .filter_map(|line| Some(Cosignature { name: line.key.name().to_owned(), time: line.time? }))
            .collect();
        let own = lines.iter().filter(|line| is_of_log(line, &checkpoint.origin));
        let signed_by = own.map(|line| line.key.clone()).collect();
        Ok(VerifiedCheckpoint { checkpoint, cosignatures, signed_by })
    }

    /// Checks a note that a key of the log `origin` must have signed.
    pub(super) fn verify_for(
        &self,
        note: &SignedNote,
        origin: &str,
        unknown: UnknownKeys,
    ) -> Result<Vec<VerifiedLine<'_>>, NoteError> {
        let lines = note.verify(&self.0, unknown)?;
        if lines.iter().any(|line| is_of_log(line, origin)) {
            Ok(lines)
        } else {
            Err(NoteError::NotSigned(origin.to_owned()))
        }
    }
}

fn is_of_log(line: &VerifiedLine<'_>, origin: &str) -> bool {
    line.key.kind() == KeyKind::Note && line.key.name() == origin
}
