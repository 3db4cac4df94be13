//! Checking a certificate.

use super::{Certificate, Facts, Receipt, Seal, short};
use crate::entry::{Body, Entry, EntryError};
use crate::hash::Hash;
use crate::id::ItemId;
use crate::note::{NoteError, TlogProof, TrustedKeys, UnknownKeys, VerifiedCheckpoint};
use crate::receipt::{Erased, Existed, Removed, SubjectKind, is_receipt, reference_commitment};
use crate::time::Seconds;
use crate::tree::TreeHead;

/// Longest reference.
const MAX_REFERENCE: usize = 1024;

/// Why a certificate is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not of the form.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// A signed part does not hold.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A log entry cannot be read.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// Two parts do not fit each other.
    #[error("it contradicts itself: {0}")]
    Contradiction(&'static str),
    /// A commitment is not under the entry's root.
    #[error("the log entry holds no such receipt ({0}: commitment {1})")]
    NoReceipt(&'static str, String),
    /// A bulk file has fewer or more lines than the order has items.
    #[error("the file has {found} receipts, the order has {expected}")]
    Incomplete {
        /// Lines there are.
        found: u64,
        /// Items of the order.
        expected: u64,
    },
}

/// What a certificate proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The checkpoint of all its proofs, and who saw it.
    pub checkpoint: VerifiedCheckpoint,
    /// Number of the seal entry in the log.
    pub log_index: u64,
    /// Time of the seal entry, by the operator's clock.
    pub sealed_at: Seconds,
    /// Size and root of the seal's receipts: for the lines of a bulk file.
    pub receipts: TreeHead,
    /// What existed since when.
    pub existed: Vec<VerifiedExisted>,
    /// What was removed.
    pub removed: Option<VerifiedRemoved>,
}

/// A content that existed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedExisted {
    /// The content; zeros for the interaction itself.
    pub content: ItemId,
    /// Last second of the interval in which it was taken in, by the operator's clock.
    pub to: Seconds,
    /// Number of the entry.
    pub log_index: u64,
}

/// Blobs that were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedRemoved {
    /// How many.
    pub blobs: u64,
    /// When that was stated, by the operator's clock.
    pub stated_at: Seconds,
    /// Number of the entry.
    pub log_index: u64,
}

/// Which entries a certificate's proofs lead to, under one checkpoint.
struct Proofs<'a> {
    keys: &'a TrustedKeys,
    checkpoint: Option<(String, VerifiedCheckpoint)>,
}

impl Proofs<'_> {
    /// The receipt's entry and its number in the log.
    fn entry(&mut self, receipt: &Receipt) -> Result<(u64, Entry), CertificateError> {
        let proof = TlogProof::parse(&receipt.proof)?;
        let verified = proof.verify(&receipt.entry, self.keys, UnknownKeys::Refuse)?;
        match &self.checkpoint {
            Some((first, _)) if *first != proof.checkpoint => {
                return Err(CertificateError::Contradiction("proofs under different checkpoints"));
            }
            Some(_) => {}
            None => self.checkpoint = Some((proof.checkpoint, verified)),
        }
        Ok((proof.index, Entry::decode(&receipt.entry)?))
    }
}

impl Certificate {
    /// Checks everything: signatures with these keys, every proof, and that the parts fit each other. Refuses lines of keys
    /// that are not among the given ones ([`UnknownKeys::Refuse`]).
    pub fn verify(&self, keys: &TrustedKeys) -> Result<Verified, CertificateError> {
        self.check_facts()?;
        let mut proofs = Proofs { keys, checkpoint: None };

        let (log_index, entry) = proofs.entry(&self.receipt)?;
        let Body::Seal(seal) = entry.body else {
            return Err(CertificateError::Malformed("receipt: its entry is not of a seal"));
        };
        if self.seal != Seal::of(&self.receipt)? {
            return Err(CertificateError::Contradiction("seal, and the log entry"));
        }
        let receipts = TreeHead { size: seal.receipts, root: seal.receipts_root };
        under("erased", &self.erased_receipt().commitment(), &self.receipt, &receipts)?;

        let existed = self.check_existed(&mut proofs, log_index)?;
        let removed = self.check_removed(&mut proofs, log_index)?;
        let Some((_, checkpoint)) = proofs.checkpoint else {
            return Err(CertificateError::Malformed("receipt"));
        };
        Ok(Verified { checkpoint, log_index, sealed_at: entry.time, receipts, existed, removed })
    }

    fn erased_receipt(&self) -> Erased {
        let Facts { event, order, .. } = self.erased;
        let (kind, id) = (self.subject.kind, self.subject.id);
        Erased { salt: self.receipt.salt, kind, id, event, order, facts: self.erased.hash() }
    }

    /// What needs no proof: the facts fit the subject and the reference.
    fn check_facts(&self) -> Result<(), CertificateError> {
        let (facts, subject) = (&self.erased, self.subject);
        let fits = match subject.kind {
            SubjectKind::Interaction => (facts.items, facts.interactions, facts.part_of) == (1, 1, None),
            SubjectKind::Content => {
                (facts.items, facts.interactions, facts.content_count()) == (1, 0, 1) && facts.part_of.is_some()
            }
            SubjectKind::Order => facts.part_of.is_none() && facts.order == subject.id,
        };
        if !facts.is_sound() || !fits {
            return Err(CertificateError::Contradiction("what was erased, and what the certificate is about"));
        }
        if let Some(text) = &self.reference {
            let plain = !text.is_empty() && text.len() <= MAX_REFERENCE && !text.contains(char::is_control);
            if !plain || facts.reference != Some(reference_commitment(&self.receipt.salt, text)) {
                return Err(CertificateError::Contradiction("the reference, and its commitment"));
            }
        }
        Ok(())
    }

    fn check_existed(&self, proofs: &mut Proofs<'_>, seal: u64) -> Result<Vec<VerifiedExisted>, CertificateError> {
        let (mut verified, mut last) = (Vec::new(), None);
        for proof in &self.existed {
            let (interaction, fits) = match (self.subject.kind, self.erased.part_of) {
                (SubjectKind::Interaction, _) => (self.subject.id, true),
                (SubjectKind::Content, Some(interaction)) => (interaction, proof.content == self.subject.id),
                _ => (self.subject.id, false),
            };
            if !fits {
                return Err(CertificateError::Contradiction("existed, and what the certificate is about"));
            }
            let (log_index, entry) = proofs.entry(&proof.receipt)?;
            let Body::Ingest(batch) = entry.body else {
                return Err(CertificateError::Malformed("existed: its entry is not of an ingest"));
            };
            let place = Some((log_index, proof.receipt.index));
            if log_index >= seal || last >= place || (batch.from, batch.to) != (proof.from, proof.to) {
                return Err(CertificateError::Contradiction("existed, and its place in the log"));
            }
            last = place;
            let receipt = Existed { salt: proof.receipt.salt, interaction, content: proof.content, blob: proof.blob };
            let head = TreeHead { size: batch.count, root: batch.root };
            under("existed", &receipt.commitment(), &proof.receipt, &head)?;
            verified.push(VerifiedExisted { content: proof.content, to: batch.to, log_index });
        }
        Ok(verified)
    }

    fn check_removed(&self, proofs: &mut Proofs<'_>, seal: u64) -> Result<Option<VerifiedRemoved>, CertificateError> {
        let Some(proof) = &self.removed else { return Ok(None) };
        let (log_index, entry) = proofs.entry(&proof.receipt)?;
        let Body::Removal(batch) = entry.body else {
            return Err(CertificateError::Malformed("removed: its entry is not of a removal"));
        };
        if log_index <= seal || entry.time != proof.stated_at {
            return Err(CertificateError::Contradiction("removed, and its place in the log"));
        }
        let receipt = Removed { salt: proof.receipt.salt, order: self.erased.order, blobs: proof.blobs };
        let head = TreeHead { size: batch.count, root: batch.root };
        under("removed", &receipt.commitment(), &proof.receipt, &head)?;
        Ok(Some(VerifiedRemoved { blobs: proof.blobs, stated_at: entry.time, log_index }))
    }
}

fn under(what: &'static str, commitment: &Hash, receipt: &Receipt, head: &TreeHead) -> Result<(), CertificateError> {
    if is_receipt(commitment, receipt.index, head, &receipt.path) {
        Ok(())
    } else {
        Err(CertificateError::NoReceipt(what, short(commitment)))
    }
}
