//! The signed note: C2SP signed-note, sections "Format" and "Signatures"; C2SP tlog-cosignature, section "Ed25519 signed
//! message".
//!
//! ```text
//! note         text "\n" line+          the text ends in a newline
//! line         "— " name " " base64(key id ‖ signature) "\n"
//! signature    kind 0x01: Ed25519 over the text
//!              kind 0x04: u64 time (seconds since 1970, big-endian) ‖ Ed25519 over
//!                         "cosignature/v1\ntime " time "\n" text
//! ```

use std::fmt;

use super::key::{holds, is_name};
use super::{KeyKind, NoteError, SigningKey, VerifierKey};
use crate::encoding::{base64, from_base64};

/// Longest note that is read.
const MAX_NOTE: usize = 1_000_000;
/// Most lines that are read.
const MAX_LINES: usize = 100;
/// Highest time of a cosignature (tlog-cosignature, "Format").
const MAX_TIME: u64 = i64::MAX as u64;

/// What to do about lines of keys that were not given. See the [module](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownKeys {
    /// As C2SP has it: for checkpoints of a live log.
    Ignore,
    /// For certificates.
    Refuse,
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    /// Name of the key.
    pub name: String,
    /// Id of the key.
    pub key_id: [u8; 4],
    /// What follows the id: its form depends on the key's kind.
    pub signature: Vec<u8>,
}

impl SignatureLine {
    /// Reads one line without its newline.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed("signature line");
        let (name, signature) =
            line.strip_prefix("— ").and_then(|rest| rest.split_once(' ')).ok_or(malformed.clone())?;
        let bytes = from_base64(signature).ok_or(malformed.clone())?;
        match bytes.split_first_chunk::<4>() {
            Some((key_id, signature)) if !signature.is_empty() && is_name(name) => {
                Ok(Self { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
            }
            _ => Err(malformed),
        }
    }

    fn is_of(&self, key: &VerifierKey) -> bool {
        self.name == key.name() && self.key_id == key.id()
    }

    /// Whether the line is this key's and holds for the text; the time of a cosignature.
    fn verify(&self, key: &VerifierKey, text: &str) -> Result<Option<u64>, NoteError> {
        let (message, signature, time) = match key.kind() {
            KeyKind::Note => (text.to_owned(), &self.signature[..], None),
            KeyKind::Cosigner => {
                let Some((time, signature)) = self.signature.split_first_chunk::<8>() else {
                    return Err(NoteError::BadSignature(self.name.clone()));
                };
                let time = u64::from_be_bytes(*time);
                (cosigned(text, time), signature, Some(time))
            }
        };
        let good = self.is_of(key)
            && time.is_none_or(|time| time <= MAX_TIME)
            && holds(key.public(), message.as_bytes(), signature);
        if good { Ok(time) } else { Err(NoteError::BadSignature(self.name.clone())) }
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "— {} {}", self.name, base64(&[&self.key_id[..], &self.signature].concat()))
    }
}

/// A line that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedLine<'a> {
    /// Whose it is.
    pub key: &'a VerifierKey,
    /// When it was made, by the cosigner's clock, in seconds since 1970; `None` for lines that bear no time.
    pub time: Option<u64>,
}

/// A text and the lines under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    lines: Vec<SignatureLine>,
}

impl SignedNote {
    /// A note without lines yet. The text ends in a newline and has no other control characters.
    pub fn new(text: String) -> Result<Self, NoteError> {
        if !text.ends_with('\n') || text.len() > MAX_NOTE || text.contains(|c: char| c < ' ' && c != '\n') {
            return Err(NoteError::Malformed("note text"));
        }
        Ok(Self { text, lines: Vec::new() })
    }

    /// Reads a note as it is displayed, and nothing else. Says nothing about signatures: see [`SignedNote::verify`].
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed("signed note");
        // Text and lines are divided by the last empty line.
        let (text, lines) = note.rsplit_once("\n\n").filter(|_| note.len() <= MAX_NOTE).ok_or(malformed.clone())?;
        let mut parsed = Self::new(format!("{text}\n"))?;
        let lines = lines.strip_suffix('\n').ok_or(malformed.clone())?;
        for line in lines.split('\n') {
            parsed.lines.push(SignatureLine::parse(line)?);
            if parsed.lines.len() > MAX_LINES {
                return Err(malformed);
            }
        }
        if parsed.to_string() == note { Ok(parsed) } else { Err(malformed) }
    }

    /// The signed text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The lines, in order.
    pub fn lines(&self) -> &[SignatureLine] {
        &self.lines
    }

    /// Adds the key's line at the end, in place of an earlier one. Refuses a cosigner's key, which signs with a time.
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), NoteError> {
        if key.verifier().kind() != KeyKind::Note {
            return Err(NoteError::Malformed("key: a cosigner's, where a log's signs"));
        }
        self.push(key, key.sign(self.text.as_bytes()).to_vec());
        Ok(())
    }

    /// Adds a timestamped cosignature: the key states that it saw this tree head as the largest consistent one of its log at
    /// `time` (seconds since 1970). Only for keys of [`KeyKind::Cosigner`]; whether the text is a checkpoint and the log
    /// consistent is for the caller to have checked.
    pub fn cosign(&mut self, key: &SigningKey, time: u64) -> Result<(), NoteError> {
        if key.verifier().kind() != KeyKind::Cosigner || time > MAX_TIME {
            return Err(NoteError::Malformed("cosignature: not a cosigner's key, or a time beyond all times"));
        }
        let signature = key.sign(cosigned(&self.text, time).as_bytes());
        self.push(key, [&time.to_be_bytes()[..], &signature].concat());
        Ok(())
    }

    fn push(&mut self, key: &SigningKey, signature: Vec<u8>) {
        let key = key.verifier();
        self.lines.retain(|line| !line.is_of(key));
        self.lines.push(SignatureLine { name: key.name().to_owned(), key_id: key.id(), signature });
    }

    /// Adds a line that came from elsewhere (a witness's answer), in place of an earlier one of that key, if it is this key's
    /// and holds.
    pub fn add(&mut self, line: SignatureLine, key: &VerifierKey) -> Result<(), NoteError> {
        line.verify(key, &self.text)?;
        self.lines.retain(|old| !old.is_of(key));
        self.lines.push(line);
        Ok(())
    }

    /// Checks every line against the given keys, and returns those that hold, in order.
    ///
    /// Refused: a line of a given key that does not hold, two lines of one key, and with [`UnknownKeys::Refuse`] a line of
    /// any other key. Whether *enough* keys signed is for the caller to say: the result may be empty.
    pub fn verify<'a>(
        &self,
        keys: &'a [VerifierKey],
        unknown: UnknownKeys,
    ) -> Result<Vec<VerifiedLine<'a>>, NoteError> {
        let mut verified: Vec<VerifiedLine<'a>> = Vec::new();
        for line in &self.lines {
            let Some(key) = keys.iter().find(|key| line.is_of(key)) else {
                match unknown {
                    UnknownKeys::Ignore => continue,
                    UnknownKeys::Refuse => return Err(NoteError::UnknownKey(line.name.clone())),
                }
            };
            if verified.iter().any(|earlier| earlier.key == key) {
                return Err(NoteError::SignedTwice(line.name.clone()));
            }
            verified.push(VerifiedLine { key, time: line.verify(key, &self.text)? });
        }
        Ok(verified)
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.lines.iter().try_for_each(|line| fmt::Display::fmt(line, f))
    }
}

/// What a cosigner signs: tlog-cosignature, "Ed25519 signed message".
fn cosigned(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}
