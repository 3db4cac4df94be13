//! The offline proof of one entry: C2SP tlog-proof, section "Format".
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! index <number>
//! <base64 hash>            none or more: the audit path, from the leaf's sibling up
//!
//! <signed checkpoint>
//! ```
//! The format's line `extra` is read and written; it is authenticated by nothing, so that a certificate may not have one.

use std::fmt;

use super::{NoteError, TrustedKeys, UnknownKeys, VerifiedCheckpoint};
use crate::encoding::{base64, decimal, from_base64, hash_from_base64};
use crate::hash::Hash;
use crate::tree::{leaf_hash, verify_inclusion};

const FIRST: &str = "c2sp.org/tlog-proof@v1\n";

/// A proof that an entry is in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Opaque data of an application, authenticated by nothing.
    pub extra: Option<Vec<u8>>,
    /// The entry's number in the log.
    pub index: u64,
    /// Its audit path.
    pub path: Vec<Hash>,
    /// The signed checkpoint, word for word.
    pub checkpoint: String,
}

impl TlogProof {
    /// Reads a proof as it is displayed, and nothing else. The checkpoint is not looked into yet.
    pub fn parse(file: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed("tlog-proof");
        let (head, checkpoint) =
            file.strip_prefix(FIRST).and_then(|rest| rest.split_once("\n\n")).ok_or(malformed.clone())?;
        let mut lines = head.split('\n').peekable();
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => Some(from_base64(&line["extra ".len()..]).ok_or(malformed.clone())?),
            None => None,
        };
        let index = lines.next().and_then(|line| decimal(line.strip_prefix("index ")?)).ok_or(malformed.clone())?;
        let path = lines.map(hash_from_base64).collect::<Option<Vec<_>>>().ok_or(malformed.clone())?;
        let proof = Self { extra, index, path, checkpoint: checkpoint.to_owned() };
        // A path is as long as a tree is high.
        if proof.path.len() <= 64 && proof.to_string() == file { Ok(proof) } else { Err(malformed) }
    }

    /// Checks that the entry is in the log, under a checkpoint that these keys hold for good; that checkpoint. Refuses extra
    /// data with [`UnknownKeys::Refuse`], as it does unknown keys.
    pub fn verify(
        &self,
        entry: &[u8],
        keys: &TrustedKeys,
        unknown: UnknownKeys,
    ) -> Result<VerifiedCheckpoint, NoteError> {
        if self.extra.is_some() && unknown == UnknownKeys::Refuse {
            return Err(NoteError::Malformed("tlog-proof: extra data that nothing authenticates"));
        }
        let verified = keys.checkpoint(&self.checkpoint, unknown)?;
        if verify_inclusion(&leaf_hash(entry), self.index, &verified.checkpoint.head, &self.path) {
            Ok(verified)
        } else {
            Err(NoteError::Malformed("tlog-proof: it does not lead from the entry to the checkpoint's root"))
        }
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FIRST)?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", base64(&hash.0))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}
