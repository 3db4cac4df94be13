//! Receipts: salted commitments, whose Merkle root stands in a log entry.
//!
//! ```text
//! erased    SHA-256("oubliette/receipt/erased/v1" ‖ 0x00 ‖ salt 32 ‖ kind u8 ‖ id 16 ‖ event u8 ‖ order 16 ‖ facts 32)
//! existed   SHA-256("oubliette/receipt/existed/v1" ‖ 0x00 ‖ salt 32 ‖ interaction 16 ‖ content 16 ‖ blob commitment 32)
//! removed   SHA-256("oubliette/receipt/removed/v1" ‖ 0x00 ‖ salt 32 ‖ order 16 ‖ blobs u64)
//! kind      1 interaction, 2 content, 3 order        event   1 vcon_deleted, 2 vcon_expired
//! facts     SHA-256 of the canonical JSON of a certificate's member `erased` (without a newline)
//! ```
//! The tree over them is that of RFC 6962: a leaf is the hash of 0x00 and the 32 bytes of a commitment.
//!
//! A receipt carries no leaf number of the key forest, and nothing in it is derived from content, phone numbers or sessions:
//! ids are opaque (a permutation of numbers under a secret), the blob commitment is that of the sealed bytes. Without its
//! salt a commitment tells nothing; entries and tiles may be public.

use serde::{Deserialize, Serialize};

use crate::entry::Event;
use crate::hash::{Hash, sha256};
use crate::id::{ItemId, Salt};
use crate::tree::{MemoryTree, Ranges, TreeHead, leaf_hash, verify_inclusion};

/// What a receipt is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectKind {
    /// One interaction, wholly.
    Interaction,
    /// One content of an interaction that lives on.
    Content,
    /// All that one order erased.
    Order,
}

impl SubjectKind {
    fn code(self) -> u8 {
        match self {
            Self::Interaction => 1,
            Self::Content => 2,
            Self::Order => 3,
        }
    }
}

/// *Erased at T1*: one for each interaction that went wholly, for each single content, and for the order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// Salt of this receipt.
    pub salt: Salt,
    /// What `id` is.
    pub kind: SubjectKind,
    /// What was erased.
    pub id: ItemId,
    /// Why.
    pub event: Event,
    /// The order that led to it.
    pub order: ItemId,
    /// Hash of what is stated about it.
    pub facts: Hash,
}

impl Erased {
    /// The commitment.
    pub fn commitment(&self) -> Hash {
        let Self { salt, kind, id, event, order, facts } = self;
        let bytes = [
            b"oubliette/receipt/erased/v1\0".as_slice(),
            &salt.0,
            &[kind.code()],
            &id.0,
            &[event.code()],
            &order.0,
            &facts.0,
        ];
        sha256(&[&bytes.concat()])
    }
}

/// *Existed since T0*: one for each content that was taken in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Existed {
    /// Salt of this receipt.
    pub salt: Salt,
    /// The interaction.
    pub interaction: ItemId,
    /// The content; zeros for the interaction itself.
    pub content: ItemId,
    /// Commitment of the sealed bytes (C2SP chunked-encryption); zeros for the interaction itself.
    pub blob: Hash,
}

impl Existed {
    /// The commitment.
    pub fn commitment(&self) -> Hash {
        let Self { salt, interaction, content, blob } = self;
        sha256(&[b"oubliette/receipt/existed/v1\0", &salt.0, &interaction.0, &content.0, &blob.0])
    }
}

/// *Blobs removed*: one for each order whose sealed bytes were deleted from storage.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// Salt of this receipt.
    pub salt: Salt,
    /// The order.
    pub order: ItemId,
    /// How many blobs were removed.
    pub blobs: u64,
}

impl Removed {
    /// The commitment.
    pub fn commitment(&self) -> Hash {
        sha256(&[b"oubliette/receipt/removed/v1\0", &self.salt.0, &self.order.0, &self.blobs.to_be_bytes()])
    }
}

/// Commitment to what an orderer called an order: `SHA-256("oubliette/reference/v1" ‖ 0x00 ‖ salt 32 ‖ text)`, with the salt
/// of the receipt it belongs to.
pub fn reference_commitment(salt: &Salt, reference: &str) -> Hash {
    sha256(&[b"oubliette/reference/v1\0", &salt.0, reference.as_bytes()])
}

/// The tree over the commitments of one entry.
pub struct ReceiptTree(MemoryTree);

impl ReceiptTree {
    /// Over these commitments, in this order. 64 bytes of memory a receipt.
    pub fn new(commitments: impl IntoIterator<Item = Hash>) -> Self {
        Self(MemoryTree::new(commitments.into_iter().map(|commitment| leaf_hash(&commitment.0)).collect()))
    }

    /// Number of receipts, and the root for the entry.
    pub fn head(&self) -> TreeHead {
        let Ok(root) = self.0.root();
        TreeHead { size: self.0.size(), root }
    }

    /// The path of a receipt; `None` when there is none of this number.
    pub fn path(&self, index: u64) -> Option<Vec<Hash>> {
        let Ok(path) = self.0.prove_inclusion(index, self.0.size());
        path
    }
}

/// Whether a commitment is number `index` under an entry's root.
pub fn is_receipt(commitment: &Hash, index: u64, head: &TreeHead, path: &[Hash]) -> bool {
    verify_inclusion(&leaf_hash(&commitment.0), index, head, path)
}
