//! Certificates: what was erased, with everything needed to check it offline.
//!
//! A certificate is one line of canonical JSON (RFC 8785: keys in order, no white space, one spelling) and its newline.
//! `schema/certificate-v1.json` describes its members.
//!
//! ```text
//! subject     what the certificate is about: kind and id
//! erased      what is stated about it ("facts"): their hash is in the receipt, so the log holds the operator to them
//! reference   what the orderer called the order, if it is told: matches erased.reference
//! receipt     the receipt "erased": salt, place and path to the root in a seal entry, that entry, its tlog-proof
//! seal        what the seal entry says, in words: must match the entry
//! existed     receipts "existed": for each, the batch entry it is under
//! removed     receipt "removed" of the order, once blobs were seen removed
//! ```
//! All proofs of one certificate lead to one and the same checkpoint, word for word; *existed* lies before the seal in the
//! log, and *removed* after it.
//!
//! Every byte of a certificate is either checked against a hash or a signature, or follows from what is: no single byte can
//! be changed ([`Certificate::parse`] refuses other spellings, [`Certificate::verify`] other contents). What one may do is
//! leave out a whole witness line, a whole receipt of *existed* or *removed*, or the reference: the result is a certificate
//! that proves less, and says so.

mod bulk;
mod check;
mod explain;
mod facts;
mod page;

pub use bulk::{BulkChecker, BulkItem, write_bulk_item};
pub use check::{CertificateError, Verified, VerifiedExisted, VerifiedRemoved};
pub use explain::{Explanation, Statement, explain};
pub use facts::{ContentCount, Facts, KeptCount};
pub use page::{MAX_PAGE, PAGE_STYLE, certificate_in, check_page, is_page, write_page};

use serde::{Deserialize, Serialize};

use crate::encoding::base64;
use crate::entry::{Body, Entry};
use crate::hash::Hash;
use crate::id::{ItemId, Salt};
use crate::json;
use crate::note::{Checkpoint, SignedNote, TlogProof};
use crate::receipt::SubjectKind;
use crate::time::Seconds;
use crate::{Token, receipt};

/// The member `format`.
pub const FORMAT: &str = "oubliette/certificate/v1";
/// Longest certificate that is read. (One has a few kilobytes, and two for each content of an interaction.)
pub const MAX_CERTIFICATE: usize = 16 << 20;

/// A certificate. See the [module](self).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// What is stated about the subject.
    pub erased: Facts,
    /// That it existed here: in the log's order, none twice. Empty for orders.
    pub existed: Vec<ExistedProof>,
    format: String,
    /// That it was erased.
    pub receipt: Receipt,
    /// What the orderer called the order. Personal perhaps; told only to whom it may be.
    pub reference: Option<String>,
    /// That its order's blobs were removed.
    pub removed: Option<RemovedProof>,
    /// What the seal entry says.
    pub seal: Seal,
    /// What this is about.
    pub subject: Subject,
}

/// What a certificate is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its id.
    pub id: ItemId,
    /// What it is.
    pub kind: SubjectKind,
}

/// A receipt's place in the log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The log entry, as it is in the log.
    #[serde(with = "json::bytes")]
    pub entry: Vec<u8>,
    /// Number of the receipt under the entry's root.
    #[serde(with = "json::count")]
    pub index: u64,
    /// Its path to the entry's root.
    pub path: Vec<Hash>,
    /// The entry's tlog-proof with its checkpoint.
    pub proof: String,
    /// The receipt's salt.
    pub salt: Salt,
}

/// That a content was taken in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExistedProof {
    /// Commitment of the sealed bytes.
    pub blob: Hash,
    /// The content.
    pub content: ItemId,
    /// First second of the interval in which it was taken in, as the entry has it.
    pub from: Seconds,
    /// Its place in the log.
    pub receipt: Receipt,
    /// Last second of the interval.
    pub to: Seconds,
}

/// That an order's blobs were removed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemovedProof {
    /// How many.
    #[serde(with = "json::count")]
    pub blobs: u64,
    /// Its place in the log.
    pub receipt: Receipt,
    /// Time of the entry that says so.
    pub stated_at: Seconds,
}

/// What a seal entry and its checkpoint say.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// Escrow agents there were.
    pub agents: u8,
    /// Escrow agents that confirmed the destruction.
    pub agents_confirmed: u8,
    /// Epoch before and after.
    pub epochs: [Count; 2],
    /// What was found at the register's place.
    pub findings: Vec<Token>,
    /// Number of the entry in the log.
    #[serde(with = "json::count")]
    pub log_index: u64,
    /// Size of the log under the checkpoint.
    #[serde(with = "json::count")]
    pub log_size: u64,
    /// Mirrors that held the new state before.
    pub mirrors: u8,
    /// Which log.
    pub origin: String,
    /// Class of the register.
    pub register_class: Token,
    /// Whether nothing was found that lowers the class.
    pub register_trusted: bool,
    /// When it was sealed.
    pub sealed_at: Seconds,
}

/// A number below 2^53.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Count(#[serde(with = "json::count")] pub u64);

/// What a certificate is made of.
pub struct Parts {
    /// What it is about.
    pub subject: Subject,
    /// What is stated about it: the very facts whose hash is in the receipt.
    pub facts: Facts,
    /// The receipt *erased*.
    pub receipt: Receipt,
    /// What the orderer called the order, if it is to be told.
    pub reference: Option<String>,
    /// For each receipt *existed*: content, blob commitment, place. In any order.
    pub existed: Vec<(ItemId, Hash, Receipt)>,
    /// The receipt *removed*: number of blobs, place.
    pub removed: Option<(u64, Receipt)>,
}

impl Receipt {
    /// The receipt `index` of a tree, under this entry, with the entry's proof.
    /// `None` when the tree has no such receipt.
    pub fn new(tree: &receipt::ReceiptTree, index: u64, salt: Salt, entry: &[u8], proof: &TlogProof) -> Option<Self> {
        Some(Self { entry: entry.to_vec(), index, path: tree.path(index)?, proof: proof.to_string(), salt })
    }
}

impl Certificate {
    /// Puts a certificate together. Refuses parts that are not of a form to be checked; whether they *hold* is for
    /// [`Certificate::verify`], which whoever issues a certificate calls too.
    pub fn new(parts: Parts) -> Result<Self, CertificateError> {
        let malformed = CertificateError::Malformed;
        let mut existed = Vec::new();
        for (content, blob, receipt) in parts.existed {
            let entry = Entry::decode(&receipt.entry)?;
            let Body::Ingest(batch) = entry.body else { return Err(malformed("existed: no ingest entry")) };
            let place = (TlogProof::parse(&receipt.proof)?.index, receipt.index);
            existed.push((place, ExistedProof { blob, content, from: batch.from, receipt, to: batch.to }));
        }
        existed.sort_by_key(|(place, _)| *place);
        let removed = match parts.removed {
            Some((blobs, receipt)) => {
                let stated_at = Entry::decode(&receipt.entry)?.time;
                Some(RemovedProof { blobs, receipt, stated_at })
            }
            None => None,
        };
        let certificate = Self {
            erased: parts.facts,
            existed: existed.into_iter().map(|(_, proof)| proof).collect(),
            format: FORMAT.to_owned(),
            seal: Seal::of(&parts.receipt)?,
            receipt: parts.receipt,
            reference: parts.reference,
            removed,
            subject: parts.subject,
        };
        if json::to_line(&certificate).is_some() { Ok(certificate) } else { Err(malformed("a number too large")) }
    }

    /// The certificate's bytes.
    pub fn to_json(&self) -> Vec<u8> {
        // Only a number that is too large could fail, and there is none: `new` and `parse` saw to it.
        json::to_line(self).unwrap_or_default()
    }

    /// Reads a certificate's bytes as [`Certificate::to_json`] writes them, and nothing else. Checks no proof.
    pub fn parse(bytes: &[u8]) -> Result<Self, CertificateError> {
        let malformed = CertificateError::Malformed;
        if bytes.len() > MAX_CERTIFICATE {
            return Err(malformed("certificate: longer than any"));
        }
        let certificate: Self = json::from_line(bytes).ok_or(malformed("certificate: not its canonical JSON"))?;
        if certificate.format == FORMAT { Ok(certificate) } else { Err(malformed("certificate: another format")) }
    }
}

impl Seal {
    /// What the entry and the checkpoint in a receipt say. Checks no signature.
    fn of(receipt: &Receipt) -> Result<Self, CertificateError> {
        let proof = TlogProof::parse(&receipt.proof)?;
        let note = SignedNote::parse(&proof.checkpoint)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        let entry = Entry::decode(&receipt.entry)?;
        let Body::Seal(seal) = entry.body else {
            return Err(CertificateError::Malformed("receipt: its entry is not of a seal"));
        };
        Ok(Self {
            agents: seal.agents,
            agents_confirmed: seal.agents_confirmed,
            epochs: seal.epochs.map(Count),
            findings: seal.findings,
            log_index: proof.index,
            log_size: checkpoint.head.size,
            mirrors: seal.mirrors,
            origin: checkpoint.origin,
            register_class: seal.register_class,
            register_trusted: seal.trusted,
            sealed_at: entry.time,
        })
    }
}

/// A hash in the words of JSON, for messages.
fn short(hash: &Hash) -> String {
    base64(&hash.0)
}
