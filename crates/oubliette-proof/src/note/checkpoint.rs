//! What a log says of itself: C2SP tlog-checkpoint, section "Note text", and the note with which a log ends.
//!
//! ```text
//! checkpoint   origin "\n" size "\n" base64(root) "\n" (extension "\n")*
//! closing      "oubliette.dev/log-closed/v1\nclosed\n" origin "\n" size "\n" base64(root) "\n" next origin "\n"
//! ```
//! A closing note is no checkpoint of any log: its second line is not a number.

use super::{NoteError, SignedNote, SigningKey, TrustedKeys, UnknownKeys};
use crate::encoding::{base64, decimal, hash_from_base64};
use crate::tree::{TreeHead, empty_root};

const CLOSING: &str = "oubliette.dev/log-closed/v1\nclosed\n";

/// The text of a tree head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// Size and root.
    pub head: TreeHead,
    /// Further lines: opaque, covered by signatures, not audited by anybody. Ours has none.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// The text to sign.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.head.size, base64(&self.head.root.0));
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Reads the text as [`Checkpoint::to_text`] writes it, and nothing else.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed("checkpoint");
        let mut lines = text.strip_suffix('\n').ok_or(malformed.clone())?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(malformed);
        };
        let size = decimal(size).ok_or(malformed.clone())?;
        let root = hash_from_base64(root).ok_or(malformed.clone())?;
        let extensions: Vec<_> = lines.map(str::to_owned).collect();
        let empty = origin.is_empty() || extensions.iter().any(String::is_empty);
        if empty || (size == 0 && root != empty_root()) {
            return Err(malformed);
        }
        Ok(Self { origin: origin.to_owned(), head: TreeHead { size, root }, extensions })
    }

    /// The checkpoint of a log, signed with its key. The key's name is the origin. Whether the tree continues the one that
    /// was signed last is for the caller to have checked.
    pub fn sign(head: TreeHead, key: &SigningKey) -> Result<SignedNote, NoteError> {
        let origin = key.verifier().name().to_owned();
        let mut note = SignedNote::new(Self { origin, head, extensions: Vec::new() }.to_text())?;
        note.sign(key)?;
        Ok(note)
    }
}

/// The note that ends a log whose entries are lost: its last pinned head, and the origin that follows. Signed by the old
/// log's key.
pub fn closing_note(head: TreeHead, next_origin: &str, key: &SigningKey) -> Result<SignedNote, NoteError> {
    let Checkpoint { origin, .. } = Checkpoint::parse(&format!("{next_origin}\n0\n{}\n", base64(&empty_root().0)))?;
    let last = Checkpoint { origin: key.verifier().name().to_owned(), head, extensions: vec![origin] };
    let mut note = SignedNote::new(format!("{CLOSING}{}", last.to_text()))?;
    note.sign(key)?;
    Ok(note)
}

/// Reads a closing note that a key of the log signed; the last head (with its origin) and the origin that follows.
pub fn read_closing_note(note: &str, keys: &TrustedKeys) -> Result<(Checkpoint, String), NoteError> {
    let malformed = NoteError::Malformed("closing note");
    let note = SignedNote::parse(note)?;
    let mut last = Checkpoint::parse(note.text().strip_prefix(CLOSING).ok_or(malformed.clone())?)?;
    let next = last.extensions.pop().filter(|_| last.extensions.is_empty()).ok_or(malformed)?;
    keys.verify_for(&note, &last.origin, UnknownKeys::Refuse)?;
    Ok((last, next))
}
