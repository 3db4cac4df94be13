//! The log's keys, and what was signed last.

use oubliette_proof::note::{
    Checkpoint, NoteError, SignedNote, SigningKey, TrustedKeys, VerifierKey, add_cosignatures, closing_note,
};
use oubliette_proof::tree::TreeHead;

use super::LogError;

/// Signs checkpoints. Every head it is given continues the one before; that is for the caller to hold.
pub(super) struct Signer {
    /// Newest first.
    keys: Vec<VerifierKey>,
    current: SigningKey,
    /// The key before, and the size of the one tree that it signs too: the one that ends with the change of the key.
    before: Option<(SigningKey, u64)>,
    /// Of the log before this one.
    earlier: Option<SigningKey>,
    note: SignedNote,
    cosigned: Option<SignedNote>,
}

impl Signer {
    /// Signs the head as it was found. `keys`: all there ever were, oldest first, without the current one.
    pub(super) fn new(
        current: SigningKey,
        keys: Vec<VerifierKey>,
        earlier: Option<SigningKey>,
        head: TreeHead,
    ) -> Result<Self, NoteError> {
        let note = Checkpoint::sign(head, &current)?;
        let keys = keys.into_iter().chain([current.verifier().clone()]).rev().collect();
        Ok(Self { keys, current, before: None, earlier, note, cosigned: None })
    }

    pub(super) fn origin(&self) -> &str {
        self.current.verifier().name()
    }

    pub(super) fn key(&self) -> VerifierKey {
        self.current.verifier().clone()
    }

    pub(super) fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    pub(super) fn note(&self) -> &SignedNote {
        &self.note
    }

    pub(super) fn cosigned(&self) -> Option<&SignedNote> {
        self.cosigned.as_ref()
    }

    /// Another key signs from here on; the one before signs too while the log has `size` entries.
    pub(super) fn replace(&mut self, new: SigningKey, size: u64) {
        self.keys.insert(0, new.verifier().clone());
        self.before = Some((std::mem::replace(&mut self.current, new), size));
    }

    /// Signs a head that is durable.
    pub(super) fn sign(&mut self, head: TreeHead) -> Result<(), NoteError> {
        let mut note = Checkpoint::sign(head, &self.current)?;
        if let Some((before, size)) = &self.before {
            if *size == head.size {
                note.sign(before)?;
            } else {
                self.before = None;
            }
        }
        self.note = note;
        Ok(())
    }

    pub(super) fn add_cosignatures(
        &mut self,
        checkpoint: &str,
        answer: &str,
        witnesses: &TrustedKeys,
    ) -> Result<usize, NoteError> {
        let mut note = SignedNote::parse(checkpoint)?;
        let added = add_cosignatures(&mut note, answer, witnesses)?;
        if note.text() == self.note.text() {
            add_cosignatures(&mut self.note, answer, witnesses)?;
            note = self.note.clone();
        }
        let size = |note: &SignedNote| Checkpoint::parse(note.text()).map_or(0, |checkpoint| checkpoint.head.size);
        match &mut self.cosigned {
            // Another witness signed the same one.
            Some(cosigned) if cosigned.text() == note.text() => {
                add_cosignatures(cosigned, answer, witnesses)?;
            }
            Some(cosigned) if size(cosigned) > size(&note) => {}
            _ if added > 0 => self.cosigned = Some(note),
            _ => {}
        }
        Ok(added)
    }

    pub(super) fn closing_note(&self, head: TreeHead) -> Result<Option<String>, LogError> {
        let Some(key) = &self.earlier else { return Ok(None) };
        Ok(Some(closing_note(head, self.origin(), key)?.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use oubliette_proof::Hash;
    use oubliette_proof::note::KeyKind;
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn what_two_witnesses_sign_of_an_earlier_head_stays_together() {
        let key = |name: &str, kind, seed| SigningKey::from_seed(name, kind, Zeroizing::new([seed; 32])).unwrap();
        let head = |size: u8| TreeHead { size: size.into(), root: Hash([size; 32]) };
        let mut signer = Signer::new(key("log.example", KeyKind::Note, 1), Vec::new(), None, head(1)).unwrap();
        let handed_out = signer.note().to_string();
        signer.sign(head(2)).unwrap();
        let names = ["one.example", "two.example"];
        for (name, seed) in names.into_iter().zip(2..) {
            let witness = key(name, KeyKind::Cosigner, seed);
            let mut note = SignedNote::parse(&handed_out).unwrap();
            note.cosign(&witness, 1_800_000_000).unwrap();
            let answer = format!("{}\n", note.to_string().lines().last().unwrap());
            let keys = TrustedKeys::new(vec![witness.verifier().clone()]);
            assert_eq!(signer.add_cosignatures(&handed_out, &answer, &keys).unwrap(), 1);
        }
        let cosigned = signer.cosigned().unwrap().to_string();
        assert!(names.iter().all(|name| cosigned.contains(&format!("— {name} "))), "{cosigned}");
    }
}
